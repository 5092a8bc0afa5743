"""The README says what happens: its commands are CI's, and its output is what the programs print."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text("utf-8")
EXAMPLES = (ROOT / "docs/examples.md").read_text("utf-8")
SETUP = "python3 -m venv .venv && .venv/bin/pip install -q -c constraints.txt nox && .venv/bin/nox -s "


def shown(command: str, page: str = README) -> list[str]:
    """The output that a page shows for a command, without its numbers."""
    block = re.search(rf"```console\n\$ {re.escape(command)}\n(.*?)```", page, re.DOTALL)
    assert block, f"the page does not show {command!r}"
    return shape(block[1])


def shape(text: str) -> list[str]:
    """What stays the same from run to run: the words, in sets of lines, without numbers and spaces."""
    lines = (re.sub(r"[\d.,+\-% ]+", " ", line).strip() for line in text.splitlines())
    return sorted(line for line in lines if line)


def run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_both_commands_are_there_and_ci_calls_the_second() -> None:
    assert SETUP + "bench\n" in README
    assert SETUP + "tests\n" in README
    assert SETUP + "tests\n" in (ROOT / ".ci/run").read_text("utf-8")


@pytest.mark.extended
def test_parity_output() -> None:
    command = "xconv parity --backend torch --backend tensorflow --device cpu --mode eager --formulations auto"
    out = run(sys.executable, "-m", "xconv.cli", *command.split()[1:])
    wanted = shown(command)
    found = shape(out)
    assert [line.split()[:5] for line in found] == [line.split()[:5] for line in wanted]
    count = r"\d+ of \d+ results"
    assert re.findall(count, out) == [c for c in re.findall(count, README) if c in out]


@pytest.mark.extended
def test_bench_output() -> None:
    """Who takes part, and what stands in the columns; who wins depends on the machine."""
    command = "nox -s bench -- --case tiny --direction forward --peers torch,tensorflow"
    flags = ("-q", "-p", "no:cacheprovider", "--benchmark-quiet", "--rounds", "4", "--backends", "torch,tensorflow")
    out = run(sys.executable, "-m", "pytest", "benchmarks", *flags, *command.split()[4:])
    block = re.search(rf"```console\n\$ {re.escape(command)}\n(.*?)```", README, re.DOTALL)
    assert block

    def said(text: str) -> set[str]:
        lines = [" | ".join(re.split(r"  +", line)) for line in text.splitlines()]
        return {
            re.split(r" \| (?=[\d.]+ [mu]s)|: \d", line)[0] for line in lines if not line.startswith(("-", "Fastest"))
        }

    assert said(block[1]) <= said(out)


FIRST_EXAMPLE = ROOT / "examples/researcher.py"
LONGER_EXAMPLES = sorted(set((ROOT / "examples").glob("*.py")) - {FIRST_EXAMPLE})
"""They start processes, train and measure: ten to thirty seconds each."""


@pytest.mark.parametrize(
    "example",
    [FIRST_EXAMPLE, *(pytest.param(path, marks=pytest.mark.extended) for path in LONGER_EXAMPLES)],
    ids=lambda path: path.name,
)
def test_example_runs(example: Path) -> None:
    options = ["--quick"] if '"--quick"' in example.read_text("utf-8") else []
    out = run(sys.executable, str(example), *options)
    assert out
    assert f"(../examples/{example.name})" in EXAMPLES
    command = f"python examples/{example.name}"
    if f"$ {command}\n" in EXAMPLES:
        assert set(shown(command, EXAMPLES)) <= set(shape(out))


def test_links_lead_somewhere() -> None:
    """Those of the pages are the documentation's own (`nox -s docs`)."""
    for link in re.findall(r"\]\(([^)#:]+)\)", README):
        assert (ROOT / link).exists(), f"README.md links to {link}"

"""The documentation is whole: every public name is in it, every page is found, every command and picture is right.

That links lead somewhere is seen by the build itself (`nox -s docs`).
"""

from __future__ import annotations

import argparse
import importlib
import inspect
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import xconv
from docs.pictures import FOLDER, PICTURES
from xconv.cli import _parser, main

pytest_plugins = ["pytester"]

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PAGES = sorted(p.relative_to(DOCS) for p in DOCS.rglob("*") if p.suffix in (".md", ".rst"))
MODULES = (
    *("xconv", "xconv.bench", "xconv.bounds", "xconv.cost", "xconv.models", "xconv.parity", "xconv.reference"),
    *("xconv.testing", "xconv.wisdom", "xconv_torch.layers", "xconv_tensorflow.layers"),
)

MEASURES = "it measures for minutes: docs/start/benchmarkers.md runs it"
RESULT = "it is a result: what returns it has an example"
TRAINS = "it trains for many seconds: docs/networks.md shows what comes"
WITHOUT_EXAMPLE = {
    "xconv.WisdomError": "it takes a disk that is full",
    "xconv.bench": MEASURES,
    "xconv.bench.Arena": MEASURES,
    "xconv.bench.Contender": MEASURES,
    "xconv.bench.Layer": RESULT,
    "xconv.bench.Measurement": RESULT,
    "xconv.bounds": "its functions have them",
    "xconv.cost": "its functions have them",
    "xconv.errors": "its errors have them",
    "xconv.models.agree": TRAINS,
    "xconv.models.training_agreement": TRAINS,
    "xconv.parity": "its functions have them",
    "xconv.parity.Finding": RESULT,
    "xconv.parity.ParityReport": RESULT,
    "xconv.parity.Row": RESULT,
    "xconv.parity.Task": "it is sent to another process by xconv.parity.run",
    "xconv.reference": "its functions have them",
    "xconv.testing.Conformance": RESULT,
    "xconv.testing.On": RESULT,
    "xconv.testing.Parity": RESULT,
    "xconv.testing.ComparedArray": RESULT,
    "xconv.wisdom": "its functions have them",
    "xconv.wisdom.Entry": "the module has one",
    "xconv.wisdom.Key": "the module has one",
    "xconv.wisdom.find": "the module has one",
    "xconv.wisdom.knows": "it says yes or no",
    "xconv.wisdom.forget": "the module has one",
    "xconv.wisdom.load": "xconv.wisdom.save has one",
    "xconv.wisdom.remember": "the module has one",
}
"""Public names whose docstring has no example, and why."""


def public(module: ModuleType) -> list[str]:
    """`__all__`, or what a module defines itself."""
    own = [n for n, o in vars(module).items() if not n.startswith("_") and inspect.getmodule(o) is module]
    return list(getattr(module, "__all__", own))


def names() -> Iterator[str]:
    for module in MODULES:
        yield from (f"{module}.{name}" for name in public(importlib.import_module(module)))


def named(name: str) -> Any:
    module, _, last = name.rpartition(".")
    return getattr(importlib.import_module(module), last)


def test_every_public_name_is_documented() -> None:
    faults = []
    for name in names():
        if isinstance(named(name), (tuple, dict, float, int)):
            continue  # a constant: its docstring is behind it, and no object's
        text = inspect.getdoc(named(name)) or ""
        if not text:
            faults.append(f"{name} has no docstring")
        elif name in WITHOUT_EXAMPLE and ">>>" in text:
            faults.append(f"{name} has an example by now: take it out of WITHOUT_EXAMPLE")
        elif name not in WITHOUT_EXAMPLE and ">>>" not in text:
            faults.append(f"{name} has no example, and WITHOUT_EXAMPLE no reason")
    assert faults == []


def test_reasons_are_of_names_that_are_there() -> None:
    assert set(WITHOUT_EXAMPLE) <= set(names())


def documented() -> set[str]:
    """What the reference names, one by one or as the members of a module."""
    found = set()
    for page in (DOCS / "reference").glob("*.rst"):
        text = page.read_text("utf-8")
        found |= set(re.findall(r"^\.\. auto\w+:: (\S+)$", text, re.MULTILINE))
        for module in re.findall(r"^\.\. automodule:: (\S+)\n   :members:", text, re.MULTILINE):
            found |= {f"{module}.{name}" for name in public(importlib.import_module(module))}
    return found


def test_every_public_name_is_in_the_reference() -> None:
    """Under this name, or under another one of the same thing."""
    there = documented()
    things = {id(named(name)) for name in there & set(names())}
    missing = [name for name in names() if name not in there and id(named(name)) not in things]
    assert missing == [], "not in docs/reference"


# --- pages ---


def navigation() -> list[str]:
    """The pages of the navigation, in its order."""
    trees = re.findall(r"```\{toctree\}\n(.*?)```", (DOCS / "index.md").read_text("utf-8"), re.DOTALL)
    lines = [line for tree in trees for line in tree.splitlines() if line and not line.startswith(":")]
    return [match[1] if (match := re.search(r"<(.*)>$", line)) else line for line in lines]


def test_every_page_is_in_the_navigation_once() -> None:
    listed = navigation()
    assert len(listed) == len(set(listed))
    there = {str(page.with_suffix("")) for page in PAGES} - {"index"}
    assert there - set(listed) == set(), "in no toctree of docs/index.md"
    assert set(listed) <= there, "in docs/index.md, but no page"


def commands() -> list[tuple[str, str]]:
    """Every call of `xconv` in a block of a page or of the README, with the page."""
    found = []
    for page in (ROOT / "README.md", *(DOCS / page for page in PAGES)):
        text = page.read_text("utf-8")
        for language, start in (("sh", ""), ("console", r"\$ "), ("yaml", r"\s*- run: ")):
            for block in re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL):
                lines = re.findall(rf"^{start}(xconv .*)$", block, re.MULTILINE)
                found += [(str(page.relative_to(ROOT)), line) for line in lines]
    return found


@pytest.mark.parametrize(("page", "command"), commands())
def test_commands_are_what_the_program_takes(page: str, command: str) -> None:
    try:
        _parser().parse_args(shlex.split(command, comments=True)[1:])
    except SystemExit as stopped:
        assert stopped.code == 0, f"{page}: {command}"  # noqa: PT017 - what matters is which code


def test_sessions_that_pages_name_are_there() -> None:
    sessions = set(re.findall(r"^def (\w+)\(session", (ROOT / "noxfile.py").read_text("utf-8"), re.MULTILINE))
    text = "".join(path.read_text("utf-8") for path in (ROOT / "README.md", *(DOCS / page for page in PAGES)))
    named = set(re.findall(r"nox -s (\w+)", text))
    assert {"bench", "docs"} <= named
    assert named <= sessions


def test_ci_builds_the_documentation() -> None:
    assert re.search(r"nox -s .*\bdocs\b", (ROOT / ".ci/run").read_text("utf-8"))


@pytest.mark.parametrize("name", PICTURES)
def test_pictures_are_of_the_geometry(name: str) -> None:
    assert (FOLDER / name).read_text("utf-8") == PICTURES[name](), "run: python docs/pictures.py"


# --- what the starts show ---


def blocks(page: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", (DOCS / "start" / page).read_text("utf-8"), re.DOTALL)


def words(text: str) -> list[str]:
    """The words of a line, without numbers, which change from run to run."""
    return re.sub(r"[\d.,+\-%()=?]+", " ", text).split()


@pytest.mark.usefixtures("loaded")  # a framework that is imported in the test alone would be imported again after it
def test_the_tests_of_the_page_for_ci(pytester: pytest.Pytester) -> None:
    files = [block for block in blocks("ci.md", "python") if block.startswith("# test_")]
    assert len(files) == 2
    pytester.makepyfile(**{block.split()[1].removesuffix(".py"): block for block in files})
    done = pytester.runpytest_inprocess("-p", "no:cacheprovider", "--xconv-backends", "torch")
    done.assert_outcomes(passed=2)


@pytest.mark.usefixtures("loaded")  # a framework that is imported in the test alone would be imported again after it
def test_a_wrong_port_fails_the_test_of_the_page(pytester: pytest.Pytester) -> None:
    [port] = [block for block in blocks("ci.md", "python") if block.startswith("# test_port")]
    pytester.makepyfile(test_wrong=port.replace('padding="same"', 'padding="causal"'))
    done = pytester.runpytest_inprocess("-p", "no:cacheprovider")
    done.assert_outcomes(failed=1)
    done.stdout.fnmatch_lines(["*padding*"])


def test_parity_as_the_page_shows_it(capsys: pytest.CaptureFixture[str]) -> None:
    [shown] = blocks("ci.md", "console")
    command, _, output = shown.partition("\n")
    assert main(shlex.split(command)[2:]) == 0
    wanted, found = output.splitlines(), capsys.readouterr().out.splitlines()
    assert found[0] == wanted[0]
    assert found[2].split()[:7] == wanted[2].split()[:7]  # and not the worst case: that is the machine's
    assert found[-1].split(" (")[0] == wanted[-1].split(" (")[0]


@pytest.mark.usefixtures("patient")
def test_a_benchmark_as_the_page_shows_it(capsys: pytest.CaptureFixture[str]) -> None:
    """On torch alone and in few rounds, so that it is quick: the rows of torch, the headers, what is said below."""
    [shown] = blocks("benchmarkers.md", "console")
    command, _, output = shown.partition("\n")
    arguments = shlex.split(command)[2:]
    cut = arguments.index("tensorflow") - 1
    assert main([*arguments[:cut], *arguments[cut + 2 :], "--rounds", "2"]) == 0
    lines = capsys.readouterr().out.splitlines()
    wanted = [line for line in output.splitlines() if not line.startswith(("xconv on tensorflow", "Fastest"))]
    of_torch = {re.split(r"  |: ", line)[0] for line in wanted if line.startswith("xconv on torch")}
    assert of_torch == {re.split(r"  |: ", line)[0] for line in lines if line.startswith("xconv on torch")}
    assert words(lines[0]) == words(wanted[0])
    assert words(lines[1]) == words(wanted[1])
    [last] = [line for line in wanted if line.startswith("CPU time")]
    for sentence in last.split(". "):
        assert " ".join(words(sentence.split("(")[0])) in " ".join(words(" ".join(lines)))


def test_readme_and_pages_name_no_option_that_is_gone() -> None:
    """`--option` in the prose of the start pages is one of a command, of the plugin, or of pytest."""
    known = {"--junit-xml"}
    program = _parser()
    subparsers = next(a for a in program._actions if isinstance(a, argparse._SubParsersAction))
    for command in subparsers.choices.values():
        known |= {option for action in command._actions for option in action.option_strings}
    known |= set(re.findall(r'"(--xconv-[a-z]+)"', (ROOT / "xconv/pytest_plugin.py").read_text("utf-8")))
    for page in (DOCS / "start").glob("*.md"):
        prose = re.sub(r"```.*?```", "", page.read_text("utf-8"), flags=re.DOTALL)
        assert set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", prose)) <= known, page.name


def test_versions_of_the_front_pages() -> None:
    assert xconv.__version__ in (ROOT / "CHANGELOG.md").read_text("utf-8")

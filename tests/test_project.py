"""The project's own files: tools have one version everywhere, and what is listed is there."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

import xconv

ROOT = Path(__file__).parent.parent
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
NOXFILE = (ROOT / "noxfile.py").read_text("utf-8")
HOOKS = (ROOT / ".pre-commit-config.yaml").read_text("utf-8")
PINNED = dict(re.findall(r"^([\w.-]+)==(\S+)$", (ROOT / "constraints.txt").read_text("utf-8"), re.MULTILINE))


def asked() -> set[str]:
    """Packages that pyproject.toml asks for, but xconv itself."""
    extras = PROJECT["project"]["optional-dependencies"].values()
    wanted = [*PROJECT["project"]["dependencies"], *(line for extra in extras for line in extra)]
    return {re.split(r"[\[>=<~!;]", line)[0] for line in wanted} - {"xconv"}


def test_every_tool_and_dependency_has_one_version() -> None:
    installed = {
        name
        for call in re.findall(r"\binstall\(\s*session,(.*?)\)\n", NOXFILE, re.DOTALL)
        for name in re.findall(r'"([A-Za-z][\w-]*)"', call)
    }
    assert {"ruff", "check-jsonschema", "uv", "twine"} <= installed
    assert (asked() | installed) - set(PINNED) == set()


def test_every_dependency_of_users_has_a_lowest_version() -> None:
    """`nox -s minimum` tries what is stated, so something has to be."""
    extras = PROJECT["project"]["optional-dependencies"]
    lines = [*PROJECT["project"]["dependencies"], *(line for name in set(extras) - {"dev"} for line in extras[name])]
    assert [line for line in lines if not line.startswith("xconv[") and ">=" not in line] == []


def test_hooks_use_the_same_versions() -> None:
    assert dict(re.findall(r"astral-sh/(ruff)-pre-commit\n\s*rev: v(\S+)", HOOKS)) == {"ruff": PINNED["ruff"]}
    others = dict(re.findall(r"additional_dependencies: \[([\w-]+)==([^\]]+)\]", HOOKS))
    assert others == {name: PINNED[name] for name in ("nox", "check-jsonschema")}


def test_hooks_and_lint_check_the_same_schemas() -> None:
    schemas = re.findall(r'^    "((?:vendor|custom)\.[\w-]+)"', NOXFILE, re.MULTILINE)
    assert len(schemas) == 5
    assert sorted(re.findall(r"--builtin-schema (\S+)", HOOKS)) == sorted(schemas)


def test_ci_runs_sessions_that_are_there() -> None:
    text = (ROOT / ".github/workflows/ci.yml").read_text("utf-8")
    sessions = set(re.findall(r"^def (\w+)\(session", NOXFILE, re.MULTILINE))
    named = {word for line in re.findall(r"nox -s (.*)", text) for word in line.split(" -- ")[0].split()}
    assert {re.sub(r'"?(\w+).*', r"\1", word) for word in named if re.match(r'"?[a-z]', word)} <= sessions
    [frameworks] = re.findall(r"framework: \[(.*)\]", text)
    [block] = re.findall(r"^LOWEST = \{\n(.*?)^\}", NOXFILE, re.DOTALL | re.MULTILINE)
    assert frameworks.split(", ") == re.findall(r'^    "(\w+)":', block, re.MULTILINE)


def test_tests_that_sessions_name_are_there() -> None:
    paths = set(re.findall(r'"((?:tests|xconv)/[\w/]+\.py)"', NOXFILE))
    assert paths
    assert {path for path in paths if not (ROOT / path).is_file()} == set()


def test_the_citation_is_of_this_version() -> None:
    assert f"\nversion: {xconv.__version__}\n" in (ROOT / "CITATION.cff").read_text("utf-8")


@pytest.mark.parametrize("page", ["CONTRIBUTING.md", "SECURITY.md"])
def test_links_and_sessions_of_the_front_pages(page: str) -> None:
    text = (ROOT / page).read_text("utf-8")
    for link in re.findall(r"\]\(([^)#:]+)\)", text):
        assert (ROOT / link).exists(), f"{page} links to {link}"
    assert set(re.findall(r"nox -s (\w+)", text)) <= set(re.findall(r"^def (\w+)\(session", NOXFILE, re.MULTILINE))


def test_the_first_change_can_be_made() -> None:
    """The lines that the page changes stand in the file as it shows them, and nobody has made the change already."""
    page = (ROOT / "docs/first-change.md").read_text("utf-8")
    [diff] = re.findall(r"```diff\n(.*?)```", page, re.DOTALL)
    [path] = re.findall(r"^--- a/(\S+)$", diff, re.MULTILINE)
    lines = re.findall(r"^-(?!--)(.*)$", diff, re.MULTILINE)
    source = (ROOT / path).read_text("utf-8")
    assert lines
    assert source.count("\n".join(lines)) == 1
    [shown] = re.findall(r"^xconv\.errors\.ArgumentError: (.*)$", page, re.MULTILINE)
    with pytest.raises(xconv.ArgumentError) as caught:
        xconv.resolve("conv1d", (1, 8, 1), (3, 1, 1), padding_mode="wrap")
    assert str(caught.value) == shown
    [row] = re.findall(r"^\| (TensorFlow's word for it) \|", (ROOT / "docs/misuse.md").read_text("utf-8"), re.MULTILINE)
    assert f'"{row}"' in page

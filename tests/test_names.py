"""Names: each class has one of its own, so that a name that is read or searched for leads to one place."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import pytest

ROOT = Path(__file__).parent.parent

SHARED = {
    "Conv1D": "xconv.models describes a network with the names that layers have in Keras, and so do the backends",
}
"""Names that two classes have, and why."""


def classes() -> Iterator[tuple[str, PurePosixPath]]:
    """The name and the file of every class of the package and its backends."""
    for folder in ("xconv", "backends"):
        for file in sorted((ROOT / folder).rglob("*.py")):
            for node in ast.walk(ast.parse(file.read_text("utf-8"))):
                if isinstance(node, ast.ClassDef):
                    yield node.name, PurePosixPath(file.relative_to(ROOT).as_posix())


def repeated(found: Iterator[tuple[str, PurePosixPath]]) -> dict[str, list[str]]:
    """The names that classes share, but for backends that have the same name in the same place."""
    files: dict[str, list[PurePosixPath]] = defaultdict(list)
    for name, file in found:
        files[name].append(file)
    return {name: [str(file) for file in where] for name, where in files.items() if not _of_backends(where)}


def _of_backends(where: list[PurePosixPath]) -> bool:
    """Whether there is one file, or the same one in several backends."""
    if len(where) == 1:
        return True
    places = {PurePosixPath(*file.parts[2:]) for file in where}
    packages = {file.parts[:2] for file in where}
    return all(file.parts[0] == "backends" for file in where) and len(places) == 1 and len(packages) == len(where)


def test_no_two_classes_have_one_name() -> None:
    found = repeated(classes())
    assert {name: where for name, where in found.items() if name not in SHARED} == {}
    assert SHARED.keys() <= found.keys(), "an exception that nothing needs any more"


@pytest.mark.parametrize(
    ("files", "is_repeated"),
    [
        (["xconv/a.py"], False),
        (["xconv/a.py", "xconv/b.py"], True),
        (["xconv/a.py", "xconv/a.py"], True),
        (["backends/xconv_torch/layers/a.py", "backends/xconv_jax/layers/a.py"], False),
        (["backends/xconv_torch/layers/a.py", "backends/xconv_jax/models/a.py"], True),
        (["backends/xconv_torch/layers/a.py", "backends/xconv_torch/layers/a.py"], True),
        (["backends/xconv_torch/a.py", "backends/xconv_jax/a.py", "xconv/a.py"], True),
    ],
)
def test_what_counts_as_one_name(files: list[str], is_repeated: bool) -> None:
    assert bool(repeated(("Thing", PurePosixPath(file)) for file in files)) == is_repeated

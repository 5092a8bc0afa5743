"""What a public function takes, gives and raises stands in its docstring.

The rule, read from the source of each function of the reference (methods of its classes too) and of each command:

- it has an `Args:` section that names every parameter, unless it takes none;
- it has a `Returns:` or `Yields:` section, unless it returns None or is a property, whose summary says it;
- it has a `Raises:` section that names every class of error that its own body raises;
- a class names the parameters of its constructor, or those in which a layer differs from Keras': in `Args:`, in
  `Attributes:`, or by docstrings behind its fields.
"""

from __future__ import annotations

import ast
import dataclasses
import importlib
import inspect
import pkgutil
import re
import textwrap
from collections.abc import Iterator
from functools import cached_property
from types import FunctionType, ModuleType
from typing import Any, cast

import pytest

import xconv.commands
from tests.test_docs import MODULES, documented, public

COMMANDS = ("xconv.cli", *(f"xconv.commands.{each.name}" for each in pkgutil.iter_modules(xconv.commands.__path__)))
PROTOCOLS = ("xconv.core.arrays.Arrays", "xconv.core.backend.Backend", "xconv.core.formulation.Formulation")
BESIDE = "Args beside those that mean what they do in Keras:"
"""The heading of a layer whose other arguments are those of the layer of Keras."""
HEADINGS = ("Args", "Attributes", "Returns", "Yields", "Raises")


def sections(text: str) -> dict[str, str]:
    """The sections of a docstring in Google's style: the indented lines behind each heading."""
    found: dict[str, list[str]] = {}
    lines: list[str] | None = None
    for line in text.splitlines():
        heading = "Args" if line == BESIDE else line.removesuffix(":")
        if line.endswith(":") and heading in HEADINGS:
            lines = found.setdefault(heading, [])
        elif line and not line.startswith(" "):
            lines = None
        elif lines is not None:
            lines.append(line[4:])
    return {heading: "\n".join(lines) for heading, lines in found.items()}


def entries(section: str) -> set[str]:
    """The names that a section explains: `name: ...`, or `one, two: ...`."""
    starts = re.findall(r"^([\w*.][\w*., ]*?)(?: \([^)]*\))?:", section, re.MULTILINE)
    return {name.strip().lstrip("*").rpartition(".")[2] for start in starts for name in start.split(",")}


class Raised(ast.NodeVisitor):
    """The classes of errors that the body of a function raises, without those of the functions that it defines."""

    def __init__(self, function: FunctionType) -> None:
        self.names: set[str] = set()
        [tree] = ast.parse(textwrap.dedent(inspect.getsource(function))).body
        assert isinstance(tree, ast.FunctionDef)
        for statement in tree.body:
            self.visit(statement)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        """A function inside raises when it is called."""

    def visit_Raise(self, node: ast.Raise) -> None:
        made = node.exc.func if isinstance(node.exc, ast.Call) else node.exc
        name = made.attr if isinstance(made, ast.Attribute) else made.id if isinstance(made, ast.Name) else ""
        if name[:1].isupper():  # no variable
            self.names.add(name)


def faults_of_function(name: str, function: FunctionType, is_property: bool = False) -> list[str]:
    found = sections(inspect.cleandoc(function.__doc__ or ""))
    signature = inspect.signature(function)
    taken = [p for p in signature.parameters if p not in ("self", "cls") and not p.startswith("_")]
    faults = [f"{name}: Args has no {p}" for p in taken if p not in entries(found.get("Args", ""))]
    more = entries(found.get("Args", "")) - set(signature.parameters)
    faults += [f"{name}: Args has {p}, which it does not take" for p in sorted(more)]
    gives = signature.return_annotation not in (None, "None", "NoReturn")
    if gives and not is_property and not {"Returns", "Yields"} & set(found):
        faults.append(f"{name}: no Returns")
    raised = Raised(function).names - entries(found.get("Raises", ""))
    return faults + [f"{name}: Raises has no {error}" for error in sorted(raised)]


def faults_of_class(name: str, thing: type) -> list[str]:
    faults: list[str] = []
    text = inspect.cleandoc(thing.__doc__ or "")
    found = sections(text)
    said = entries(found.get("Args", "")) | entries(found.get("Attributes", ""))
    if dataclasses.is_dataclass(thing):
        said |= behind(thing)
        taken = [each.name for each in dataclasses.fields(thing) if not each.name.startswith("_")]
    else:
        taken = constructor(thing)
    if BESIDE in text:
        faults += [f"{name}: Args has {each}, which it does not take" for each in sorted(said - set(taken))]
        taken = []
    faults += [f"{name}: neither Args nor Attributes has {each}" for each in taken if each not in said]
    for own, member in vars(thing).items():
        if own.startswith("_"):
            continue
        inner = inspect.unwrap(getattr(member, "__func__", member)) if not isinstance(member, property) else member.fget
        inner = member.func if isinstance(member, cached_property) else inner
        is_property = isinstance(member, property | cached_property)
        if isinstance(inner, FunctionType) and (inner.__doc__ or not inherited(thing, own)):
            faults += faults_of_function(f"{name}.{own}", inner, is_property)
    return faults


def constructor(thing: type) -> list[str]:
    """The parameters of the constructor of a class, its own or that of a base in the project; a protocol has none."""
    owner = next((base for base in thing.__mro__ if "__init__" in vars(base)), object)
    function = vars(owner)["__init__"]
    if getattr(thing, "_is_protocol", False) or not owner.__module__.startswith("xconv"):
        return []
    return [name for name in inspect.signature(function).parameters if name not in ("self", "args", "kwargs")]


def inherited(thing: type, method: str) -> bool:
    """Whether a class above says what a method does."""
    return any(getattr(vars(base).get(method), "__doc__", None) for base in thing.__mro__[1:])


def behind(thing: type) -> set[str]:
    """The fields of a class that have a docstring behind them."""
    body = ast.parse(textwrap.dedent(inspect.getsource(thing))).body[0]
    assert isinstance(body, ast.ClassDef)
    pairs = zip(body.body, body.body[1:], strict=False)
    return {
        first.target.id
        for first, second in pairs
        if isinstance(first, ast.AnnAssign) and isinstance(first.target, ast.Name)
        if isinstance(second, ast.Expr) and isinstance(second.value, ast.Constant)
    }


def things() -> Iterator[tuple[str, Any]]:
    """Every function and class of the reference, of the public modules, of the protocols and of the commands."""
    listed = documented() | set(PROTOCOLS)
    for module in (*MODULES, *COMMANDS):
        listed |= {f"{module}.{name}" for name in public(importlib.import_module(module))}
    seen: set[int] = set()
    for name in sorted(listed):
        thing = pkgutil.resolve_name(name)
        if not isinstance(thing, ModuleType) and id(thing) not in seen:
            seen.add(id(thing))
            yield name, thing


def all_faults() -> list[str]:
    found: list[str] = []
    for name, thing in things():
        if isinstance(thing, type):
            found += faults_of_class(name, thing)
        else:
            inner = inspect.unwrap(getattr(thing, "__wrapped__", thing))
            if isinstance(inner, FunctionType):
                found += faults_of_function(name, inner)
    return found


def test_public_functions_say_what_they_take_give_and_raise() -> None:
    assert all_faults() == []


def vague(first: int, second: int) -> int:
    """A function whose docstring lacks what the rule asks for.

    Args:
        first: it is named.
        third: it is no parameter.
    """
    if first < second:
        raise ValueError(first)

    def inside() -> None:
        raise TypeError(second)

    inside()
    return first


class Vague:
    """A class whose constructor takes what is not said."""

    def __init__(self, size: int) -> None:
        self.size = size


@dataclasses.dataclass
class HalfVague:
    """A class whose fields are named here, behind the field, or nowhere.

    Attributes:
        first, second: named here.
    """

    first: int
    second: int
    third: int
    """Said here."""
    fourth: int


def test_the_rule_sees_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    assert faults_of_function("vague", cast(FunctionType, vague)) == [
        "vague: Args has no second",
        "vague: Args has third, which it does not take",
        "vague: no Returns",
        "vague: Raises has no ValueError",
    ]
    assert faults_of_class("HalfVague", HalfVague) == ["HalfVague: neither Args nor Attributes has fourth"]
    monkeypatch.setattr(Vague, "__module__", "xconv.somewhere")
    assert faults_of_class("Vague", Vague) == ["Vague: neither Args nor Attributes has size"]

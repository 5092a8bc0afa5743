"""Two programs side by side: the 2-D one as it runs, and the 1-D one as it is written and run at once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import fx, nn

from xconv.models.reach import Reach
from xconv.models.rows import Band


@dataclass(frozen=True)
class Same:
    """A value that is the same in both programs."""


@dataclass(frozen=True)
class Line:
    """A tensor that lacks dimension ``axis`` of the original; ``band`` says on which of its rows it lies."""

    axis: int
    band: Band


@dataclass(frozen=True)
class Merged:
    """A tensor whose dimension ``dim`` is (outer, extent, inner) in the original, and (outer, inner) here."""

    dim: int
    extent: int
    inner: int


@dataclass(frozen=True)
class AxisInChannels:
    """A (N, C * extent, L) tensor for an original (N, C, H, W), whose ``axis`` lies in the channels."""

    axis: int
    extent: int


Form = Same | Line | Merged | AxisInChannels


@dataclass(frozen=True)
class NodeValue:
    """A node of the new graph and what it computed; a constant stands for itself."""

    node: Any
    value: Any


@dataclass(frozen=True)
class Value:
    """A value of the original and what stands for it."""

    original: Any
    cell: NodeValue
    form: Form = field(default_factory=Same)
    reach: Reach = field(default_factory=Reach)
    is_extent: bool = False
    """Whether it is the size of the axis that disappears."""

    @property
    def is_tensor(self) -> bool:
        """Whether the original is a tensor."""
        return isinstance(self.original, torch.Tensor)

    def like(self, cell: NodeValue, original: Any = None, form: Form | None = None) -> Value:
        """Another cell, and what else changes."""
        return replace(
            self,
            cell=cell,
            original=self.original if original is None else original,
            form=self.form if form is None else form,
        )


def constant(value: Any) -> Value:
    """A number, a name, ... that is written into the program."""
    return Value(value, NodeValue(value, value))


def mapped(structure: Any, change: Callable[[Any], Any]) -> Any:
    """Tuples, lists, dicts and slices with their leaves changed, as plain ones."""
    if isinstance(structure, slice):
        return slice(*(mapped(part, change) for part in (structure.start, structure.stop, structure.step)))
    if isinstance(structure, dict):
        return {key: mapped(part, change) for key, part in structure.items()}
    if isinstance(structure, list):
        return [mapped(part, change) for part in structure]
    if isinstance(structure, tuple) and type(structure) is not torch.Size:
        return tuple(mapped(part, change) for part in structure)
    return change(structure)


def originals(structure: Any) -> Any:
    """What the original program sees of arguments."""
    return mapped(structure, lambda part: originals(part.original) if isinstance(part, Value) else part)


def _side(structure: Any, side: str) -> Any:
    def pick(part: Any) -> Any:
        cell = part.cell if isinstance(part, Value) else part
        return mapped(getattr(cell, side), lambda x: getattr(x, side, x)) if isinstance(cell, NodeValue) else part

    return mapped(structure, pick)


class ConvertedProgram:
    """The new program: a graph that is written, and each of its nodes run as it is."""

    def __init__(self) -> None:
        self.graph = fx.Graph()
        self.modules: dict[str, Any] = {}
        self.broken = False
        """Whether something was refused: then nothing more is run, and the graph is never used."""

    def input(self, name: str, value: Any) -> NodeValue:
        """An input of the program."""
        return NodeValue(self.graph.placeholder(name), value)

    def function(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> NodeValue:
        """A function of values, cells and constants."""
        node = self.graph.call_function(function, _side(args, "node"), _side(kwargs, "node"))
        return NodeValue(node, self._run(function, args, kwargs))

    def method(self, name: str, *args: Any, **kwargs: Any) -> NodeValue:
        """A method of the first argument."""
        node = self.graph.call_method(name, _side(args, "node"), _side(kwargs, "node"))
        return NodeValue(node, self._run(lambda self, *rest, **more: getattr(self, name)(*rest, **more), args, kwargs))

    def module(self, path: str, module: nn.Module, *args: Any, **kwargs: Any) -> NodeValue:
        """A module of the new model at a path; one that is there already is called again."""
        # a new module trains: it would take its statistics from what is run here
        module = self.modules.setdefault(path, module.eval())
        node = self.graph.create_node("call_module", path, _side(args, "node"), _side(kwargs, "node"))
        return NodeValue(node, self._run(module, args, kwargs))

    def attribute(self, path: str, value: Any) -> NodeValue:
        """A parameter or buffer."""
        self.modules.setdefault(path, value)
        return NodeValue(self.graph.create_node("get_attr", path), value)

    def _run(self, function: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        if self.broken:
            return None
        with torch.no_grad():
            return function(*_side(args, "value"), **_side(kwargs, "value"))


def expanded(value: torch.Tensor, form: Form) -> torch.Tensor:
    """A tensor of the new program as the one of the original that it stands for."""
    if isinstance(form, Line):
        rows = value.unsqueeze(form.axis)
        shape = list(rows.shape)
        shape[form.axis] = form.band.stop - form.band.start
        rows = rows.expand(shape)
        ends = (form.band.start, form.band.extent - form.band.stop)
        if ends == (0, 0):
            return rows
        return nn.functional.pad(rows, (0, 0) * (rows.dim() - 1 - form.axis) + ends)
    if isinstance(form, Merged):
        parts = value.unflatten(form.dim, (-1, form.inner)).unsqueeze(form.dim + 1)
        shape = list(parts.shape)
        shape[form.dim + 1] = form.extent
        return parts.expand(shape).flatten(form.dim, form.dim + 2)
    if isinstance(form, AxisInChannels):
        image = value.unflatten(1, (-1, form.extent))
        return image if form.axis == 2 else image.transpose(2, 3)
    return value

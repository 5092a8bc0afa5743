"""The walk through a traced model: each node is run as it was, and handed to the rule that rewrites it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy.typing as npt
import torch
from torch import fx, nn

from xconv.models.conversion import Options, RefusedError, Step, Verdict, embedded
from xconv.models.rows import Band
from xconv.system.errors import ArgumentError
from xconv_torch.models.convert.program import (
    AxisInChannels,
    ConvertedProgram,
    Line,
    Same,
    Value,
    constant,
    mapped,
    originals,
)
from xconv_torch.models.convert.tracing import ByMode, Traced


@dataclass(frozen=True)
class Done:
    """What a rule made of a node. An empty ``rule`` is for what is not worth a line of the report."""

    value: Value
    became: str = ""
    rule: str = ""
    verdict: Verdict = "exact"
    condition: str = ""


@dataclass
class NodeCall:
    """A node as a rule sees it. ``result`` is what the original computes, None if it fails there."""

    node: fx.Node
    path: str
    name: str
    target: Any
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    result: Any = None
    failure: Exception | None = None

    @property
    def module(self) -> Any:
        """The module that is called."""
        return self.target

    @property
    def is_module(self) -> bool:
        """Whether it calls a module, and not a function or method."""
        return isinstance(self.target, nn.Module)

    def bound(self, names: Sequence[str], **defaults: Any) -> dict[str, Any]:
        """The arguments by name, after the first."""
        return {**defaults, **dict(zip(names, self.args[1:], strict=False)), **self.kwargs}

    def tensors(self) -> list[Value]:
        """The tensors among the arguments, also those in lists."""
        found: list[Value] = []
        mapped((self.args, self.kwargs), lambda x: found.append(x) if isinstance(x, Value) and x.is_tensor else x)
        return found


Rule = Callable[["RunningConversion", NodeCall], Done]


@dataclass
class RunningConversion:
    """One conversion while it runs."""

    traced: Traced
    options: Options
    program: ConvertedProgram = field(default_factory=ConvertedProgram)
    values: dict[fx.Node, Value] = field(default_factory=dict)
    steps: list[Step] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    cuts: dict[fx.Node, Callable[..., Any]] = field(default_factory=dict)
    """What is computed in place of a node of the original, which refuses an axis that short."""
    fresh: list[fx.Node] = field(default_factory=list)
    """Layers with new weights at the input: a proof begins behind them."""
    head: fx.Node | None = None
    """The last layer if it is new: a proof ends before it."""
    matrix: npt.NDArray[Any] | None = None
    """What the image's channels are made of, if the signal has others (image, signal)."""
    raw: set[Any] = field(default_factory=set)
    """Nodes of the new graph that still have the signal's channels."""

    @property
    def axis(self) -> int:
        """The dimension of an image that disappears."""
        return 2 if self.options.axis == "height" else 3

    @property
    def raster(self) -> bool:
        """Whether the signal is an image line by line."""
        return self.options.embedding == "raster"

    def images(self, signals: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """The images that signals stand for, with the image's channels."""
        return embedded(signals, self.options, channels_last=False, matrix=self.matrix)

    def values_of(self, structure: Any) -> Any:
        """Arguments with nodes replaced by what is known of them."""
        return mapped(structure, lambda x: self.values[x] if isinstance(x, fx.Node) else x)

    def image(self, value: Value) -> Value:
        """A value as a 2-D layer takes it.

        Raises:
            RefusedError: it is no image, or not known to be constant along the axis.
        """
        form, shape = value.form, tuple(value.original.shape)
        if isinstance(form, AxisInChannels) or (isinstance(form, Line) and len(shape) == 4 and form.axis == self.axis):
            return value
        if isinstance(form, Same) and len(shape) == 4:
            if self.options.embedding == "folded":
                turned = value.cell if self.axis == 2 else self.program.method("transpose", value, 2, 3)
                extent = shape[self.axis]
                return value.like(self.program.method("flatten", turned, 1, 2), form=AxisInChannels(self.axis, extent))
            if shape[self.axis] == 1:
                cell = self.program.method("squeeze", value, self.axis)
                return value.like(cell, form=Line(self.axis, Band.full(1)))
        raise RefusedError(f"its input of shape {shape} is no image whose {self.options.axis} is known to be constant")

    def plain(self, value: Value) -> Value:
        """A folded value as the image that it stands for; any other as it is."""
        if not isinstance(value.form, AxisInChannels):
            return value
        cell = self.program.method("unflatten", value, 1, (-1, value.form.extent))
        if value.form.axis == 3:
            cell = self.program.method("transpose", cell, 2, 3)
        return value.like(cell, form=Same())

    def run(self, call: NodeCall, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """A function in the new program; one that is told whether the model trains goes on being told."""
        place = self.traced.by_mode.get(call.node)
        if place is None:
            return self.program.function(function, *args, **kwargs)
        return self.program.module(call.node.name, ByMode(function, place), *args, **kwargs)

    def original_module(self, path: str) -> nn.Module:
        """A module of the copy of the original."""
        return self.traced.module.get_submodule(path)


def compute(call: NodeCall) -> Any:
    """What the original computes at a node, on the original's own values."""
    args, kwargs = originals(call.args), originals(call.kwargs)
    with torch.no_grad():
        if call.node.op == "call_method":
            return getattr(args[0], call.target)(*args[1:], **kwargs)
        return call.target(*args, **kwargs)


def described(module: nn.Module) -> str:
    """A module in a few words."""
    text = str(module).splitlines()[0]
    return text if len(text) <= 80 else f"{type(module).__name__}(...)"


def place_of(node: fx.Node) -> str:
    """Where a node arose: the path of its module and its own name."""
    stack = list(node.meta.get("nn_module_stack", {}).values())
    return f"{stack[-1][0]}:{node.name}" if stack and stack[-1][0] else node.name


def call_of(walk: RunningConversion, node: fx.Node) -> NodeCall:
    """A node with its arguments looked up."""
    args, kwargs = walk.values_of(node.args), walk.values_of(node.kwargs)
    if node.op == "call_module":
        module = walk.original_module(str(node.target))
        return NodeCall(node, str(node.target), described(module), module, args, kwargs)
    name = str(node.target) if node.op == "call_method" else getattr(node.target, "__name__", str(node.target))
    return NodeCall(node, place_of(node), name, node.target, args, kwargs)


def step(walk: RunningConversion, node: fx.Node, find: Callable[[NodeCall], Rule]) -> None:
    """Rewrite one node, and report it.

    Raises:
        ArgumentError: the original itself fails on the image that the signal stands for.
    """
    call = call_of(walk, node)
    failure: Exception | None = None
    try:
        call.result = compute(call)
    except Exception as error:  # noqa: BLE001 - a rule may know what to do where an axis is too short
        call.failure = failure = error
    try:
        _refuse_raw(walk, call)
        done = find(call)(walk, call)
    except RefusedError as refusal:
        if failure is not None and not walk.program.broken:
            why = f"{refusal}; the original itself fails there: {str(failure).splitlines()[0]}"
        else:
            why = str(refusal)
        walk.steps.append(Step(call.path, call.name, "", "", "refused", why))
        _go_on(walk, call)
        return
    except Exception as error:
        if walk.program.broken:
            _go_on(walk, call)
            return
        if failure is None:
            raise
        shapes = ", ".join(str(tuple(value.original.shape)) for value in call.tensors())
        raise ArgumentError(
            "to_1d",
            "input_shape",
            f"{walk.options.input_shape}, for which {call.name} at {call.path!r} gets {shapes} and fails: "
            f"{str(failure).splitlines()[0]}",
            "a signal whose image the 2-D model itself can take",
            "a longer signal, embedding='constant' with the size of its images, or head= for a new last layer",
        ) from error
    walk.values[node] = done.value
    if done.rule:
        counts = _parameters(walk, call)
        walk.steps.append(Step(call.path, call.name, done.became, done.rule, done.verdict, done.condition, counts))


def _refuse_raw(walk: RunningConversion, call: NodeCall) -> None:
    """Until the first convolution the signal has other channels than the image: only padding may come before."""
    if walk.matrix is None or not any(value.cell.node in walk.raw for value in call.tensors()):
        return
    known = isinstance(call.target, (nn.Conv2d, nn.ConstantPad2d, nn.ReplicationPad2d, nn.ReflectionPad2d))
    if not known and call.name not in ("conv2d", "pad", "size", "getattr", "dim"):
        text = "it comes before the first convolution, so that the channels cannot be adapted there"
        raise RefusedError(f"{text}: give the signal the image's channels, or take it out of the model")


def _go_on(walk: RunningConversion, call: NodeCall) -> None:
    """Behind a refusal, so that all of them are found."""
    walk.program.broken = True
    result = call.result
    inputs = call.tensors()
    if result is None and inputs:
        result = inputs[0].original
    value = constant(result)
    if isinstance(result, torch.Tensor) and result.dim() == 4 and walk.options.embedding != "folded":
        value = value.like(value.cell, form=Line(walk.axis, Band.full(result.shape[walk.axis])))
    walk.values[call.node] = value


def _parameters(walk: RunningConversion, call: NodeCall) -> tuple[int, int]:
    """Of a module, counted where it is called first."""
    if not call.is_module or any(step.path == call.path for step in walk.steps):
        return 0, 0
    new = walk.program.modules.get(call.path)
    counts = [sum(p.numel() for p in m.parameters()) if isinstance(m, nn.Module) else 0 for m in (call.module, new)]
    return counts[0], counts[1]

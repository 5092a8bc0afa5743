"""Weights from one model to another one of the same structure, in any framework.

Each backend reads a model into neutral layers (:mod:`xconv.models.neutral`) and writes them, in its module
``models.weights``; what belongs together and whether it fits is found here, before anything is written.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

import numpy as np
from tabulate import tabulate

from xconv.models import windows
from xconv.models.calls import backend_of
from xconv.models.matching import OPERATION, Pair, leaks, matched, written
from xconv.models.neutral import NeutralLayer, Reading
from xconv.system.errors import ArgumentError

BATCH = 3
"""Samples of the random input that both models are compared on."""

Shape = tuple[int, ...]


@dataclass(frozen=True)
class PortedLayer:
    """A layer of the source and the one of the target that has its weights now.

    ``transposition`` says how the axes of its first array lie on both sides, ``shapes`` is its shape there.
    """

    source: str
    target: str
    kind: str
    transposition: str
    shapes: tuple[Shape, Shape]
    remark: str = ""


@dataclass
class Port:
    """What was ported. Prints as a table; ``parity`` is the comparison of both models afterwards, if there was one."""

    rows: list[PortedLayer]
    notes: list[str] = field(default_factory=list)
    parity: Any = field(default=None, repr=False)

    def __str__(self) -> str:
        cells = []
        for row in self.rows:
            one, other = row.shapes
            shapes = str(one) if one == other else f"{one} -> {other}"
            cells.append([row.source, row.target, row.kind, row.transposition, shapes, row.remark])
        headers = ["source", "target", "kind", "axes", "shape", "remark"]
        width = [30, 30, None, None, None, 50]
        parts = [tabulate(cells, headers, disable_numparse=True, maxcolwidths=width)]
        parts += [f"note: {note}" for note in self.notes]
        if self.parity is not None:
            parts += ["", str(self.parity)]
        return "\n".join(parts)


def port_weights(
    source: Any,
    target: Any,
    *,
    names: Mapping[str, str] | None = None,
    input_shape: Sequence[int] | Sequence[Sequence[int]] | None = None,
    check: bool = True,
) -> Port:
    """Give a model the weights of another one of the same structure: torch and Keras, both ways, or of one framework.

    Layers are matched in the order in which they run, by kind and shape. A separable layer of Keras is two layers, its
    paths "name.depthwise" and "name.pointwise". What differs and has a place in the target is set there: epsilon, the
    slope of LeakyReLU. Afterwards both models are compared on random input by :func:`xconv.testing.assert_parity`. If
    anything does not fit, the target is left as it was, or gets its own weights back.

    Args:
        source: a ``torch.nn.Module`` or a built Keras model; it is run for inference, and left as it was.
        target: another; its floating-point type must hold the source's numbers exactly.
        names: source paths to target paths, as the report prints them, where order does not tell. Only these layers
            are ported; without ``check=False`` the models must agree all the same.
        input_shape: of the source's input, in its own layout, without the batch; one for each input. It may be left
            out where a Keras model knows it.
        check: whether both models are compared. Without it and without ``input_shape`` neither model is run: then
            layers are matched as they are registered, and no pads are compared.

    Returns:
        What went where, how it was transposed, and remarks on what holds at this input length only.

    Raises:
        ArgumentError: no model, a layer without a partner, shapes, steps or pads that differ, a target without a place
            for a bias, a dtype that would round. The text names the layer on both sides, and what to try.
        ParityError: the models do not compute the same (:class:`xconv.testing.ParityError`).

    >>> import torch
    >>> one, other = (torch.nn.Sequential(torch.nn.Conv1d(3, 4, 5), torch.nn.ReLU()) for _ in range(2))
    >>> found = port_weights(one, other, input_shape=(3, 20))
    >>> [(row.source, row.target, row.kind) for row in found.rows], torch.equal(one[0].weight, other[0].weight)
    ([('0', '0', 'conv')], True)
    """
    modules = _module("source", source), _module("target", target)
    shapes = _shapes(input_shape)
    one, other, shapes = _both(source, target, modules, shapes, needed=check)
    pairs = matched(one.layers, other.layers, names)
    crosses = modules[0] is not modules[1]
    rows = [_row(pair, crosses) for pair in pairs]
    new = [written(*pair) for pair in pairs]
    settings = leaks(one.layers, other.layers) if names is None else []
    rows += [_row(pair, crosses) for pair in settings if _remarks(*pair)]
    new += [written(*pair) for pair in settings]
    by_path = {layer.path: layer for layer in other.layers}
    before = [by_path[layer.path] for layer in new]
    modules[1].write(target, new)
    port = Port(rows, _notes(one, other, pairs))
    if check:
        try:
            port.parity = _compared(source, target, modules, one, other, shapes or ())
        except BaseException as error:
            modules[1].write(target, before)
            error.add_note(f"{OPERATION}: the target has its own weights again; check=False ports all the same")
            raise
    return port


def _module(argument: str, model: Any) -> ModuleType:
    module = backend_of(OPERATION, argument, model).module("models.weights")
    missing = module.unbuilt(model)
    if missing:
        hint = "call it once on an input; a Keras model may start with keras.Input(shape)"
        raise ArgumentError(
            OPERATION, argument, f"a model without a value for {missing}", "a model that is built", hint
        )
    return module


def _shapes(input_shape: Any) -> tuple[Shape, ...] | None:
    if input_shape is None:
        return None
    try:
        several = [input_shape] if all(isinstance(size, (int, np.integer)) for size in input_shape) else input_shape
        shapes = tuple(tuple(int(size) for size in shape) for shape in several)
    except (TypeError, ValueError):
        shapes = ()
    if not shapes or any(size < 1 for shape in shapes for size in shape):
        expected = "the sizes of the source's input without the batch, such as (3, 100); or one such for each input"
        raise ArgumentError(OPERATION, "input_shape", repr(input_shape), expected)
    return shapes


def _both(
    source: Any, target: Any, modules: tuple[ModuleType, ModuleType], shapes: tuple[Shape, ...] | None, needed: bool
) -> tuple[Reading, Reading, tuple[Shape, ...] | None]:
    """Both models, read; and the shapes of the source's inputs, if they are known."""
    said = [module.input_shapes(model) for module, model in zip(modules, (source, target), strict=True)]
    known = [None if one is None else tuple(one) for one in said]
    shapes = shapes or known[0]
    if shapes is not None:
        one = _read(modules[0], source, "source", [shapes])[0]
        natural = modules[0] is modules[1] or one.channels_last is None
        ways = [tuple(_other(shape, bool(one.channels_last)) for shape in shapes), shapes]
        fits = [way for way in ways if known[1] is None or way == known[1]]
        if not fits:
            got, expected = (
                f"{shapes} for the source",
                f"{known[1]} in the target, in the one layout or the other",
            )
            raise ArgumentError(OPERATION, "input_shape", got, expected)
        other, _ = _read(modules[1], target, "target", fits[::-1] if natural else fits)
        return one, other, shapes
    if known[1] is not None:
        other = _read(modules[1], target, "target", [known[1]])[0]
        same = modules[0] is modules[1] or other.channels_last is None
        ways = [tuple(_other(shape, bool(other.channels_last)) for shape in known[1]), known[1]]
        one, shapes = _read(modules[0], source, "source", ways[::-1] if same else ways)
        return one, other, shapes
    if needed:
        expected = "the sizes of the source's input without the batch"
        hint = "neither model says them; check=False ports without running them"
        raise ArgumentError(OPERATION, "input_shape", "None", expected, hint)
    one, other = modules[0].read(source, None), modules[1].read(target, None)
    if modules[0] is not modules[1]:
        for layer in (*one.layers, *other.layers):
            if layer.doubt and layer.kind == "dense":
                raise ArgumentError(OPERATION, "input_shape", "None", f"sizes: {layer}: {layer.doubt}")
    return one, other, None


def _other(shape: Shape, channels_last: bool) -> Shape:
    """A shape in the other layout."""
    return (shape[-1], *shape[:-1]) if channels_last else (*shape[1:], shape[0])


def _read(
    module: ModuleType, model: Any, argument: str, ways: Iterable[tuple[Shape, ...]]
) -> tuple[Reading, tuple[Shape, ...]]:
    """A model on the first shapes that it runs on."""
    failed: list[str] = []
    for shapes in ways:
        try:
            return module.read(model, shapes), shapes
        except ArgumentError:
            raise
        except Exception as error:  # noqa: BLE001 - what a model raises on a shape that is not its own
            lines = str(error).strip().splitlines() or [""]
            failed.append(f"on {shapes[0] if len(shapes) == 1 else shapes} the {argument} raises {lines[0][:200]}")
    raise ArgumentError(OPERATION, "input_shape", "; ".join(failed), "sizes that both models can be run on")


def _row(pair: Pair, crosses: bool) -> PortedLayer:
    source, target = pair
    doubts = [f"{name}: {layer.doubt}" for name, layer in (("source", source), ("target", target)) if layer.doubt]
    whence = [[size for size in layer.flattened or () if size > 1] for layer in pair]
    if all(whence) and whence[0] != whence[1]:
        raise ArgumentError(
            OPERATION,
            "target",
            f"{target} on features flattened from {target.flattened}, channels last",
            f"{source.flattened}, as source {source} has them",
            "the layers before it leave another length or other channels: compare their strides and pads",
        )
    axes = source.axes if source.axes == target.axes else f"{source.axes} -> {target.axes}"
    remarks = [windows.check(source, target), *_remarks(source, target), *(doubts if crosses else ())]
    remark = "; ".join(one for one in remarks if one)
    return PortedLayer(source.path, target.path, source.kind, axes, (source.shape, target.shape), remark)


def _remarks(source: NeutralLayer, target: NeutralLayer) -> list[str]:
    """What else the target gets, or keeps."""
    found = []
    for name in ("epsilon", "slope"):
        one, other = source.options.get(name), target.options.get(name)
        if one != other:
            found.append(f"{name} {other} is set to {one}")
    one, other = source.options.get("momentum"), target.options.get("momentum")
    if one != other:
        found.append(f"momentum {one} / {other} (used in training only)")
    for name in target.arrays:
        if name not in source.arrays:
            found.append(f"the source has no {name}: it is {'ones' if name in ('gamma', 'variance') else 'zeros'}")
    return found


def _notes(one: Reading, other: Reading, pairs: Sequence[Pair]) -> list[str]:
    done = [{layer.path for layer in layers} for layers in zip(*pairs, strict=True)] or [set(), set()]
    notes = []
    for name, reading, paths in (("source", one, done[0]), ("target", other, done[1])):
        left = [layer.path for layer in reading.layers if layer.path not in paths and layer.arrays]
        if left:
            notes.append(f"not ported, of the {name}: {', '.join(map(repr, left))}")
    return notes


def _compared(
    source: Any,
    target: Any,
    modules: tuple[ModuleType, ModuleType],
    one: Reading,
    other: Reading,
    shapes: Sequence[Shape],
) -> Any:
    """Both models on random input; in float32 what is narrower, for bounds are for numbers that vary."""
    from xconv.testing import assert_parity

    dtype = "float64" if "float64" in (one.dtype, other.dtype) else "float32"
    rng = np.random.default_rng(0)
    inputs = []
    for shape in shapes:
        if one.vocabulary is not None:
            inputs.append(rng.integers(0, one.vocabulary, (BATCH, *shape)))
        else:
            inputs.append(rng.standard_normal((BATCH, *shape)).astype(dtype))
    layouts = None
    if one.channels_last is not None and other.channels_last is not None and one.channels_last != other.channels_last:
        sides = [[_layout(len(shape), bool(side.channels_last)) for shape in shapes] for side in (one, other)]
        layouts = tuple(sides)
    models = [module.in_precision(model, dtype) for module, model in zip(modules, (source, target), strict=True)]
    return assert_parity(models[0], models[1], *inputs, layouts=layouts, gradients=False)


def _layout(rank: int, channels_last: bool) -> str | None:
    if rank < 2:
        return None
    spatial = "DHW"[4 - rank :] if rank <= 4 else ""
    return f"N{spatial}C" if channels_last else f"NC{spatial}"

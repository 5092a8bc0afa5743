"""Correct before timed: a layer's result on small integers, bit for bit, or no number."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

import xconv
from xconv.bench.catalogue import Layer
from xconv.core import reference
from xconv.core.backend import Backend
from xconv.core.call import Call
from xconv.core.fourier_bounds import fourier_error
from xconv.core.layouts import LAYOUTS
from xconv.core.plan import Plan
from xconv.core.problem import dilated_extent
from xconv.core.target import EAGER
from xconv.parity import Case, check
from xconv.parity.check import transforms
from xconv.planning.planner import plan
from xconv.planning.tuning import is_right


class WrongResultError(AssertionError):
    """A result that is not what the reference has; a benchmark of it would mean nothing."""


def verify(
    backend: Backend,
    layer: Layer,
    device: str,
    *,
    formulation: str = "auto",
    gradients: bool = True,
    channels: str = "last",
    mode: str = "eager",
) -> None:
    """Check a short version of the layer whole, gradients included, and the result of the full size in places.

    ``channels`` is where the caller's arrays have them, "last" or "first"; ``mode`` "eager" or one of the compilers.

    The full size of a 1-D operation is checked at its first, some inner and its last outputs, that of the others whole
    for the first and the last sample.

    Raises:
        WrongResultError: an element differs.
    """
    case = short_case(layer, channels)
    name = pinned(layer, formulation).get("formulation", "auto")
    findings = check(backend, case, kind="integers", device=device, mode=mode, formulation=name, gradients=gradients)
    for finding in findings:
        if not finding.ok:
            raise WrongResultError(f"{layer.name}, shortened to {case.x_shape}: {finding}")
    options = {**layer.options, **pinned(layer, formulation), **layout_of(layer, channels)}
    function: Callable[..., Any] = partial(getattr(xconv, layer.operation), **options)
    if mode != "eager":
        function = backend.compiled(function, mode)

    def compute(*arrays: np.ndarray) -> np.ndarray:
        given = arrays if channels == "last" else channels_first(arrays)
        tensors = [backend.from_numpy(np.ascontiguousarray(array), device) for array in given]
        y = backend.to_numpy(function(*tensors))
        return y if channels == "last" else np.moveaxis(y, 1, -1)

    layout = layout_of(layer, channels).get("layout")
    calls = [call if layout is None else replace(call, layout=LAYOUTS[layout]) for call in layer.calls]
    execution = backend.mode_execution.get(mode, EAGER)
    plans = [plan(call, backend=backend.name, device=device, execution=execution, formulation=name) for call in calls]
    if gradients:
        _check_gradients(backend, layer, plans, device)
    check_full_size(layer, compute, partial(_tolerance, backend, layer, plans))


def is_exact(backend: Backend, layer: Layer, device: str, formulation: str, channels: str) -> bool:
    """Whether integers have one right result, to the bit: no Fourier transform takes part, in any direction."""
    case = replace(short_case(layer, channels), x_shape=layer.x_shape)
    name = pinned(layer, formulation).get("formulation", "auto")
    return not any(transforms(backend, case, "float32", device, name))


def _check_gradients(backend: Backend, layer: Layer, plans: Sequence[Plan], device: str) -> None:
    """What computes the gradients of the full size, on a short piece."""
    for planned in plans:
        for direction, choice in {} if planned.by_framework else planned.choices.items():
            if not is_right(backend, backend.by_name[choice.formulation], direction, planned.problem, device):
                raise WrongResultError(f"{layer.name}: the {direction} by {choice.formulation} differs")


def _tolerance(backend: Backend, layer: Layer, plans: Sequence[Plan], x: np.ndarray, *weights: np.ndarray) -> float:
    """How far the first and last sample may be from the exact result: nothing, but for Fourier transforms."""
    signal, allowed = x[[0, -1]], 0.0
    for step, (call, planned, weight) in enumerate(zip(layer.calls, plans, weights, strict=True)):
        form = backend.by_name[planned.chosen.formulation]
        length = 0 if call.vertical is not None else form.transform_length(call.direction, call.problem)
        allowed *= float(np.abs(weight).sum((0, 1)).max())
        if length:
            part = replace(call.problem, outer=int(np.prod(signal.shape[: call.axis])))
            error = fourier_error(part, call.direction, length, signal, weight, "float32", call.axis)
            allowed += float(error.max())
        if step + 1 < len(plans):
            signal = reference.apply(call, signal, weight)
    return allowed


def pinned(layer: Layer, formulation: str) -> dict[str, str]:
    """The option that names a formulation, for the operations that take one."""
    fixed = formulation == "auto" or not layer.row.takes_formulation
    return {} if fixed else {"formulation": formulation}


def shortened(layer: Layer) -> Layer:
    """The same layer on the smallest input that has a first, an inner and a last place of the kernel.

    >>> from xconv.bench.catalogue import catalogue
    >>> shortened(catalogue("smoke")[0]).x_shape
    (2, 8, 1)
    """
    batch, *spatial, channels = layer.x_shape
    dilation, stride = layer.options.get("dilation", 1), layer.options.get("stride", 1)
    extents = [dilated_extent(shape[0], dilation if isinstance(dilation, int) else 1) for shape in layer.weight_shapes]
    extents += [shape[1] for shape in layer.weight_shapes if layer.row.is_2d]
    steps = stride if isinstance(stride, int) else max(stride)
    enough = max(extents) + 3 * steps
    return replace(layer, x_shape=(min(batch, 2), *(min(size, enough) for size in spatial), channels))


def layout_of(layer: Layer, channels: str) -> dict[str, str]:
    """The option that tells an operation where the channels are; nothing where they are last."""
    if channels == "last":
        return {}
    return {"layout": layer.row.layouts[1]}


def channels_first(arrays: Sequence[np.ndarray]) -> list[np.ndarray]:
    """x and its kernels, channels last, as views with channels first."""
    x, *weights = arrays
    turned = [w.transpose(w.ndim - 1, w.ndim - 2, *range(w.ndim - 2)) for w in weights]
    return [np.moveaxis(x, -1, 1), *turned]


def short_case(layer: Layer, channels: str = "last") -> Case:
    """The shortened layer as a case of the parity checks, without a bias."""
    short = shortened(layer)
    layout = layout_of(layer, channels).get("layout", layer.row.layouts[0])
    return Case(short.name, short.operation, short.x_shape, short.weight_shapes, short.options, False, layout)


def check_full_size(
    layer: Layer, compute: Callable[..., np.ndarray], tolerance: Callable[..., float] = lambda *_: 0.0
) -> None:
    """Check in places what a function of x and the weights gives for the layer, to a tolerance that depends on them.

    Raises:
        WrongResultError: an element is farther from the exact result than the tolerance.
    """
    calls = layer.calls
    rng = np.random.default_rng(0)
    x, *weights = (
        rng.integers(-2, 3, shape, dtype="int8").astype("float32") for shape in (layer.x_shape, *layer.weight_shapes)
    )
    y, allowed, call = compute(x, *weights), tolerance(x, *weights), calls[0]
    by_places = len(calls) == 1 and call.vertical is None and call.direction == "forward"
    for sample in {0, layer.x_shape[0] - 1}:
        one, got = x[sample : sample + 1], y[sample : sample + 1]
        if not by_places:
            for step, weight in zip(calls, weights, strict=True):
                one = reference.apply(step, one, weight)
            if not _agree(got, one, allowed):
                raise WrongResultError(f"{layer.name}: sample {sample} differs")
            continue
        count = call.problem.output_length
        for start in {0, count // 3, max(count - 2, 0)}:
            wanted = _window(call, one, weights[0], start, min(start + 2, count))
            if not _agree(got.take(range(start, min(start + 2, count)), axis=call.axis), wanted, allowed):
                raise WrongResultError(f"{layer.name}: sample {sample}, outputs {start} to {start + 1} differ")


def _agree(computed: np.ndarray, wanted: np.ndarray, allowed: float) -> bool:
    return computed.shape == wanted.shape and bool((np.abs(computed - wanted) <= allowed).all())


def _window(call: Call, x: np.ndarray, w: np.ndarray, start: int, stop: int) -> np.ndarray:
    """The reference's outputs from start to stop, from the input that they see and no more."""
    p = call.problem
    first, last = start * p.stride - p.padding[0], (stop - 1) * p.stride - p.padding[0] + p.extent
    seen = x.take(range(max(first, 0), min(last, p.length)), axis=call.axis)
    pads = (max(-first, 0), max(last - p.length, 0))
    return reference.forward(replace(p, length=seen.shape[call.axis], padding=pads), call.axis, seen, w)

"""Pools: their windows along the axis that stays, and what those along the other one see."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from xconv.models.conversion import RefusedError, Verdict
from xconv.models.rows import Band, windows
from xconv_torch.models.convert.convolving import RASTER, pair
from xconv_torch.models.convert.folded import RowMax, RowMix, adaptive_rows, matrix_of, window_rows
from xconv_torch.models.convert.program import AxisInChannels, Line, NodeValue, Value
from xconv_torch.models.convert.walk import Done, NodeCall, RunningConversion

MAX_NAMES = ("kernel_size", "stride", "padding", "dilation", "ceil_mode", "return_indices")
AVERAGE_NAMES = ("kernel_size", "stride", "padding", "ceil_mode", "count_include_pad", "divisor_override")
CUT = "the window is cut to the axis of size one, which the original refuses"


def pool(walk: RunningConversion, call: NodeCall) -> Done:
    """``MaxPool2d``, ``AvgPool2d``, and their functions."""
    average = "avg" in (type(call.module).__name__ if call.is_module else call.name).lower()
    given = _settings(call, AVERAGE_NAMES if average else MAX_NAMES)
    _refuse(walk, given)
    x, a = walk.image(call.args[0]), walk.axis - 2
    size, padding, dilation = pair(given["kernel_size"]), pair(given["padding"]), pair(given["dilation"])
    stride = size if given["stride"] in (None, (), []) else pair(given["stride"])
    new: dict[str, Any] = {
        "kernel_size": size[1 - a],
        "stride": stride[1 - a],
        "padding": padding[1 - a],
        "ceil_mode": given["ceil_mode"],
    }
    if average:
        new["count_include_pad"] = given["count_include_pad"]
    else:
        new["dilation"] = dilation[1 - a]
    verdict: Verdict = "exact"
    condition, rule = "", "window along the signal"
    if call.failure is not None:
        _cut(walk, call, x, average, given, size, stride, padding, dilation)
        verdict, condition = "exact if", CUT
        size = (1, size[1]) if a == 0 else (size[0], 1)
        divisor = given.get("divisor_override") if average else None
        factor, clamp, rows = (size[1 - a] / divisor if divisor else 1.0), False, None
    else:
        outputs = call.result.shape[walk.axis]
        geometry = (size[a], stride[a], dilation[a], padding[a], outputs)
        factor, clamp = _seen(x, average, given, geometry, size[1 - a])
        rows = _row_pool(x, average, given, geometry, call.result)
    cell = x.cell
    if rows is not None:
        cell = walk.program.module(f"{_path(call)}_rows", rows, cell)
        rule = "window along the signal, rows in the channels"
    cell = emitted(walk, call, cell, "avg_pool1d" if average else "max_pool1d", new)
    if clamp:
        cell = walk.program.function(F.relu, cell)
        rule += ", and the zeros beside it"
    if factor != 1:
        cell = walk.program.function(torch.mul, cell, factor)
        rule += f", times {factor:.4g}"
    if walk.raster:
        verdict, condition = "heuristic", RASTER
    reach = x.reach.behind(*((each[a], each[1 - a]) for each in (size, dilation, stride)))
    value = Value(call.result, cell, _form(x, call.result.shape[walk.axis]), reach)
    return Done(value, emitted_name(walk, call, "avg_pool1d" if average else "max_pool1d"), rule, verdict, condition)


def _refuse(walk: RunningConversion, given: dict[str, Any]) -> None:
    if given["return_indices"]:
        raise RefusedError("it returns indices into the image: take a pool without them")
    if walk.raster and walk.options.kernel_rule == "exact":
        raise RefusedError(f"{RASTER}; kernel_rule='row', 'sum' or 'mean' takes the window along the signal")
    if given["divisor_override"]:
        if given["ceil_mode"]:
            raise RefusedError("divisor_override with ceil_mode has no rule: leave one of them out")
        given["count_include_pad"] = True


def adaptive(walk: RunningConversion, call: NodeCall) -> Done:
    """``AdaptiveAvgPool2d``, ``AdaptiveMaxPool2d``, and their functions."""
    average = "avg" in (type(call.module).__name__ if call.is_module else call.name).lower()
    given = _settings(call, ("output_size", "return_indices"))
    if given.get("return_indices"):
        raise RefusedError("it returns indices into the image: take a pool without them")
    x, a = walk.image(call.args[0]), walk.axis - 2
    wanted = pair(given["output_size"])[1 - a]
    extent, kept = call.result.shape[walk.axis], call.result.shape[5 - walk.axis]
    if isinstance(x.form, Line) and not x.form.band.is_full:
        raise RefusedError("there is zero padding along the axis that disappears")
    cell, name = x.cell, f"adaptive_{'avg' if average else 'max'}_pool1d"
    if isinstance(x.form, AxisInChannels) and x.form.extent != extent:
        places = adaptive_rows(x.form.extent, extent)
        rows = _means(places, x.form.extent, call.result) if average else RowMax(x.form.extent, places)
        cell = walk.program.module(f"{_path(call)}_rows", rows, cell)
    verdict: Verdict = "exact"
    condition = ""
    if walk.raster:
        global_pool = wanted == 1 and extent == 1
        wanted = None if wanted is None else extent * kept
        verdict, condition = ("exact", "") if global_pool else ("heuristic", RASTER)
    if wanted is None:
        # what works in place on the result must not reach what was pooled
        cell = walk.program.method("clone", cell)
    else:
        cell = emitted(walk, call, cell, name, {"output_size": wanted})
    reach = x.reach
    if isinstance(call.args[0].original, torch.Tensor):
        before = call.args[0].original.shape
        for axis, i in ((0, walk.axis), (1, 5 - walk.axis), (2, 5 - walk.axis)):
            if call.result.shape[i] > 1:
                reach = reach.after(axis, -(-before[i] // call.result.shape[i]), 1, before[i] / call.result.shape[i])
    value = Value(call.result, cell, _form(x, extent), reach)
    rule = f"size {wanted} along the signal" if wanted is not None else "nothing is left to pool"
    return Done(value, emitted_name(walk, call, name if wanted is not None else "dropped"), rule, verdict, condition)


def emitted(walk: RunningConversion, call: NodeCall, cell: Any, function: str, options: dict[str, Any]) -> NodeValue:
    """A 1-D layer in place of a 2-D layer, a function in place of a function."""
    if call.is_module:
        layer = {"avg": "AvgPool1d", "max": "MaxPool1d", "adaptive_avg": "AdaptiveAvgPool1d"}
        kind = function.removesuffix("_pool1d")
        return walk.program.module(call.path, getattr(nn, layer.get(kind, "AdaptiveMaxPool1d"))(**options), cell)
    return walk.program.function(getattr(F, function), cell, **options)


def _settings(call: NodeCall, names: tuple[str, ...]) -> dict[str, Any]:
    defaults = {"stride": None, "padding": 0, "dilation": 1, "ceil_mode": False, "return_indices": False}
    defaults |= {"count_include_pad": True, "divisor_override": None}
    if call.is_module:
        return {**defaults, **{name: getattr(call.module, name) for name in names if hasattr(call.module, name)}}
    given = {**defaults, **call.bound(names)}
    if any(
        isinstance(part, Value) for value in given.values() for part in (value if isinstance(value, tuple) else [value])
    ):
        return {key: _number(value) for key, value in given.items()}
    return given


def _number(value: Any) -> Any:
    if isinstance(value, tuple):
        return tuple(_number(part) for part in value)
    return value.cell if isinstance(value, Value) and not value.is_extent else getattr(value, "original", value)


def _seen(
    x: Value, average: bool, given: dict[str, Any], geometry: tuple[int, int, int, int, int], across: int
) -> tuple[float, bool]:
    """The factor of an average, and whether a maximum meets zeros."""
    size, stride, _, low, outputs = geometry
    divisor = given["divisor_override"]
    by_divisor = size * across / divisor if divisor else 1.0
    if not isinstance(x.form, Line):
        return by_divisor, False
    found = windows(x.form.band, *geometry)
    if any(signal == 0 for signal, _ in found):
        raise RefusedError("a window along the axis that disappears sees only padding")
    if not average:
        if len({zeros > 0 for _, zeros in found}) != 1:
            raise RefusedError("its windows along the axis that disappears see the zero padding differently")
        return 1.0, next(iter(found))[1] > 0
    ratios = set()
    for i in range(outputs):
        start = i * stride - low
        stop = min(start + size, x.form.band.extent + low)
        rows = [row for row in range(start, stop) if 0 <= row < x.form.band.extent]
        signal = sum(x.form.band.start <= row < x.form.band.stop for row in rows)
        counted = size if divisor else stop - start if given["count_include_pad"] else len(rows)
        ratios.add(signal / counted)
    if len(ratios) != 1:
        raise RefusedError(
            "it averages padded zeros at the border along the axis that disappears: count_include_pad=False is exact"
        )
    return ratios.pop() * by_divisor, False


def _row_pool(
    x: Value, average: bool, given: dict[str, Any], geometry: tuple[int, int, int, int, int], like: torch.Tensor
) -> nn.Module | None:
    """The pool of rows that lie in the channels."""
    if not isinstance(x.form, AxisInChannels):
        return None
    size, stride, dilation, low, outputs = geometry
    if not average:
        return RowMax(x.form.extent, window_rows(x.form.extent, size, stride, dilation, low, outputs))
    options = {"padding": low, "ceil_mode": given["ceil_mode"], "count_include_pad": given["count_include_pad"]}
    return RowMix(matrix_of(nn.AvgPool1d(size, stride, **options), x.form.extent, like))


def _means(places: list[list[int]], extent: int, like: torch.Tensor) -> RowMix:
    matrix = like.new_zeros(len(places), extent)
    for i, rows in enumerate(places):
        matrix[i, rows] = 1 / len(rows)
    return RowMix(matrix)


def _cut(
    walk: RunningConversion,
    call: NodeCall,
    x: Value,
    average: bool,
    given: dict[str, Any],
    size: tuple[int, int],
    stride: tuple[int, int],
    padding: tuple[int, int],
    dilation: tuple[int, int],
) -> None:
    """Let the original pool along the other axis only, where it refuses an axis of size one."""
    if not (isinstance(x.form, Line) and x.form.band == Band.full(1) and walk.options.embedding == "singleton"):
        raise RefusedError("its window is longer than the axis that disappears")

    def along(values: tuple[int, int], other: int) -> tuple[int, int]:
        return (other, values[1]) if walk.axis == 2 else (values[0], other)

    def cut(x: torch.Tensor, *_: Any, **__: Any) -> torch.Tensor:
        shape = along(size, 1), along(stride, 1), along(padding, 0)
        if average:
            divisor = given["divisor_override"]
            return F.avg_pool2d(x, *shape, given["ceil_mode"], given["count_include_pad"], divisor)
        return F.max_pool2d(x, *shape, along(dilation, 1), given["ceil_mode"])

    walk.cuts[call.node] = cut
    with torch.no_grad():
        call.result = cut(call.args[0].original)


def _form(x: Value, extent: int) -> Line | AxisInChannels:
    if isinstance(x.form, AxisInChannels):
        return AxisInChannels(x.form.axis, extent)
    return Line(x.form.axis, Band.full(extent))  # type: ignore[union-attr]


def _path(call: NodeCall) -> str:
    return call.path if call.is_module else call.node.name


def emitted_name(walk: RunningConversion, call: NodeCall, function: str) -> str:
    """What a node became, for the report."""
    return str(walk.program.modules.get(call.path, function)) if call.is_module else function

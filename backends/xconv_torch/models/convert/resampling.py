"""Padding and resampling."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from xconv.models.conversion import RefusedError, Verdict
from xconv.models.rows import Band
from xconv_torch.models.convert.convolving import RASTER, pair
from xconv_torch.models.convert.folded import RowMix, matrix_of, padder
from xconv_torch.models.convert.layers import padless
from xconv_torch.models.convert.pooling import emitted_name
from xconv_torch.models.convert.program import AxisInChannels, Line, Same, Value, originals
from xconv_torch.models.convert.walk import Done, NodeCall, RunningConversion

PADS = {
    nn.ConstantPad2d: ("constant", "ConstantPad1d"),
    nn.ReflectionPad2d: ("reflect", "ReflectionPad1d"),
    nn.ReplicationPad2d: ("replicate", "ReplicationPad1d"),
    nn.CircularPad2d: ("circular", "CircularPad1d"),
}
MODES = {"nearest": "nearest", "nearest-exact": "nearest-exact", "bilinear": "linear", "area": "area"}


def pad(walk: RunningConversion, call: NodeCall) -> Done:
    """``ZeroPad2d`` and its kin, ``F.pad``: along the signal at once, along the other axis remembered."""
    if call.is_module:
        mode, name = next(found for kind, found in PADS.items() if isinstance(call.module, kind))
        sides, fill = list(call.module.padding), getattr(call.module, "value", 0.0)
    else:
        given = call.bound(("pad", "mode", "value"), mode="constant", value=None)
        sides, mode, fill, name = list(given["pad"]), given["mode"], given["value"] or 0.0, ""
    if any(isinstance(side, Value) for side in sides):
        sides = [side.original if isinstance(side, Value) else side for side in sides]
        walk.warnings.append(
            f"{call.path}: the padding was computed from sizes, and is now that of {walk.options.input_shape}"
        )
    x = call.args[0]
    if isinstance(x.form, Same) and (len(sides) != 4 or x.original.dim() != 4):
        return Done(Value(call.result, walk.program.function(F.pad, *call.args, **call.kwargs), reach=x.reach))
    if len(sides) > 4 and any(sides[4:]):
        raise RefusedError("it pads the channels or the batch: concatenate zeros instead")
    x = walk.image(x)
    sides = [*sides, 0, 0][:4]
    along, across = (sides[:2], sides[2:]) if walk.axis == 2 else (sides[2:], sides[:2])
    form, cell = _across(walk, call, x, mode, across, fill)
    if walk.raster and any(sides):
        raise RefusedError(f"{RASTER}: pad the lines before they are laid into one")
    if any(along):
        if call.is_module:
            options = (tuple(along), fill) if mode == "constant" else (tuple(along),)
            cell = walk.program.module(call.path, getattr(nn, name)(*options), cell)
        else:
            cell = walk.program.function(F.pad, cell, along, mode, fill if mode == "constant" else None)
    elif cell is x.cell:
        # what works in place on the result must not reach what was padded
        cell = walk.program.method("clone", cell)
    value = Value(call.result, cell, form, x.reach)
    if x.cell.node in walk.raw:
        walk.raw.add(cell.node)
    rule = "along the signal" if not any(across) else "along the signal; the other axis is what the next layer meets"
    became = f"pad {tuple(along)}" if any(along) else "nothing to pad"
    return Done(value, emitted_name(walk, call, became), rule)


def _across(
    walk: RunningConversion, call: NodeCall, x: Value, mode: str, across: list[int], fill: float
) -> tuple[Any, Any]:
    low, high = across
    if isinstance(x.form, AxisInChannels):
        cell = x.cell
        if low or high:
            if fill:
                raise RefusedError("it pads folded rows with a number other than zero")
            matrix = matrix_of(padder(mode, low, high), x.form.extent, call.result)
            cell = walk.program.module(f"{call.node.name}_rows", RowMix(matrix), cell)
        return AxisInChannels(x.form.axis, x.form.extent + low + high), cell
    assert isinstance(x.form, Line)
    band = x.form.band
    if not (low or high):
        return x.form, x.cell
    if mode == "constant":
        if fill and (low or high):
            raise RefusedError("it pads the axis that disappears with a number other than zero")
        if low < 0 or high < 0:
            raise RefusedError("it crops the axis that disappears: slice instead")
        return Line(x.form.axis, Band(band.extent + low + high, band.start + low, band.stop + low)), x.cell
    padless(x)
    return Line(x.form.axis, Band.full(band.extent + low + high)), x.cell


def resample(walk: RunningConversion, call: NodeCall) -> Done:
    """``Upsample`` and ``F.interpolate``."""
    names = ("size", "scale_factor", "mode", "align_corners", "recompute_scale_factor", "antialias")
    given: dict[str, Any] = dict.fromkeys(names)
    given.update(mode="nearest", antialias=False)
    if call.is_module:
        given.update({name: getattr(call.module, name) for name in names if hasattr(call.module, name)})
    else:
        given.update(call.bound(names))
        if call.name == "upsample":
            given.pop("recompute_scale_factor")
    if isinstance(given["size"], Value) and isinstance(given["size"].original, tuple):
        given["size"] = given["size"].original
    if given["mode"] not in MODES or given["antialias"]:
        raise RefusedError(f"mode {given['mode']!r} has no 1-D form: 'bilinear' or 'nearest' has")
    x, a = walk.image(call.args[0]), walk.axis - 2
    padless(x)
    if walk.raster:
        raise RefusedError(f"{RASTER}: resampling would mix lines")
    new = {name: given[name] for name in ("align_corners", "recompute_scale_factor") if given[name] is not None}
    new |= {name: pair(given[name])[1 - a] for name in ("size", "scale_factor") if given[name] is not None}
    new["mode"] = MODES[given["mode"]]
    verdict, condition = _kept_single(walk, call, x, given)
    extent = call.result.shape[walk.axis]
    cell, form = x.cell, None
    if isinstance(x.form, AxisInChannels):
        rows = {**new, **{n: pair(given[n])[a] for n in ("size", "scale_factor") if given[n] is not None}}
        if "size" in rows:
            rows["size"] = extent
        matrix = matrix_of(nn.Upsample(**rows), x.form.extent, call.result)
        cell = walk.program.module(f"{call.node.name}_rows", RowMix(matrix), cell)
        form = AxisInChannels(walk.axis, extent)
    if call.is_module:
        cell = walk.program.module(call.path, nn.Upsample(**new), cell)
    else:
        cell = walk.program.function(F.interpolate, cell, **new)
    reach, before = x.reach, call.args[0].original.shape
    taps = 2 if new["mode"] == "linear" else 1
    for axis, i in ((0, walk.axis), (1, 5 - walk.axis), (2, 5 - walk.axis)):
        reach = reach.after(axis, taps if before[i] > 1 else 1, 1, before[i] / call.result.shape[i])
    value = Value(call.result, cell, form or Line(walk.axis, Band.full(extent)), reach)
    became = emitted_name(walk, call, f"interpolate {new['mode']}")
    return Done(value, became, "along the signal", verdict, condition)


def _kept_single(walk: RunningConversion, call: NodeCall, x: Value, given: dict[str, Any]) -> tuple[Verdict, str]:
    """Let the original leave an axis of size one alone, if it was cut to that before: a decoder joins what it had."""
    if not walk.cuts or not isinstance(x.form, Line) or x.form.band != Band.full(1) or call.result is None:
        return "exact", ""
    if call.result.shape[walk.axis] == 1:
        return "exact", ""
    options = {name: originals(given[name]) for name in given if given[name] is not None}
    for name in {"size", "scale_factor"} & set(options):
        sides = list(pair(options[name]))
        sides[walk.axis - 2] = 1
        options[name] = tuple(sides)

    def kept(image: torch.Tensor, *_: Any, **__: Any) -> torch.Tensor:
        return F.interpolate(image, **options)

    walk.cuts[call.node] = kept
    with torch.no_grad():
        call.result = kept(call.args[0].original)
    return "exact if", "the axis of size one stays so, as the pools before it were cut to it"


def no_counterpart(walk: RunningConversion, call: NodeCall) -> Done:
    """Layers that mean an image.

    Raises:
        RefusedError: always, with what to take instead.
    """
    del walk
    what = type(call.module).__name__ if call.is_module else call.name
    reasons = {
        "PixelShuffle": "it deals channels out to both axes: take ConvTranspose2d or Upsample",
        "PixelUnshuffle": "it gathers both axes into the channels: take a strided Conv2d",
        "FractionalMaxPool2d": "its windows are drawn at random for both axes: take MaxPool2d",
        "MaxUnpool2d": "it takes indices into an image: take Upsample",
        "LPPool2d": "its norm is over a window of both axes: take AvgPool2d or MaxPool2d",
        "Unfold": "it lays out 2-D patches: take Conv2d",
        "Fold": "it lays out 2-D patches: take ConvTranspose2d",
        "grid_sample": "it samples an image in both directions: take interpolate",
        "affine_grid": "it makes a grid of both axes",
    }
    plain = {"pixel_shuffle": "PixelShuffle", "pixel_unshuffle": "PixelUnshuffle", "unfold": "Unfold", "fold": "Fold"}
    raise RefusedError(reasons.get(plain.get(what, what), "it is for another number of axes"))

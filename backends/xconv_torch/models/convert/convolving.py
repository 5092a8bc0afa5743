"""Convolutions and pools of a signal that lies constant along an axis: the kernel rows that meet it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from xconv.core.problem import dilated_extent
from xconv.models.conversion import RefusedError
from xconv.models.rows import Band, Rows, chosen, met, met_transposed, named, one
from xconv_torch.models.convert import folded
from xconv_torch.models.convert.program import AxisInChannels, Line, NodeValue, Value
from xconv_torch.models.convert.walk import Done, NodeCall, RunningConversion

CONV_NAMES = ("weight", "bias", "stride", "padding", "dilation", "groups")
TRANSPOSED_NAMES = ("weight", "bias", "stride", "padding", "output_padding", "groups", "dilation")
RASTER = "vertical neighbours lie a line apart, and windows wrap from line to line"


def pair(value: Any) -> tuple[Any, Any]:
    """A number for both axes, or one for each."""
    if isinstance(value, (tuple, list)):
        return (value[0], value[0]) if len(value) == 1 else (value[0], value[1])
    return value, value


@dataclass(frozen=True)
class Conv:
    """A 2-D convolution, a layer's or a function's."""

    weight: torch.Tensor
    bias: torch.Tensor | None
    stride: tuple[int, int]
    padding: str | tuple[int, int]
    dilation: tuple[int, int]
    groups: int
    mode: str = "zeros"
    output_padding: tuple[int, int] = (0, 0)
    transposed: bool = False

    @classmethod
    def of(cls, module: nn.Conv2d | nn.ConvTranspose2d) -> Conv:
        """A layer's."""
        return cls(
            module.weight,
            module.bias,
            pair(module.stride),
            module.padding if isinstance(module.padding, str) else pair(module.padding),
            pair(module.dilation),
            module.groups,
            module.padding_mode,
            pair(module.output_padding),
            isinstance(module, nn.ConvTranspose2d),
        )

    def low(self, a: int) -> int:
        """Padding before the first element of an axis, as torch places it."""
        if isinstance(self.padding, str):
            total = self.dilation[a] * (self.weight.shape[2 + a] - 1)
            return total // 2 if self.padding == "same" else 0
        return self.padding[a]

    def along(self, k: int, weight: torch.Tensor) -> nn.Conv1d | nn.ConvTranspose1d:
        """The 1-D layer along axis k with a weight."""
        options: dict[str, Any] = {
            "stride": self.stride[k],
            "padding": self.padding if isinstance(self.padding, str) else self.padding[k],
            "dilation": self.dilation[k],
            "groups": self.groups,
            "bias": self.bias is not None,
            "padding_mode": self.mode,
            "device": weight.device,
            "dtype": weight.dtype,
        }
        layer: nn.Conv1d | nn.ConvTranspose1d
        if self.transposed:
            sizes = weight.shape[0], weight.shape[1] * self.groups
            options["output_padding"] = self.output_padding[k]
            layer = nn.utils.skip_init(nn.ConvTranspose1d, *sizes, weight.shape[2], **options)
        else:
            sizes = weight.shape[1] * self.groups, weight.shape[0]
            layer = nn.utils.skip_init(nn.Conv1d, *sizes, weight.shape[2], **options)
        return layer


def conv_layer(walk: RunningConversion, call: NodeCall) -> Done:
    """``Conv2d`` and ``ConvTranspose2d``."""
    module, conv = call.module, Conv.of(call.module)
    x = walk.image(call.args[0])
    a = walk.axis - 2
    rows, how = _rows(walk, call, x, conv)
    with torch.no_grad():
        # in float64, so that what is stored was rounded once
        weight = _adapted(walk, x, conv, conv.weight.detach().cpu().double())
        repeat = 1
        if isinstance(x.form, AxisInChannels):
            repeat = call.result.shape[walk.axis]
            weight = folded.kernel(conv, weight, a, x.form.extent, repeat)
        else:
            weight = cut_rows(weight, *rows, 2 + a)
        new_weight = weight.to(conv.weight)
        made = conv.along(1 - a, new_weight)
        made.weight.copy_(new_weight)
        if conv.bias is not None and made.bias is not None:
            made.bias.copy_(conv.bias.repeat_interleave(repeat))
        made.weight.requires_grad_(trains(module))
        if made.bias is not None:
            made.bias.requires_grad_(module.bias.requires_grad)
    if walk.options.channels == "new" and x.cell.node in walk.raw:
        made.reset_parameters()
        walk.fresh.append(call.node)
        how = Done(x, "", "new weights", "exact if", "the first kernel is new and is to be trained")
    known = walk.program.modules.get(call.path)
    if known is not None and not (known.weight.shape == made.weight.shape and torch.equal(known.weight, made.weight)):
        raise RefusedError("it is called twice, on images that need different kernels: make it two layers")
    cell = walk.program.module(call.path, made, x)
    became = str(walk.program.modules[call.path])
    return Done(_result(walk, call, x, conv, cell), became, how.rule, how.verdict, how.condition)


def trains(module: nn.Module) -> bool:
    """Whether a layer's weight is trained, or what it is computed from."""
    weight = dict(module.named_parameters(recurse=False)).get("weight")
    return any(p.requires_grad for p in module.parameters()) if weight is None else weight.requires_grad


def conv_function(walk: RunningConversion, call: NodeCall) -> Done:
    """``F.conv2d`` and ``F.conv_transpose2d``: the weight is cut when the program runs."""
    transposed = call.name == "conv_transpose2d"
    given = call.bound(TRANSPOSED_NAMES if transposed else CONV_NAMES)
    weight, bias = given.pop("weight"), given.pop("bias", None)
    options = {"stride": 1, "padding": 0, "dilation": 1, "groups": 1, "output_padding": 0, **given}
    if any(isinstance(value, Value) for value in options.values()):
        raise RefusedError("its stride or padding is computed from sizes: make them numbers")
    spec: dict[str, Any] = {key: pair(options[key]) for key in ("stride", "dilation", "output_padding")}
    padding = options["padding"] if isinstance(options["padding"], str) else pair(options["padding"])
    conv = Conv(weight.original, None, padding=padding, groups=options["groups"], transposed=transposed, **spec)
    x = walk.image(call.args[0])
    if isinstance(x.form, AxisInChannels) or x.cell.node in walk.raw:
        raise RefusedError("the function's weight cannot be rewritten there: make it a Conv2d layer")
    a = walk.axis - 2
    rows, how = _rows(walk, call, x, conv)
    cut = walk.program.function(cut_rows, weight, rows[0], rows[1], 2 + a)
    new: dict[str, Any] = {key: spec[key][1 - a] for key in ("stride", "dilation")}
    new.update(padding=padding if isinstance(padding, str) else padding[1 - a], groups=conv.groups)
    if transposed:
        new["output_padding"] = spec["output_padding"][1 - a]
    function = F.conv_transpose1d if transposed else F.conv1d
    cell = walk.program.function(function, x, cut, bias, **new)
    return Done(_result(walk, call, x, conv, cell), function.__name__, how.rule, how.verdict, how.condition)


def cut_rows(weight: torch.Tensor, rows: Rows, factor: float, dim: int) -> torch.Tensor:
    """The sum of some rows of a kernel, times a factor."""
    if not rows:
        return torch.zeros_like(weight.select(dim, 0))
    total = weight.select(dim, rows[0])
    for row in rows[1:]:
        total = total + weight.select(dim, row)
    return total if factor == 1 else total * factor


def _rows(walk: RunningConversion, call: NodeCall, x: Value, conv: Conv) -> tuple[tuple[Rows, float], Done]:
    """The rows of the kernel that the 1-D one is made of; the report's words."""
    a = walk.axis - 2
    kernel = conv.weight.shape[2 + a]
    if isinstance(x.form, AxisInChannels):
        spans = kernel == x.form.extent and call.result.shape[walk.axis] == 1
        return ((), 1.0), Done(x, "", "reshape" if spans else "Toeplitz kernel")
    assert isinstance(x.form, Line)
    if walk.raster and kernel > 1:
        if walk.options.kernel_rule == "exact":
            raise RefusedError(f"{RASTER}: no 1-D kernel is exact; kernel_rule='row', 'sum' or 'mean' takes one")
        rows, factor = chosen(walk.options.kernel_rule, kernel)
        return (rows, factor), Done(x, "", named(rows, kernel), "heuristic", RASTER)
    found = None if call.result is None else _exact(conv, x.form.band, a, call.result.shape[walk.axis])
    if found is not None:
        return (found, 1.0), Done(x, "", named(found, kernel))
    if call.failure is not None:
        spans, has = (kernel - 1) * conv.dilation[a] + 1, x.form.band.extent
        if conv.transposed or (conv.mode == "zeros" and spans <= has + 2 * conv.low(a)):
            raise call.failure
        text = f"its kernel spans {spans}, the image's {walk.options.axis} has {has}"
    elif conv.transposed:
        text = f"its kernel makes different rows along the {walk.options.axis}"
    else:
        text = f"zero padding makes the border along the {walk.options.axis} differ"
    if walk.options.kernel_rule == "exact":
        raise RefusedError(f"{text}: no 1-D kernel is exact; kernel_rule='row', 'sum' or 'mean' takes one")
    rows, factor = chosen(walk.options.kernel_rule, kernel)
    single = walk.options.embedding == "singleton" and x.form.band == Band.full(1)
    if call.failure is not None or (conv.transposed and single):
        _shorten(walk, call, conv, (rows, factor))
    return (rows, factor), Done(x, "", f"{walk.options.kernel_rule}: {named(rows, kernel)}", "heuristic", text)


def _exact(conv: Conv, band: Band, a: int, outputs: int) -> Rows | None:
    """The rows that every output sees, or None where they differ."""
    geometry = (conv.weight.shape[2 + a], conv.stride[a], conv.dilation[a], conv.low(a), outputs)
    if conv.transposed:
        return one(met_transposed(band, *geometry))
    if conv.mode == "zeros":
        return one(met(band, *geometry))
    return tuple(range(geometry[0])) if band.is_full else None


def _shorten(walk: RunningConversion, call: NodeCall, conv: Conv, rows: tuple[Rows, float]) -> None:
    """Let the original compute with the rows too, where it refuses an axis that short, or makes it longer."""
    a = walk.axis - 2

    def along(values: tuple[int, int], other: int) -> tuple[int, int]:
        return (other, values[1]) if a == 0 else (values[0], other)

    padding = conv.padding if isinstance(conv.padding, str) else along(conv.padding, 0)

    def cut(x: torch.Tensor, *_: Any, **__: Any) -> torch.Tensor:
        weight = cut_rows(conv.weight.to(x), *rows, 2 + a).unsqueeze(2 + a)
        bias = None if conv.bias is None else conv.bias.to(x)
        if conv.transposed and not isinstance(padding, str):
            options = (along(conv.output_padding, 0), conv.groups, conv.dilation)
            return F.conv_transpose2d(x, weight, bias, along(conv.stride, 1), padding, *options)
        if conv.mode != "zeros" and not isinstance(padding, str):
            x = F.pad(x, (padding[1],) * 2 + (padding[0],) * 2, conv.mode)
            return F.conv2d(x, weight, bias, conv.stride, 0, conv.dilation, conv.groups)
        return F.conv2d(x, weight, bias, conv.stride, padding, conv.dilation, conv.groups)

    walk.cuts[call.node] = cut
    with torch.no_grad():
        call.result = cut(call.args[0].original)


def _adapted(walk: RunningConversion, x: Value, conv: Conv, weight: torch.Tensor) -> torch.Tensor:
    """The first kernel for the signal's channels."""
    if walk.matrix is None or x.cell.node not in walk.raw:
        return weight
    if conv.groups != 1 or conv.transposed:
        raise RefusedError("the channels of a grouped or transposed first convolution cannot be adapted")
    return torch.einsum("oihw,ic->ochw", weight, torch.from_numpy(walk.matrix).to(weight))


def _result(walk: RunningConversion, call: NodeCall, x: Value, conv: Conv, cell: NodeValue) -> Value:
    reach, a = x.reach, walk.axis - 2
    for axis, i in ((0, a), (1, 1 - a), (2, 1 - a)):
        kernel, stride, dilation = conv.weight.shape[2 + i], conv.stride[i], conv.dilation[i]
        if conv.transposed:
            extent = dilated_extent(kernel, dilation)
            reach = reach.after(axis, -(-extent // stride), 1, 1 / stride)
        else:
            reach = reach.after(axis, kernel, dilation, stride)
    extent = call.result.shape[walk.axis]
    form = (
        AxisInChannels(walk.axis, extent) if isinstance(x.form, AxisInChannels) else Line(walk.axis, Band.full(extent))
    )
    return Value(call.result, cell, form, reach)

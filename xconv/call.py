"""Names, layouts and shapes to a resolved call: the only place that knows layouts.

Everything here works on shapes alone, so an operation, an explanation and a benchmark all get the same problem from
the same words, and every mistake is found before a framework is reached.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from xconv.errors import ArgumentError, nearest
from xconv.problem import (
    PADDING_MODES,
    ConvProblem,
    Size,
    check_window,
    dilated_extent,
    explicit_padding,
    positive,
    resolve_padding,
)

Axes = tuple[int, ...]


@dataclass(frozen=True)
class Layout:
    """Where the channels are, and what a kernel looks like beside it."""

    name: str
    channels_last: bool
    kernel: str
    to_channels_last: Axes
    from_channels_last: Axes
    kernel_to_channels_last: Axes


LAYOUTS = {
    "NWC": Layout("NWC", True, "(kernel, in/groups, out)", (0, 1, 2), (0, 1, 2), (0, 1, 2)),
    "NCW": Layout("NCW", False, "(out, in/groups, kernel)", (0, 2, 1), (0, 2, 1), (2, 1, 0)),
    "NHWC": Layout("NHWC", True, "(kernel, in/groups, out)", (0, 1, 2, 3), (0, 1, 2, 3), (0, 1, 2)),
    "NCHW": Layout("NCHW", False, "(out, in/groups, kernel)", (0, 2, 3, 1), (0, 3, 1, 2), (2, 1, 0)),
}
KERNEL_2D = {True: "(kh, kw, in/groups, out)", False: "(out, in/groups, kh, kw)"}
KERNEL_2D_TO_CHANNELS_LAST = {True: (0, 1, 2, 3), False: (2, 3, 1, 0)}
KERNEL_TRANSPOSED = {True: "(kernel, out/groups, in)", False: "(in, out/groups, kernel)"}

SLIDES = {
    "conv1d": "W",
    "conv2d_as_1d": "W",
    "conv1d_rows": "W",
    "conv1d_columns": "H",
    "conv1d_transpose": "W",
}
"""The axis that each 1-D operation slides along."""


@dataclass(frozen=True)
class Call:
    """An operation on arrays of known shapes: one problem, or for ``conv2d`` one along each axis.

    ``axis`` is the sliding axis of the channels-last input; the ``*_axes`` permute arrays to channels last.
    """

    operation: str
    layout: Layout
    problem: ConvProblem
    axis: int
    direction: str = "forward"
    vertical: ConvProblem | None = None

    def result_shape(self, x_shape: Sequence[Size]) -> tuple[Size, ...]:
        """The shape of the result in the caller's layout.

        >>> resolve("conv1d", (2, 3, 100), (8, 3, 5), layout="NCW").result_shape((2, 3, 100))
        (2, 8, 96)
        """
        shape = [x_shape[i] for i in self.layout.to_channels_last]
        forward = self.direction == "forward"
        shape[self.axis] = self.problem.output_length if forward else self.problem.length
        shape[-1] = self.problem.out_channels if forward else self.problem.in_channels
        if self.vertical is not None:
            shape[1] = self.vertical.output_length
        return tuple(shape[i] for i in self.layout.from_channels_last)

    @property
    def weight_axes(self) -> Axes:
        """The permutation that brings the caller's kernel to channels last."""
        if self.vertical is not None:
            return KERNEL_2D_TO_CHANNELS_LAST[self.layout.channels_last]
        return self.layout.kernel_to_channels_last


def resolve(
    operation: str,
    x_shape: Sequence[Size],
    weight_shape: Sequence[Size],
    bias_shape: Sequence[Size] | None = None,
    *,
    dtype: str = "float32",
    layout: str | None = None,
    stride: Any = 1,
    padding: Any = "valid",
    padding_mode: str = "zeros",
    dilation: Any = 1,
    groups: int = 1,
    output_padding: int = 0,
) -> Call:
    """What an operation computes on arrays of these shapes.

    Raises:
        ArgumentError: the shapes or options do not fit; the text names the argument and what would fit.

    >>> resolve("conv1d_rows", (2, 4, 100, 3), (5, 3, 8), padding="same").problem.output_shape
    (8, 100, 1, 8)
    """
    rank = 3 if operation in ("conv1d", "conv2d_as_1d", "conv1d_transpose") else 4
    where = _layout(operation, layout if layout is not None else ("NWC" if rank == 3 else "NHWC"), rank)
    mode = _name(operation, "padding_mode", padding_mode, PADDING_MODES)
    groups = positive(operation, "groups", groups)
    _check_ranks(operation, x_shape, weight_shape, bias_shape, rank)
    if operation == "conv2d":
        return _resolve_2d(
            operation, x_shape, weight_shape, bias_shape, dtype, where, stride, padding, mode, dilation, groups
        )
    stride, dilation = positive(operation, "stride", stride), positive(operation, "dilation", dilation)

    shape = [x_shape[i] for i in where.to_channels_last]
    kernel, second, third = (weight_shape[i] for i in where.kernel_to_channels_last)
    letter = SLIDES[operation]
    axis = 1 if rank == 3 or letter == "H" else 2
    outer, length, inner = shape[0], shape[axis], 1
    if rank == 4:
        outer, inner = (shape[0] * shape[1], 1) if axis == 2 else (shape[0], shape[2])

    if operation == "conv1d_transpose":
        if mode != "zeros":
            raise ArgumentError(operation, "padding_mode", repr(mode), "'zeros'", "crop the result instead")
        _check_channels(operation, x_shape, shape[-1], third, groups, where, KERNEL_TRANSPOSED, transposed=True)
        in_channels, out_channels = second * groups, third
        _check_bias(operation, bias_shape, in_channels)
        low, high = _crop(operation, padding, kernel, stride, dilation)
        named = padding in ("same", "same_lower", "causal")
        extra = _output_padding(operation, output_padding, 1 if named else stride)
        if named:
            length = length * stride
        else:
            length = (length - 1) * stride + dilated_extent(kernel, dilation) - low - high + extra
            if isinstance(length, int) and length < 1:
                raise ArgumentError(operation, "padding", repr(padding), "a crop that leaves at least one element")
        direction = "input_gradient"
    else:
        _check_channels(operation, x_shape, shape[-1], second * groups, groups, where, None, out=third)
        in_channels, out_channels = shape[-1], third
        _check_bias(
            operation, bias_shape, out_channels, other=weight_shape[-1] if not where.channels_last else weight_shape[0]
        )
        low, high = resolve_padding(operation, padding, length=length, kernel=kernel, stride=stride, dilation=dilation)
        direction = "forward"
    problem = ConvProblem(
        outer, length, inner, in_channels, out_channels, kernel, stride, dilation, groups, (low, high), mode, dtype
    )
    if direction == "forward":
        check_window(operation, problem, letter)
    return Call(operation, where, problem, axis, direction)


def _resolve_2d(
    operation: str,
    x_shape: Sequence[Size],
    weight_shape: Sequence[Size],
    bias_shape: Sequence[Size] | None,
    dtype: str,
    where: Layout,
    stride: object,
    padding: object,
    mode: str,
    dilation: object,
    groups: int,
) -> Call:
    n, height, width, channels = (x_shape[i] for i in where.to_channels_last)
    kh, kw, group_in, out = (weight_shape[i] for i in KERNEL_2D_TO_CHANNELS_LAST[where.channels_last])
    _check_channels(operation, x_shape, channels, group_in * groups, groups, where, KERNEL_2D, out=out)
    _check_bias(operation, bias_shape, out, other=weight_shape[-1] if not where.channels_last else weight_shape[0])
    strides = int_pair(operation, "stride", stride)
    dilations = int_pair(operation, "dilation", dilation)
    problems = []
    for axis, spec in enumerate(padding_pair(operation, padding)):
        length, kernel = (height, width)[axis], (kh, kw)[axis]
        pads = resolve_padding(
            operation, spec, length=length, kernel=kernel, stride=strides[axis], dilation=dilations[axis]
        )
        problem = ConvProblem(
            n if axis == 0 else n * problems[0].output_length,
            length,
            width if axis == 0 else 1,
            channels,
            out,
            kernel,
            strides[axis],
            dilations[axis],
            groups,
            pads,
            mode,
            dtype,
        )
        check_window(operation, problem, "HW"[axis])
        problems.append(problem)
    return Call(operation, where, problems[1], 2, "forward", problems[0])


def int_pair(operation: str, argument: str, value: object) -> tuple[int, int]:
    """An integer, or a pair (height, width).

    >>> int_pair("conv2d", "stride", 2), int_pair("conv2d", "stride", (1, 2))
    ((2, 2), (1, 2))
    """
    if isinstance(value, (tuple, list)):
        if len(value) != 2:
            raise ArgumentError(operation, argument, repr(value), "an integer or a pair (height, width)")
        return positive(operation, argument, value[0]), positive(operation, argument, value[1])
    number = positive(operation, argument, value)
    return number, number


def padding_pair(operation: str, padding: object) -> tuple[object, object]:
    """Padding of two axes: one for both, or a pair (height, width) of names, integers or (low, high).

    >>> padding_pair("conv2d", "same"), padding_pair("conv2d", (1, (2, 0)))
    (('same', 'same'), (1, (2, 0)))
    """
    if isinstance(padding, (tuple, list)):
        if len(padding) != 2:
            raise ArgumentError(operation, "padding", repr(padding), "a name, an integer, or a pair (height, width)")
        return padding[0], padding[1]
    return padding, padding


def _crop(operation: str, padding: object, kernel: int, stride: int, dilation: int) -> tuple[int, int]:
    # A transposed convolution crops what the forward one pads. "same" and "causal" give length * stride elements;
    # "causal" drops the high end only, so that no output depends on a later input.
    extent = dilated_extent(kernel, dilation)
    if padding in ("same", "same_lower", "causal"):
        total = max(extent - stride, 0)
        low = {"same": total // 2, "same_lower": total - total // 2, "causal": 0}[str(padding)]
        return low, total - low
    low, high = resolve_padding(operation, padding, length=1, kernel=kernel, stride=1, dilation=dilation)
    return low, high


def _output_padding(operation: str, value: object, stride: int) -> int:
    extra = explicit_padding(operation, value)[0] if not isinstance(value, (tuple, list)) else -1
    if not 0 <= extra < stride:
        raise ArgumentError(
            operation,
            "output_padding",
            repr(value),
            f"an integer from 0 to {stride - 1}",
            "it is below the stride; 'same' and 'causal' take none, their length is length * stride",
        )
    return extra


def _name(operation: str, argument: str, value: object, known: Sequence[str]) -> str:
    if not isinstance(value, str) or value not in known:
        raise ArgumentError(
            operation, argument, repr(value), "one of " + ", ".join(map(repr, known)), nearest(str(value), known)
        )
    return value


def _layout(operation: str, value: object, rank: int) -> Layout:
    known = [name for name in LAYOUTS if len(name) == rank]
    if isinstance(value, str) and value in LAYOUTS and value not in known:
        other = "conv1d" if rank == 4 else "conv1d_rows or conv1d_columns"
        raise ArgumentError(
            operation, "layout", repr(value), " or ".join(map(repr, known)), f"{value} data is for {other}"
        )
    return LAYOUTS[_name(operation, "layout", value, known)]


def _check_ranks(
    operation: str,
    x_shape: Sequence[Size],
    weight_shape: Sequence[Size],
    bias_shape: Sequence[Size] | None,
    rank: int,
) -> None:
    kernel_rank = 4 if operation == "conv2d" else 3
    if len(x_shape) != rank:
        if len(x_shape) == rank - 1:
            hint = "add the batch axis: x[None]"
            if rank == 4:
                hint += "; for (N, W, C) data use conv1d"
        elif rank == 3 and len(x_shape) == 4:
            hint = "a feature map (N, H, W, C) is for conv1d_rows, conv1d_columns or conv2d"
        else:
            hint = ""
        raise ArgumentError(operation, "x", f"shape {_show(x_shape)}", f"{rank} axes", hint)
    if len(weight_shape) != kernel_rank:
        hint = ""
        if kernel_rank == 3 and len(weight_shape) == 4:
            hint = "a kernel with two spatial axes is for conv2d; drop the axis of size 1 to use it here"
        elif kernel_rank == 4 and len(weight_shape) == 3:
            hint = "a kernel with one spatial axis is for conv1d_rows or conv1d_columns: say which axis it slides along"
        raise ArgumentError(operation, "weight", f"shape {_show(weight_shape)}", f"{kernel_rank} axes", hint)
    if not all(isinstance(size, int) and size >= 1 for size in weight_shape):
        raise ArgumentError(operation, "weight", f"shape {_show(weight_shape)}", "known sizes >= 1 on every axis")
    if bias_shape is not None and len(bias_shape) != 1:
        raise ArgumentError(operation, "bias", f"shape {_show(bias_shape)}", "one axis, of the output channels")


def _check_channels(
    operation: str,
    x_shape: Sequence[Size],
    channels: Size,
    wanted: int,
    groups: int,
    where: Layout,
    kernels: dict[bool, str] | None,
    out: int | None = None,
    transposed: bool = False,
) -> None:
    shown = kernels[where.channels_last] if kernels else where.kernel
    if channels != wanted:
        other = next(o for o in LAYOUTS.values() if len(o.name) == len(where.name) and o is not where)
        per_group = wanted // groups
        elsewhere = x_shape[other.to_channels_last[-1]]
        if isinstance(elsewhere, int) and elsewhere == wanted:
            kernel = kernels[other.channels_last] if kernels else other.kernel
            hint = f"the sizes fit layout={other.name!r}, with the weight as {kernel}"
        elif not transposed and isinstance(channels, int) and channels > per_group and channels % per_group == 0:
            hint = f"groups={channels // per_group} would fit"
        else:
            hint = ""
        raise ArgumentError(
            operation,
            "x",
            f"shape {_show(x_shape)} in layout {where.name!r}, with {channels} channels",
            f"{wanted} channels, as the weight {shown} with groups={groups} has it",
            hint,
        )
    for count, what in ((channels, "input"), (out, "output")):
        if count is not None and count % groups:
            raise ArgumentError(operation, "groups", str(groups), f"a divisor of the {count} {what} channels")


def _check_bias(operation: str, bias_shape: Sequence[Size] | None, out_channels: int, other: int | None = None) -> None:
    if bias_shape is not None and bias_shape[0] != out_channels:
        hint = ""
        if other is not None and bias_shape[0] == other:
            hint = f"the weight has {other} on its other end: is it in the other layout?"
        raise ArgumentError(
            operation, "bias", f"length {bias_shape[0]}", f"length {out_channels}, the output channels", hint
        )


def _show(shape: Sequence[Size]) -> str:
    return (
        "(" + ", ".join(str(s) if isinstance(s, int) else "?" for s in shape) + ("," if len(shape) == 1 else "") + ")"
    )

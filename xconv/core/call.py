"""Names, layouts and shapes to a resolved call.

Everything here works on shapes alone, so an operation, an explanation and a benchmark all get the same problem from
the same words, and every mistake is found before a framework is reached.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from xconv.core.checks import (
    check_bias,
    check_channels,
    check_ranks,
    crop,
    find_layout,
    int_pair,
    one_of,
    output_padding_below,
    padding_pair,
)
from xconv.core.integers import known, size
from xconv.core.layouts import KERNEL_2D_TO_CHANNELS_LAST, Axes, Layout
from xconv.core.mistakes import of_window
from xconv.core.operations import Operation, find
from xconv.core.problem import (
    PADDING_MODES,
    ConvProblem,
    Size,
    check_window,
    dilated_extent,
    positive,
    resolve_padding,
    step,
)
from xconv.core.sizes import check_sizes, plain
from xconv.system.errors import ArgumentError


@dataclass(frozen=True)
class Call:
    """An operation on arrays of known shapes: one problem, or for ``conv2d`` one along each axis.

    ``axis`` is the sliding axis of the channels-last input; the ``*_axes`` permute arrays to channels last.

    Attributes:
        operation: its name: "conv1d_rows".
        layout: the axes of the caller's arrays.
        problem: what is computed along the axis that slides; for ``conv2d`` along W.
        axis: the one that slides, of the channels-last input.
        direction: "forward", or "input_gradient" for a transposed convolution, which is the adjoint of its problem.
        vertical: for ``conv2d`` the problem along H; else None.

    >>> call = resolve("conv1d_columns", (8, 32, 100, 3), (5, 3, 16))
    >>> call.axis, call.problem.length, call.problem.inner
    (1, 32, 100)
    """

    operation: str
    layout: Layout
    problem: ConvProblem
    axis: int
    direction: str = "forward"
    vertical: ConvProblem | None = None

    def result_shape(self, x_shape: Sequence[Size]) -> tuple[Size, ...]:
        """The shape of the result in the caller's layout.

        Args:
            x_shape: of x, in the caller's layout.

        Returns:
            A size for each axis, in the caller's layout.

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
    output_padding: Any = 0,
) -> Call:
    """What an operation computes on arrays of these shapes.

    An integer may be of any type that has ``__index__`` (and no bool); where one axis slides, a tuple of one is that
    integer, as in the attributes of ``nn.Conv1d``.

    Args:
        operation: the name of one with one kernel: "conv1d".
        x_shape: of x, in the layout.
        weight_shape: (kernel, in/groups, out), of ``conv2d`` (kh, kw, in/groups, out), of ``conv1d_transpose`` (kernel,
            out/groups, in); with channels first (out, in/groups, kernel), and so on.
        bias_shape: (out,), or None.
        dtype: "float32", "float64", "float16" or "bfloat16".
        layout: "NWC" or "NHWC" by default, "NCW", "NCHW".
        stride: elements between neighbouring outputs; for ``conv2d`` an integer or (height, width), as are all of
            these.
        padding: a name, an integer, or (low, high) in elements.
        padding_mode: what the pads hold.
        dilation: elements between neighbouring taps, from 1.
        groups: channel groups.
        output_padding: of ``conv1d_transpose``: elements added on the high side.

    Returns:
        The call; its ``result_shape(x_shape)`` is the shape of the result.

    Raises:
        ArgumentError: the shapes or options do not fit; the text names the argument and what would fit.

    >>> resolve("conv1d_rows", (2, 4, 100, 3), (5, 3, 8), padding="same").problem.output_shape
    (8, 100, 1, 8)
    """
    row = find(operation)
    if row.is_separable:
        expected = f"an operation with one kernel: {operation} is {', then '.join(row.steps)}"
        raise ArgumentError("resolve", "operation", repr(operation), expected, "xconv.core.call.resolve_all takes it")
    where = find_layout(operation, layout, row.layouts)
    mode = one_of(operation, "padding_mode", padding_mode, PADDING_MODES)
    groups = positive(operation, "groups", groups)
    weight_shape = tuple(map(known, weight_shape))
    bias_shape = None if bias_shape is None else tuple(map(known, bias_shape))
    channel = where.to_channels_last[-1]
    x_shape = tuple((known if axis == channel else size)(each) for axis, each in enumerate(x_shape))
    check_ranks(row, x_shape, weight_shape, bias_shape, where)
    given = _Given(row, where, x_shape, weight_shape, bias_shape, padding, mode, groups, dtype)
    if row.is_2d:
        return _resolve_2d(given, int_pair(operation, "stride", stride), int_pair(operation, "dilation", dilation))
    steps = step(operation, "stride", stride), step(operation, "dilation", dilation)
    if row.is_transposed:
        return _resolve_transposed(given, *steps, output_padding)
    return _resolve_1d(given, *steps)


def resolve_all(
    operation: str,
    x_shape: Sequence[Size],
    weight_shapes: Sequence[Sequence[Size]],
    bias_shape: Sequence[Size] | None = None,
    **options: Any,
) -> list[Call]:
    """The calls that any operation is made of: one, or of a separable one its steps.

    >>> calls = resolve_all("spatially_separable_conv2d", (1, 9, 9, 1), [(3, 1, 2), (3, 2, 4)])
    >>> [call.operation for call in calls]
    ['conv1d_rows', 'conv1d_columns']
    """
    row = find(operation)
    if not row.is_separable:
        return [resolve(operation, x_shape, weight_shapes[0], bias_shape, **options)]
    strides = int_pair(operation, "stride", options.pop("stride", 1))
    dilations = int_pair(operation, "dilation", options.pop("dilation", 1))
    pads = padding_pair(operation, options.pop("padding", "valid"))
    calls: list[Call] = []
    for part, name, weight_shape in zip(row.parts, row.weights, weight_shapes, strict=True):
        at = row.axes.index(part.axes)
        own: dict[str, Any] = {"stride": strides[at], "dilation": dilations[at], "padding": pads[at]}
        bias = bias_shape if len(calls) + 1 == len(row.steps) else None  # it is added once, after the last
        try:
            call = resolve(part.name, x_shape, weight_shape, bias, **own, **options)
        except ArgumentError as error:
            raise error.renamed(operation, {"weight": name}) from None
        x_shape = call.result_shape(x_shape)
        calls.append(call)
    return calls


@dataclass(frozen=True)
class _Given:
    """What was passed, with the names looked up."""

    row: Operation
    layout: Layout
    x_shape: Sequence[Size]
    weight_shape: Sequence[Size]
    bias_shape: Sequence[Size] | None
    padding: Any
    mode: str
    groups: int
    dtype: str

    @property
    def channels_last(self) -> list[Size]:
        return [self.x_shape[i] for i in self.layout.to_channels_last]

    @property
    def kernel(self) -> list[int]:
        """The 1-D kernel's shape in channels last: (kernel, in or out of a group, the other)."""
        return [self.weight_shape[i] for i in self.layout.kernel_to_channels_last]

    def too_long(self, problem: ConvProblem, axis: str) -> str:
        """What to do about a kernel that is longer than the axis."""
        return of_window(self.row, problem, axis, self.x_shape, self.weight_shape, self.layout)

    @property
    def other_end(self) -> int:
        """The length that would be the output channels if the weight were in the other layout."""
        return int(self.weight_shape[0] if self.layout.channels_last else self.weight_shape[-1])


def _around(shape: Sequence[Size], axis: int) -> tuple[Size, Size]:
    """What lies before the sliding axis of a channels-last shape, and between it and the channels."""
    if len(shape) == 3:
        return shape[0], 1
    return (shape[0] * shape[1], 1) if axis == 2 else (shape[0], shape[2])


def _resolve_1d(given: _Given, stride: int, dilation: int) -> Call:
    row, operation, shape, (kernel, group_in, out) = given.row, given.row.name, given.channels_last, given.kernel
    axis = row.axis
    outer, inner = _around(shape, axis)
    check_channels(row, given.x_shape, given.weight_shape, group_in, given.groups, given.layout, out)
    check_bias(operation, given.bias_shape, out, given.other_end)
    pads = resolve_padding(
        operation, given.padding, length=shape[axis], kernel=kernel, stride=stride, dilation=dilation
    )
    window = (kernel, stride, dilation, given.groups, pads, given.mode, given.dtype)
    problem = plain(ConvProblem(outer, shape[axis], inner, shape[-1], out, *window))
    check_window(operation, problem, row.axes, partial(given.too_long, problem, row.axes))
    check_sizes(operation, problem)
    return Call(operation, given.layout, problem, axis)


def _resolve_transposed(given: _Given, stride: int, dilation: int, output_padding: Any) -> Call:
    row, operation, shape, (kernel, group_out, inputs) = given.row, given.row.name, given.channels_last, given.kernel
    if given.mode != "zeros":
        raise ArgumentError(operation, "padding_mode", repr(given.mode), "'zeros'", "crop the result instead")
    check_channels(row, given.x_shape, given.weight_shape, inputs, given.groups, given.layout, None)
    check_bias(operation, given.bias_shape, group_out * given.groups)
    low, high = crop(operation, given.padding, kernel, stride, dilation)
    named = isinstance(given.padding, str) and given.padding in ("same", "same_lower", "causal")
    extra = output_padding_below(operation, output_padding, 1 if named else stride)
    if named:
        length = shape[row.axis] * stride
    else:
        length = (shape[row.axis] - 1) * stride + dilated_extent(kernel, dilation) - low - high + extra
        if isinstance(length, int) and length < 1:
            raise ArgumentError(operation, "padding", repr(given.padding), "a crop that leaves at least one element")
    outer, inner = _around(shape, row.axis)
    window = (kernel, stride, dilation, given.groups, (low, high), given.mode, given.dtype)
    problem = plain(ConvProblem(outer, length, inner, group_out * given.groups, inputs, *window))
    check_sizes(operation, problem, transposed=True)
    return Call(operation, given.layout, problem, row.axis, row.direction)


def _resolve_2d(given: _Given, strides: tuple[int, int], dilations: tuple[int, int]) -> Call:
    row, operation = given.row, given.row.name
    n, height, width, channels = given.channels_last
    last = given.layout.channels_last
    kh, kw, group_in, out = (given.weight_shape[i] for i in KERNEL_2D_TO_CHANNELS_LAST[last])
    check_channels(row, given.x_shape, given.weight_shape, group_in, given.groups, given.layout, out)
    check_bias(operation, given.bias_shape, out, given.other_end)
    problems: list[ConvProblem] = []
    for axis, spec in enumerate(padding_pair(operation, given.padding)):
        length, kernel = (height, width)[axis], (kh, kw)[axis]
        steps = (kernel, strides[axis], dilations[axis])
        pads = resolve_padding(operation, spec, length=length, kernel=kernel, stride=steps[1], dilation=steps[2])
        outer = n if axis == 0 else n * problems[0].output_length
        sizes = (outer, length, width if axis == 0 else 1, channels, out)
        problem = plain(ConvProblem(*sizes, *steps, given.groups, pads, given.mode, given.dtype))
        check_window(operation, problem, "HW"[axis], partial(given.too_long, problem, "HW"[axis]))
        check_sizes(operation, problem)
        problems.append(problem)
    return Call(operation, given.layout, problems[1], row.axis, "forward", problems[0])

"""The one problem: slide a 1-D kernel along one axis of a channels-last array.

Seen from that axis every array is ``(outer, length, inner, channels)``. Padding names become ``(low, high)`` here,
once, so that nothing behind this module ever sees a name.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

from xconv.core.borders import largest_pad
from xconv.core.integers import index, only, size
from xconv.system.errors import ArgumentError, nearest

Size: TypeAlias = Any
"""An ``int``, or a framework's symbolic integer while it traces a program whose sizes are not known yet."""

PADDING_NAMES = ("valid", "same", "same_lower", "causal", "full")
PADDING_MODES = ("zeros", "reflect", "replicate", "circular")
DTYPES = ("float32", "float64", "float16", "bfloat16")
DIRECTIONS = ("forward", "input_gradient", "weight_gradient")


@dataclass(frozen=True)
class ConvProblem:
    """A 1-D convolution, resolved: no names, no layouts, no framework.

    ``y[n, o, i, c] = sum_{j, m} x[n, o * stride + j * dilation - low, i, m] * w[j, m, c]`` with ``m`` over the input
    channels of the group of ``c``: a correlation, as in every deep-learning framework.

    Sizes count elements, dilation counts from 1, ``padding`` is ``(low, high)`` in elements.

    Attributes:
        outer: independent signals before the axis that slides: N, or N * H for rows.
        length: elements of the axis that slides.
        inner: elements behind that axis and before the channels: 1, or W for columns.
        in_channels: channels of x.
        out_channels: channels of y.
        kernel: taps.
        stride: elements between neighbouring outputs.
        dilation: elements between neighbouring taps, from 1.
        groups: channel groups.
        padding: (low, high) in elements; a negative one crops.
        padding_mode: "zeros", "reflect", "replicate" or "circular".
        dtype: of x, the weight and y: "float32", "float64", "float16" or "bfloat16".

    >>> p = ConvProblem(outer=128, length=8000, inner=1, in_channels=1, out_channels=32, kernel=5)
    >>> p.output_length, p.macs
    (7996, 163758080)
    """

    outer: Size
    length: Size
    inner: Size
    in_channels: int
    out_channels: int
    kernel: int
    stride: int = 1
    dilation: int = 1
    groups: int = 1
    padding: tuple[Size, Size] = (0, 0)
    padding_mode: str = "zeros"
    dtype: str = "float32"

    def __post_init__(self) -> None:
        for name in ("kernel", "stride", "dilation", "groups", "in_channels", "out_channels"):
            value = getattr(self, name)
            number = positive("ConvProblem", name, value)
            if value.__class__ is not int:
                object.__setattr__(self, name, number)
        for name in ("outer", "length", "inner"):
            value = getattr(self, name)
            if not isinstance(value, int):
                object.__setattr__(self, name, size(value))
        if not all(isinstance(amount, int) for amount in self.padding):
            object.__setattr__(self, "padding", tuple(map(size, self.padding)))
        for name in ("in_channels", "out_channels"):
            if getattr(self, name) % self.groups:
                raise ArgumentError("ConvProblem", "groups", str(self.groups), f"a divisor of {name}")

    @property
    def extent(self) -> int:
        """Elements from the first to the last tap of the dilated kernel: ``(kernel - 1) * dilation + 1``."""
        return dilated_extent(self.kernel, self.dilation)

    @property
    def padded_length(self) -> Size:
        """Length of the input with both pads."""
        return self.length + self.padding[0] + self.padding[1]

    @property
    def output_length(self) -> Size:
        """Number of places the kernel fits: ``floor((padded - extent) / stride) + 1``, and never below 0."""
        return places(self.padded_length, self.extent, self.stride)

    @property
    def group_in(self) -> int:
        """Input channels of one group."""
        return self.in_channels // self.groups

    @property
    def group_out(self) -> int:
        """Output channels of one group."""
        return self.out_channels // self.groups

    @property
    def depthwise(self) -> bool:
        """Each input channel alone (with any channel multiplier)."""
        return self.groups > 1 and self.group_in == 1

    @property
    def weight_shape(self) -> tuple[int, int, int]:
        """``(kernel, in_channels / groups, out_channels)``."""
        return (self.kernel, self.group_in, self.out_channels)

    @property
    def input_shape(self) -> tuple[Size, Size, Size, int]:
        """``(outer, length, inner, in_channels)``."""
        return (self.outer, self.length, self.inner, self.in_channels)

    @property
    def output_shape(self) -> tuple[Size, Size, Size, int]:
        """``(outer, output_length, inner, out_channels)``."""
        return (self.outer, self.output_length, self.inner, self.out_channels)

    def result_sizes(self, direction: str, sizes: Sequence[Size], axis: int) -> tuple[Size, ...]:
        """The shape of the result of a direction, of a first operand of these sizes that slides along an axis.

        Args:
            direction: "forward", "input_gradient" or "weight_gradient".
            sizes: of the first operand, channels last.
            axis: the one that slides.

        Returns:
            The shape, channels last; for "weight_gradient" (kernel, in/groups, out).

        >>> ConvProblem(2, 10, 1, 3, 4, kernel=5).result_sizes("forward", (2, 10, 3), axis=1)
        (2, 6, 4)
        """
        if direction == "weight_gradient":
            return self.weight_shape
        forward, result = direction == "forward", list(sizes)
        result[axis] = self.output_length if forward else self.length
        result[-1] = self.out_channels if forward else self.in_channels
        return tuple(result)

    @property
    def macs(self) -> Size:
        """Multiply-accumulates of one direction (each of the three does the same number)."""
        return self.outer * self.output_length * self.inner * self.out_channels * self.kernel * self.group_in

    def terms(self, direction: str = "forward") -> Size:
        """The most products that are summed into one element of the result of a direction.

        Args:
            direction: "forward", "input_gradient" or "weight_gradient".

        Returns:
            A number of products.
        """
        if direction == "forward":
            return self.kernel * self.group_in
        if direction == "input_gradient":
            return self.kernel * self.group_out
        return self.outer * self.output_length * self.inner

    @property
    def is_static(self) -> bool:
        """Whether every size is known; while a framework traces, some may be symbolic."""
        low, high = self.padding
        return (
            isinstance(self.length, int)
            and isinstance(self.outer, int)
            and isinstance(self.inner, int)
            and isinstance(low, int)
            and isinstance(high, int)
        )

    @property
    def is_empty(self) -> bool:
        """Known to have no product to sum: no sample, no element of the signal, or no place where the kernel fits.

        Every element that a direction of it still has is zero: the result of an empty signal between pads is.
        """
        sizes = (self.outer, self.inner, self.length, self.output_length)
        return any(isinstance(size, int) and size == 0 for size in sizes)

    @property
    def is_empty_same(self) -> Any:
        """Whether it is an empty signal under "same", whose result is empty; every other misfit is a mistake.

        A tensor, where the length is one.
        """
        return (self.length == 0) & (self.padded_length == max(self.extent - self.stride, 0))

    def transposed(self) -> ConvProblem:
        """For stride 1, the convolution of ``dy`` that is the input gradient.

        Its weight is the flipped kernel with input and output channels swapped in each group. A pad may be negative: it
        crops.

        Returns:
            A problem of the length, the channels and the pads of that convolution.

        >>> p = ConvProblem(1, 10, 1, 2, 3, kernel=4, padding=(3, 0)).transposed()
        >>> p.padding, p.in_channels, p.output_length
        ((0, 3), 3, 10)
        """
        low, high = (self.extent - 1 - amount for amount in self.padding)
        return replace(
            self,
            length=self.output_length,
            in_channels=self.out_channels,
            out_channels=self.in_channels,
            padding=(low, high),
        )

    def padded(self) -> ConvProblem:
        """The same convolution of an input that has been padded already.

        Returns:
            The problem with ``padded_length`` elements, and no padding.
        """
        return replace(self, length=self.padded_length, padding=(0, 0), padding_mode="zeros")

    def decimated(self) -> ConvProblem:
        """For kernel 1, the same convolution of every stride-th element of the padded input.

        Returns:
            The problem with ``output_length`` elements, stride 1 and no padding.

        >>> p = ConvProblem(1, 10, 1, 2, 3, kernel=1, stride=3).decimated()
        >>> p.stride, p.length, p.output_length
        (1, 4, 4)
        """
        return replace(self.padded(), length=self.output_length, stride=1, dilation=1)

    @property
    def decimates(self) -> bool:
        """Whether it sees every stride-th element and no other: kernel 1 with a stride."""
        return self.kernel == 1 and self.stride > 1


def places(padded_length: Size, extent: int, stride: int) -> Size:
    """Number of places that a kernel which spans ``extent`` elements has in a padded signal.

    >>> places(10, 3, 2), places(2, 3, 1)
    (4, 0)
    """
    fitting = (padded_length - extent) // stride + 1
    return max(fitting, 0) if isinstance(fitting, int) else fitting


def dilated_extent(kernel: int, dilation: int) -> int:
    """Elements from the first to the last tap.

    >>> dilated_extent(3, 4)
    9
    """
    return (kernel - 1) * dilation + 1


def resolve_padding(
    operation: str, padding: object, *, length: Size, kernel: int, stride: int, dilation: int
) -> tuple[Size, Size]:
    """Any way to write padding as ``(low, high)``.

    ``"same"`` is TensorFlow's and ONNX's SAME_UPPER rule for any stride: the output has ``ceil(length / stride)``
    elements and an odd pad goes to the high side. It is written without a branch on ``length``, which may be symbolic.

    >>> resolve_padding("conv1d", "same", length=17, kernel=3, stride=2, dilation=1)
    (1, 1)
    >>> resolve_padding("conv1d", "same", length=16, kernel=3, stride=2, dilation=1)
    (0, 1)
    >>> resolve_padding("conv1d", "causal", length=16, kernel=3, stride=1, dilation=4)
    (8, 0)
    """
    extent = dilated_extent(kernel, dilation)
    if isinstance(padding, str):
        if padding == "valid":
            return (0, 0)
        if padding == "causal":
            return (extent - 1, 0)
        if padding == "full":
            return (extent - 1, extent - 1)
        if padding in ("same", "same_lower"):
            # the last place starts at length - last, with last in 1..stride; a kernel shorter than that needs no pad
            last = (length - 1) % stride + 1 if stride > 1 else 1
            total = extent - last
            if stride > extent:
                total = (total + abs(total)) // 2
            half = total // 2
            return (half, total - half) if padding == "same" else (total - half, half)
        raise ArgumentError(
            operation,
            "padding",
            repr(padding),
            "one of " + ", ".join(map(repr, PADDING_NAMES)) + ", an integer, or (low, high)",
            nearest(padding, PADDING_NAMES),
        )
    return explicit_padding(operation, padding)


def explicit_padding(operation: str, padding: object) -> tuple[int, int]:
    """An integer, or a tuple of one, for both sides, or a pair ``(low, high)``; nothing else, and nothing negative.

    >>> explicit_padding("conv1d", 2), explicit_padding("conv1d", (2,)), explicit_padding("conv1d", (2, 0))
    ((2, 2), (2, 2), (2, 0))
    """
    given = only(padding)
    parts = list(given) if isinstance(given, (tuple, list)) and len(given) == 2 else [given, given]
    low, high = index(parts[0]), index(parts[1])
    if low is None or high is None:
        raise ArgumentError(
            operation, "padding", repr(padding), "a name, an integer >= 0, or a pair of integers (low, high)"
        )
    if low < 0 or high < 0:
        raise ArgumentError(
            operation, "padding", repr(padding), "amounts >= 0", "to drop elements, slice the input instead"
        )
    return low, high


def positive(operation: str, argument: str, value: Any) -> int:
    """An integer >= 1, or an error that names the argument."""
    number = index(value)
    if number is None or number < 1:
        hint = "1 means no dilation" if argument == "dilation" else ""
        raise ArgumentError(operation, argument, repr(value), "an integer >= 1", hint)
    return number


def step(operation: str, argument: str, value: Any) -> int:
    """An integer >= 1, or a tuple of one such integer, as ``nn.Conv1d`` and Keras' ``Conv1D`` keep theirs.

    >>> step("conv1d", "stride", 2), step("conv1d", "stride", (2,))
    (2, 2)
    """
    number = index(only(value))
    return number if number is not None and number >= 1 else positive(operation, argument, value)


def check_window(operation: str, problem: ConvProblem, axis: str, hint: Callable[[], str] = str) -> None:
    """Refuse a kernel that fits nowhere (with a hint) and border values that the input does not have.

    A symbolic length is let through: what cannot be known while tracing is the framework's to refuse.
    """
    length, (low, high), mode = problem.length, problem.padding, problem.padding_mode
    if not isinstance(length, int):
        return
    most = largest_pad(mode, length)
    if most is not None and max(low, high) > max(most, 0):
        why, others = {
            "reflect": ("reflection leaves out the border element", "'replicate' or 'circular'"),
            "circular": ("once around", "'replicate'"),
        }[mode]
        raise ArgumentError(
            operation,
            "padding",
            f"({low}, {high}) with padding_mode {mode!r} on axis {axis} of length {length}",
            f"at most {max(most, 0)} on either side ({why})",
            f"use padding_mode {others}, or pad less",
        )
    if mode != "zeros" and length == 0 and low + high > 0:
        raise ArgumentError(
            operation, "x", f"length 0 on axis {axis}", f"at least one element to pad with mode {mode!r}"
        )
    if problem.padded_length < problem.extent and not problem.is_empty_same:
        dilated = f" (dilation {problem.dilation} spreads {problem.kernel} taps)" if problem.dilation > 1 else ""
        raise ArgumentError(
            operation,
            "weight",
            f"a kernel that spans {problem.extent} elements{dilated} on axis {axis} of length {length}"
            + (f", {problem.padded_length} with padding" if low + high else ""),
            f"a padded input at least as long as the kernel on axis {axis}",
            hint(),
        )

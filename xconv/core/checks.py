"""Options and shapes, checked one by one: what does not fit is refused with what would."""

from __future__ import annotations

from collections.abc import Sequence

from xconv.core import mistakes
from xconv.core.integers import index, only
from xconv.core.layouts import LAYOUTS, Layout
from xconv.core.operations import Operation, along
from xconv.core.problem import Size, dilated_extent, positive, resolve_padding
from xconv.system.errors import ArgumentError, nearest


def int_pair(operation: str, argument: str, value: object) -> tuple[int, int]:
    """An integer, or a pair (height, width).

    >>> int_pair("conv2d", "stride", 2), int_pair("conv2d", "stride", (1, 2))
    ((2, 2), (1, 2))
    """
    if isinstance(value, (tuple, list)):
        if len(value) != 2:
            expected = "an integer or a pair (height, width)"
            raise ArgumentError(operation, argument, repr(value), expected, _for_both(value))
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
            expected = "a name, an integer, or a pair (height, width)"
            raise ArgumentError(operation, "padding", repr(padding), expected, _for_both(padding))
        return padding[0], padding[1]
    return padding, padding


def _for_both(value: Sequence[object]) -> str:
    return f"pass {value[0]!r} for both axes" if len(value) == 1 else ""


def crop(operation: str, padding: object, kernel: int, stride: int, dilation: int) -> tuple[int, int]:
    """What a transposed convolution drops from its full result, as (low, high)."""
    # A transposed convolution crops what the forward one pads. "same" and "causal" give length * stride elements;
    # "causal" drops the high end only, so that no output depends on a later input.
    extent = dilated_extent(kernel, dilation)
    if isinstance(padding, str) and padding in ("same", "same_lower", "causal"):
        total = max(extent - stride, 0)
        low = {"same": total // 2, "same_lower": total - total // 2, "causal": 0}[str(padding)]
        return low, total - low
    low, high = resolve_padding(operation, padding, length=1, kernel=kernel, stride=1, dilation=dilation)
    return low, high


def output_padding_below(operation: str, value: object, stride: int) -> int:
    """An output padding below a stride."""
    extra = index(only(value))
    if extra is None or not 0 <= extra < stride:
        raise ArgumentError(
            operation,
            "output_padding",
            repr(value),
            f"an integer from 0 to {stride - 1}",
            "it is below the stride; 'same' and 'causal' take none, their length is length * stride",
        )
    return extra


def one_of(operation: str, argument: str, value: object, known: Sequence[str]) -> str:
    """One of some names."""
    if not isinstance(value, str) or value not in known:
        raise ArgumentError(
            operation, argument, repr(value), "one of " + ", ".join(map(repr, known)), nearest(str(value), known)
        )
    return value


def find_layout(operation: str, value: object, layouts: Sequence[str]) -> Layout:
    """The layout of a name, one of some; None is the first of them."""
    if value is None:
        value = layouts[0]
    if isinstance(value, str) and value in LAYOUTS and value not in layouts:
        other = " or ".join(each.name for each in along(len(value)))
        raise ArgumentError(
            operation, "layout", repr(value), " or ".join(map(repr, layouts)), f"{value} data is for {other}"
        )
    return LAYOUTS[one_of(operation, "layout", value, layouts)]


def check_ranks(
    row: Operation,
    x_shape: Sequence[Size],
    weight_shape: Sequence[Size],
    bias_shape: Sequence[Size] | None,
    where: Layout,
) -> None:
    """The numbers of axes, and a kernel that is not empty."""
    operation, rank, kernel_rank = row.name, row.rank, len(row.kernel_axes)
    if len(x_shape) != rank:
        raise ArgumentError(operation, "x", f"shape {_show(x_shape)}", f"{rank} axes", mistakes.of_rank(x_shape, where))
    if len(weight_shape) != kernel_rank:
        hint = mistakes.of_weight_rank(weight_shape, kernel_rank, where)
        raise ArgumentError(operation, "weight", f"shape {_show(weight_shape)}", f"{kernel_rank} axes", hint)
    if not all(isinstance(size, int) and size >= 1 for size in weight_shape):
        raise ArgumentError(operation, "weight", f"shape {_show(weight_shape)}", "known sizes >= 1 on every axis")
    if bias_shape is not None and len(bias_shape) != 1:
        raise ArgumentError(operation, "bias", f"shape {_show(bias_shape)}", "one axis, of the output channels")


def check_channels(
    row: Operation,
    x_shape: Sequence[Size],
    weight_shape: Sequence[int],
    per_group: int,
    groups: int,
    where: Layout,
    out: int | None,
) -> None:
    """The channels of x against the weight's; ``out`` is None for a transposed kernel, which holds all of them."""
    operation, last = row.name, where.channels_last
    channels = x_shape[where.to_channels_last[-1]]
    if not isinstance(channels, int):
        raise ArgumentError(
            operation, "x", f"shape {_show(x_shape)}", "a known number of channels", "give it in the input signature"
        )
    wanted = per_group if out is None else per_group * groups
    if channels != wanted:
        other = LAYOUTS[row.layouts[last]]  # the second, where this one is the first
        elsewhere = x_shape[other.to_channels_last[-1]]
        hint = ""
        if isinstance(elsewhere, int) and elsewhere == wanted:
            hint = f"the sizes fit layout={other.name!r}, with the weight as {row.kernel(not last)}"
        else:
            many = channels // per_group if out is not None and channels % per_group == 0 else 0
            grouped = f"groups={many} would fit" if many > 1 and out is not None and out % many == 0 else ""
            meant = mistakes.of_channels(row, channels, weight_shape, groups, where)
            hint = (grouped or meant) if groups == 1 else (meant or grouped)
        raise ArgumentError(
            operation,
            "x",
            f"shape {_show(x_shape)} in layout {where.name!r}, with {channels} channels",
            f"{wanted} channels, as the weight {row.kernel(last)} with groups={groups} has it",
            hint,
        )
    for count, what in ((channels, "input"), (out, "output")):
        if count is not None and count % groups:
            raise ArgumentError(operation, "groups", str(groups), f"a divisor of the {count} {what} channels")


def check_bias(operation: str, bias_shape: Sequence[Size] | None, out: int, other_end: int | None = None) -> None:
    """The bias against the output channels; a weight in the other layout has them on its other end."""
    if bias_shape is not None and isinstance(bias_shape[0], int) and bias_shape[0] != out:
        hint = ""
        if bias_shape[0] == other_end:
            hint = f"the weight has {other_end} on its other end: is it in the other layout?"
        raise ArgumentError(operation, "bias", f"length {bias_shape[0]}", f"length {out}, the output channels", hint)


def _show(shape: Sequence[Size]) -> str:
    return (
        "(" + ", ".join(str(s) if isinstance(s, int) else "?" for s in shape) + ("," if len(shape) == 1 else "") + ")"
    )

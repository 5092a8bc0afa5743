"""The setting of a layer as that of another operation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from xconv.core.checks import int_pair, padding_pair
from xconv.core.layouts import LAYOUTS
from xconv.core.operations import OPERATIONS, find
from xconv.system.errors import ArgumentError

if TYPE_CHECKING:
    from xconv.explanation.explained import Explanation


def as_operation(
    found: Explanation, operation: str, middle: int | None
) -> tuple[list[tuple[int, ...]], dict[str, Any]]:
    """The shapes (of the input, then of each kernel) and the options of the same setting as another operation.

    A signal becomes an image of height one, its kernel one of height one. On a feature map an operation along one axis
    becomes one along both, with a square kernel and the same stride, dilation and padding on both axes; one along both
    becomes one along its own axis. The separable operation goes over ``middle`` channels, by default as many as come
    out.

    Raises:
        ArgumentError: the operation fits no such data.
    """
    row, own = find(operation, "as_operation"), find(found.operation)
    signal = len(found.input_shape) == 3
    if row.is_transposed or own.is_transposed:
        raise ArgumentError(
            "as_operation", "operation", repr(operation), "an operation that does not upsample, for one that does not"
        )
    if signal and not row.is_2d and row.axes != "W":
        raise ArgumentError(
            "as_operation",
            "operation",
            repr(operation),
            "one along W: a signal has no other axis",
            "explain conv2d or conv1d_rows of a feature map (N, H, W, C) instead",
        )
    if not signal and row.rank == 3:
        others = [each.name for each in OPERATIONS.values() if each.rank == 4 and not each.is_transposed]
        raise ArgumentError(
            "as_operation",
            "operation",
            repr(operation),
            f"one for feature maps: {', '.join(others)}",
            "to slide along one axis and see all of the other, explain conv1d with that one folded into the channels",
        )
    height, width = _axes(found)
    setting = {name: value for name, value in found.options.items() if name in ("padding_mode", "groups", "dtype")}
    last = LAYOUTS[found.layout].channels_last
    inputs, outputs = _ends(found)
    groups = int(found.options.get("groups", 1))
    shape = found.input_shape
    if signal and row.rank == 4:
        shape = (shape[0], 1, *shape[1:]) if last else (*shape[:2], 1, shape[2])
    along = {"H": height, "W": width}
    kernels: list[tuple[int, ...]]
    if not row.takes_pairs:
        taps, stride, dilation, padding = along[row.axes]
        kernels = [(taps, inputs, outputs)]
        setting |= {"stride": stride, "dilation": dilation, "padding": padding}
    else:
        setting |= dict(zip(("stride", "dilation", "padding"), zip(height[1:], width[1:], strict=True), strict=True))
        between = outputs if middle is None else middle
        if row.is_separable:
            first, last_step = row.parts
            kernels = [
                (along[first.axes][0], inputs, between),
                (along[last_step.axes][0], between // groups, outputs),
            ]
        else:
            kernels = [(height[0], width[0], inputs, outputs)]
    if not last:
        kernels = [(*reversed(kernel[-2:]), *kernel[:-2]) for kernel in kernels]
    layout = found.layout if len(shape) == len(found.input_shape) else ("NHWC" if last else "NCHW")
    how: dict[str, Any] = {"bias": found.bias, "limits": found.limits or False, "device": found.device}
    how["backend"] = found.plans[0].backend if found.plans else None
    return [shape, *kernels], {"layout": layout, **how, **setting}


def _ends(found: Explanation) -> tuple[int, int]:
    """Input channels of a group, and output channels."""
    first, last = found.calls[0].problem, found.calls[-1].problem
    return first.group_in, last.out_channels


def _axes(found: Explanation) -> tuple[tuple[int, Any, Any, Any], tuple[int, Any, Any, Any]]:
    """(taps, stride, dilation, padding) along the height and along the width."""
    options = found.options
    named = options.get("stride", 1), options.get("dilation", 1), options.get("padding", "valid")
    if find(found.operation).takes_pairs:
        taps = {window.axis: window.problem.kernel for window in found.windows}
        strides, dilations = (int_pair(found.operation, "stride", value) for value in named[:2])
        pads = padding_pair(found.operation, named[2])
        return (taps["H"], strides[0], dilations[0], pads[0]), (taps["W"], strides[1], dilations[1], pads[1])
    problem = found.windows[0].problem
    own = problem.kernel, problem.stride, problem.dilation, named[2]
    return ((1, 1, 1, "valid") if len(found.input_shape) == 3 else own), own

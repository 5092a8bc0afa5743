"""The same setting as other operations, side by side."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from xconv.core.checks import int_pair, padding_pair
from xconv.core.layouts import LAYOUTS
from xconv.core.operations import OPERATIONS, find
from xconv.explanation.explained import Explanation, explain, shown_seconds
from xconv.system.errors import ArgumentError


@dataclass(frozen=True)
class SideBySide:
    """Variants in columns: a number is followed by its ratio to the first variant's. Prints as a table."""

    variants: tuple[Explanation, ...]

    def to_json(self) -> str:
        """All variants as JSON."""
        return json.dumps([variant.to_dict() for variant in self.variants])

    def __str__(self) -> str:
        from tabulate import tabulate

        counted: list[tuple[str, Callable[[Explanation], float | None]]] = [
            ("parameters", lambda found: found.parameters),
            ("multiply-adds", lambda found: found.macs),
            ("inside the signal", lambda found: found.useful_macs),
            ("bytes", lambda found: found.bytes),
        ]
        rows: list[list[str]] = [
            ["input", *(str(found.input_shape) for found in self.variants)],
            ["kernels", *(" then ".join(map(str, found.weight_shapes)) for found in self.variants)],
            ["output", *(str(found.output_shape) for found in self.variants)],
            ["receptive field", *(_field(found) for found in self.variants)],
            *([name, *self._ratios(number)] for name, number in counted),
            ["FLOP per byte", *(f"{found.intensity:.3g}" for found in self.variants)],
        ]
        if any(found.limits for found in self.variants):
            rows.append(["at best", *self._ratios(lambda found: found.least_seconds)])
            rows.append(["what binds", *(found.binds for found in self.variants)])
        if any(found.plans for found in self.variants):
            rows.append(["would run", *(" then ".join(p.formulation for p in v.plans) for v in self.variants)])
        headers = ["", *(found.operation for found in self.variants)]
        return tabulate(rows, headers, tablefmt="simple", disable_numparse=True)

    def _ratios(self, number: Callable[[Explanation], float | None]) -> list[str]:
        first, said = number(self.variants[0]), []
        for found in self.variants:
            value = number(found)
            if value is None:
                said.append("")
                continue
            shown = f"{value:,}" if isinstance(value, int) else shown_seconds(value)
            said.append(f"{shown} ({value / first:.2f})" if first and found is not self.variants[0] else shown)
        return said


def side_by_side(*explanations: Explanation) -> SideBySide:
    """Explanations as a table, with ratios to the first.

    Raises:
        ArgumentError: there is none, or one is no explanation.

    >>> import xconv
    >>> signal = xconv.explain("conv1d", (128, 8000, 1), (5, 1, 32))
    >>> table = xconv.side_by_side(signal, signal.as_operation("conv2d"))
    >>> print(*str(table).splitlines()[:4], sep="\\n")
                       conv1d           conv2d
    -----------------  ---------------  ------------------
    input              (128, 8000, 1)   (128, 1, 8000, 1)
    kernels            (5, 1, 32)       (1, 5, 1, 32)
    """
    for each in explanations or (None,):
        if not isinstance(each, Explanation):
            raise ArgumentError(
                "side_by_side", "explanations", "none" if each is None else type(each).__name__, "one or more"
            )
    return SideBySide(explanations)


def as_operation(found: Explanation, operation: str, middle: int | None = None) -> Explanation:
    """The same setting as another operation: the same input, channels, taps along an axis, and options.

    A signal becomes an image of height one, its kernel one of height one. On a feature map an operation along one axis
    becomes one along both, with a square kernel and the same stride, dilation and padding on both axes; one along both
    becomes one along its own axis. The separable operation goes over ``middle`` channels, by default as many as come
    out.

    Raises:
        ArgumentError: the operation fits no such data.

    >>> import xconv
    >>> image = xconv.explain("conv2d", (1, 32, 32, 16), (3, 5, 16, 32), padding="same")
    >>> image.as_operation("spatially_separable_conv2d", middle=8).weight_shapes
    ((5, 16, 8), (3, 8, 32))
    """
    row, own = find(operation, "as_operation"), find(found.operation)
    signal = len(found.input_shape) == 3
    if operation == found.operation and middle is None:
        return found
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
    backend = found.plans[0].backend if found.plans else None
    return explain(operation, shape, *kernels, backend=backend, layout=layout, **how, **setting)


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


def _field(found: Explanation) -> str:
    field = found.receptive_field
    return str(field) if isinstance(field, int) else f"{field[0]} x {field[1]}"

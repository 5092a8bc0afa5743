"""What a convolution of some shapes is: its result and how that came about, its cost, its limits, its plan."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import prod
from typing import TYPE_CHECKING, Any

from xconv.core.call import Call, resolve_all
from xconv.core.checks import padding_pair
from xconv.core.cost import Cost, cost
from xconv.core.integers import only, plain, size
from xconv.core.operations import Operation, find
from xconv.explanation.as_operation import as_operation
from xconv.explanation.text import shown_seconds, text
from xconv.explanation.windows import Window
from xconv.system.errors import ArgumentError

if TYPE_CHECKING:
    from xconv.bench.limits import Limits


@dataclass(frozen=True)
class PlannedCall:
    """What would run one call on a backend, and why; ``seconds`` where a time is expected or was measured."""

    operation: str
    backend: str
    formulation: str
    why: str
    seconds: float | None = None
    alternatives: Mapping[str, float] = field(default_factory=dict)

    def __str__(self) -> str:
        took = "" if self.seconds is None else f", expected {shown_seconds(self.seconds)}"
        return f"{self.formulation} on {self.backend}{took}: {self.why}"


@dataclass(frozen=True)
class Explanation:
    """An operation on arrays of some shapes, explained. Prints as a text.

    Attributes:
        operation: its name.
        layout: "NWC", "NCW", "NHWC" or "NCHW"; all shapes are in it.
        input_shape: of x, with the batch.
        weight_shapes: of the kernel, or of both.
        output_shape: of the result.
        bias: whether there is one.
        options: those that were given.
        calls: the problems that it is made of: one, or two for the separable one.
        windows: the axes along which a kernel slides.
        cost: of one forward pass of all calls.
        limits: the fastest arithmetic and copies of this machine, if they were asked for.
        plans: how a backend would compute each call, if one was named.
        device: on which.
    """

    operation: str
    layout: str
    input_shape: tuple[int, ...]
    weight_shapes: tuple[tuple[int, ...], ...]
    output_shape: tuple[int, ...]
    bias: bool
    options: Mapping[str, Any]
    calls: tuple[Call, ...]
    windows: tuple[Window, ...]
    cost: Cost
    limits: Limits | None = None
    plans: tuple[PlannedCall, ...] = ()
    device: str = "cpu"

    @property
    def parameters(self) -> int:
        """Weights, and the bias if there is one."""
        return self.cost.parameters

    @property
    def macs(self) -> int:
        """Multiply-accumulates of one forward pass of the direct method, those with the padding's zeros included."""
        return self.cost.macs

    @property
    def useful_macs(self) -> int:
        """Those that meet an element of the signal; of a transposed convolution, those that are not cropped."""
        useful, left = 0, list(self.windows)
        for call in self.calls:
            axes = 2 if call.vertical is not None else 1
            windows, left = left[:axes], left[axes:]
            pairs = prod(window.problem.output_length * window.problem.kernel for window in windows)
            macs = cost(call).macs
            useful += macs * prod(window.inside for window in windows) // pairs if pairs else macs
        return useful

    @property
    def flops(self) -> int:
        """Floating-point operations: a multiply-accumulate is two."""
        return self.cost.flops

    @property
    def bytes(self) -> int:
        """The least that must be moved: each array once, between the two steps of the separable one twice."""
        return self.cost.bytes

    @property
    def intensity(self) -> float:
        """Arithmetic intensity in FLOP per byte."""
        return self.cost.intensity

    @property
    def receptive_field(self) -> int | tuple[int, int]:
        """Elements from the first to the last that one output sees; for maps (height, width)."""
        sizes = {window.axis: window.receptive_field for window in self.windows}
        return sizes["W"] if len(self.input_shape) == 3 else (sizes.get("H", 1), sizes.get("W", 1))

    @property
    def least_seconds(self) -> float | None:
        """The time that the limits allow: for each step the longer of computing and moving; None if unknown."""
        if self.limits is None:
            return None
        return sum(self.limits.fraction(each, 1.0)[0] for each in self._steps()) or None

    @property
    def binds(self) -> str:
        """What the least time is spent on, "compute" or "memory"; "" if it is not known."""
        if self.limits is None:
            return ""
        found = {self.limits.fraction(each, 1.0)[1] for each in self._steps()}
        return " and ".join(sorted(found))

    @property
    def notes(self) -> list[str]:
        """What may not have been meant."""
        notes = []
        if self.macs and self.useful_macs < self.macs * 3 // 4:
            part = 1 - self.useful_macs / self.macs
            what = "compute what is cropped" if self.windows[0].transposed else "meet only the zeros of the padding"
            notes.append(f"{part:.0%} of the multiply-adds {what}")
        for window in self.windows:
            problem = window.problem
            if window.transposed:
                if problem.kernel % problem.stride and problem.dilation == 1 and problem.stride > 1:
                    notes.append(
                        f"outputs meet unequal numbers of taps, as {problem.kernel} taps are no multiple of stride "
                        f"{problem.stride}: a checkerboard pattern"
                    )
            elif window.unseen:
                notes.append(
                    f"{window.unseen:,} of {problem.length:,} elements along {window.axis} are seen by no output"
                )
        return notes

    def as_operation(self, operation: str, middle: int | None = None) -> Explanation:
        """The same setting as another operation: the same input, channels, taps along an axis, and options.

        A signal becomes an image of height one, its kernel one of height one. On a feature map an operation along one
        axis becomes one along both, with a square kernel and the same stride, dilation and padding on both axes; one
        along both becomes one along its own axis. The separable operation goes over ``middle`` channels, by default as
        many as come out.

        Args:
            operation: the name of the other one.
            middle: of the separable one: channels between the rows and the columns.

        Returns:
            The explanation of the other one.

        Raises:
            ArgumentError: the operation fits no such data.

        >>> import xconv
        >>> image = xconv.explain("conv2d", (1, 32, 32, 16), (3, 5, 16, 32), padding="same")
        >>> image.as_operation("spatially_separable_conv2d", middle=8).weight_shapes
        ((5, 16, 8), (3, 8, 32))
        """
        if operation == self.operation and middle is None:
            return self
        shapes, options = as_operation(self, operation, middle)
        return explain(operation, *shapes, **options)

    def to_dict(self) -> dict[str, Any]:
        """All of it as JSON has it.

        Returns:
            Numbers, texts, lists and dictionaries.
        """
        least = self.least_seconds
        return {
            "operation": self.operation,
            "layout": self.layout,
            "input_shape": self.input_shape,
            "weight_shapes": self.weight_shapes,
            "output_shape": self.output_shape,
            "bias": self.bias,
            "options": dict(self.options),
            "padding": {window.axis: window.problem.padding for window in self.windows},
            "parameters": self.parameters,
            "macs": self.macs,
            "useful_macs": self.useful_macs,
            "flops": self.flops,
            "bytes": self.bytes,
            "intensity": self.intensity,
            "receptive_field": self.receptive_field,
            "how": [line for window in self.windows for line in (f"along {window.axis}", *window.lines())],
            "notes": self.notes,
            "limits": None
            if self.limits is None
            else {"flops": self.limits.flops, "bytes": self.limits.bytes, "least_seconds": least, "binds": self.binds},
            "plans": [{**vars(plan), "alternatives": dict(plan.alternatives)} for plan in self.plans],
        }

    def to_json(self) -> str:
        """All of it as JSON.

        Returns:
            A text in one line.
        """
        return json.dumps(self.to_dict())

    def __str__(self) -> str:
        return text(self)

    def _steps(self) -> list[Cost]:
        return [cost(call, self.bias and call is self.calls[-1]) for call in self.calls]


def explain(
    operation: str,
    input_shape: Sequence[int],
    *weight_shapes: Sequence[int],
    bias: bool = True,
    backend: str | None = None,
    device: str = "cpu",
    limits: bool | Limits = False,
    **options: Any,
) -> Explanation:
    """What an operation on arrays of these shapes gives, how that comes about, and what it costs.

    Args:
        operation: the name of a function of :mod:`xconv.ops`.
        input_shape: with the batch, in the layout.
        weight_shapes: of the kernel, in the layout; for the separable operation of the rows' and then the columns'.
        bias: whether there is one, as layers have it.
        backend: the name of a backend whose plan is told too; its framework is imported then.
        device: where the backend would compute.
        limits: True measures this machine's fastest matrix product and copy, which takes about a second (by the
            backend, or without one by NumPy); or what was measured before.
        options: as the operation takes them (stride, padding, padding_mode, dilation, groups, layout, output_padding),
            and ``dtype``.

    Returns:
        Shapes, costs, windows, and what was asked for beside.

    Raises:
        ArgumentError: the shapes or options do not fit.
        BackendError: the backend is not there.

    >>> import xconv
    >>> found = xconv.explain("conv1d", (128, 8000, 1), (5, 1, 32))
    >>> found.output_shape, found.parameters, found.macs, found.receptive_field
    ((128, 7996, 32), 192, 163758080, 5)
    """
    row = find(operation, "explain")
    input_shape = tuple(map(size, input_shape))
    kernels = tuple(tuple(map(size, shape)) for shape in weight_shapes)
    _check_shapes(row, input_shape, kernels)
    try:
        calls = tuple(resolve_all(operation, input_shape, kernels, **options))
    except TypeError as error:
        raise ArgumentError("explain", "options", str(error), "options of the operation") from None
    options = {name: plain(only(value)) for name, value in options.items()}
    output = input_shape
    for call in calls:
        output = call.result_shape(output)
    total = sum((cost(call, bias and call is calls[-1]) for call in calls), Cost(0, 0, 0))
    return Explanation(
        operation,
        calls[0].layout.name,
        input_shape,
        kernels,
        output,
        bias,
        options,
        calls,
        _windows(row, calls, options.get("padding", "valid")),
        total,
        _measured(limits, backend, device),
        () if backend is None else tuple(_planned(call, backend, device) for call in calls),
        device,
    )


def _check_shapes(row: Operation, input_shape: Sequence[int], weight_shapes: Sequence[Sequence[int]]) -> None:
    if len(weight_shapes) != len(row.weights):
        first, *others = (f"the {name.removeprefix('weight_')}'" for name in row.weights)
        expected = " and of ".join([f"the shapes of {first} kernel", *others]) if others else "the shape of one kernel"
        raise ArgumentError(row.name, "weight", f"{len(weight_shapes)} shapes", expected)
    if not all(isinstance(size, int) and size >= 0 for size in input_shape):
        raise ArgumentError(
            row.name, "x", f"shape {tuple(input_shape)}", "known sizes", "put 1 for a batch that may have any size"
        )


def _windows(row: Operation, calls: Sequence[Call], padding: object) -> tuple[Window, ...]:
    if not row.takes_pairs:
        return (Window(row.axes, calls[0].problem, padding, row.is_transposed),)
    pads = dict(zip(row.axes, padding_pair(row.name, padding), strict=True))
    if row.is_separable:
        steps = zip(row.parts, calls, strict=True)
        return tuple(Window(step.axes, call.problem, pads[step.axes]) for step, call in steps)
    [call] = calls
    assert call.vertical is not None
    return Window("H", call.vertical, pads["H"]), Window("W", call.problem, pads["W"])


def _measured(limits: bool | Limits, backend: str | None, device: str) -> Limits | None:
    if limits is not True:
        return limits or None
    if device != "cpu":
        raise ArgumentError(
            "explain", "limits", "True", "False, or Limits: only a CPU's are measured", "xconv.bench.limits.Limits"
        )
    from xconv.bench.limits import WAYS, measure

    return measure(backend if backend in WAYS else "numpy", use_cpu_time=False)


def _planned(call: Call, backend: str, device: str) -> PlannedCall:
    from xconv.planning.planner import plan

    choice = plan(call, backend=backend, device=device).chosen
    others = {name: choice.seconds[name] for name in choice.alternatives}
    return PlannedCall(
        call.operation, backend, choice.formulation, choice.why, choice.seconds.get(choice.formulation), others
    )

"""A plan as a function of arrays: the one way from the caller's arrays to the framework and back."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

from xconv.core.backend import Backend
from xconv.core.formulation import Array, Formulation
from xconv.core.registry import get_backend
from xconv.core.target import EAGER, INDUCTOR

if TYPE_CHECKING:
    from xconv.core.plan import Plan

Lowered: TypeAlias = Callable[[Array, Array, Array | None], Array]
"""A function of (x, weight, bias) in the caller's layout."""


class Lowering:
    """A plan with its backend.

    Called with (x, weight, bias) in the caller's layout it goes all steps: arrays as the framework computes with them,
    channels last, borders, sums, epilogue, and back. What a backend makes of it for eager calls skips steps that do
    nothing there.

    Args:
        plan: what is computed, and how.
        backend: the one that the plan's target names.
    """

    def __init__(self, plan: Plan, backend: Backend) -> None:
        self.plan, self.backend = plan, backend
        self.by_framework = plan.by_framework

    def form(self, direction: str) -> Formulation:
        """The formulation of a direction.

        Args:
            direction: "forward", "input_gradient" or "weight_gradient".

        Returns:
            The backend's formulation of the name that the plan chose.
        """
        return self.backend.by_name[getattr(self.plan, direction).formulation]

    @property
    def in_graph(self) -> Lowering:
        """The lowering of the same call for arrays that have no memory of their own, planned when they turn up."""
        target = self.plan.target
        if target.execution != EAGER or self.backend.without_memory is None:
            return self
        return Lowering(self.plan.executed(self.backend.without_memory), self.backend)

    def __call__(self, x: Array, weight: Array, bias: Array | None) -> Array:
        """Compute the call, in the caller's layout.

        Args:
            x: of the shape, the dtype and the layout that were planned.
            weight: in the same layout.
            bias: (out,), or None.

        Returns:
            The result in the same layout: ``plan.call.result_shape(x.shape)``.
        """
        backend, call = self.backend, self.plan.call
        x, weight = backend.prepare(x), backend.prepare(weight)
        bias = None if bias is None else backend.prepare(bias)
        given = x
        if not call.layout.channels_last:
            x = backend.permute(x, call.layout.to_channels_last)
            weight = backend.permute(weight, call.weight_axes)
        if call.vertical is not None:
            y = backend.run_2d(self, call.vertical, call.problem, x, weight, bias)
        else:
            y = backend.run(self, call.direction, call.problem, call.axis, x, weight, bias)
        y = y if call.layout.channels_last else backend.permute(y, call.layout.from_channels_last)
        return backend.settle(y, given)


def lower(plan: Plan) -> Lowered:
    """A plan for arrays of the signature and the way of execution that it was made for."""
    backend = get_backend(plan.target.backend)
    lowering = Lowering(plan, backend)
    if plan.target.execution != EAGER or plan.call.vertical is not None:
        return lowering
    return backend.lowered(lowering) or lowering


def for_any_arrays(plan: Plan) -> Lowered:
    """A plan for arrays that may come from a compiler or a transformation, for which it was not made."""
    backend = get_backend(plan.target.backend)
    ready, whole = lower(plan), Lowering(plan, backend)

    def computed(x: Array, weight: Array, bias: Array | None) -> Array:
        execution = backend.execution(x, weight, bias)
        if execution == EAGER:
            return ready(x, weight, bias)
        return whole(x, weight, bias) if execution == INDUCTOR else whole.in_graph(x, weight, bias)

    return computed

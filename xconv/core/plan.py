"""A plan: how a call is computed on a target, as a value to be read, compared, kept, called and packed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from typing import Any, Protocol, TypeVar

from xconv.core.call import Call
from xconv.core.epilogue import Epilogue
from xconv.core.formulation import Array
from xconv.core.lowering import for_any_arrays
from xconv.core.problem import DIRECTIONS, ConvProblem
from xconv.core.registry import get_backend
from xconv.core.target import Target
from xconv.system.autograph import unconverted

T = TypeVar("T")
"""The type of ``x``, and so of the result."""

AUTO, LOCAL = "auto", "local"
"""Names that leave the choice of a formulation to the planner: among all, or among those whose results depend on the
elements in their windows alone."""


@dataclass(frozen=True)
class DirectionPlan:
    """The formulation of one direction, and why it was taken.

    Attributes:
        formulation: its name; "auto" where it is chosen when a compiled graph runs, for its sizes then.
        why: the reason, in a few words.
        expected: the name of each formulation that can compute it, and the seconds that it is expected to take.
        source: "wisdom", "estimate", "rule", "named" or "framework" (which differentiates the result).
    """

    formulation: str
    why: str
    expected: tuple[tuple[str, float], ...] = ()
    source: str = "rule"

    @property
    def seconds(self) -> Mapping[str, float]:
        """The seconds that each formulation is expected to take; empty where there is no model of the target."""
        return dict(self.expected)

    @property
    def alternatives(self) -> tuple[str, ...]:
        """The others that can compute it, the fastest first."""
        seconds = self.seconds
        return tuple(sorted((name for name in seconds if name != self.formulation), key=seconds.__getitem__))


class PackedPlan(Protocol):
    """A plan with its weight: what :meth:`Plan.pack` returns."""

    def __call__(self, x: T, bias: Array | None = None) -> T:
        """Compute the call.

        Args:
            x: in the layout, the shape and the dtype that were planned.
            bias: (out,), or None.

        Returns:
            The result in the same layout: ``plan.call.result_shape(x.shape)``.
        """


class Planner(Protocol):
    """The function that chooses: :func:`xconv.planning.planner.plan_call`."""

    def __call__(self, call: Call, target: Target, formulation: str) -> Plan:
        """The plan of a resolved call on a target."""


@dataclass(frozen=True)
class Plan:
    """A call on a target, with a formulation for each direction and what follows the sums.

    Prints as a table; compares equal, hashes, pickles and copies as the value that it is. Called with
    ``(x, weight, bias=None)`` it computes the call: the arrays are the framework's own, of the shapes and the layout
    that were planned.

    Attributes:
        call: the operation, its problem, and the caller's layout.
        target: where it runs.
        forward, input_gradient, weight_gradient: the choice for each direction of the problem.
        by_framework: whether the framework differentiates what it computed; else each gradient is computed by the
            choice for its direction.
        epilogue: what follows the sums.
        asked: the formulation that was asked for: "auto", "local" or a name.
        planner: who chose, and is asked again where the call is executed in another way than was planned.

    >>> import xconv
    >>> plan = xconv.plan(xconv.resolve("conv1d", (1, 9, 2), (3, 2, 4)), backend="torch")
    >>> sorted(plan.choices), plan.problem.macs
    (['forward', 'input_gradient', 'weight_gradient'], 168)
    """

    call: Call
    target: Target
    forward: DirectionPlan
    input_gradient: DirectionPlan
    weight_gradient: DirectionPlan
    by_framework: bool
    epilogue: tuple[Epilogue, ...] = ()
    asked: str = AUTO
    planner: Planner | None = field(default=None, compare=False, repr=False)

    @property
    def problem(self) -> ConvProblem:
        """What is computed."""
        return self.call.problem

    @property
    def choices(self) -> Mapping[str, DirectionPlan]:
        """The choice for each direction, by its name."""
        return {direction: getattr(self, direction) for direction in DIRECTIONS}

    @property
    def chosen(self) -> DirectionPlan:
        """The choice for the direction that the call computes."""
        choice: DirectionPlan = getattr(self, self.call.direction)
        return choice

    def __str__(self) -> str:
        from tabulate import tabulate

        rows = []
        for direction, choice in self.choices.items():
            seconds = choice.seconds
            others = ", ".join(f"{name} {_as_time(seconds[name])}" for name in choice.alternatives)
            rows.append([direction, choice.formulation, _as_time(seconds.get(choice.formulation)), choice.why, others])
        headers = ["direction", "formulation", "expected", "why", "alternatives"]
        table = tabulate(rows, headers=headers, tablefmt="simple", maxcolwidths=[None, None, None, 40, 60])
        gradients = "differentiated by the framework" if self.by_framework else "each by its own formulation"
        after = ", ".join(map(str, self.epilogue)) or "nothing"
        return (
            f"{self.call.operation} ({self.call.layout.name}) by {self.target}\n{table}\n"
            f"gradients: {gradients}; epilogue: {after}; "
            f"{self.problem.macs:,} multiply-accumulates in each direction"
        )

    @unconverted
    def __call__(self, x: T, weight: Array, bias: Array | None = None) -> T:
        """Compute the call.

        Args:
            x: in the layout, the shape and the dtype that were planned; an array of the target's framework.
            weight: (kernel, in/groups, out), or (out, in/groups, kernel) in a layout with channels first.
            bias: (out,), or None.

        Returns:
            The result in the same layout: ``call.result_shape(x.shape)``.
        """
        result: T = self._lowered(x, weight, bias)
        return result

    def pack(self, weight: Array) -> PackedPlan:
        """The plan with a weight that will not change, for inference: a function of ``(x, bias=None)``.

        Where the framework has a layout of its own for weights, the weight is brought to it once. No gradient flows
        to the weight, and a change of it has no effect.

        Args:
            weight: (kernel, in/groups, out), or (out, in/groups, kernel) in a layout with channels first; an array of
                the target's framework.

        Returns:
            A function of x, in the layout that was planned, and a bias (out,) or None. It returns the result in that
            layout.

        >>> import torch, xconv
        >>> x, w = torch.ones(1, 3, 2), torch.ones(2, 2, 4)
        >>> p = xconv.plan(xconv.resolve("conv1d", x.shape, w.shape), backend="torch")
        >>> bool((p.pack(w)(x) == p(x, w)).all())
        True
        """
        packed = get_backend(self.target.backend).packed(self, weight) if self.call.vertical is None else None
        if packed is not None:
            return packed
        ready = self._lowered

        def with_weight(x: T, bias: Array | None = None) -> T:
            result: T = ready(x, weight, bias)
            return result

        return with_weight

    def executed(self, execution: str) -> Plan:
        """The plan of the same call for another way of execution.

        Args:
            execution: "eager", "graph", "inductor", "xla" or "export".

        Returns:
            A plan, chosen anew by the planner that chose this one.
        """
        assert self.planner is not None, "a plan that nobody chose"
        return self.planner(self.call, replace(self.target, execution=execution), self.asked)

    @cached_property
    def _lowered(self) -> Callable[[Array, Array, Array | None], Array]:
        return for_any_arrays(self)

    def __getstate__(self) -> dict[str, Any]:
        return {each.name: getattr(self, each.name) for each in fields(self)}  # not what is made of them here


def _as_time(seconds: float | None) -> str:
    if seconds is None:
        return ""
    return f"{seconds * 1e3:.3g} ms" if seconds >= 1e-3 else f"{seconds * 1e6:.3g} us"

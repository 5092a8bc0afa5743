"""Which formulation computes a problem: the only place that chooses."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from xconv.errors import ArgumentError, UnsupportedError, nearest
from xconv.problem import DIRECTIONS, ConvProblem
from xconv.registry import get_backend

if TYPE_CHECKING:
    from xconv.backend import Backend, Formulation


def choose(
    backend: Backend,
    direction: str,
    problem: ConvProblem,
    *,
    formulation: str = "auto",
    layout: str = "NWC",
    operation: str = "plan",
) -> Formulation:
    """The formulation for one direction: the named one, or for "auto" the one that the backend prefers.

    Raises:
        ArgumentError: the backend has no formulation of that name.
        UnsupportedError: it has, but it cannot compute this problem.
    """
    name = formulation
    if name == "auto":
        name = backend.preference(direction, problem, layout)[0]
    for candidate in backend.formulations:
        if candidate.name == name:
            reason = candidate.unsupported(direction, problem)
            if reason is None:
                return candidate
            able = [f.name for f in backend.formulations if f.unsupported(direction, problem) is None]
            raise UnsupportedError(
                f"{operation}: formulation {name!r} of backend {backend.name!r} cannot compute the {direction} of "
                f"this problem: {reason}. Hint: these can: {', '.join(able)}; 'auto' picks one."
            )
    known = ["auto", *(f.name for f in backend.formulations)]
    raise ArgumentError(
        operation, "formulation", repr(formulation), f"one of {', '.join(map(repr, known))}", nearest(name, known)
    )


@dataclass(frozen=True)
class Choice:
    """The formulation of one direction, why it was taken, and the others that could compute it."""

    formulation: str
    why: str
    alternatives: tuple[str, ...]


@dataclass(frozen=True)
class Plan:
    """A problem on a backend with a formulation for each direction. Prints as a table."""

    problem: ConvProblem
    backend: str
    choices: dict[str, Choice]

    def __str__(self) -> str:
        from tabulate import tabulate

        rows = [
            [direction, choice.formulation, choice.why, ", ".join(choice.alternatives)]
            for direction, choice in self.choices.items()
        ]
        return tabulate(rows, headers=["direction", "formulation", "why", "alternatives"], tablefmt="simple")


def plan(problem: ConvProblem, *, backend: str, layout: str = "NWC") -> Plan:
    """The plan that "auto" would run for a problem, and why.

    Args:
        problem: what is to be computed.
        backend: name of an installed backend.
        layout: the axes of the caller's arrays.

    >>> import xconv
    >>> problem = xconv.ConvProblem(outer=8, length=1000, inner=1, in_channels=16, out_channels=32, kernel=9)
    >>> xconv.plan(problem, backend="torch").choices["forward"].formulation
    'conv2d'
    """
    owner = get_backend(backend)
    choices: dict[str, Choice] = {}
    for direction in DIRECTIONS:
        name, why = owner.preference(direction, problem, layout)
        others = tuple(
            f.name for f in owner.formulations if f.name != name and f.unsupported(direction, problem) is None
        )
        choices[direction] = Choice(name, why, others)
    return Plan(problem, backend, choices)

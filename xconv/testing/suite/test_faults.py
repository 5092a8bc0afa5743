"""Deliberate faults: each must be caught by the suite's own checks, on every backend."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from xconv.core.backend import Backend
from xconv.core.operations import along
from xconv.core.problem import ConvProblem
from xconv.parity import Case, cases, check

SMOKE = [case for case in cases("default")[::3] if case.row in along(case.row.rank)]


def other_side(backend: Backend, problem: ConvProblem, weight: Any) -> tuple[ConvProblem, Any]:
    """The pads swapped."""
    return replace(problem, padding=problem.padding[::-1]), weight


def flipped(backend: Backend, problem: ConvProblem, weight: Any) -> tuple[ConvProblem, Any]:
    """A convolution instead of a correlation."""
    return problem, backend.flip(weight, 0)


def group_order(backend: Backend, problem: ConvProblem, weight: Any) -> tuple[ConvProblem, Any]:
    """Output channels interleaved over the groups."""
    o, g = problem.group_out, problem.groups
    order = [backend.narrow(weight, 2, group * o + i, 1) for i in range(o) for group in range(g)]
    return problem, backend.concatenate(order, 2)


def off_by_one(backend: Backend, problem: ConvProblem, weight: Any) -> tuple[ConvProblem, Any]:
    """Moved by one element."""
    low, high = problem.padding
    return replace(problem, padding=(low + 1, high - 1)) if high > 0 else problem, weight


FAULTS: dict[str, tuple[Callable[..., Any], Callable[[Case], bool]]] = {
    "pad side swapped": (other_side, lambda case: len(set(case.calls()[0].problem.padding)) == 2),
    "kernel flipped": (flipped, lambda case: case.calls()[0].problem.kernel > 1),
    "group order": (
        group_order,
        lambda case: min(case.calls()[0].problem.groups, case.calls()[0].problem.group_out) > 1,
    ),
    "off by one": (off_by_one, lambda case: case.calls()[0].problem.padding[1] > 0),
}


@pytest.mark.usefixtures("looked_at_in_full")
@pytest.mark.parametrize("fault", FAULTS)
def test_every_affected_case_catches(backend: Backend, fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    mutate, affected = FAULTS[fault]
    # where borders are copied in before, the problem has no pads left to get wrong
    plain = [case for case in SMOKE if case.options.get("padding_mode", "zeros") == "zeros" and min(case.x_shape) > 1]
    hit = [case for case in plain if affected(case)]
    assert len(hit) >= 3
    assert all(finding.ok for case in hit for finding in check(backend, case, kind="integers"))
    right = backend.compute

    def wrong(how: Any, direction: str, problem: ConvProblem, axis: int, a: Any, b: Any, bias: Any) -> Any:
        if direction != "weight_gradient":
            problem, b = mutate(backend, problem, b)
        return right(how, direction, problem, axis, a, b, bias)

    monkeypatch.setattr(backend, "compute", wrong)
    caught = {"integers": 0, "normal": 0}
    for kind in caught:
        for case in hit:
            [y] = check(backend, case, kind=kind, gradients=False)
            caught[kind] += not y.ok
    assert caught == {"integers": len(hit), "normal": len(hit)}

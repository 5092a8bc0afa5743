"""Signals of nearly the same length are planned for together."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

import xconv
from xconv.core.backend import Backend
from xconv.core.problem import ConvProblem
from xconv.planning import wisdom
from xconv.planning.choices import representative
from xconv.planning.estimate import kind

PROBLEM = ConvProblem(2, 3000, 1, 8, 12, kernel=5, padding=(2, 2))
NEARLY = ConvProblem(2, 3001, 1, 8, 12, kernel=5, padding=(2, 2))

problems = st.builds(
    ConvProblem,
    outer=st.integers(0, 3),
    length=st.integers(0, 30_000),
    inner=st.integers(1, 3),
    in_channels=st.sampled_from([1, 4, 64]),
    out_channels=st.sampled_from([4, 64]),
    kernel=st.integers(1, 300),
    stride=st.integers(1, 9),
    dilation=st.integers(1, 5),
    padding=st.tuples(st.integers(0, 400), st.integers(0, 400)),
)


@pytest.fixture(autouse=True)
def nothing_known() -> Iterator[None]:
    wisdom.forget()
    yield
    wisdom.forget()


@given(problems)
def test_one_stands_for_others_of_nearly_its_length(problem: ConvProblem) -> None:
    like = representative(problem)
    assert representative(like) == like
    assert 30 * abs(like.length - problem.length) <= problem.length
    assert 30 * abs(like.output_length - problem.output_length) <= problem.output_length
    assert kind(like) == kind(problem)
    assert like.is_empty == problem.is_empty
    assert (like.padded_length - problem.padded_length) % problem.stride == 0
    unequal = {name for name in vars(problem) if getattr(like, name) != getattr(problem, name)}
    assert unequal <= {"length"}


def test_their_plans_have_the_same_choices(backend: Backend) -> None:
    first, second = (xconv.plan(problem, backend=backend.name) for problem in (PROBLEM, NEARLY))
    assert all(a is b for a, b in zip(first.choices.values(), second.choices.values(), strict=True))
    assert first.call.problem.length != second.call.problem.length


def test_what_was_measured_holds_for_its_own_length(backend: Backend) -> None:
    for problem, name in ((PROBLEM, "fft"), (NEARLY, "taps"), (representative(PROBLEM), "taps")):
        key = wisdom.Key(*backend.here("cpu"), "NWC", "forward", problem)
        wisdom.remember(key, wisdom.Entry(name, 1e-3, 2e-3, "2026-11-21"))
    other = replace(PROBLEM, length=3002)
    assert xconv.plan(other, backend=backend.name).choices["forward"].source == "estimate"
    found = [xconv.plan(problem, backend=backend.name).choices["forward"] for problem in (PROBLEM, NEARLY)]
    assert [(choice.formulation, choice.source) for choice in found] == [("fft", "wisdom"), ("taps", "wisdom")]


def test_a_formulation_that_refuses_one_length_is_not_taken_for_it(
    backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = xconv.plan(PROBLEM, backend=backend.name).choices["forward"].formulation
    form = backend.by_name[name]
    refuses = form.unsupported

    def unsupported(direction: str, problem: ConvProblem) -> str | None:
        return "not this length" if problem.length == NEARLY.length else refuses(direction, problem)

    monkeypatch.setattr(form, "unsupported", unsupported)
    assert xconv.plan(PROBLEM, backend=backend.name).choices["forward"].formulation == name
    assert xconv.plan(NEARLY, backend=backend.name).choices["forward"].formulation != name


def test_a_limit_of_memory_is_kept_to_the_byte(backend: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the length itself: its representative is longer here, and so needs more."""
    problem = ConvProblem(4, 80_001, 1, 1, 1, kernel=8192, padding=(8191, 0))
    assert representative(problem).length > problem.length
    monkeypatch.setattr(backend.by_name["fft"], "workspace", lambda _, problem: problem.length)
    limits = problem.length - 1, problem.length
    plans = [xconv.plan(problem, backend=backend.name, max_workspace=limit) for limit in limits]
    assert [plan.choices["forward"].formulation == "fft" for plan in plans] == [False, True]

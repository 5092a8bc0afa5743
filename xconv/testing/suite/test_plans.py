"""One plan, one lowering: what runs is what a plan says, and every call of a layer gives the same bits."""

from __future__ import annotations

import contextlib
from typing import Any

import numpy as np
import pytest

import xconv
from xconv.calls import run
from xconv.core.backend import Backend
from xconv.core.plan import Plan
from xconv.core.target import EAGER
from xconv.parity import Case, cases

SMOKE, ALL = cases("smoke"), cases("full")
ids = [case.name for case in SMOKE]
OPERATIONS = sorted({case.operation for case in ALL})


def tensors(backend: Backend, case: Case) -> list[Any]:
    *inputs, _ = case.inputs("normal", "float32")
    return [backend.from_numpy(np.asarray(array, "float32"), "cpu") for array in inputs]


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch) -> list[Plan]:
    """The plans that calls were lowered from; nothing is computed."""
    found: list[Plan] = []

    def watched(plan: Plan) -> Any:
        found.append(plan)
        return lambda x, *_: x

    monkeypatch.setattr(run, "lower", watched)
    monkeypatch.setattr("xconv.calls.dispatch.find", lambda _: None)
    monkeypatch.setattr("xconv.calls.dispatch.keep", lambda *_: None)  # no later test meets what computes nothing
    return found


def planned(backend: Backend, case: Case, execution: str, formulation: str = "auto") -> list[Plan]:
    return [
        xconv.plan(call, backend=backend.name, execution=execution, formulation=formulation) for call in case.calls()
    ]


@pytest.mark.parametrize("operation", OPERATIONS)
def test_what_runs_eagerly_is_what_a_plan_says(backend: Backend, operation: str, ran: list[Plan]) -> None:
    for case in ALL:
        if case.operation == operation:
            del ran[:]
            case.run(*tensors(backend, case))
            wanted = planned(backend, case, EAGER)
            assert ran == wanted, case
            assert [str(plan) for plan in ran] == [str(plan) for plan in wanted]


@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_named_formulation_is_what_runs(backend: Backend, operation: str, ran: list[Plan]) -> None:
    for case in ALL:
        if case.operation != operation or not case.row.takes_formulation:
            continue  # those take none
        arrays = tensors(backend, case)
        for form in backend.formulations:
            if all(form.unsupported(call.direction, call.problem) is None for call in case.calls()):
                del ran[:]
                case.run(*arrays, formulation=form.name)
                assert ran == planned(backend, case, EAGER, form.name), case
                assert {plan.chosen.formulation for plan in ran} == {form.name}


@pytest.mark.parametrize("case", SMOKE, ids=ids)
def test_every_call_gives_the_same_bits(backend: Backend, case: Case) -> None:
    """The first, later ones, those of a plan, and those that may be differentiated, with a bias and without."""
    arrays = tensors(backend, case)
    for given in (arrays, arrays[: 1 + len(case.weight_shapes)]):
        first = np.asarray(backend.to_numpy(case.run(*given)))

        def same(y: Any, first: np.ndarray = first) -> bool:
            return np.array_equal(y if isinstance(y, np.ndarray) else backend.to_numpy(y), first)

        assert same(case.run(*given))
        assert same(case.run(*given))
        kept: list[Any] = []

        def trained(*arrays: Any, kept: list[Any] = kept) -> Any:
            y = case.run(*arrays)
            with contextlib.suppress(xconv.UnsupportedError):  # a tracer of JAX has no value
                kept.append(backend.to_numpy(y))
            return y

        for _ in range(2):
            backend.gradients(trained, given, case.run(*given))
        assert all(map(same, kept))
        if len(case.calls()) == 1:
            [plan] = planned(backend, case, EAGER)
            x, weight, *bias = given
            assert same(plan(x, weight, *bias))
            assert same(plan.pack(weight)(x, *bias))


@pytest.mark.parametrize("mode", ["named", "auto", "local"])
def test_a_plan_is_a_value(backend: Backend, mode: str) -> None:
    import copy
    import pickle

    call = xconv.resolve("conv1d", (2, 30, 6), (3, 6, 8), padding="causal")
    name = "taps" if mode == "named" else mode
    plan, other = (xconv.plan(call, backend=backend.name, formulation=name) for _ in range(2))
    assert plan == other
    assert hash(plan) == hash(other)
    x, w, b = (backend.from_numpy(np.ones(shape, "float32"), "cpu") for shape in ((2, 30, 6), (3, 6, 8), (8,)))
    y = backend.to_numpy(plan(x, w, b))  # what is made of it does not travel
    for again in (pickle.loads(pickle.dumps(plan)), copy.deepcopy(plan), copy.copy(plan)):
        assert again == plan
        assert hash(again) == hash(plan)
        assert str(again) == str(plan)
        assert np.array_equal(backend.to_numpy(again(x, w, b)), y)
    assert plan != xconv.plan(call, backend=backend.name, layout="NCW", execution="graph")

"""Whatever the geometry and the fault: the true cause is among those that are named."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, note, settings

from tests.diagnosis_samples import of, other, read_in_order, result, shuffled, with_options
from xconv.core.backend import Backend
from xconv.core.problem import PADDING_MODES, dilated_extent
from xconv.core.reference import Floats
from xconv.parity import Case, cases, check, diagnose_case
from xconv.parity.check import compute
from xconv.parity.expected import expected
from xconv.testing.suite.test_faults import FAULTS, SMOKE

Computed: TypeAlias = Callable[..., Floats]
Wrong: TypeAlias = Callable[[st.DrawFn, Case, str], tuple[str, Computed]]


def resplit(draw: st.DrawFn, case: Case, array: str) -> tuple[str, Computed]:
    old = case.calls()[0].problem.padding
    total = sum(old)
    low = draw(st.integers(max(old[0] - 3, 0), min(old[0] + 3, total)))
    new = (low, total - low)
    return f"padding is {new} instead of {old}", other(case, array, padding=new)


def without(name: str) -> Wrong:
    def ignored(_: st.DrawFn, case: Case, array: str) -> tuple[str, Computed]:
        assume(case.options[name] > 1)
        return f"{name} is 1 instead of {case.options[name]}", lambda *inputs: result(
            with_options(case, **{name: 1}), *inputs, array=array
        )

    return ignored


def swapped_steps(_: st.DrawFn, case: Case, array: str) -> tuple[str, Computed]:
    stride, dilation = case.options["stride"], case.options["dilation"]
    return "stride and dilation are swapped", other(case, array, stride=dilation, dilation=stride)


def other_mode(draw: st.DrawFn, case: Case, array: str) -> tuple[str, Computed]:
    mode = draw(st.sampled_from(PADDING_MODES))
    old = case.options["padding_mode"]
    return f"padding_mode is {mode!r} instead of {old!r}", other(case, array, padding_mode=mode)


def read(**changes: Any) -> Wrong:
    [(name, (text, change))] = changes.items()

    def wrong(_: st.DrawFn, case: Case, array: str) -> tuple[str, Computed]:
        assume(name != "y" or array == "y")
        own: dict[str, Any] = {name: lambda given: change(given, case)}
        return text, of(case, array, **own)

    return wrong


def shuffle(name: str, axis: int, text: str) -> Wrong:
    said = f"{text} ordered (channel, group) instead of (group, channel)"
    return read(**{name: (said, lambda array, case: shuffled(case.options["groups"], axis)(array))})


DRAWN: dict[str, Wrong] = {
    "pads": resplit,
    "stride": without("stride"),
    "dilation": without("dilation"),
    "steps": swapped_steps,
    "mode": other_mode,
    "flip": read(w=("the kernel is flipped", lambda w, _: w[::-1])),
    "no bias": read(b=("the bias is missing", lambda b, _: 0 * b)),
    "twice": read(b=("the bias is added twice", lambda b, _: 2 * b)),
    "x": read(x=("x is read in the order NCW instead of NWC", lambda x, _: read_in_order(0, 2, 1)(x))),
    "w": read(w=("read in the order (out, in/groups, kernel) instead", lambda w, _: read_in_order(2, 1, 0)(w))),
    "x channels": shuffle("x", 2, "the channels of x are"),
    "w channels": shuffle("w", 2, "the output channels of weight are"),
    "y channels": shuffle("y", 2, "the channels of the result are"),
}


@st.composite
def faulty(draw: st.DrawFn) -> tuple[Case, str, str, Computed]:
    groups, kernel = draw(st.integers(1, 3)), draw(st.integers(1, 5))
    stride, dilation = draw(st.integers(1, 4)), draw(st.integers(1, 3))
    low, high = draw(st.integers(0, 4)), draw(st.integers(0, 4))
    # long enough for every alternative: strides, dilations and borders that are swapped
    least = max(dilated_extent(kernel, max(stride, dilation)), low + high + 1)
    options = {"stride": stride, "dilation": dilation, "groups": groups, "padding": (low, high)}
    options["padding_mode"] = draw(st.sampled_from(PADDING_MODES))
    inputs, outputs = groups * draw(st.integers(1, 3)), groups * draw(st.integers(1, 3))
    shape = (draw(st.integers(1, 3)), least + draw(st.integers(0, 6)), inputs)
    case = Case("drawn", "conv1d", shape, ((kernel, inputs // groups, outputs),), options)
    array = draw(st.sampled_from(["y", "y", "dx", "dweight"]))
    text, wrong = DRAWN[draw(st.sampled_from(sorted(DRAWN)))](draw, case, array)
    return case, array, text, wrong


def test_the_true_cause_is_among_those_named() -> None:
    explained = 0

    @settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
    @given(drawn=faulty(), seed=st.integers(0, 9), kind=st.sampled_from(["integers", "normal"]))
    def named(drawn: tuple[Case, str, str, Computed], seed: int, kind: str) -> None:
        nonlocal explained
        case, array, text, wrong = drawn
        inputs = case.inputs(kind, "float32", seed)
        try:
            computed = wrong(*inputs)
        except ValueError:
            assume(array == "y")  # with the other steps there is no such gradient: the result has another shape
            raise
        diagnosis = diagnose_case(case, array, computed, inputs, "float32", kind)
        note(f"{case}\n{text}\n{diagnosis}")
        if "agrees" in diagnosis.certainties:
            return  # the fault changes nothing here
        assert text in str(diagnosis)
        explained += 1

    named()
    assert explained >= 200


@pytest.mark.usefixtures("looked_at_in_full")
@pytest.mark.parametrize("name", FAULTS)
def test_faults_in_a_backend_are_named(backend: Backend, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    mutate, affected = FAULTS[name]
    right = backend.compute

    def wrong(how: Any, direction: str, problem: Any, axis: int, a: Any, b: Any, bias: Any) -> Any:
        problem, b = mutate(backend, problem, b)
        return right(how, direction, problem, axis, a, b, bias)

    monkeypatch.setattr(backend, "compute", wrong)
    plain = [case for case in SMOKE if case.options.get("padding_mode", "zeros") == "zeros" and min(case.x_shape) > 1]
    hit = [case for case in plain if affected(case) and case.calls()[0].problem.output_length > 1]
    assert len(hit) >= 3
    for kind in ("integers", "normal"):
        for case in hit:
            low, high = case.calls()[0].problem.padding
            said = {
                "pad side swapped": f"padding is {(high, low)} instead of {(low, high)}",
                "kernel flipped": "the kernel is flipped",
                "group order": "the output channels of weight are ordered (channel, group) instead",
                "off by one": f"padding is {(low + 1, high - 1)} instead of {(low, high)}",
            }[name]
            inputs = case.inputs(kind, "float32")
            y = compute(backend, case, inputs, "float32", gradients=False)["y"]
            diagnosis = diagnose_case(case, "y", y, inputs, "float32", kind)
            assert said in str(diagnosis), (case.name, kind, str(diagnosis))
            assert "consistent with" not in diagnosis.certainties


def test_a_right_backend_has_nothing_to_explain(backend: Backend) -> None:
    for case in cases("default")[::60]:
        inputs = case.inputs("normal", "float32")
        assert all(finding.ok for finding in check(backend, case))
        for array, computed in compute(backend, case, inputs, "float32").items():
            assert diagnose_case(case, array, computed, inputs).certainties == ("agrees",)


def test_gradients_of_a_mutated_problem_are_named() -> None:
    """By gradients computed with the pads of the other side, in every operation, for every array they change."""
    named = 0
    for case in cases("default")[::3]:
        calls = case.calls()
        if len(calls) > 1 or calls[0].vertical is not None or case.options.get("padding_mode", "zeros") != "zeros":
            continue
        low, high = calls[0].problem.padding
        inputs = case.inputs("integers", "float32")
        swapped = with_options(case, padding=(high, low))
        if low == high or swapped.calls()[0].result_shape(inputs[0].shape) != inputs[-1].shape:
            continue
        wrong = expected(swapped, inputs, "float32", kind="integers")
        for array, wanted in expected(case, inputs, "float32", kind="integers").items():
            if np.array_equal(wanted.value, wrong[array].value):
                continue
            diagnosis = diagnose_case(case, array, wrong[array].value, inputs, "float32", "integers")
            assert f"padding is {(high, low)} instead of {(low, high)}" in str(diagnosis), (case.name, array)
            named += 1
    assert named > 100

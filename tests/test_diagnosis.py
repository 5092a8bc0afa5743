"""Every fault gets its sentence, and no fault gets one that says more than the numbers do."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import xconv
from tests.diagnosis_array_samples import ARRAYS
from tests.diagnosis_samples import (
    CASES,
    CONV,
    VALID,
    fault,
    other,
    result,
)
from xconv.core.reference import Floats
from xconv.parity import Case, Diagnosis, cases, diagnose_arrays, diagnose_case
from xconv.parity.diagnosis.setting import Setting
from xconv.parity.expected import expected
from xconv.system.errors import ArgumentError

PAGE = Path(__file__).parent.parent / "docs" / "diagnosis.md"
RNG = np.random.default_rng(5)


def listed() -> dict[str, str]:
    """The faults of the page, with the sentence beside each."""
    rows = re.findall(r"^\| ([^|]+) \| `([^`]+)` \|$", PAGE.read_text("utf-8"), re.MULTILINE)
    assert len(rows) == len(dict(rows))
    return dict(rows)


@pytest.mark.parametrize("name", [*CASES, *ARRAYS])
def test_every_fault_has_the_sentence_of_the_page(name: str) -> None:
    diagnosis = (CASES | ARRAYS)[name]()
    assert str(diagnosis) == listed()[name]
    assert len(diagnosis.sentences) == len(diagnosis.certainties)


def test_the_page_lists_what_is_injected() -> None:
    assert list(listed()) == [*CASES, *ARRAYS]


@pytest.mark.parametrize("name", [*CASES, *ARRAYS])
def test_words_are_as_certain_as_the_class(name: str) -> None:
    diagnosis = (CASES | ARRAYS)[name]()
    begins = {
        "exact": "matches exactly if ",
        "within bound": "within the bound if ",
        "ambiguous": "",
        "consistent with": "consistent with ",
        "unexplained": "no known cause explains it: ",
    }
    for sentence, certainty in zip(diagnosis.sentences, diagnosis.certainties, strict=True):
        assert sentence.startswith(begins[certainty])
        assert ("cannot tell them apart" in sentence) == ("either" in sentence) == (certainty == "ambiguous")
    assert diagnosis.explained == ("unexplained" not in diagnosis.certainties)


# --- nothing is said too surely ---


def assert_either(diagnosis: Diagnosis, *conditions: str) -> None:
    assert diagnosis.certainties == ("ambiguous",)
    assert all(condition in diagnosis.sentences[0] for condition in conditions), diagnosis


def test_a_kernel_of_one_tap_hides_whether_it_is_flipped_or_moved() -> None:
    """Only the last tap is not 0: flipping it reads two elements earlier, as two more pads do."""
    case = Case("one tap", "conv1d", (2, 17, 3), ((3, 3, 5),), {"padding": 2}, bias=False)
    x, w, dy = case.inputs("integers", "float32")
    w[:2] = 0
    for wrong in (result(case, x, w[::-1], dy), result(replace(case, options={"padding": (4, 0)}), x, w, dy)):
        diagnosis = diagnose_case(case, "y", wrong, [x, w, dy], kind="integers")
        assert_either(diagnosis, "padding is (4, 0) instead of (2, 2)", "the kernel is flipped")


def test_a_symmetric_kernel_cannot_be_blamed() -> None:
    case = Case("symmetric", "conv1d", (2, 17, 3), ((3, 3, 5),), {"padding": (2, 0)}, bias=False)
    x, w, dy = case.inputs("integers", "float32")
    w = w + w[::-1]
    diagnosis = diagnose_case(case, "y", result(case, x, w[::-1], dy), [x, w, dy], kind="integers")
    assert (diagnosis.certainties, diagnosis.explained) == (("agrees",), True)
    diagnosis = diagnose_case(case, "y", RNG.integers(-9, 9, (2, 17, 5)), [x, w, dy], kind="integers")
    assert "flipped" not in str(diagnosis)


def test_equal_pads_and_a_bias_of_zeros_cannot_be_blamed() -> None:
    case = Case("equal", "conv1d", (2, 17, 3), ((3, 3, 5),), {"padding": 1})
    inputs = case.inputs("integers", "float32")
    inputs[2][:] = 0
    y = result(case, *inputs)
    for wrong in (y, y + 1, result(replace(case, options={"padding": (2, 0)}), *inputs)):
        said = str(diagnose_case(case, "y", wrong, inputs, kind="integers"))
        assert "(1, 1) instead of (1, 1)" not in said
        assert "the bias is" not in said


def test_a_palindrome_is_flipped_or_padded_on_the_other_side() -> None:
    """With x and the kernel symmetric, the pads of the other side give the result backwards."""
    case = Case("palindrome", "conv1d", (2, 17, 3), ((3, 3, 5),), {"padding": (2, 0)}, bias=False)
    x, w, dy = case.inputs("integers", "float32")
    x, w = x + x[:, ::-1], w + w[::-1]
    diagnosis = diagnose_case(case, "y", result(case, x, w, dy)[:, ::-1], [x, w, dy], kind="integers")
    assert_either(diagnosis, "padding is (0, 2) instead of (2, 0)", "W is flipped")


def test_inputs_that_are_narrow_already_cannot_be_blamed() -> None:
    """Integers are exact in every type, so no rounding of inputs explains anything there."""
    inputs = VALID.inputs("integers", "float32")
    wrong = result(VALID, *inputs) * (1 + 1e-4)
    assert "rounded" not in str(diagnose_case(VALID, "y", wrong, inputs, "float32", "normal"))


def test_equal_elements_are_multiplied_or_added_to() -> None:
    assert_either(diagnose_arrays([3.0, 3.0, 3.0], [9.0, 9.0, 9.0]), "multiplied by 3", "6 is added")


def test_a_number_that_is_fitted_is_confirmed() -> None:
    """Two elements fit any factor that one of them gives and a third must agree; one element fits everything."""
    assert "multiplied by 3" in str(diagnose_arrays([1.0, 2.0, 4.0], [3.0, 6.0, 12.0]))
    assert not diagnose_arrays([1.0, 2.0], [3.0, 6.0]).explained
    assert not diagnose_arrays([1.0, 2.0, 4.0], [3.0, 6.0, 13.0]).explained
    wanted = RNG.integers(-99, 100, (2, 7)).astype(float)
    assert not diagnose_arrays(wanted, wanted + RNG.integers(1, 99, 7)).explained


def test_a_shift_explains_more_than_it_leaves_open() -> None:
    wanted, got = RNG.standard_normal((2, 4, 3))
    got[:, 0] = wanted[:, 2]
    assert not diagnose_arrays(wanted, got).explained
    got = np.full((4, 9), 5.0)
    got[:, 0] = [6, 7, 8, 9]  # a shift moves fives onto fives, and is no reason for a border
    assert not diagnose_arrays(np.full((4, 9), 5.0), got).explained


def test_one_element_that_is_a_little_off_is_no_lower_precision() -> None:
    wanted = RNG.standard_normal((6, 8))
    got = wanted.copy()
    got[3, 3] += 3e-4 * np.linalg.norm(wanted)
    assert not diagnose_arrays(wanted, got).explained
    assert "lower precision" in str(diagnose_arrays(wanted, wanted * (1 + 3e-4 * RNG.choice([-1, 1], (6, 8)))))


def test_a_mean_of_nothing_is_not_named() -> None:
    """Where the gradient is 0 so is its mean, though its bound is not."""
    inputs = VALID.inputs("integers", "float32")
    inputs[-1][:] = 0
    said = diagnose_case(VALID, "dweight", np.full((3, 3, 5), 1e-37), inputs, kind="integers")
    assert "mean" not in str(said)


def test_an_epsilon_that_large_variances_hide_is_not_named() -> None:
    wanted, variances = RNG.standard_normal((9, 4)), np.full(4, 1e6)
    said = str(diagnose_arrays(wanted, wanted + np.arange(1, 5), 1e-6, variances=variances))
    assert "epsilon is" not in said
    assert "a constant of its own added" in said


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_what_is_too_far_off_is_further_than_any_bound(dtype: str) -> None:
    """A prediction is left without its bound only where no bound reaches."""
    for case in cases("default")[::23]:
        inputs = tuple(case.inputs("normal", dtype))
        for array, wanted in expected(case, inputs, dtype).items():
            setting = Setting(case, array, inputs, dtype, "normal", tuple(case.calls()))
            assert setting.far(setting.calls, setting.operands) >= wanted.error.max(initial=0.0), (case.name, array)


@pytest.mark.parametrize("shape", [(6, 6), (2, 6, 4), (2, 5, 6, 3)])
@pytest.mark.parametrize("bound", [0.0, 1e-3])
def test_noise_has_no_cause(shape: tuple[int, ...], bound: float) -> None:
    for _ in range(20):
        wanted, got = RNG.standard_normal((2, *shape))
        diagnosis = diagnose_arrays(wanted, got, bound)
        assert (diagnosis.explained, diagnosis.certainties) == (False, ("unexplained",))
        count = wanted.size if bound == 0 else int((np.abs(wanted - got) > bound).sum())
        assert f"{count} of {wanted.size} elements differ" in str(diagnosis)


@pytest.mark.parametrize("kind", ["integers", "normal"])
def test_noise_in_a_case_has_no_cause_and_costs_little(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """No more than 60 problems are evaluated for any array."""
    count: Counter[str] = Counter()
    right = Setting.value

    def counted(self: Setting, *args: Any) -> Floats:
        count["now"] += 1
        return right(self, *args)

    monkeypatch.setattr(Setting, "value", counted)
    seen = []
    for case in cases("default")[::11]:
        inputs = case.inputs(kind, "float32")
        for array, wanted in expected(case, inputs, "float32", kind=kind).items():
            if wanted.value.size < 5:
                continue
            count["now"] = 0
            noise = (
                RNG.integers(-9, 10, wanted.value.shape) if kind == "integers" else RNG.normal(size=wanted.value.shape)
            )
            diagnosis = diagnose_case(case, array, noise, inputs, "float32", kind)
            assert not diagnosis.explained, (case.name, array, str(diagnosis))
            seen.append(count["now"])
    assert 25 < max(seen) <= 60


def test_one_wrong_element_has_no_cause_and_is_found() -> None:
    inputs = CONV.inputs("integers", "float32")
    y = result(CONV, *inputs)
    y[1, 7, 3] += 5
    wanted = y[1, 7, 3] - 5
    said = str(diagnose_case(CONV, "y", y, inputs, kind="integers"))
    place = f"got {y[1, 7, 3]:g} expected {wanted:g}, first difference at (1, 7, 3)"
    assert said == f"no known cause explains it: 1 of 160 elements differ, the worst at (1, 7, 3): {place}"


def test_two_faults_at_once_are_not_taken_for_one() -> None:
    """The padding is wrong and the bias is missing: neither alone is to be named."""
    diagnosis = fault(CONV, lambda x, w, b, dy: other(CONV, padding=(0, 2))(x, w, 0 * b, dy))
    assert not diagnosis.explained


def test_what_agrees_needs_no_cause() -> None:
    for kind in ("integers", "normal"):
        inputs = CONV.inputs(kind, "float32")
        diagnosis = diagnose_case(CONV, "y", result(CONV, *inputs), inputs, "float32", kind)
        assert diagnosis.certainties == ("agrees",)
    assert str(diagnose_arrays([1.0, 2.0], [1.0, 2.5], 1.0)) == "nothing to explain: within bound"


def test_an_empty_array_of_another_shape_is_not_explained() -> None:
    assert not diagnose_arrays(np.ones((2, 3)), np.ones((2, 0))).explained
    assert not diagnose_arrays(np.ones((2, 0)), np.ones((2, 3))).explained


@pytest.mark.parametrize(
    ("argument", "call"),
    [
        ("array", lambda y, inputs: diagnose_case(CONV, "dwieght", y, inputs)),
        ("inputs", lambda y, inputs: diagnose_case(CONV, "y", y, inputs[:-1])),
        ("dtype", lambda y, inputs: diagnose_case(CONV, "y", y, inputs, "int8")),
        ("bound", lambda y, _: diagnose_arrays(y, y, [1.0, 2.0])),
        ("bound", lambda y, _: diagnose_arrays(y, y, -1.0)),
    ],
)
def test_what_cannot_be_diagnosed_is_refused(argument: str, call: Callable[..., Diagnosis]) -> None:
    inputs = CONV.inputs("integers", "float32")
    with pytest.raises(ArgumentError) as caught:
        call(result(CONV, *inputs), inputs)
    assert caught.value.argument == argument


def test_exports() -> None:
    assert {"Diagnosis", "diagnose_arrays", "diagnose_case"} <= set(xconv.parity.__all__)

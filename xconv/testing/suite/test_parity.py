"""Every case, on every backend: bit for bit on small integers, within the derived bound on random data."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from xconv.core.backend import Backend
from xconv.parity import Case, Finding, cases, check
from xconv.parity.check import compute
from xconv.parity.expected import expected
from xconv.testing.suite.extended import first_of

ALL = cases("default")
SMOKE = cases("smoke")


def assert_ok(findings: list[Finding], case: Case) -> None:
    wrong = [finding for finding in findings if not finding.ok]
    assert not wrong, f"{case.name}: {wrong}\n{case.script()}"


@pytest.mark.parametrize("case", ALL, ids=lambda case: case.name)
def test_integers_agree_bit_for_bit(backend: Backend, device: str, case: Case) -> None:
    assert_ok(check(backend, case, kind="integers", device=device), case)


@pytest.mark.parametrize("case", ALL, ids=lambda case: case.name)
def test_random_data_is_within_the_bound(backend: Backend, device: str, case: Case) -> None:
    assert_ok(check(backend, case, kind="normal", device=device), case)


@pytest.mark.parametrize("dtype", ["float64", "float16", "bfloat16"])
@pytest.mark.parametrize("case", ALL[::4], ids=lambda case: case.name)
def test_other_dtypes_are_within_their_bound(backend: Backend, device: str, case: Case, dtype: str) -> None:
    assert_ok(check(backend, case, kind="normal", dtype=dtype, device=device), case)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("case", SMOKE, ids=lambda case: case.name)
def test_half_precision_is_rounded_once(backend: Backend, device: str, case: Case, dtype: str) -> None:
    assert_ok(check(backend, case, kind="integers", dtype=dtype, device=device), case)


@pytest.mark.parametrize(
    "case", first_of(sorted(SMOKE, key=lambda case: case.operation), 3), ids=lambda case: case.name
)
def test_compiled_agrees_with_the_reference(backend: Backend, case: Case) -> None:
    for mode in backend.modes:
        if mode != "inductor":  # minutes of C++; tests/backends/test_torch.py runs a few
            assert_ok(check(backend, case, kind="integers", mode=mode), case)


@pytest.mark.parametrize("case", ALL[::3], ids=lambda case: case.name)
def test_frameworks_agree_with_each_other(loaded: dict[str, Backend], case: Case) -> None:
    """On integers the same bits; on random data no further apart than their two errors together."""
    assert len(loaded) > 1
    for kind in ("integers", "normal"):
        inputs = case.inputs(kind, "float32")
        bounds = expected(case, inputs, "float32")
        results = {name: compute(backend, case, inputs, "float32") for name, backend in loaded.items()}
        for one, other in combinations(results, 2):
            for array, bound in bounds.items():
                difference = np.abs(results[one][array] - results[other][array])
                assert (difference <= (0 if kind == "integers" else 2 * bound.error)).all(), (one, other, array, kind)

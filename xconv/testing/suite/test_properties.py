"""Any geometry, on any backend: hypothesis draws it, and prints a failing one as a script."""

from __future__ import annotations

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import HealthCheck, given, note, settings

import xconv
from xconv.core.backend import Backend
from xconv.core.problem import dilated_extent
from xconv.parity import Case, check
from xconv.parity.geometries import geometries

EXAMPLES = 500


def test_any_geometry_agrees_bit_for_bit(backend: Backend) -> None:
    checked = 0

    @settings(
        max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck), print_blob=True, derandomize=True
    )
    @given(case=geometries(), seed=st.integers(0, 99))
    def agrees(case: Case, seed: int) -> None:
        nonlocal checked
        note(case.script(backend.name, seed))
        findings = check(backend, case, kind="integers", seed=seed)
        # weights that were drawn all zero agree too, and prove nothing
        assert all(finding.ok or finding.verdict == "mistrusted" for finding in findings), findings
        checked += 1

    agrees()
    assert checked >= EXAMPLES


@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(data=st.data())
def test_any_bad_geometry_is_refused_by_the_operation_too(backend: Backend, data: st.DataObject) -> None:
    """A kernel with no place, from shapes alone and from arrays: the same words."""
    kernel, dilation = data.draw(st.integers(2, 6)), data.draw(st.integers(1, 4))
    length = data.draw(st.integers(1, dilated_extent(kernel, dilation) - 1))
    case = Case("drawn", "conv1d", (2, length, 3), ((kernel, 3, 2),), {"dilation": dilation}, False)
    texts = []
    for refused in (
        case.calls,
        lambda: case.run(*(np.ones(s, "f4") for s in case.passed_shapes()), backend=backend.name),
    ):
        with pytest.raises(xconv.ArgumentError, match=f"spans {dilated_extent(kernel, dilation)}") as caught:
            refused()
        texts.append(str(caught.value))
    assert texts[0] == texts[1]

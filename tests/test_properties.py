"""Any geometry, on any backend: hypothesis draws it, and prints a failing one as a script."""

from __future__ import annotations

from typing import Any

import hypothesis.strategies as st
import numpy as np
from hypothesis import HealthCheck, given, note, settings

import xconv
from xconv.backend import Backend
from xconv.parity import Case, check
from xconv.problem import PADDING_MODES, PADDING_NAMES

EXAMPLES = 500

pads = st.one_of(st.sampled_from(PADDING_NAMES), st.integers(0, 4), st.tuples(st.integers(0, 4), st.integers(0, 4)))


@st.composite
def geometries(draw: st.DrawFn) -> Case:
    operation = draw(st.sampled_from(["conv1d", "conv1d_rows", "conv1d_columns", "conv1d_transpose", "conv2d_as_1d"]))
    groups = draw(st.integers(1, 4))
    inputs, outputs = groups * draw(st.integers(1, 3)), groups * draw(st.integers(1, 3))
    kernel = draw(st.integers(1, 6))
    length = draw(st.integers(1, 20))
    options: dict[str, Any] = {
        "stride": draw(st.integers(1, 5)),
        "dilation": draw(st.integers(1, 4)),
        "groups": groups,
        "padding": draw(pads),
    }
    if operation != "conv1d_transpose":
        options["padding_mode"] = draw(st.sampled_from(PADDING_MODES))
    batch, other = draw(st.integers(0, 3)), draw(st.integers(1, 4))
    shape = {
        "conv1d_rows": (batch, other, length, inputs),
        "conv1d_columns": (batch, length, other, inputs),
        "conv1d_transpose": (batch, length, outputs),
    }.get(operation, (batch, length, inputs))
    layout = draw(st.sampled_from(["NWC", "NCW"] if len(shape) == 3 else ["NHWC", "NCHW"]))
    weight = (kernel, inputs // groups, outputs)
    return Case("drawn", operation, shape, (weight,), options, draw(st.booleans()), layout)


@settings(
    max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck), print_blob=True, derandomize=True
)
@given(case=geometries(), seed=st.integers(0, 99))
def test_any_geometry_agrees_bit_for_bit_or_is_refused(backend: Backend, case: Case, seed: int) -> None:
    note(case.script(backend.name, seed))
    try:
        case.calls()
    except xconv.ArgumentError:
        # what the resolver refuses, the operation refuses, with NumPy arrays of those shapes
        refused = _refusal(backend, case)
        assert refused is not None
        return
    findings = check(backend, case, kind="integers", seed=seed)
    assert all(finding.ok for finding in findings), findings


def _refusal(backend: Backend, case: Case) -> str | None:
    arrays = [np.ones(shape, "float32") for shape in case.passed_shapes()]
    try:
        case.run(*arrays, backend=backend.name)
    except xconv.ArgumentError as error:
        return str(error)
    return None

"""Any geometry, on any backend: hypothesis draws it, and prints a failing one as a script."""

from __future__ import annotations

from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import HealthCheck, given, note, settings

import xconv
from xconv.backend import Backend
from xconv.parity import Case, check
from xconv.problem import PADDING_MODES, PADDING_NAMES, dilated_extent

EXAMPLES = 500
ONE_AXIS = ("conv1d", "conv1d_rows", "conv1d_columns", "conv1d_transpose", "conv2d_as_1d")
TWO_AXES = ("conv2d", "spatially_separable_conv2d")

pads = st.one_of(st.sampled_from(PADDING_NAMES), st.integers(0, 4), st.tuples(st.integers(0, 4), st.integers(0, 4)))


def fitting(draw: st.DrawFn, padding: Any, kernel: int, stride: int, dilation: int, mode: str) -> int:
    """A length on which the kernel has at least one place, and enough elements for the borders."""
    extent = dilated_extent(kernel, dilation)
    given = (
        {"valid": 0, "causal": extent - 1, "full": extent - 1}.get(padding, padding)
        if isinstance(padding, str)
        else padding
    )
    low, high = (given, given) if isinstance(given, int) else (0, 0) if isinstance(given, str) else given
    least = max(extent - low - high, 1)
    if mode != "zeros":
        least = max(least, low + 1, high + 1, extent)
    return least + draw(st.integers(0, 3 * stride + 4))


@st.composite
def geometries(draw: st.DrawFn) -> Case:
    operation = draw(st.sampled_from(ONE_AXIS + TWO_AXES))
    groups = draw(st.integers(1, 3))
    inputs, outputs = groups * draw(st.integers(1, 3)), groups * draw(st.integers(1, 3))
    kernel, other_kernel = draw(st.integers(1, 6)), draw(st.integers(1, 3))
    stride, dilation, padding = draw(st.integers(1, 5)), draw(st.integers(1, 4)), draw(pads)
    options: dict[str, Any] = {"stride": stride, "dilation": dilation, "groups": groups, "padding": padding}
    batch = draw(st.sampled_from([1, 2, 3, 1, 2, 3, 1, 2, 3, 0]))
    bias = draw(st.booleans())
    if operation == "conv1d_transpose":
        named = padding in ("same", "same_lower", "causal")
        options["output_padding"] = 0 if named else draw(st.integers(0, stride - 1))
        length = draw(st.integers(10, 16))  # long enough for every crop
        weights: tuple[tuple[int, ...], ...] = ((kernel, inputs // groups, outputs),)
        return Case(
            "drawn", operation, (batch, length, outputs), weights, options, bias, draw(st.sampled_from(["NWC", "NCW"]))
        )
    mode = options["padding_mode"] = draw(st.sampled_from(PADDING_MODES))
    length, other = fitting(draw, padding, kernel, stride, dilation, mode), draw(st.integers(1, 4))
    if operation in TWO_AXES:
        options["padding"] = (padding, padding)  # a pair of numbers would be height and width
        other = fitting(draw, padding, other_kernel, stride, dilation, mode)
        middle = groups * draw(st.integers(1, 2))
        weights = ((kernel, other_kernel, inputs // groups, outputs),)
        if operation != "conv2d":
            weights = ((other_kernel, inputs // groups, middle), (kernel, middle // groups, outputs))
        layout = draw(st.sampled_from(["NHWC", "NCHW"]))
        return Case("drawn", operation, (batch, length, other, inputs), weights, options, bias, layout)
    spatial = {"conv1d_rows": (other, length), "conv1d_columns": (length, other)}.get(operation, (length,))
    layout = draw(st.sampled_from(["NWC", "NCW"] if len(spatial) == 1 else ["NHWC", "NCHW"]))
    return Case(
        "drawn", operation, (batch, *spatial, inputs), ((kernel, inputs // groups, outputs),), options, bias, layout
    )


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
        assert all(finding.ok for finding in findings), findings
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

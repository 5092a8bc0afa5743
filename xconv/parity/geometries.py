"""Any case at all: hypothesis strategies for operations, geometries, layouts, and how they are computed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import hypothesis.strategies as st

from xconv.parity.cases import Case
from xconv.parity.views import VIEWS
from xconv.problem import PADDING_MODES, PADDING_NAMES, dilated_extent

ONE_AXIS = ("conv1d", "conv1d_rows", "conv1d_columns", "conv1d_transpose", "conv2d_as_1d")
TWO_AXES = ("conv2d", "spatially_separable_conv2d")

pads = st.one_of(st.sampled_from(PADDING_NAMES), st.integers(0, 4), st.tuples(st.integers(0, 4), st.integers(0, 4)))


@st.composite
def geometries(draw: st.DrawFn) -> Case:
    """A case of any operation that has a result, small enough to be checked in milliseconds."""
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
        layout = draw(st.sampled_from(["NWC", "NCW"]))
        return Case("drawn", operation, (batch, length, outputs), weights, options, bias, layout)
    mode = options["padding_mode"] = draw(st.sampled_from(PADDING_MODES))
    length, other = _fitting(draw, padding, kernel, stride, dilation, mode), draw(st.integers(1, 4))
    if operation in TWO_AXES:
        options["padding"] = (padding, padding)  # a pair of numbers would be height and width
        other = _fitting(draw, padding, other_kernel, stride, dilation, mode)
        middle = groups * draw(st.integers(1, 2))
        weights = ((kernel, other_kernel, inputs // groups, outputs),)
        if operation != "conv2d":
            weights = ((other_kernel, inputs // groups, middle), (kernel, middle // groups, outputs))
        layout = draw(st.sampled_from(["NHWC", "NCHW"]))
        return Case("drawn", operation, (batch, length, other, inputs), weights, options, bias, layout)
    spatial = {"conv1d_rows": (other, length), "conv1d_columns": (length, other)}.get(operation, (length,))
    layout = draw(st.sampled_from(["NWC", "NCW"] if len(spatial) == 1 else ["NHWC", "NCHW"]))
    weights = ((kernel, inputs // groups, outputs),)
    return Case("drawn", operation, (batch, *spatial, inputs), weights, options, bias, layout)


def settings(dtypes: Sequence[str], formulations: Sequence[str]) -> st.SearchStrategy[dict[str, Any]]:
    """How a case is computed: dtype, memory of the inputs, formulation, seed of the inputs."""
    return st.fixed_dictionaries(
        {
            "dtype": st.sampled_from(list(dtypes)),
            "view": st.sampled_from(list(VIEWS)),
            "formulation": st.sampled_from(["auto", *formulations]),
            "seed": st.integers(0, 99),
        }
    )


def _fitting(draw: st.DrawFn, padding: Any, kernel: int, stride: int, dilation: int, mode: str) -> int:
    """A length on which the kernel has at least one place, and enough elements for the borders."""
    extent = dilated_extent(kernel, dilation)
    known = {"valid": 0, "causal": extent - 1, "full": extent - 1}
    given = known.get(padding, padding) if isinstance(padding, str) else padding
    low, high = (given, given) if isinstance(given, int) else (0, 0) if isinstance(given, str) else given
    least = max(extent - low - high, 1)
    if mode != "zeros":
        least = max(least, low + 1, high + 1, extent)
    return least + draw(st.integers(0, 3 * stride + 4))

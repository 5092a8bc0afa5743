"""Any case at all: hypothesis strategies for operations, geometries, layouts, and how they are computed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import hypothesis.strategies as st

from xconv.core.operations import OPERATIONS
from xconv.core.problem import PADDING_MODES, PADDING_NAMES, dilated_extent
from xconv.parity.cases import Case
from xconv.parity.views import VIEWS

pads = st.one_of(st.sampled_from(PADDING_NAMES), st.integers(0, 4), st.tuples(st.integers(0, 4), st.integers(0, 4)))


@st.composite
def geometries(draw: st.DrawFn) -> Case:
    """A case of any operation that has a result, small enough to be checked in milliseconds."""
    row = draw(st.sampled_from(list(OPERATIONS.values())))
    operation, layout = row.name, draw(st.sampled_from(row.layouts))
    groups = draw(st.integers(1, 3))
    inputs, outputs = groups * draw(st.integers(1, 3)), groups * draw(st.integers(1, 3))
    kernel, other_kernel = draw(st.integers(1, 6)), draw(st.integers(1, 3))
    stride, dilation, padding = draw(st.integers(1, 5)), draw(st.integers(1, 4)), draw(pads)
    options: dict[str, Any] = {"stride": stride, "dilation": dilation, "groups": groups, "padding": padding}
    batch = draw(st.sampled_from([1, 2, 3, 1, 2, 3, 1, 2, 3, 0]))
    bias = draw(st.booleans())
    if row.is_transposed:
        named = padding in ("same", "same_lower", "causal")
        options["output_padding"] = 0 if named else draw(st.integers(0, stride - 1))
        length = draw(st.integers(10, 16))  # long enough for every crop
        weights: tuple[tuple[int, ...], ...] = ((kernel, inputs // groups, outputs),)
        spatial = row.spatial(length, draw(st.integers(1, 4)) if row.rank == 4 else 1)
        return Case("drawn", operation, (batch, *spatial, outputs), weights, options, bias, layout)
    mode = options["padding_mode"] = draw(st.sampled_from(PADDING_MODES))
    length, other = _fitting(draw, padding, kernel, stride, dilation, mode), draw(st.integers(1, 4))
    if row.takes_pairs:
        options["padding"] = (padding, padding)  # a pair of numbers would be height and width
        other = _fitting(draw, padding, other_kernel, stride, dilation, mode)
        middle = groups * draw(st.integers(1, 2))
        weights = ((kernel, other_kernel, inputs // groups, outputs),)
        if row.is_separable:
            taps = [(kernel, other_kernel)[row.axes.index(step.axes)] for step in row.parts]
            weights = ((taps[0], inputs // groups, middle), (taps[1], middle // groups, outputs))
        return Case("drawn", operation, (batch, length, other, inputs), weights, options, bias, layout)
    spatial = row.spatial(length, other)
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

"""A small call of every operation in every layout, for tests that go over all of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from xconv.backend import Backend
from xconv.parity import Case

_SIGNAL, _MAP = (2, 17, 3), (2, 11, 9, 3)
_ONE_AXIS = {"stride": 2, "padding": (2, 1), "dilation": 2}
_TWO_AXES = {"stride": (2, 1), "padding": (1, (2, 0)), "dilation": (1, 2)}

_CALLS: tuple[tuple[str, tuple[int, ...], tuple[tuple[int, ...], ...], dict[str, Any]], ...] = (
    ("conv1d", _SIGNAL, ((3, 3, 5),), _ONE_AXIS),
    ("conv2d_as_1d", _SIGNAL, ((3, 3, 5),), _ONE_AXIS),
    ("conv1d_rows", _MAP, ((3, 3, 5),), _ONE_AXIS),
    ("conv1d_columns", _MAP, ((3, 3, 5),), _ONE_AXIS),
    ("conv1d_transpose", (2, 7, 5), ((3, 3, 5),), {**_ONE_AXIS, "output_padding": 1}),
    ("spatially_separable_conv2d", _MAP, ((3, 3, 4), (2, 4, 5)), _TWO_AXES),
    ("conv2d", _MAP, ((2, 3, 3, 5),), _TWO_AXES),
)

EVERY = [
    Case(f"{operation}-{layout}", operation, shape, weights, options, True, layout)
    for operation, shape, weights, options in _CALLS
    for layout in (("NWC", "NCW") if len(shape) == 3 else ("NHWC", "NCHW"))
]
"""With a stride, a dilation, unequal pads and a bias."""

SIMPLE = [
    Case(f"{case.name}-simple", case.operation, case.x_shape, case.weight_shapes, {}, True, case.layout)
    for case in EVERY
]
"""With no option but the layout."""


def along_one_axis(case: Case) -> bool:
    """Whether its kernel slides along one axis."""
    return case.operation not in ("conv2d", "spatially_separable_conv2d")


def ways(backend: Backend, case: Case) -> list[dict[str, Any]]:
    """The keywords by which a case can be computed: "auto", and each formulation that can."""
    if case.operation in ("conv2d", "conv2d_as_1d"):
        return [{}]
    able = [
        form.name
        for form in backend.formulations
        if all(form.unsupported(call.direction, call.problem) is None for call in case.calls())
    ]
    return [{}, *({"formulation": name} for name in able)]


def arrays(backend: Backend, case: Case, dtype: str = "float32") -> list[Any]:
    """x, the weights and the bias: small integers, so that every sum of products is exact."""
    return [backend.cast(backend.from_numpy(array, "cpu"), dtype) for array in operands(case)]


def operands(case: Case) -> Sequence[np.ndarray]:
    """x, the weights and the bias as NumPy arrays in float64."""
    return case.inputs("integers", "float64")[:-1]

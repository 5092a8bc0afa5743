"""A small call of every operation in every layout, for tests that go over all of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from xconv.core.backend import Backend
from xconv.core.operations import OPERATIONS, Operation
from xconv.parity import Case

_SIGNAL, _MAP = (17,), (11, 9)
_ONE_AXIS = {"stride": 2, "padding": (2, 1), "dilation": 2}
_TWO_AXES = {"stride": (2, 1), "padding": (1, (2, 0)), "dilation": (1, 2)}


def _call(row: Operation) -> tuple[tuple[int, ...], tuple[tuple[int, ...], ...], dict[str, Any]]:
    """The shapes and the options of a small call of an operation."""
    if row.is_transposed:
        return (2, *row.spatial(7, 4), 5), ((3, 3, 5),), {**_ONE_AXIS, "output_padding": 1}
    x = (2, *(_SIGNAL if row.rank == 3 else _MAP), 3)
    if row.is_separable:
        return x, ((3, 3, 4), (2, 4, 5)), _TWO_AXES
    return (x, ((2, 3, 3, 5),), _TWO_AXES) if row.is_2d else (x, ((3, 3, 5),), _ONE_AXIS)


def every_call(rows: Iterable[Operation]) -> list[Case]:
    """A call of each operation in each of its layouts, with a stride, a dilation, unequal pads and a bias."""
    found = []
    for row in rows:
        x, weights, options = _call(row)
        found += [Case(f"{row.name}-{layout}", row.name, x, weights, options, True, layout) for layout in row.layouts]
    return found


EVERY = every_call(OPERATIONS.values())
"""With a stride, a dilation, unequal pads and a bias."""

SIMPLE = [
    Case(f"{case.name}-simple", case.operation, case.x_shape, case.weight_shapes, {}, True, case.layout)
    for case in EVERY
]
"""With no option but the layout."""


def along_one_axis(case: Case) -> bool:
    """Whether its kernel slides along one axis."""
    return not case.row.takes_pairs


def ways(backend: Backend, case: Case) -> list[dict[str, Any]]:
    """The keywords by which a case can be computed: "auto", and each formulation that can."""
    if not case.row.takes_formulation:
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

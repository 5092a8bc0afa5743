"""Gradients of gradients. First-order gradients are part of every parity case."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from xconv.core import reference
from xconv.core.backend import Backend
from xconv.parity import Case, cases

CASES = [case for case in cases("default")[::5] if len(case.weight_shapes) == 1]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_second_order(backend: Backend, device: str, case: Case) -> None:
    """The gradient of <d(|y|^2 / 2)/dx, v>: with respect to x and to the weight."""
    [call] = case.calls()
    x, w = case.inputs("integers", "float64")[:2]
    v = np.random.default_rng(2).integers(-2, 3, x.shape).astype("float64")
    case = Case(case.name, case.operation, case.x_shape, case.weight_shapes, case.options, False, case.layout)

    def inner(x: Any, w: Any) -> Any:
        return backend.gradients(case.run, [x, w], case.run(x, w), differentiable=True)[0]

    tensors = [backend.from_numpy(array, device) for array in (x, w, v)]
    dx, dw = map(backend.to_numpy, backend.gradients(inner, tensors[:2], tensors[2]))

    y, z = reference.apply(call, x, w), reference.apply(call, v, w)
    assert np.array_equal(dx, reference.input_adjoint(call, z, w))
    assert np.array_equal(dw, reference.weight_adjoint(call, x, z) + reference.weight_adjoint(call, v, y))

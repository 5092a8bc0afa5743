"""Each formulation of each backend, in each direction, against the reference."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import xconv
from xconv.core import reference
from xconv.core.backend import Backend
from xconv.core.fourier_bounds import fourier_error
from xconv.core.operations import along
from xconv.core.problem import DIRECTIONS
from xconv.parity import Case, cases, check
from xconv.planning.one_formulation import by_formulation

ONE_AXIS = [case for case in cases("smoke") if case.row in along(case.row.rank)]
PINNED = [case for case in cases("smoke") if case.row.takes_formulation]


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("case", ONE_AXIS, ids=lambda case: case.name)
def test_direction(backend: Backend, device: str, case: Case, direction: str) -> None:
    [call] = case.calls()
    problem = call.problem
    if problem.padding_mode != "zeros":
        if direction == "input_gradient":
            return  # borders are put in before, and their gradient is the framework's
        problem = problem.padded()
    rng = np.random.default_rng(0)
    batch = [size for axis, size in enumerate(case.x_shape[:-1]) if axis != call.axis]
    if problem.is_empty:
        return  # no formulation meets an empty problem

    def shaped(length: int, channels: int) -> np.ndarray:
        shape = [*batch, channels]
        shape.insert(call.axis, length)
        return rng.integers(-3, 4, shape).astype("float32")

    x, dy = shaped(problem.length, problem.in_channels), shaped(problem.output_length, problem.out_channels)
    weight = rng.integers(-3, 4, problem.weight_shape).astype("float32")
    operands = {"forward": (x, weight), "input_gradient": (dy, weight), "weight_gradient": (x, dy)}[direction]
    wanted = getattr(reference, direction)(problem, call.axis, *operands)
    ran = 0
    for formulation in backend.formulations:
        if formulation.unsupported(direction, problem) is None:
            tensors = [backend.from_numpy(array, device) for array in operands]
            how = by_formulation(backend, formulation)
            got = backend.to_numpy(backend.run(how, direction, problem, call.axis, *tensors))
            transforms = formulation.transform_length(direction, problem)
            bound: Any = 0.0
            if transforms:
                bound = fourier_error(problem, direction, transforms, *operands, "float32", call.axis)
            assert got.shape == wanted.shape
            assert (np.abs(got - wanted) <= bound).all(), f"{formulation.name} {direction} of {case.name}"
            ran += 1
    assert ran, "a problem that no formulation can compute"


@pytest.mark.parametrize("case", PINNED, ids=lambda case: case.name)
def test_pinned_by_name(backend: Backend, case: Case) -> None:
    for formulation in backend.formulations:
        if any(formulation.unsupported(call.direction, call.problem) for call in case.calls()):
            with pytest.raises(xconv.UnsupportedError, match="'auto' picks one"):
                check(backend, case, kind="integers", formulation=formulation.name)
            continue
        if any(formulation.transform_length(call.direction, call.problem) for call in case.calls()):
            continue  # no sums of integers: test_direction and test_fourier.py compare it with its own bound
        findings = check(backend, case, kind="integers", formulation=formulation.name)
        assert all(finding.ok for finding in findings), (formulation.name, findings)


def test_conv2d_as_1d_is_bitwise_conv1d(backend: Backend) -> None:
    """Two different calls of the framework."""
    rng = np.random.default_rng(1)
    x, w = rng.standard_normal((3, 200, 7), "float32"), rng.standard_normal((5, 7, 11), "float32")
    plain = xconv.conv1d(x, w, backend=backend.name, formulation="conv1d")
    assert np.array_equal(plain, xconv.conv2d_as_1d(x, w, backend=backend.name))

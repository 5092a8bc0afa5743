"""Problems whose stride only picks elements, put without one: the same results, by the reference."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xconv.core import reference
from xconv.core.problem import DIRECTIONS, ConvProblem
from xconv.core.strides import decimated, single_place, without_stride

Floats = npt.NDArray[np.float64]


class Shaped:
    """What a framework does with an axis, by NumPy."""

    def pad(self, x: Floats, axis: int, padding: tuple[int, int]) -> Floats:
        low, high = padding
        cropped = self.narrow(x, axis, max(-low, 0), x.shape[axis] - max(-low, 0) - max(-high, 0))
        widths = [(0, 0)] * x.ndim
        widths[axis] = max(low, 0), max(high, 0)
        return np.pad(cropped, widths)

    def take_every(self, x: Floats, axis: int, step: int) -> Floats:
        return x[(slice(None),) * axis + (slice(None, None, step),)]

    def spaced(self, x: Floats, axis: int, step: int) -> Floats:
        result = np.zeros([size * step if at == axis else size for at, size in enumerate(x.shape)])
        result[(slice(None),) * axis + (slice(None, None, step),)] = x
        return result

    def narrow(self, x: Floats, axis: int, start: int, size: int) -> Floats:
        return x[(slice(None),) * axis + (slice(start, start + size),)]


def computed(direction: str, problem: ConvProblem, axis: int, a: Any, b: Any, bias: Any) -> Floats:
    result: Floats = getattr(reference, direction)(problem, axis, a, b)
    return result if bias is None else result + bias


def operands(problem: ConvProblem, direction: str, axis: int) -> tuple[Floats, Floats]:
    def signal(length: int, channels: int) -> Floats:
        shape = (2, length, 3, channels) if axis == 1 else (2, 3, length, channels)
        return np.random.default_rng(length).integers(-9, 10, shape).astype(float)

    x, dy = signal(problem.length, problem.in_channels), signal(problem.output_length, problem.out_channels)
    weight = np.random.default_rng(0).integers(-9, 10, problem.weight_shape).astype(float)
    return {"forward": (x, weight), "input_gradient": (dy, weight), "weight_gradient": (x, dy)}[direction]


@st.composite
def problems(draw: st.DrawFn, kernel: int = 1) -> ConvProblem:
    low, high = draw(st.integers(0, 3)), draw(st.integers(0, 3))
    length = draw(st.integers(max(kernel - low - high, 1), 12))
    groups = draw(st.sampled_from([1, 2]))
    return ConvProblem(2, length, 3, 2, 4, kernel, draw(st.integers(2, 5)), 1, groups, (low, high))


@pytest.mark.parametrize("direction", DIRECTIONS)
@given(problem=problems(), axis=st.sampled_from([1, 2]), biased=st.booleans())
def test_every_element_that_a_stride_leaves(direction: str, problem: ConvProblem, axis: int, biased: bool) -> None:
    a, b = operands(problem, direction, axis)
    wanted = computed(direction, problem, axis, a, b, None)
    bias = np.arange(wanted.shape[-1]) if biased and direction != "weight_gradient" else None
    seen = []

    def dense(direction: str, problem: ConvProblem, *rest: Any) -> Floats:
        seen.append(problem)
        return computed(direction, problem, *rest)

    got = without_stride(Shaped(), dense, direction, problem, axis, a, b, bias)
    assert np.array_equal(got, wanted if bias is None else wanted + bias)
    assert [one.stride for one in seen] == [1]


@given(problem=problems(kernel=3), axis=st.sampled_from([1, 2]))
def test_one_place(problem: ConvProblem, axis: int) -> None:
    x, weight = operands(problem, "forward", axis)
    other, part = single_place(Shaped(), problem, axis, x)  # type: ignore[arg-type] # it takes `narrow` alone
    assert np.array_equal(
        computed("forward", other, axis, part, weight, None), computed("forward", problem, axis, x, weight, None)
    )
    assert decimated(Shaped(), problem, axis, x)[0] is problem
    if problem.output_length == 1 and problem.padding[0] < problem.extent:
        assert other.stride == 1

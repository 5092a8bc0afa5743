"""Borders and shapes of results, which stand in one place for all backends."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xconv.core import reference
from xconv.core.backend import Backend
from xconv.core.borders import largest_pad, source
from xconv.core.problem import DIRECTIONS, ConvProblem, check_window
from xconv.system.errors import ArgumentError

NUMPY = {"reflect": "reflect", "replicate": "edge", "circular": "wrap"}


@st.composite
def borders(draw: st.DrawFn) -> ConvProblem:
    mode, length = draw(st.sampled_from(sorted(NUMPY))), draw(st.integers(1, 9))
    most = largest_pad(mode, length)
    amount = st.integers(0, 12 if most is None else most)
    pads = draw(amount), draw(amount)
    return ConvProblem(2, length, 1, 3, 1, kernel=1, padding=pads, padding_mode=mode)


@given(borders())
def test_borders_show_what_numpy_shows(problem: ConvProblem) -> None:
    mode, length, (low, high) = problem.padding_mode, problem.length, problem.padding
    wanted = np.pad(np.arange(length), (low, high), NUMPY[mode])  # type: ignore[call-overload]
    places = np.arange(-low, length + high)
    assert np.array_equal(source(mode, places, length), wanted)
    assert [source(mode, int(place), length) for place in places] == wanted.tolist()


@settings(deadline=None, max_examples=30)  # JAX compiles each shape
@given(problem=borders())
def test_arrays_with_borders(xconv_backend: Backend, problem: ConvProblem) -> None:
    x = np.arange(2 * problem.length * 3, dtype="float32").reshape(2, problem.length, 3)
    got = xconv_backend.to_numpy(xconv_backend.pad_borders(problem, 1, xconv_backend.from_numpy(x, "cpu")))
    assert np.array_equal(got, reference.bordered(problem, 1, x))


@given(borders(), st.integers(1, 3))
def test_longer_borders_are_refused(problem: ConvProblem, more: int) -> None:
    check_window("conv1d", problem, "W")
    most = largest_pad(problem.padding_mode, problem.length)
    if most is None:
        return
    for pads in ((most + more, 0), (0, most + more)):
        longer = ConvProblem(1, problem.length, 1, 1, 1, 1, padding=pads, padding_mode=problem.padding_mode)
        with pytest.raises(ArgumentError, match=f"at most {most} on either side"):
            check_window("conv1d", longer, "W")


@given(st.data())
def test_sizes_of_results(data: st.DataObject) -> None:
    number = st.integers(1, 4)
    groups, kernel = data.draw(number), data.draw(number)
    inputs, outputs = groups * data.draw(number), groups * data.draw(number)
    axis = data.draw(st.sampled_from([1, 2]))
    length, other = kernel * 3 + data.draw(number), data.draw(number)
    stride, dilation, pads = data.draw(number), data.draw(st.integers(1, 3)), (data.draw(number), 0)
    problem = ConvProblem(2, length, other, inputs, outputs, kernel, stride, dilation, groups, pads)

    def sizes(length: int, channels: int) -> tuple[int, ...]:
        return (2, length, other, channels) if axis == 1 else (2, other, length, channels)

    x, dy = np.zeros(sizes(length, inputs)), np.zeros(sizes(problem.output_length, outputs))
    weight = np.zeros(problem.weight_shape)
    operands = {"forward": (x, weight), "input_gradient": (dy, weight), "weight_gradient": (x, dy)}
    for direction in DIRECTIONS:
        result = getattr(reference, direction)(problem, axis, *operands[direction])
        assert problem.result_sizes(direction, operands[direction][0].shape, axis) == result.shape

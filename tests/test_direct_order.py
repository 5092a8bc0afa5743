"""The order of each sum is that of the layer: no cut, batch, border, thread or bias changes a bit of a result.

The numbers are random ones, so that another order would have other bits; some are so small that their products vanish.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise, product
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.test_direct import PROCESSORS, aligned, compute, problems, small_groups
from xconv.core.problem import ConvProblem
from xconv.direct.groups import has_repeated_input
from xconv.direct.prepared import AnyComputation, Computation, RepeatedComputation
from xconv.direct.processor import Processor, detect_processor
from xconv.direct.scratch import _buffers, release
from xconv.direct.tiled import TiledMethod

SIGNALS = ("forward", "input_gradient")
"""The directions whose sums have an order of the layer."""

ALL = settings(
    max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much]
)

LAYERS = {
    "dense": ConvProblem(3, 61, 1, 33, 70, kernel=5, padding=(3, 1)),
    "dense, stride": ConvProblem(2, 64, 1, 20, 40, kernel=7, stride=3, padding=(2, 4)),
    "dense, dilation": ConvProblem(2, 80, 1, 9, 16, kernel=5, dilation=4, padding=(8, 8)),
    "dense, stride and dilation": ConvProblem(2, 77, 1, 16, 24, kernel=5, stride=4, dilation=6, padding=(9, 11)),
    "dense, one element each": ConvProblem(2, 50, 1, 24, 48, kernel=1),
    "dense, short lines": ConvProblem(40, 6, 1, 8, 64, kernel=7, padding=(3, 3)),
    "dense, columns of a map": ConvProblem(2, 20, 40, 12, 32, kernel=3, padding=(1, 1)),
    "dense, rows of a map": ConvProblem(24, 30, 1, 12, 32, kernel=3, padding=(1, 1)),
    "groups": ConvProblem(2, 50, 1, 48, 66, kernel=3, groups=3, padding=(1, 1)),
    **{f"{n} outputs": ConvProblem(2, 90, 1, 64, n, kernel=5, padding=(2, 2)) for n in range(1, 9)},
    "one output, short lines": ConvProblem(40, 6, 1, 40, 1, kernel=5, padding=(2, 2)),
    "one output, columns of a map": ConvProblem(2, 9, 40, 17, 1, kernel=3, stride=2, padding=(1, 1)),
    "two outputs, dilation": ConvProblem(1, 90, 1, 50, 2, kernel=5, dilation=7, padding=(14, 14)),
    "few outputs, groups": ConvProblem(2, 60, 1, 64, 4, kernel=3, groups=2, padding=(2, 0)),
    "one input": ConvProblem(2, 90, 1, 1, 64, kernel=9, stride=2, padding=(4, 4)),
    "three inputs": ConvProblem(2, 90, 1, 3, 40, kernel=7, stride=3, dilation=2, padding=(6, 6)),
    "depthwise": ConvProblem(2, 60, 1, 70, 70, kernel=4, groups=70, padding=(3, 0)),
    "depthwise, long kernel": ConvProblem(2, 90, 1, 32, 32, kernel=31, groups=32, padding=(15, 15)),
    "depthwise, few channels": ConvProblem(2, 60, 1, 3, 3, kernel=5, groups=3, padding=(2, 2)),
    "depthwise, stride": ConvProblem(2, 60, 1, 21, 21, kernel=5, stride=2, dilation=3, groups=21, padding=(6, 6)),
    "depthwise, columns": ConvProblem(2, 25, 7, 5, 5, kernel=5, groups=5, padding=(2, 2)),
    "one channel": ConvProblem(2, 200, 1, 1, 1, kernel=9, padding=(4, 4)),
    "one channel, stride": ConvProblem(2, 200, 1, 1, 1, kernel=16, stride=5, padding=(7, 8)),
    "multiplier": ConvProblem(2, 40, 1, 17, 51, kernel=3, groups=17, padding=(1, 1)),
    "small groups": ConvProblem(2, 40, 1, 24, 16, kernel=3, stride=2, groups=8, padding=(2, 1)),
}


@st.composite
def few_outputs(draw: st.DrawFn) -> ConvProblem:
    """Problems whose lanes run along the input channels."""
    groups = draw(st.sampled_from([1, 1, 2]))
    inputs, outputs = draw(st.sampled_from([8, 16, 33, 64, 100])) * groups, draw(st.integers(1, 8)) * groups
    found = replace(draw(problems()), groups=1, in_channels=inputs, out_channels=outputs)
    return replace(found, groups=groups)


def every_kind() -> st.SearchStrategy[ConvProblem]:
    drawn = st.one_of(problems(), few_outputs(), few_outputs(), small_groups())
    return drawn.filter(lambda problem: problem.output_length > 0)


def numbers(shape: tuple[int, ...], dtype: str, seed: int) -> Any:
    """Random ones; zeros of both signs, and some whose products are smaller than the smallest number."""
    rng = np.random.default_rng(seed)
    found = rng.standard_normal(shape).astype(dtype)
    for part, value in ((0.05, 0.0), (0.03, -0.0)):
        found[rng.random(shape) < part] = value
    found[rng.random(shape) < 0.05] *= np.finfo(dtype).tiny ** 0.8
    return found


def operands(direction: str, problem: ConvProblem) -> tuple[Any, Any]:
    signal = problem.input_shape if direction == "forward" else problem.output_shape
    return numbers(signal, problem.dtype, 0), numbers(problem.weight_shape, problem.dtype, 1)


def ready(
    direction: str, problem: ConvProblem, processor: Processor, threads: int = 1, constant_weight: bool = False
) -> AnyComputation:
    kind = RepeatedComputation if has_repeated_input(problem) else Computation
    return kind(direction, problem, threads, processor, constant_weight)


def run(known: AnyComputation, direction: str, problem: ConvProblem, signal: Any, weight: Any, bias: Any = None) -> Any:
    shape = problem.output_shape if direction == "forward" else problem.input_shape
    return compute(known, np.ascontiguousarray(signal), weight, bias, aligned(shape, problem.dtype))


def bits(array: Any) -> Any:
    return np.ascontiguousarray(array).view(f"u{array.itemsize}")


def assert_same_bits(got: Any, wanted: Any) -> None:
    np.testing.assert_array_equal(bits(got), bits(wanted))


def piece(direction: str, problem: ConvProblem, start: int, stop: int) -> tuple[ConvProblem, int, int] | None:
    """The problem whose result is that of some elements, and the part of the signal that it needs; None for no part.

    >>> problem = ConvProblem(1, 9, 1, 2, 3, kernel=3, stride=2, padding=(1, 1))
    >>> part, first, last = piece("forward", problem, 0, 2)
    >>> part.length, part.padding, first, last
    (4, (1, 0), 0, 4)
    """
    p, (low, _) = problem, problem.padding
    if direction == "forward":
        first, last = start * p.stride - low, (stop - 1) * p.stride - low + p.extent
        begin = min(max(first, 0), p.length)
        end = max(min(last, p.length), begin)
        pads = (begin - first, last - end) if begin < end else (last - first, 0)
        return replace(p, length=end - begin, padding=pads), begin, end
    begin = max(0, -(-(start + low - p.extent + 1) // p.stride))  # the first place that sees an element
    end = min(p.output_length, (stop - 1 + low) // p.stride + 1)
    if start + low < begin * p.stride:
        begin -= 1  # nothing is cropped: a place more, which sees none of them
    if end <= begin:
        return None
    before = start + low - begin * p.stride
    after = max((end - begin - 1) * p.stride + p.extent - before - (stop - start), 0)
    part = replace(p, length=stop - start, padding=(before, after))
    assert part.output_length == end - begin
    return part, begin, end


def check_pieces(direction: str, problem: ConvProblem, processor: Processor, pieces: list[tuple[int, int]]) -> type:
    signal, weight = operands(direction, problem)
    known = ready(direction, problem, processor)
    whole = run(known, direction, problem, signal, weight)
    for number, (start, stop) in enumerate(pieces):
        found = piece(direction, problem, start, stop)
        if found is None:
            assert_same_bits(whole[:, start:stop], np.zeros_like(whole[:, start:stop]))
            continue
        part, begin, end = found
        got = run(ready(direction, part, processor, 1 + number % 3), direction, part, signal[:, begin:end], weight)
        assert_same_bits(got, whole[:, start:stop])
    return type(known.method)


def check_all_else(direction: str, problem: ConvProblem, processor: Processor) -> None:
    """Threads, batch, weights that are packed for good, a bias, pads."""
    signal, weight = operands(direction, problem)

    def result(of: ConvProblem, signal: Any, bias: Any = None, **how: Any) -> Any:
        return run(ready(direction, of, processor, **how), direction, of, signal, weight, bias)

    whole = result(problem, signal)
    for threads in (2, 3):
        assert_same_bits(result(problem, signal, threads=threads), whole)
    assert_same_bits(result(problem, signal, constant_weight=True), whole)
    for line in {0, problem.outer - 1}:
        assert_same_bits(result(replace(problem, outer=1), signal[line : line + 1]), whole[line : line + 1])
    if direction == "forward" or not has_repeated_input(problem):
        bias = numbers(whole.shape[-1:], problem.dtype, 2)
        assert_same_bits(result(problem, signal, bias), whole + bias)
        assert_same_bits(result(problem, signal, -np.zeros_like(bias)), whole)
    if direction == "forward":
        pads = ((0, 0), problem.padding, (0, 0), (0, 0))
        assert_same_bits(result(problem.padded(), np.pad(signal, pads)), whole)


@pytest.fixture(autouse=True)
def shared(monkeypatch: pytest.MonkeyPatch) -> None:
    """Threads have something to do in small problems too."""
    monkeypatch.setattr("xconv.direct.prepared.THREAD_PRODUCTS", 0.01)


@pytest.mark.parametrize("direction", SIGNALS)
@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_each_place_alone_has_the_bits_of_the_whole(name: str, direction: str, dtype: str) -> None:
    problem = replace(LAYERS[name], dtype=dtype)
    length = problem.output_length if direction == "forward" else problem.length
    check_pieces(direction, problem, detect_processor(), [(place, place + 1) for place in range(length)])
    cuts = {0, 1, length // 3, length // 2, length // 2 + 1, length - 2, length}
    check_pieces(direction, problem, detect_processor(), list(pairwise(sorted(cuts))))


@pytest.mark.parametrize("direction", SIGNALS)
@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("processor", PROCESSORS, ids=lambda processor: f"{processor.vector_bytes} bytes")
def test_threads_batch_pads_and_bias_change_no_bit(name: str, direction: str, processor: Processor) -> None:
    check_all_else(direction, LAYERS[name], processor)


def test_the_layers_take_every_method_and_every_grouping() -> None:
    methods = {
        type(ready(each, problem, detect_processor()).method).__name__
        for problem in LAYERS.values()
        for each in SIGNALS
    }
    assert methods == {"DenseMethod", "NarrowMethod", "DepthwiseMethod"}
    found = [ready(each, problem, detect_processor()).method for problem in LAYERS.values() for each in SIGNALS]
    groupings = {(type(each).__name__, type(each.grouping).__name__) for each in found if isinstance(each, TiledMethod)}
    assert groupings == set(product(("DenseMethod", "NarrowMethod"), ("AlongSignal", "AlongRow", "AcrossLines")))


@ALL
@given(every_kind(), st.sampled_from(SIGNALS), st.sampled_from(PROCESSORS), st.data())
def test_a_signal_may_be_cut_anywhere(
    problem: ConvProblem, direction: str, processor: Processor, data: st.DataObject
) -> None:
    length = problem.output_length if direction == "forward" else problem.length
    if length:
        cuts = data.draw(
            st.lists(st.integers(0, length), max_size=6, unique=True).map(lambda cuts: sorted({0, *cuts, length}))
        )
        alone = data.draw(st.integers(0, length - 1))
        pieces = [*pairwise(cuts), (alone, alone + 1)]
        check_pieces(direction, problem, processor, pieces)


@ALL
@given(every_kind(), st.sampled_from(SIGNALS), st.sampled_from(PROCESSORS))
@example(ConvProblem(2, 23, 5, 4, 100, kernel=1, dilation=7, padding=(2, 0), dtype="float64"), "forward", PROCESSORS[0])
def test_nothing_but_the_layer_decides(problem: ConvProblem, direction: str, processor: Processor) -> None:
    check_all_else(direction, problem, processor)


def dirty() -> None:
    """Write over what this thread keeps between calls."""
    for memory in _buffers.by_name.values():
        memory[...] = 0xFF  # NaN in every type


@settings(ALL, max_examples=40)
@given(every_kind(), st.sampled_from(PROCESSORS), st.sampled_from([1, 2, 3]))
def test_a_weight_gradient_is_the_same_each_time(problem: ConvProblem, processor: Processor, threads: int) -> None:
    """For given sizes and threads, whatever was in the memory that is kept for calls."""
    x, dy = numbers(problem.input_shape, problem.dtype, 0), numbers(problem.output_shape, problem.dtype, 1)
    release()
    found = []
    for _ in range(3):
        known = ready("weight_gradient", problem, processor, threads)
        for _ in range(2):
            found.append(compute(known, x, dy, None, None).copy())
            dirty()
    for other in found[1:]:
        assert_same_bits(other, found[0])

"""Sums in registers: every bit right for any geometry, processor and count of threads; no access beyond the arrays."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

import xconv
from xconv.core import reference
from xconv.core.problem import DIRECTIONS, ConvProblem
from xconv.direct import functions
from xconv.direct.availability import unavailable
from xconv.direct.dense import ConstantWeightDenseMethod, DenseMethod
from xconv.direct.depthwise import DepthwiseMethod
from xconv.direct.depthwise_weights import DepthwiseWeightMethod
from xconv.direct.grouping import AcrossLines, AlongRow, AlongSignal, TileRegisters, choose_grouping
from xconv.direct.groups import has_repeated_input
from xconv.direct.method import is_streamed
from xconv.direct.narrow import NarrowMethod
from xconv.direct.phases import DirectionGeometry
from xconv.direct.prepared import AnyComputation, Computation, RepeatedComputation, choose_method, prepare
from xconv.direct.processor import CACHE_LINE_BYTES, Processor, detect_processor
from xconv.direct.team import run_in_pool
from xconv.direct.transposed import transpose
from xconv.direct.weights import WeightMethod

PROCESSORS = [detect_processor()]
if detect_processor().vector_bytes > 16:
    PROCESSORS += [Processor(32, 16, "x86-64-v3"), Processor(16, 16)]
"""This processor, and what older ones have: their code runs here too."""

LARGEST = 3
"""Operands are integers up to this, so that every sum is exact."""


@st.composite
def problems(draw: st.DrawFn) -> ConvProblem:
    """Small problems of every kind."""
    groups = draw(st.sampled_from([1, 1, 1, 2, 3]))
    channels = st.sampled_from([1, 2, 3, 5, 8, 9, 16, 20, 33, 70])
    inputs, outputs = draw(channels) * groups, draw(channels) * groups
    if draw(st.integers(0, 2)) == 0:
        groups = inputs = outputs = draw(st.sampled_from([1, 3, 7, 16, 25, 48, 130, 200]))
    kernel, dilation = draw(st.sampled_from([1, 2, 3, 5, 8, 13, 30])), draw(st.sampled_from([1, 1, 2, 3, 7]))
    extent = (kernel - 1) * dilation + 1
    padding = draw(st.integers(0, extent + 1)), draw(st.integers(0, extent + 1))
    length = draw(st.integers(max(extent - sum(padding), 1), max(extent - sum(padding), 1) + 70))
    inner = draw(st.sampled_from([1, 1, 1, 2, 5, 17, 40]))
    stride, outer = draw(st.sampled_from([1, 1, 2, 3, 5])), draw(st.sampled_from([1, 2, 7]))
    dtype = draw(st.sampled_from(["float32", "float32", "float64"]))
    return ConvProblem(outer, length, inner, inputs, outputs, kernel, stride, dilation, groups, padding, dtype=dtype)


def integers(shape: tuple[int, ...], dtype: str, seed: int = 0) -> Any:
    return np.random.default_rng(seed).integers(-LARGEST, LARGEST + 1, shape).astype(dtype)


def aligned(shape: tuple[int, ...], dtype: str) -> Any:
    """An array of nothing yet, that begins with a line of memory, as a framework's does."""
    memory = np.empty(int(np.prod(shape)) * np.dtype(dtype).itemsize + CACHE_LINE_BYTES, np.uint8)
    start = -memory.ctypes.data % CACHE_LINE_BYTES
    array = memory[start : memory.size - CACHE_LINE_BYTES + start].view(dtype).reshape(shape)
    array[...] = np.nan
    return array


def compute(ready: AnyComputation, a: Any, b: Any, bias: Any, result: Any) -> Any:
    """A direction by arrays, as a formulation does it by addresses."""
    if ready.sum_count:
        return ready.weight_gradient(a.ctypes.data, b.ctypes.data, run_in_pool)
    kernel = ready.method.pack(b) if ready.packs_weight else b
    begin = None if bias is None else ready.method.pack_bias(bias)
    ready.run(
        a.ctypes.data, kernel.ctypes.data, None if begin is None else begin.ctypes.data, result.ctypes.data, run_in_pool
    )
    return result


def check(
    problem: ConvProblem,
    direction: str,
    processor: Processor,
    threads: int,
    biased: bool,
    constant_weight: bool = False,
) -> type:
    x, dy = integers(problem.input_shape, problem.dtype), integers(problem.output_shape, problem.dtype, 1)
    weight = integers(problem.weight_shape, problem.dtype, 2)
    a, b = {"forward": (x, weight), "input_gradient": (dy, weight), "weight_gradient": (x, dy)}[direction]
    wanted = getattr(reference, direction)(problem, 1, a, b)
    takes_bias = direction == "forward" or (direction == "input_gradient" and not has_repeated_input(problem))
    bias = integers(wanted.shape[-1:], problem.dtype, 3) if biased and takes_bias else None
    kind = RepeatedComputation if has_repeated_input(problem) else Computation
    ready = kind(direction, problem, threads, processor, constant_weight)
    got = compute(ready, a, b, bias, aligned(wanted.shape, problem.dtype))
    assert got.shape == wanted.shape
    assert np.array_equal(got, wanted if bias is None else wanted + bias)
    return type(ready.method)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])
@given(problems(), st.sampled_from(PROCESSORS), st.sampled_from([1, 2, 3]), st.booleans(), st.booleans())
@example(ConvProblem(1, 40, 1, 8, 70, kernel=3, stride=2, dilation=2, padding=(3, 1)), PROCESSORS[0], 2, True, True)
@example(ConvProblem(9, 8, 1, 20, 70, kernel=3, padding=(1, 1)), PROCESSORS[0], 1, True, True)
@example(ConvProblem(2, 30, 3, 1, 1, kernel=5, groups=1, padding=(4, 0)), PROCESSORS[0], 3, True, True)
@example(ConvProblem(2, 0, 1, 5, 20, kernel=3, stride=2, padding=(3, 3)), PROCESSORS[0], 1, True, True)
@example(ConvProblem(2, 0, 1, 1, 1, kernel=3, padding=(3, 3)), PROCESSORS[0], 1, False, False)
@example(ConvProblem(2, 60, 1, 33, 1, kernel=7, dilation=3, padding=(9, 9)), PROCESSORS[0], 2, False, False)
def test_every_bit_is_right(
    problem: ConvProblem, processor: Processor, threads: int, biased: bool, constant_weight: bool
) -> None:
    if problem.output_length < 1:
        return
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("xconv.direct.prepared.THREAD_PRODUCTS", 0.01)  # small problems have work for several threads too
        for direction in DIRECTIONS:
            check(problem, direction, processor, threads, biased, constant_weight)


@st.composite
def small_groups(draw: st.DrawFn) -> ConvProblem:
    """Problems whose groups fill no vector."""
    groups, inputs, outputs = (
        draw(st.sampled_from(some)) for some in ([2, 3, 8, 17, 40], [1, 2, 3, 4, 7], [1, 2, 5, 7])
    )
    dilation = draw(st.sampled_from([1, 3])) if inputs == 1 else 1
    problem = replace(draw(problems()), in_channels=groups * inputs, out_channels=groups * outputs, groups=groups)
    return replace(problem, dilation=dilation, kernel=min(problem.kernel, problem.padded_length // dilation) or 1)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])
@given(small_groups(), st.sampled_from(PROCESSORS), st.sampled_from([1, 2, 3]), st.sampled_from([1, 1 << 18]))
@example(ConvProblem(7, 40, 1, 600, 1200, kernel=3, groups=300, padding=(1, 1)), PROCESSORS[0], 2, 1)
@example(ConvProblem(2, 0, 1, 6, 8, kernel=3, groups=2, padding=(3, 3)), PROCESSORS[0], 1, 1)
@example(ConvProblem(2, 40, 5, 4, 32, kernel=3, groups=2, padding=(3, 0), stride=2), PROCESSORS[0], 1, 1)
def test_small_groups_are_computed_as_depthwise(
    problem: ConvProblem, processor: Processor, threads: int, cached: int
) -> None:
    """In one piece, or a line at a time."""
    if problem.output_length < 1 or not has_repeated_input(problem):
        return
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("xconv.direct.prepared.THREAD_PRODUCTS", 0.01)
        patch.setattr("xconv.direct.prepared.CACHED_BYTES", cached)
        for direction in DIRECTIONS:
            check(problem, direction, processor, threads, biased=True)


def test_each_kind_of_layer_has_its_method() -> None:
    dense, depthwise = ConvProblem(1, 40, 1, 16, 32, kernel=3), ConvProblem(1, 40, 1, 16, 16, kernel=3, groups=16)
    to_one, single = ConvProblem(1, 40, 1, 32, 1, kernel=3), ConvProblem(1, 40, 1, 1, 1, kernel=3)
    layers = dense, depthwise, to_one, single
    kinds = {(layer, each): choose_method(each, layer, detect_processor()) for layer in layers for each in DIRECTIONS}
    assert [kinds[dense, each] for each in DIRECTIONS] == [DenseMethod, DenseMethod, WeightMethod]
    assert [kinds[to_one, each] for each in DIRECTIONS] == [NarrowMethod, DenseMethod, WeightMethod]
    for problem in (depthwise, single):
        assert [kinds[problem, each] for each in DIRECTIONS] == [
            DepthwiseMethod,
            DepthwiseMethod,
            DepthwiseWeightMethod,
        ]


def test_weights_are_brought_into_order_where_that_is_worth_it() -> None:
    few, many, far = (96, 512, 3), (2000, 512, 3), (96, 768, 16)
    for (length, channels, kernel), packs in ((few, False), (many, True), (far, True)):
        problem = ConvProblem(1, length, 1, 512, channels, kernel=kernel)
        assert DenseMethod("forward", problem, detect_processor()).packs_weight == packs
        assert ConstantWeightDenseMethod("forward", problem, detect_processor()).packs_weight
        assert DenseMethod("input_gradient", problem, detect_processor()).packs_weight


def test_each_grouping_of_places_is_chosen() -> None:
    signal = ConvProblem(1, 400, 1, 16, 64, kernel=3, padding=(1, 1))
    rows = ConvProblem(60, 7, 1, 16, 64, kernel=7, padding=(3, 3))  # a third of the taps would be padding
    columns = ConvProblem(1, 20, 60, 16, 64, kernel=3, padding=(1, 1))
    taken = [
        type(choose_grouping(DirectionGeometry("forward", problem), TileRegisters(4, range(1, 7), 64)))
        for problem in (signal, rows, columns)
    ]
    assert taken == [AlongSignal, AcrossLines, AlongRow]


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_threads_and_batch_do_not_change_a_bit(direction: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("xconv.direct.prepared.THREAD_PRODUCTS", 1)
    problem = ConvProblem(6, 50, 1, 24, 40, kernel=5, padding=(2, 2))
    rng = np.random.default_rng(0)
    x, dy = (rng.standard_normal(shape, "float32") for shape in (problem.input_shape, problem.output_shape))
    weight = rng.standard_normal(problem.weight_shape, "float32")
    a, b = {"forward": (x, weight), "input_gradient": (dy, weight), "weight_gradient": (x, dy)}[direction]
    shape = {"forward": problem.output_shape, "input_gradient": problem.input_shape}.get(direction, ())
    by_threads = [
        compute(Computation(direction, problem, threads, detect_processor()), a, b, None, np.empty(shape, "float32"))
        for threads in (1, 2, 5)
    ]
    assert all(np.array_equal(by_threads[0], other) for other in by_threads[1:])
    if direction != "weight_gradient":
        alone = Computation(direction, replace(problem, outer=1), 1, detect_processor())
        found = compute(alone, a[2:3].copy(), b, None, np.empty((1, *shape[1:]), "float32"))
        assert np.array_equal(found, by_threads[0][2:3])


def test_large_results_are_written_past_the_caches() -> None:
    problem = ConvProblem(3, 50_000, 1, 2, 64, kernel=3)  # 38 MB
    assert is_streamed(DenseMethod("forward", problem, detect_processor()), 64) == (
        detect_processor().vector_bytes == 64
    )
    assert not is_streamed(DenseMethod("forward", replace(problem, outer=1), detect_processor()), 64)
    assert not is_streamed(DenseMethod("forward", replace(problem, out_channels=65), detect_processor()), 65)
    assert check(problem, "forward", detect_processor(), 2, biased=False) is DenseMethod
    if detect_processor().vector_bytes == CACHE_LINE_BYTES:
        ready = Computation("forward", problem, 1, detect_processor())
        with pytest.raises(ValueError, match="a multiple of 64"):
            ready.run(0, 0, None, CACHE_LINE_BYTES + 4, run_in_pool)
    wide = ConvProblem(1, 5000, 1, 2048, 2048, kernel=2, groups=2048, padding=(1, 0))
    assert check(wide, "forward", detect_processor(), 2, biased=True) is DepthwiseMethod


def test_a_layer_is_compiled_once_for_all_lengths_and_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    def layer(outer: int, length: int) -> ConvProblem:
        return ConvProblem(outer, length, 1, 11, 23, kernel=9, stride=2, dilation=3)

    for direction in DIRECTIONS:
        prepare(direction, layer(2, 500), 1)
    monkeypatch.setattr(functions, "compile_object", None)
    for outer, length in ((2, 501), (5, 4000), (1, 460)):
        for direction in DIRECTIONS:
            prepare(direction, layer(outer, length), 1)


@pytest.mark.parametrize("shape", [(1, 1, 5), (2, 16, 16), (3, 33, 20), (5, 7, 100), (2, 100, 3)])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_transposed(shape: tuple[int, int, int], dtype: str) -> None:
    x = np.random.default_rng(0).standard_normal(shape).astype(dtype)
    y = np.full((shape[0], shape[2], shape[1]), np.nan, dtype)
    transpose(x.ctypes.data, y.ctypes.data, shape, dtype, 2, run_in_pool)
    assert np.array_equal(y, x.transpose(0, 2, 1))


EDGES = """
import ctypes, mmap, sys
import numpy as np
from tests.test_direct import PROCESSORS, compute
from xconv import reference
from xconv.direct.prepared import Computation
from xconv.direct.transposed import transpose
from xconv.direct.team import run_in_pool
from xconv.core.problem import DIRECTIONS, ConvProblem

libc, page, kept = ctypes.CDLL(None, use_errno=True), mmap.PAGESIZE, []

def at_the_edge(array, end):
    # between two pages that must not be touched, up against the one before or the one behind
    inside = -(-array.nbytes // page) * page
    area = mmap.mmap(-1, inside + 2 * page)
    start = ctypes.addressof(ctypes.c_char.from_buffer(area))
    for guard in (start, start + page + inside):
        assert libc.mprotect(ctypes.c_void_p(guard), page, 0) == 0
    kept.append(area)
    offset = page + (inside - array.nbytes if end else 0)
    placed = np.frombuffer(area, array.dtype, array.size, offset).reshape(array.shape)
    placed[...] = array
    return placed

for problem in (
    ConvProblem(2, 37, 1, 5, 37, kernel=4, dilation=2, padding=(3, 5)),
    ConvProblem(2, 41, 1, 7, 9, kernel=5, stride=3, padding=(2, 2)),
    ConvProblem(1, 33, 3, 4, 19, kernel=3, padding=(1, 1)),
    ConvProblem(5, 8, 1, 6, 18, kernel=3, padding=(1, 1)),
    ConvProblem(1, 12, 29, 3, 21, kernel=3, padding=(1, 1)),
    ConvProblem(2, 40, 1, 19, 2, kernel=7, dilation=2, padding=(6, 6)),
    ConvProblem(20, 6, 1, 19, 1, kernel=5, padding=(2, 2)),
    ConvProblem(2, 9, 20, 17, 1, kernel=3, stride=2, padding=(1, 1)),
    ConvProblem(2, 90, 1, 8, 3, kernel=9, stride=2, padding=(8, 3)),
    ConvProblem(2, 53, 1, 1, 1, kernel=9, padding=(4, 4)),
    ConvProblem(2, 53, 1, 3, 3, kernel=9, groups=3, padding=(8, 0)),
    ConvProblem(1, 30, 1, 135, 135, kernel=4, groups=135, padding=(3, 0)),
    ConvProblem(1, 30, 1, 21, 21, kernel=4, stride=2, groups=21, padding=(1, 1)),
    ConvProblem(1, 15, 7, 3, 3, kernel=5, groups=3, padding=(2, 2)),
):
    for processor in PROCESSORS:
        for direction in DIRECTIONS:
            rng = np.random.default_rng(0)
            draw = lambda shape: rng.integers(-3, 4, shape).astype("float32")
            x, dy, weight = draw(problem.input_shape), draw(problem.output_shape), draw(problem.weight_shape)
            a, b = {"forward": (x, weight), "input_gradient": (dy, weight), "weight_gradient": (x, dy)}[direction]
            wanted = getattr(reference, direction)(problem, 1, a, b)
            for end in (False, True):
                a, b = at_the_edge(a, end), at_the_edge(b, end)
                result = at_the_edge(np.zeros(wanted.shape, "float32"), end)
                got = compute(Computation(direction, problem, 1, processor), a, b, None, result)
                assert np.array_equal(got, wanted), (problem, direction, processor.vector_bytes)
for shape in ((1, 19, 35), (2, 3, 50), (1, 64, 7)):
    for end in (False, True):
        x = at_the_edge(np.random.default_rng(0).standard_normal(shape, "float32"), end)
        y = at_the_edge(np.zeros((shape[0], shape[2], shape[1]), "float32"), end)
        transpose(x.ctypes.data, y.ctypes.data, shape, "float32", 1, run_in_pool)
        assert np.array_equal(y, x.transpose(0, 2, 1))
print("whole")
"""


@pytest.mark.skipif(sys.platform != "linux", reason="no such memory here")
def test_nothing_beyond_the_arrays_is_touched() -> None:
    """Memory next to each array that ends the process if it is read or written."""
    done = subprocess.run([sys.executable, "-c", EDGES], capture_output=True, text=True, check=False, timeout=200)
    assert done.stdout == "whole\n", (done.returncode, done.stderr[-2000:])


WITHOUT = """
import sys
sys.modules["llvmlite"] = None
import numpy as np, xconv
x, w = np.ones((1, 60, 8), "float32"), np.ones((3, 8, 16), "float32")
print(xconv.conv1d(x, w, backend="{name}").sum())
try:
    xconv.conv1d(x, w, backend="{name}", formulation="direct")
except xconv.UnsupportedError as error:
    print(error)
"""


def test_without_the_compiler_there_are_the_other_formulations(backend: Any) -> None:
    if "direct" not in [form.name for form in backend.formulations]:
        return
    program = [sys.executable, "-c", WITHOUT.format(name=backend.name)]
    done = subprocess.run(program, capture_output=True, text=True, check=False, timeout=200)
    value, said = done.stdout.splitlines()
    assert float(value) == 58 * 16 * 24
    assert "no code can be compiled here" in said
    assert "llvmlite" in said


FORKED = """
import os
from dataclasses import replace
import numpy as np
from tests.test_direct import compute
from xconv.direct.processor import detect_processor
from xconv.direct.prepared import Computation
from xconv.core.problem import ConvProblem
import xconv.direct.prepared as module
module.THREAD_PRODUCTS = 1
problem = ConvProblem(8, 50, 1, 4, 16, kernel=3)
ready = Computation("forward", problem, 2, detect_processor())
x, w = np.ones(problem.input_shape, "float32"), np.ones(problem.weight_shape, "float32")
run = lambda w=w: float(compute(ready, x, w, None, np.empty(problem.output_shape, "float32")).sum())
first = run()
child = os.fork()
if child == 0:
    other = Computation("forward", replace(problem, out_channels=5), 2, detect_processor())  # which is compiled there
    w = np.ones(other.method.problem.weight_shape, "float32")
    y = compute(other, x, w, None, np.empty(other.method.problem.output_shape, "float32"))
    os._exit(0 if run() == first and float(y.sum()) == first * 5 / 16 else 1)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no such memory here")
def test_a_forked_process_has_threads_of_its_own() -> None:
    done = subprocess.run([sys.executable, "-c", FORKED], capture_output=True, text=True, check=False, timeout=60)
    assert done.stdout == "0\n", done.stderr


def test_it_is_available_where_the_tests_run() -> None:
    assert unavailable() is None


def test_groups_that_fill_no_vector_are_refused(backend: Any) -> None:
    forms = {form.name: form for form in backend.formulations}
    if "direct" in forms:
        few, many = ConvProblem(1, 50, 1, 8, 8, kernel=3, groups=4), ConvProblem(1, 50, 1, 32, 32, kernel=3, groups=2)
        apart = replace(few, dilation=2)  # whose taps are no row when each is one for each input of a group
        assert "fill a vector" in (forms["direct"].unsupported("forward", apart) or "")
        assert forms["direct"].unsupported("forward", few) is None
        assert forms["direct"].unsupported("forward", many) is None
        with pytest.raises(xconv.UnsupportedError, match="fill a vector"):
            xconv.conv1d(np.ones((1, 50, 8), "f"), np.ones((3, 2, 8), "f"), groups=4, dilation=2, formulation="direct",
                         backend=backend.name)  # fmt: skip

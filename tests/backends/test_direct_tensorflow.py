"""TensorFlow: compiled sums on eager tensors' own memory; a graph has its own ops."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf

import xconv
from tests.test_direct_order import LAYERS, assert_same_bits, numbers, piece
from xconv.calls import dispatch
from xconv.core.problem import ConvProblem
from xconv_tensorflow.formulations.direct import ALIGNMENT_BYTES, DIRECT, LARGE_BYTES


@pytest.fixture
def computed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Which directions were computed in memory."""
    from xconv.direct import formulation

    dispatch.forget()
    found: list[str] = []
    right = formulation._prepare

    def spy(direction: str, problem: ConvProblem, dtype: str, threads: int) -> Any:
        found.append(direction)
        return right(direction, problem, dtype, threads)

    monkeypatch.setattr(formulation, "_prepare", spy)
    return found


def integers(*shape: int) -> Any:
    return tf.constant(np.random.default_rng(0).integers(-3, 4, shape), tf.float32)


def direct(x: Any, w: Any) -> Any:
    return xconv.conv1d(x, w, padding=1, formulation="direct")


def test_eager_calls_and_their_gradients_are_computed_in_memory(computed: list[str]) -> None:
    x, w = integers(2, 40, 16), integers(3, 16, 24)
    y = direct(x, w)
    assert computed == ["forward"]
    with tf.GradientTape(persistent=True) as tape:
        tape.watch([x, w])
        mine = tf.reduce_sum(direct(x, w) ** 2)
        own = tf.reduce_sum(xconv.conv1d(x, w, padding=1, formulation="conv2d") ** 2)
    np.testing.assert_array_equal(y, xconv.conv1d(x, w, padding=1, formulation="conv2d"))
    for got, wanted in zip(tape.gradient(mine, [x, w]), tape.gradient(own, [x, w]), strict=True):
        np.testing.assert_array_equal(got, wanted)
    assert "forward" in computed


@pytest.mark.parametrize("jit", [False, True])
def test_a_graph_has_its_own_ops(jit: bool, computed: list[str]) -> None:
    x, w = integers(2, 40, 16), integers(3, 16, 24)
    compiled = tf.function(direct, jit_compile=jit)
    got = compiled(x, w)
    assert not computed
    np.testing.assert_array_equal(got, direct(x, w))
    assert not [op.type for op in compiled.get_concrete_function(x, w).graph.get_operations() if "Py" in op.type]


def test_no_plan_for_a_graph_names_what_needs_memory() -> None:
    problem = ConvProblem(1, 4000, 1, 256, 256, kernel=4, groups=256, padding=(3, 0))
    taken: list[str] = []

    @tf.function
    def build(x: Any) -> Any:
        choice = xconv.plan(problem, backend="tensorflow").choices["forward"]
        taken.extend([choice.formulation, *choice.alternatives])
        return x

    build(tf.zeros(1))
    assert taken
    assert "direct" not in taken
    choice = xconv.plan(problem, backend="tensorflow").choices["forward"]
    assert "direct" in (choice.formulation, *choice.alternatives)


@pytest.mark.parametrize("size", [8, LARGE_BYTES // 4])
def test_results_are_tensors_as_any_other(size: int) -> None:
    """Aligned for every kernel of TensorFlow's, and theirs to keep."""
    made, address = DIRECT.memory.empty(tf.zeros(1), (2, size))
    assert address == DIRECT.memory.address(made) == np.asarray(made).ctypes.data
    assert address % ALIGNMENT_BYTES == 0
    assert made.device.endswith("CPU:0")
    x, w = tf.ones((1, size // 8 + 2, 8)), tf.ones((3, 8, 8))
    y = xconv.conv1d(x, w, formulation="direct")
    again = tf.nn.relu(y) @ tf.eye(8)
    del y
    assert float(tf.reduce_min(again)) == float(tf.reduce_max(again)) == 24


def test_a_variable_and_a_tape_of_a_tape(computed: list[str]) -> None:
    x, w = tf.Variable(integers(1, 12, 8)), tf.Variable(integers(3, 8, 8))
    with tf.GradientTape() as outer:
        with tf.GradientTape() as inner:
            y = tf.reduce_sum(direct(x, w) ** 2)
        first = inner.gradient(y, x)
        total = tf.reduce_sum(first)
    second = outer.gradient(total, w)
    with tf.GradientTape() as outer:
        with tf.GradientTape() as inner:
            y = tf.reduce_sum(xconv.conv1d(x, w, padding=1, formulation="conv2d") ** 2)
        first = inner.gradient(y, x)
        total = tf.reduce_sum(first)
    np.testing.assert_array_equal(second, outer.gradient(total, w))
    assert computed


@pytest.mark.parametrize("name", ["dense", "1 outputs", "depthwise", "small groups"])
def test_each_sum_has_the_order_of_its_layer(name: str) -> None:
    """Cut, called again, one line of a batch, channels first; a bias is added to finished sums."""
    problem = LAYERS[name]
    shapes = (problem.outer, problem.length, problem.in_channels), problem.weight_shape, (problem.out_channels,)
    x, w, b = (tf.constant(numbers(shape, "float32", seed)) for seed, shape in enumerate(shapes))

    def run(problem: ConvProblem, x: Any, bias: Any = None, **more: Any) -> Any:
        how = {option: getattr(problem, option) for option in ("stride", "dilation", "groups", "padding")}
        return np.asarray(xconv.conv1d(x, more.pop("weight", w), bias, formulation="direct", **how, **more))

    whole = run(problem, x)
    for _ in range(2):
        assert_same_bits(run(problem, x), whole)
        assert_same_bits(run(problem, x, b), whole + np.asarray(b))
        assert_same_bits(run(problem, x[:1]), whole[:1])
    first = run(problem, tf.transpose(x, (0, 2, 1)), layout="NCW", weight=tf.transpose(w, (2, 1, 0)))
    assert_same_bits(first.swapaxes(1, 2), whole)
    for start, stop in ((0, 1), (1, 9), (9, 10), (10, problem.output_length)):
        found = piece("forward", problem, start, stop)
        assert found is not None
        part, begin, end = found
        assert_same_bits(run(part, x[:, begin:end]), whole[:, start:stop])

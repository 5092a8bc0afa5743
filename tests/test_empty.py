"""Signals without an element, batches without a sample, kernels without a place: zeros, and a bias."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import xconv
from xconv.core.backend import Backend

Case = tuple[str, tuple[int, ...], tuple[int, ...], dict[str, Any]]
CASES: list[Case] = [
    ("conv1d", (2, 0, 3), (3, 3, 2), {"padding": 3}),
    ("conv1d", (2, 0, 3), (3, 3, 2), {"padding": (3, 2)}),
    ("conv1d", (2, 0, 3), (3, 3, 2), {"padding": 3, "stride": 2}),
    ("conv1d", (2, 0, 3), (1, 3, 2), {"padding": 3, "stride": 2}),
    ("conv1d", (2, 0, 4), (3, 2, 4), {"padding": 3, "groups": 2, "dilation": 2}),
    ("conv1d", (2, 0, 4), (3, 1, 4), {"padding": 3, "groups": 4}),
    ("conv1d", (2, 0, 3), (3, 3, 2), {"padding": "same"}),
    ("conv1d", (0, 9, 3), (3, 3, 2), {"padding": 1}),
    ("conv1d_rows", (2, 3, 0, 3), (3, 3, 2), {"padding": 3}),
    ("conv1d_rows", (2, 0, 4, 3), (3, 3, 2), {"padding": 1}),
    ("conv1d_columns", (2, 0, 3, 3), (3, 3, 2), {"padding": 3}),
    ("conv2d_as_1d", (2, 0, 3), (3, 3, 2), {"padding": 3}),
    ("conv2d", (2, 0, 3, 3), (3, 3, 3, 2), {"padding": 3}),
    ("conv2d", (2, 0, 0, 3), (3, 3, 3, 2), {"padding": 3}),
    ("conv1d_transpose", (2, 0, 3), (3, 2, 3), {"padding": "same", "stride": 2}),
    ("conv1d_transpose", (0, 5, 3), (3, 2, 3), {"stride": 2}),
]

Arrays = list[np.ndarray]
Problem = tuple[Callable[..., Any], Arrays, np.ndarray, list[str]]


def made(backend: Backend, case: Case) -> Problem:
    """The operation, its operands, the right result, and the formulations that can compute it."""
    operation, x_shape, weight_shape, options = case
    bias = np.arange(1, 3 if 2 in weight_shape[1:] and "groups" not in options else 5, dtype="float32")
    call = xconv.resolve(operation, x_shape, weight_shape, bias.shape, **options)
    wanted = np.broadcast_to(bias, call.result_shape(x_shape))
    weight = np.ones(weight_shape, "float32")
    weight[0] = np.nan  # which meets nothing

    def run(*arrays: Any, **how: str) -> Any:
        return getattr(xconv, operation)(*arrays, **options, **how)

    able = [form.name for form in backend.formulations if form.unsupported(call.direction, call.problem) is None]
    return run, [np.zeros(x_shape, "float32"), weight, bias], wanted, [] if "2d" in operation else able


@pytest.mark.parametrize("case", CASES, ids=str)
def test_every_formulation(backend: Backend, case: Case) -> None:
    run, operands, wanted, able = made(backend, case)
    arrays = [backend.from_numpy(array, "cpu") for array in operands]
    for name in [None, *able]:
        how = {} if name is None else {"formulation": name}
        assert np.array_equal(backend.to_numpy(run(*arrays, **how)), wanted), name
        above = backend.from_numpy(np.ones(wanted.shape, "float32"), "cpu")
        dx, dweight, dbias = backend.gradients(lambda *given, how=how: run(*given, **how), arrays, above)
        assert np.array_equal(backend.to_numpy(dx), operands[0]), name
        assert np.array_equal(backend.to_numpy(dweight), np.zeros(operands[1].shape)), name
        assert (backend.to_numpy(dbias) == wanted.size / max(len(operands[2]), 1)).all(), name


def test_under_every_compiler(backend: Backend) -> None:
    """All in one function, and so in one graph: a compiler takes seconds for each graph."""
    problems = [made(backend, case) for case in CASES]
    arrays = [backend.from_numpy(array, "cpu") for _, operands, _, _ in problems for array in operands]
    wanted = [result for _, _, result, _ in problems]

    def results(*arrays: Any) -> tuple[Any, ...]:
        return tuple(run(*arrays[3 * i : 3 * i + 3]) for i, (run, *_) in enumerate(problems))

    def joined(*arrays: Any) -> Any:
        return backend.concatenate([in_a_row(backend, y) for y in results(*arrays)], 0)

    above = backend.from_numpy(np.ones(sum(result.size for result in wanted), "float32"), "cpu")
    # of the modes that plan alike the last, which does what the others do and more
    for mode in {backend.mode_execution[mode]: mode for mode in backend.modes}.values():
        for case, y, right in zip(CASES, backend.compiled(results, mode)(*arrays), wanted, strict=True):
            assert np.array_equal(backend.to_numpy(y), right), (mode, case)
        gradients = backend.gradients(backend.compiled(joined, mode), arrays, above)
        for i, case in enumerate(CASES):
            dx, dweight, dbias = gradients[3 * i : 3 * i + 3]
            assert dx.shape == arrays[3 * i].shape, (mode, case)
            assert not backend.to_numpy(dweight).any(), (mode, case)
            assert (backend.to_numpy(dbias) == wanted[i].size / len(dbias)).all(), (mode, case)


def in_a_row(backend: Backend, array: Any) -> Any:
    if backend.name == "tensorflow":
        import tensorflow as tf

        return tf.reshape(array, [-1])
    return array.reshape(-1)

"""Sizes beyond 32 bits, or beyond memory: an answer, or a sentence before a framework is reached."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import xconv
from xconv.core.backend import Backend
from xconv.core.sizes import LARGEST_SIZE

ANSWERED: list[tuple[str, tuple[int, ...], tuple[int, ...], dict[str, Any], dict[str, Any]]] = [
    ("conv1d", (1, 9, 1), (1, 1, 1), {"dilation": 2**31}, {}),
    ("conv1d", (1, 9, 1), (1, 1, 1), {"dilation": 2**70}, {}),
    ("conv1d", (1, 9, 1), (3, 1, 1), {"stride": 2**31}, {"stride": 9}),
    ("conv1d", (1, 9, 1), (3, 1, 1), {"stride": 2**70, "padding": 1}, {"stride": 11, "padding": 1}),
    ("conv1d_rows", (1, 2, 9, 1), (1, 1, 1), {"dilation": 2**31}, {}),
    ("conv1d_columns", (1, 9, 2, 1), (3, 1, 1), {"stride": 2**31}, {"stride": 9}),
    ("conv1d_transpose", (1, 9, 1), (1, 1, 1), {"dilation": 2**31}, {}),
    ("conv1d_transpose", (1, 1, 1), (3, 1, 1), {"stride": 2**31}, {}),
    ("conv2d", (1, 9, 9, 1), (1, 3, 1, 1), {"dilation": (2**31, 1)}, {}),
    ("conv2d", (1, 9, 9, 1), (3, 3, 1, 1), {"stride": 2**31}, {"stride": 9}),
]

REFUSED: list[tuple[str, tuple[int, ...], tuple[int, ...], dict[str, Any], str]] = [
    ("conv1d", (1, 9, 1), (2, 1, 1), {"dilation": 2**31, "padding": "same"}, "dilation"),
    ("conv1d", (1, 9, 1), (2, 1, 1), {"dilation": 2**70, "padding": "causal"}, "dilation|padding"),
    ("conv1d", (1, 9, 1), (3, 1, 1), {"dilation": 2**30, "padding": "same"}, "dilation"),
    ("conv1d", (1, 9, 1), (2, 1, 1), {"padding": 2**31}, "padding"),
    ("conv1d", (1, 9, 1), (2, 1, 1), {"padding": (0, 2**70)}, "padding"),
    ("conv1d", (1, 9, 1), (2, 1, 1), {"dilation": 2**31}, "spans 2147483649"),
    ("conv1d", (2**40, 0, 2**30), (2, 2**30, 1), {"padding": 1}, "memory"),
    ("conv1d_rows", (1, 2, 9, 1), (2, 1, 1), {"padding": 2**31}, "padding"),
    ("conv1d_columns", (1, 9, 2, 1), (2, 1, 1), {"dilation": 2**31, "padding": "same"}, "dilation"),
    ("conv1d_transpose", (1, 9, 1), (2, 1, 1), {"stride": 2**31}, "stride"),
    ("conv1d_transpose", (1, 9, 1), (2, 1, 1), {"dilation": 2**31}, "dilation"),
    ("conv1d_transpose", (1, 2**40, 1), (2, 1, 1), {"stride": LARGEST_SIZE}, "memory"),
    ("conv2d", (1, 9, 9, 1), (2, 2, 1, 1), {"dilation": (1, 2**31), "padding": "same"}, "dilation"),
    ("conv2d", (1, 9, 9, 1), (2, 2, 1, 1), {"padding": (2**31, 0)}, "padding"),
]


@pytest.mark.parametrize(("operation", "x_shape", "weight_shape", "options", "as_if"), ANSWERED, ids=str)
def test_what_nothing_depends_on_may_have_any_size(
    backend: Backend,
    operation: str,
    x_shape: tuple[int, ...],
    weight_shape: tuple[int, ...],
    options: dict[str, Any],
    as_if: dict[str, Any],
) -> None:
    rng = np.random.default_rng(0)
    arrays = [rng.integers(-3, 4, shape).astype("float32") for shape in (x_shape, weight_shape)]
    tensors = [backend.from_numpy(array, "cpu") for array in arrays]
    function = getattr(xconv, operation)

    def run(*given: Any) -> Any:
        return function(*given, **options)

    wanted = function(*arrays, backend=backend.name, **as_if)
    for how in [run, *(backend.compiled(run, mode) for mode in backend.modes[:1])]:
        assert np.array_equal(backend.to_numpy(how(*tensors)), wanted)
    above = backend.from_numpy(np.ones(wanted.shape, "float32"), "cpu")
    plain = backend.gradients(lambda *given: function(*given, **as_if), tensors, above)
    for got, right in zip(backend.gradients(run, tensors, above), plain, strict=True):
        assert np.array_equal(backend.to_numpy(got), backend.to_numpy(right))


@pytest.mark.parametrize(("operation", "x_shape", "weight_shape", "options", "named"), REFUSED, ids=str)
def test_a_size_beyond_every_framework_is_refused(
    operation: str, x_shape: tuple[int, ...], weight_shape: tuple[int, ...], options: dict[str, Any], named: str
) -> None:
    with pytest.raises(xconv.ArgumentError, match=named):
        xconv.resolve(operation, x_shape, weight_shape, **options)


def test_tensorflow_s_ops_are_not_asked_for_more_than_they_count(backend: Backend) -> None:
    if backend.name != "tensorflow":
        return  # the others count in 64 bits
    problem = xconv.resolve("conv1d", (1, 2**32, 1), (3, 1, 1)).problem
    for form in backend.formulations:
        if not form.needs_memory:
            assert form.unsupported("forward", problem), form.name

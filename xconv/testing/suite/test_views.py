"""Arrays in any memory: strided, reversed, read-only, foreign byte order; and the type that came in goes out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import ml_dtypes
import numpy as np
import pytest

import xconv
from xconv.core.backend import Backend
from xconv.parity import Case
from xconv.parity.check import compute, function
from xconv.parity.expected import expected

X = np.random.default_rng(3).integers(-3, 4, (2, 16, 6)).astype("float32")
W = np.random.default_rng(4).integers(-3, 4, (3, 6, 4)).astype("float32")
WANTED = xconv.reference.apply(xconv.core.call.resolve("conv1d", X.shape, W.shape), X, W)


def read_only(array: np.ndarray) -> np.ndarray:
    array = array.copy()
    array.flags.writeable = False
    return array


def sliced(array: np.ndarray) -> np.ndarray:
    wide = np.full((*array.shape[:-1], 2 * array.shape[-1]), np.nan, array.dtype)
    wide[..., ::2] = array
    return wide[..., ::2]


def odd_strides(array: np.ndarray) -> np.ndarray:
    record = np.zeros(array.shape, [("a", "f4"), ("b", "i2")])
    record["a"] = array
    field: np.ndarray = record["a"]
    return field


VIEWS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "contiguous": lambda a: a,
    "fortran": np.asfortranarray,
    "transposed": lambda a: a.transpose(2, 0, 1).copy().transpose(1, 2, 0),
    "reversed": lambda a: a[:, ::-1].copy()[:, ::-1],
    "reversed everywhere": lambda a: a[::-1, ::-1, ::-1].copy()[::-1, ::-1, ::-1],
    "sliced": sliced,
    "read-only": read_only,
    "read-only reversed": lambda a: read_only(a[::-1])[::-1],
    "big-endian": lambda a: a.astype(">f4"),
    "unaligned": lambda a: np.frombuffer(b"x" + a.tobytes(), np.uint8)[1:].view("float32").reshape(a.shape),
    "odd strides": odd_strides,
}


@pytest.mark.parametrize("view", VIEWS)
def test_numpy_views(backend: Backend, view: str) -> None:
    x, w = VIEWS[view](X), VIEWS[view](W)
    before = x.copy(), w.copy()
    y = xconv.conv1d(x, w, backend=backend.name)
    assert type(y) is np.ndarray
    assert y.dtype == np.float32
    assert y.flags.writeable
    assert np.array_equal(y, WANTED)
    assert np.array_equal(x, before[0])
    assert np.array_equal(w, before[1])


def test_broadcast_view(backend: Backend) -> None:
    x = np.broadcast_to(X[:1], X.shape)
    assert np.array_equal(xconv.conv1d(x, W, backend=backend.name), np.broadcast_to(WANTED[:1], WANTED.shape))


def test_nested_lists(backend: Backend) -> None:
    y = xconv.conv1d(X.astype(float).tolist(), W.astype(float), backend=backend.name)
    assert y.dtype == np.float64
    assert np.array_equal(y, WANTED)


def test_numpy_bfloat16(backend: Backend) -> None:
    y = xconv.conv1d(X.astype(ml_dtypes.bfloat16), W.astype(ml_dtypes.bfloat16), backend=backend.name)
    assert y.dtype == ml_dtypes.bfloat16
    assert np.array_equal(y.astype("float64"), xconv.bounds.round_to("bfloat16", WANTED))


def test_result_is_not_shared_with_the_input(backend: Backend) -> None:
    one = np.ones((1, 1, 1), "float32")
    x = X[:, :, :1].copy()
    y = xconv.conv1d(x, one, backend=backend.name)
    x += 1
    assert not np.array_equal(x, y)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize(
    ("operation", "options"),
    [
        ("conv1d", {"padding": "same"}),
        ("conv1d", {"padding": "causal", "stride": 3, "groups": 2}),
        ("conv1d", {"padding": 2, "dilation": 2, "groups": 6, "padding_mode": "reflect"}),
        ("conv1d_transpose", {"padding": "same", "stride": 2}),
        ("conv1d_transpose", {"stride": 3, "dilation": 2, "groups": 2}),
    ],
    ids=str,
)
@pytest.mark.parametrize("where", ["x", "bias", "above"])
def test_nan_and_infinity_stay_in_their_place(
    backend: Backend, operation: str, options: dict[str, Any], value: float, where: str
) -> None:
    """In the result and in every gradient; docs/error-bounds.md says why not for the weight."""
    groups = options.get("groups", 1)
    shape = (3, 6 // groups, 6)
    case = Case("special", operation, (2, 16, 6), (shape,), options)
    arrays = case.inputs("integers", "float32")
    arrays[1][arrays[1] == 0] = 1
    index = {"x": 0, "bias": 2, "above": 3}[where]
    place = (1, arrays[index].shape[1] // 2, 3) if arrays[index].ndim == 3 else 2
    arrays[index][place] = value
    with np.errstate(invalid="ignore"):
        wanted = expected(case, arrays, "float32")
    able = [f.name for f in backend.formulations for c in case.calls() if f.unsupported(c.direction, c.problem) is None]
    local = {f.name: f.is_local for f in backend.formulations}
    for formulation in ("auto", *able):
        got = compute(backend, case, arrays, "float32", run=function(backend, case, formulation=formulation))
        if not local.get(formulation, True):
            # neighbours in a block may get it too, but nothing that should have it is without
            assert not np.isfinite(got["y"][~np.isfinite(wanted["y"].value)]).any()
            continue
        for name, array in got.items():
            assert np.array_equal(np.isfinite(array), np.isfinite(wanted[name].value)), (formulation, name)
            assert np.array_equal(array, wanted[name].value, equal_nan=True), (formulation, name)

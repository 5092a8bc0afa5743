"""The powers of two of overlap-save: what they promise, for magnitudes of every kind, in each backend that has them."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from xconv.core.backend import Backend
from xconv.core.fourier import FLOATS, headroom, unscaled

KINDS = ("ordinary", "any", "zeros", "huge", "tiny", "subnormal", "just too quiet", "just too loud")


@pytest.fixture(params=["torch", "tensorflow"])
def transforming(request: pytest.FixtureRequest, loaded: dict[str, Backend]) -> Backend:
    """The backends that transform."""
    return loaded[request.param]


def scaling(backend: Backend) -> Any:
    return importlib.import_module(f"xconv_{backend.name}.formulations.scaling")


def magnitudes(kind: str, shape: tuple[int, ...], top: int, dtype: str, rng: np.random.Generator) -> Any:
    low, high = unscaled(top)
    bias, fraction = FLOATS[dtype]
    exponents = {
        "ordinary": (-(top // 2), top),
        "any": (1 - bias, bias),
        "huge": (top + 1, bias),
        "tiny": (1 - bias, -(top // 2) - 1),
        "subnormal": (1 - bias - fraction, -bias),
    }
    if kind in exponents:
        first, last = exponents[kind]
        return np.ldexp(rng.uniform(1, 1.99, shape), rng.integers(first, last + 1, shape)).astype(dtype)
    if kind == "zeros":
        return np.where(rng.random(shape) < 0.4, 0, rng.uniform(low, 1, shape)).astype(dtype)
    found = np.ones(shape, dtype)
    found[:, 0] = low / 2 if kind == "just too quiet" else high
    return found


def exponents(x: Any, top: int, dtype: str) -> npt.NDArray[np.int64]:
    """Of magnitudes; what cannot be scaled up to the headroom counts as the least that can."""
    least = top + 1 - FLOATS[dtype].bias
    found: npt.NDArray[np.int64] = np.where(x > 0, np.frexp(x.astype("float64"))[1] - 1, least).clip(least)
    return found


@pytest.mark.parametrize("right", KINDS)
@pytest.mark.parametrize("left", KINDS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_powers_keep_their_promises(transforming: Backend, dtype: str, left: str, right: str) -> None:
    """Of two groups the second is ordinary, whatever the first holds; (groups, s, l) and (groups, s, r)."""
    if transforming.name == "tensorflow" and "subnormal" in (left, right):
        return  # its kernels may take these for zeros, as the bound allows
    module, rng, top = scaling(transforming), np.random.default_rng(13), headroom(64, 4, dtype)
    a, b = magnitudes(left, (2, 4, 5), top, dtype, rng), magnitudes(right, (2, 4, 3), top, dtype, rng)
    a[:, :, 4], a[1], b[1] = 1, magnitudes("ordinary", (4, 5), top, dtype, rng), 1
    found = module.balanced(*(transforming.from_numpy(one, "cpu") for one in (a, b)), top)
    by_left, by_right, back = (transforming.to_numpy(one).astype("int64") for one in found)
    low, high = unscaled(top)
    ordinary_a, ordinary_b = (((m >= low) & (m < high)) | (m == 0) for m in (a, b))
    for group in range(2):
        as_it_is = ordinary_b[group].all()
        untouched = as_it_is & ordinary_a[group].all(0)
        ea, eb = (exponents(m[group], top, dtype) for m in (a, b))
        counts = b[group].any(1)  # of an input channel of zeros nothing comes back
        powers = by_left[group][counts, :, None] + by_right[group][counts, None, :] + back[group][None]
        assert not powers.any()
        # the loudest number is where it has the most room above and below; what is ordinary stays as it is
        assert not by_left[group][:, untouched].any()
        assert not back[group][untouched].any()
        assert ((ea + by_left[group]).max(0) == top)[~untouched].all()
        if as_it_is:
            assert not by_right[group].any()
            # channels keep what they are to each other
            assert not np.ptp(by_left[group][counts], 0).any()
        else:
            assert ((eb + by_right[group]).max(0) == top).all()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_powers_of_two_are_exact(transforming: Backend, dtype: str) -> None:
    """Every exponent from the smallest number to the largest one, and back."""
    module, bias = scaling(transforming), FLOATS[dtype].bias
    exponents = np.arange(-2 * bias + 2, 2 * bias - 1)
    x = np.ldexp(1.5, -exponents.clip(1 - bias, bias - 1)).astype(dtype)
    given = exponents.astype("int32" if dtype == "float32" else "int64")
    more = (transforming.from_numpy(np.array(True), "cpu"),) if transforming.name == "tensorflow" else ()
    got = module.scaled(transforming.from_numpy(x, "cpu"), transforming.from_numpy(given, "cpu"), *more)
    wanted = np.ldexp(x, exponents)
    kept = (np.abs(wanted) >= np.finfo(dtype).tiny) & np.isfinite(wanted)
    assert kept.sum() > 3 * bias
    assert np.array_equal(transforming.to_numpy(got)[kept], wanted[kept])


def test_largest_magnitudes(transforming: Backend) -> None:
    x = np.array([[1.0, -3.0, 2.0], [0.0, -0.0, 0.0], [-1.0, 5.0, -4.0]], "float32")
    found = scaling(transforming).largest(transforming.from_numpy(x, "cpu"), 1)
    assert transforming.to_numpy(found).tolist() == [3, 0, 5]

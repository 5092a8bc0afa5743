"""2-D kernels as rows and columns: the best of their rank, what they lose and what they cost."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import xconv
from xconv.core import reference
from xconv.core.backend import Backend
from xconv.core.bounds import UNIT_ROUNDOFF, gamma
from xconv.core.call import resolve, resolve_all
from xconv.models.factorize import Factorization

RNG = np.random.default_rng(11)


def recomposed(found: Factorization, groups: int = 1) -> np.ndarray:
    """The 2-D kernel (kh, kw, in/groups, out) that the two kernels stand for, from the definition."""
    rows, columns = (np.asarray(part, np.float64) for part in (found.weight_rows, found.weight_columns))
    (kw, group_in, middle), (kh, rank, out) = rows.shape, columns.shape
    kernel = np.zeros((kh, kw, group_in, out))
    for o, m in itertools.product(range(out), range(rank)):
        group = o // (out // groups)
        kernel[:, :, :, o] += columns[:, m, o][:, None, None] * rows[None, :, :, group * (middle // groups) + m]
    return kernel


def by_reference(x: np.ndarray, found: Factorization, groups: int, **options: Any) -> np.ndarray:
    kernels = found.weight_rows, found.weight_columns
    shapes = [kernel.shape for kernel in kernels]
    for call, kernel in zip(
        resolve_all("spatially_separable_conv2d", x.shape, shapes, groups=groups, **options), kernels, strict=True
    ):
        x = reference.apply(call, x, kernel)
    return x


@pytest.mark.parametrize("kernel", [[[1, 0, -1], [2, 0, -2], [1, 0, -1]], [[1, 2, 3, 4]], [[1], [-1], [5]], [[3]]])
def test_one_channel_of_rank_one_is_exact(kernel: list[list[float]]) -> None:
    weight = np.array(kernel, np.float64)[:, :, None, None]
    found = xconv.factorize(weight, allow_more=True)
    assert found.rank == found.middle == 1
    # the decomposition is backward stable: a few roundings of numbers of the norm's size
    assert found.error <= 16 * UNIT_ROUNDOFF["float64"]
    x = RNG.standard_normal((2, 7, 6, 1))
    wanted = reference.apply(resolve("conv2d", x.shape, weight.shape, padding="same"), x, weight)
    got = by_reference(x, found, 1, padding="same")
    size = np.abs(x).max() * np.abs(weight).sum()
    assert np.abs(got - wanted).max() <= (gamma(weight.size, "float64") + found.error) * size * 2


@pytest.mark.parametrize("groups", [1, 2, 4])
@pytest.mark.parametrize("layout", ["NHWC", "NCHW"])
def test_all_singular_values_give_the_convolution_again(layout: str, groups: int) -> None:
    last = RNG.standard_normal((3, 2, 4 // groups, 8))
    weight = last if layout == "NHWC" else last.transpose(3, 2, 0, 1)
    most = min(3 * 8 // groups, 2 * 4 // groups)
    found = xconv.factorize(weight, most, layout=layout, groups=groups, allow_more=True)
    assert found.middle == most * groups
    x = RNG.standard_normal((1, 9, 8, 4)) if layout == "NHWC" else RNG.standard_normal((1, 4, 9, 8))
    options = {"layout": layout, "stride": (2, 1), "padding": ("same", "valid")}
    wanted = xconv.conv2d(x, weight, groups=groups, **options)  # type: ignore[arg-type]
    got = xconv.spatially_separable_conv2d(x, found.weight_rows, found.weight_columns, groups=groups, **options)  # type: ignore[arg-type]
    assert got.shape == wanted.shape
    # sums of at most 8 * 6 products of numbers whose absolute values add up to less than this
    size = np.abs(x).max() * np.abs(found.weight_rows).sum() * np.abs(found.weight_columns).max()
    assert np.abs(got - wanted).max() <= gamma(100, "float64") * size
    assert np.abs(by_reference(x, found, groups, **options) - got).max() <= gamma(100, "float64") * size


@settings(max_examples=40, deadline=None)
@given(
    st.tuples(*(st.integers(1, 4),) * 4),
    st.floats(0, 0.99),
    st.sampled_from([1, 2]),
    st.integers(0, 1000),
)
def test_the_tolerance_is_met_by_the_least_rank(
    sizes: tuple[int, int, int, int], tolerance: float, groups: int, seed: int
) -> None:
    kh, kw, channels, out = sizes
    rng = np.random.default_rng(seed)
    weight = rng.standard_normal((kh, kw, channels, out * groups)) * rng.uniform(0, 1, out * groups) ** 4
    found = xconv.factorize(weight, tolerance=tolerance, groups=groups, allow_more=True)
    norm, slack = np.linalg.norm(weight), 1e3 * UNIT_ROUNDOFF["float64"]  # far above the rounding of 300 numbers
    error = np.linalg.norm(recomposed(found, groups) - weight) / norm
    assert error <= tolerance + slack
    assert error == pytest.approx(found.error, abs=slack)
    assert error == pytest.approx(found.tail, abs=slack)
    if found.rank > 1:
        # Eckart and Young: the best of a lower rank, computed another way, for each group
        left = 0.0
        for block in np.split(weight, groups, axis=3):
            matrix = block.transpose(0, 3, 1, 2).reshape(kh * out, kw * channels)
            eigen = np.sort(np.linalg.eigvalsh(matrix @ matrix.T))[::-1]
            left += eigen[found.rank - 1 :].clip(0).sum()
        assert np.sqrt(left) / norm > tolerance - 1e-7  # an eigenvalue has half of the digits


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16"])
def test_no_tolerance_is_the_numerical_rank(dtype: str) -> None:
    rows, columns = RNG.standard_normal((5, 6, 3)), RNG.standard_normal((5, 3, 7))
    weight = np.einsum("jcm,imo->ijco", rows, columns).astype(dtype)
    found = xconv.factorize(weight)
    assert found.rank == 3
    assert found.weight_rows.dtype == found.weight_columns.dtype == weight.dtype
    # each factor is rounded once, with a relative error of u; balanced ones have norms whose product is at most rank
    # times the weight's
    assert found.error <= 2 * found.rank * 2 * UNIT_ROUNDOFF[dtype]
    assert found.saves


def test_what_it_costs() -> None:
    """3x3, 64 to 64 channels: 36,864 against 384 for each of the middle width; even at 96."""
    weight = RNG.standard_normal((3, 3, 64, 64)).astype("float32")
    found = xconv.factorize(weight, 95)
    assert (found.macs, found.full_macs, found.break_even) == (36_480, 36_864, 96)
    assert found.saves
    with pytest.raises(xconv.ArgumentError, match=r"rank: got 96: 36,864 .*, expected fewer than the 36,864") as caught:
        xconv.factorize(weight, 96)
    assert f"rank=95 is the largest that saves, with a relative error of {found.tail:.2g}" in str(caught.value)
    assert not xconv.factorize(weight, 96, allow_more=True).saves
    with pytest.raises(xconv.ArgumentError, match="tolerance: got 1e-06"):
        xconv.factorize(weight, tolerance=1e-6)
    # with a stride of 2 along H the rows are computed at twice as many lines as are used
    assert xconv.factorize(weight, 63, stride=(2, 1)).macs == 63 * (3 * 64 * 2 + 3 * 64)
    with pytest.raises(xconv.ArgumentError, match="rank=63 is the largest"):
        xconv.factorize(weight, 64, stride=2)
    one_row = weight[:1]
    with pytest.raises(xconv.ArgumentError, match=r"rank=47 is the largest"):
        xconv.factorize(one_row)
    with pytest.raises(xconv.ArgumentError, match="no rank saves anything"):
        xconv.factorize(weight[:1, :1, :1, :1])
    table = str(found)
    assert "36,480" in table
    assert "break-even rank         96" in table


def test_the_cost_is_that_of_the_calls() -> None:
    found = xconv.factorize(RNG.standard_normal((3, 5, 2, 6)), 1, groups=2)
    shapes = [found.weight_rows.shape, found.weight_columns.shape]
    calls = resolve_all("spatially_separable_conv2d", (1, 8, 9, 4), shapes, padding="same", groups=2)
    assert sum(xconv.cost.cost(call).macs for call in calls) == 8 * 9 * found.macs
    full = xconv.cost.cost(resolve("conv2d", (1, 8, 9, 4), (3, 5, 2, 6), padding="same", groups=2))
    assert full.macs == 8 * 9 * found.full_macs


def test_the_type_that_came_in_goes_out(backend: Backend) -> None:
    weight = RNG.standard_normal((3, 3, 4, 4)).astype("float32")
    wanted = xconv.factorize(weight, 2)
    given = backend.from_numpy(weight, "cpu")
    found = xconv.factorize(given, 2)
    for name in ("weight_rows", "weight_columns"):
        part = getattr(found, name)
        assert type(part) is type(backend.prepare(given))
        np.testing.assert_array_equal(backend.to_numpy(part), getattr(wanted, name))
    half = xconv.factorize(backend.cast(given, "bfloat16"), 2)
    assert backend.dtype(half.weight_rows) == "bfloat16"
    assert 0 < half.error - half.tail < 2 * 2 * 2 * UNIT_ROUNDOFF["bfloat16"]


def test_zeros_have_a_factorization() -> None:
    found = xconv.factorize(np.zeros((3, 3, 2, 2)))
    assert (found.rank, found.error, found.tail) == (1, 0.0, 0.0)
    assert not found.weight_rows.any()


@pytest.mark.parametrize(
    ("weight", "options", "words"),
    [
        (np.ones((3, 3, 2)), {}, r"weight: got shape \(3, 3, 2\)"),
        (np.ones((3, 3, 2, 2), int), {}, "weight: got dtype int64"),
        (np.full((3, 3, 2, 2), np.nan), {}, "weight: got NaN or infinity"),
        ("abc", {}, "weight: got str"),
        (np.ones((3, 3, 2, 2)), {"rank": 7}, "rank: got 7, expected at most 6"),
        (np.ones((3, 3, 2, 2)), {"rank": 0}, "rank: got 0"),
        (np.ones((3, 3, 2, 2)), {"rank": 1, "tolerance": 0.1}, "tolerance: got 0.1, expected nothing"),
        (np.ones((3, 3, 2, 2)), {"tolerance": 1.5}, "tolerance: got 1.5"),
        (np.ones((3, 3, 2, 2)), {"groups": 3}, "groups: got 3, expected a divisor of the kernel's 2"),
        (np.ones((3, 3, 2, 2)), {"layout": "NHCW"}, "did you mean 'NHWC'"),
    ],
)
def test_what_does_not_fit_is_named(weight: Any, options: dict[str, Any], words: str) -> None:
    with pytest.raises(xconv.ArgumentError, match=words):
        xconv.factorize(weight, **options)

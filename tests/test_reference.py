"""The reference against SciPy, which knows nothing of xconv's layouts and paddings."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest
from scipy import ndimage, signal

from xconv.core import reference
from xconv.core.bounds import Enclosure, enclose, gamma, round_to
from xconv.core.call import resolve
from xconv.parity import Case, cases
from xconv.parity.expected import expected

RNG = np.random.default_rng(7)
MODES = {"zeros": "constant", "reflect": "mirror", "replicate": "nearest", "circular": "grid-wrap"}


@pytest.mark.parametrize("padding", ["valid", "same", "full"])
@pytest.mark.parametrize("kernel", [1, 2, 3, 6])
def test_against_scipy_correlate(padding: str, kernel: int) -> None:
    x, w = RNG.integers(-9, 10, 20), RNG.integers(-9, 10, kernel)
    call = resolve("conv1d", (1, 20, 1), (kernel, 1, 1), padding=padding)
    wanted = signal.correlate(x, w, mode="full")
    start = {"valid": kernel - 1, "full": 0, "same": kernel - 1 - (kernel - 1) // 2}[padding]
    got = reference.apply(call, x.reshape(1, 20, 1), w.reshape(kernel, 1, 1)).ravel()
    assert np.array_equal(got, wanted[start : start + got.size])


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("operation", "axis"), [("conv1d_columns", 0), ("conv1d_rows", 1)])
def test_against_scipy_correlate1d(mode: str, operation: str, axis: int) -> None:
    image, w = RNG.integers(-9, 10, (11, 13)).astype(float), RNG.integers(-9, 10, 5).astype(float)
    call = resolve(operation, (1, 11, 13, 1), (5, 1, 1), padding="same", padding_mode=mode)
    wanted = ndimage.correlate1d(image, w, axis, mode=MODES[mode])
    got = reference.apply(call, image[None, :, :, None], w.reshape(5, 1, 1))[0, :, :, 0]
    assert np.array_equal(got, wanted)


def test_channels_are_summed_and_groups_kept_apart() -> None:
    x, w = RNG.integers(-9, 10, (2, 15, 6)), RNG.integers(-9, 10, (4, 3, 8))
    call = resolve("conv1d", x.shape, w.shape, groups=2)
    got = reference.apply(call, x, w)
    for n in range(2):
        for out in range(8):
            group = out // 4
            wanted = sum(signal.correlate(x[n, :, 3 * group + i], w[:, i, out], "valid") for i in range(3))
            assert np.array_equal(got[n, :, out], wanted)


def test_stride_and_dilation_are_a_subset_of_a_longer_kernel() -> None:
    x, w = RNG.integers(-9, 10, 40), RNG.integers(-9, 10, 3)
    spread = np.zeros(9)
    spread[::4] = w
    call = resolve("conv1d", (1, 40, 1), (3, 1, 1), stride=3, dilation=4)
    got = reference.apply(call, x.reshape(1, 40, 1), w.reshape(3, 1, 1)).ravel()
    assert np.array_equal(got, signal.correlate(x, spread, "valid")[::3])


def test_conv2d_against_correlate2d() -> None:
    image, w = RNG.integers(-9, 10, (12, 14)), RNG.integers(-9, 10, (3, 4))
    call = resolve("conv2d", (1, 12, 14, 1), (3, 4, 1, 1), stride=(2, 3))
    got = reference.apply(call, image[None, :, :, None], w[:, :, None, None])[0, :, :, 0]
    assert np.array_equal(got, signal.correlate2d(image, w, "valid")[::2, ::3])


def test_transposed_against_convolve() -> None:
    x, w = RNG.integers(-9, 10, 8), RNG.integers(-9, 10, 5)
    spread = np.zeros(22)
    spread[::3] = x
    call = resolve("conv1d_transpose", (1, 8, 1), (5, 1, 1), stride=3)
    got = reference.apply(call, x.reshape(1, 8, 1), w.reshape(5, 1, 1)).ravel()
    assert np.array_equal(got, signal.convolve(spread, w))


@pytest.mark.parametrize("case", cases("default")[::3], ids=lambda case: case.name)
def test_adjoints_are_adjoint(case: Case) -> None:
    """<A x, y> = <x, A* y>, exactly, for both operands."""
    if len(case.weight_shapes) > 1:
        return
    [call] = case.calls()
    x, w, dy = (case.inputs("integers", "float64")[i] for i in (0, 1, -1))
    product = float((reference.apply(call, x, w) * dy).sum())
    assert product == float((x * reference.input_adjoint(call, dy, w)).sum())
    assert product == float((w * reference.weight_adjoint(call, x, dy)).sum())


def test_round_to_agrees_with_a_library() -> None:
    values = np.concatenate([RNG.standard_normal(10_000) * 10.0**e for e in (-3, 0, 4)]).astype("float32")
    assert np.array_equal(round_to("bfloat16", values), values.astype(ml_dtypes.bfloat16).astype("float64"))


def test_bound_is_met_and_not_idle() -> None:
    """A naive float32 loop is inside the bound; the same loop in bfloat16 is far outside it."""
    n = 400
    x, w = RNG.standard_normal((50, n)).astype("float32"), RNG.standard_normal((50, n)).astype("float32")
    bound = enclose(lambda a, b: (a * b).sum(1), Enclosure.exact(x), Enclosure.exact(w), terms=n, dtype="float32")
    narrow, narrower = np.zeros(50, "float32"), np.zeros(50)
    for i in range(n):
        narrow = narrow + x[:, i] * w[:, i]
        narrower = round_to("bfloat16", narrower + round_to("bfloat16", x[:, i].astype(float) * w[:, i]))
    assert (np.abs(narrow - bound.value) <= bound.error).all()
    assert (np.abs(narrower - bound.value) > bound.error).any()


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_chain_of_enclosures_holds(dtype: str) -> None:
    """Two matrix products, computed one product and one sum at a time and rounded in between."""
    a, b, c = (round_to(dtype, RNG.standard_normal(shape)) for shape in ((20, 60), (60, 40), (40, 30)))

    def summed(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        total = np.zeros((x.shape[0], y.shape[1]), "float32")
        for i in range(x.shape[1]):
            total = total + x[:, i : i + 1].astype("float32") * y[i].astype("float32")
        return round_to(dtype, total)

    middle = enclose(np.matmul, Enclosure.exact(a), Enclosure.exact(b), terms=60, dtype=dtype)
    whole = enclose(np.matmul, middle, Enclosure.exact(c), terms=40, dtype=dtype)
    error = np.abs(summed(summed(a, b), c) - a @ b @ c)
    assert (error <= whole.error).all()
    alone = enclose(np.matmul, Enclosure.exact(a @ b), Enclosure.exact(c), terms=40, dtype=dtype)
    assert (alone.error < whole.error).all()
    if dtype == "float16":
        assert (error > alone.error).any()


def test_a_constant_signal_needs_the_bound_that_always_holds() -> None:
    """Rounding 0.1 * 1 again and again errs to one side: the probabilistic bound is not for it."""
    n = 200_000
    exact = enclose(
        lambda x, w: (x * w).sum(keepdims=True),
        Enclosure.exact(np.full(n, np.float32(0.1))),
        Enclosure.exact(np.ones(n)),
        terms=n,
        dtype="float32",
    )
    error = abs(float(np.cumsum(np.full(n, 0.1, "float32"))[-1]) - exact.value[0])
    assert gamma(n, "float32", independent=True) * exact.value[0] < error <= exact.error[0]


def test_integers_too_large_to_be_exact_are_refused() -> None:
    case = Case("large", "conv1d", (1, 9, 1), ((3, 1, 1),), bias=False)
    inputs = [array * 2000 for array in case.inputs("integers", "float32")]
    with pytest.raises(ValueError, match="not exact in float32"):
        expected(case, inputs, "float32", kind="integers")

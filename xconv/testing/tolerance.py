"""How far the results of two right implementations may be apart, from measured rounding errors: derived, never picked.

To first order the error of a computed result is a weighted sum of the rounding errors of its operations, which are at
most the unit roundoff ``u`` and nearly independent with mean zero (Higham and Mary 2019, "A new approach to
probabilistic rounding error analysis", SIAM J. Sci. Comput. 41(5)). So it is nearly normal, with a standard deviation
that is proportional to ``u``. That deviation is not known, but can be measured: the same computation on inputs that are
moved a little makes other rounding errors, and the mean of two that are moved in opposite directions has no first-order
effect of the move itself. An error over a standard deviation from K such pairs follows Student's t distribution, and
its quantile at ``FALSE_ALARM / n`` is exceeded by one of n right elements with a probability of at most
``FALSE_ALARM`` (Bonferroni). docs/your-own-code.md has the whole derivation.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from xconv.core.bounds import SMALLEST_NORMAL, UNIT_ROUNDOFF
from xconv.core.reference import Floats

RUNS = 17
"""Pairs of runs on moved inputs; 16 degrees of freedom are left around their mean."""

STEP = {"float64": 2.0**-35, "float32": 2.0**-21, "float16": 2.0**-8}
"""The largest relative move of an input.

What is added to a sum that is R times as large makes another rounding error only if it moves by about ``u R``; so the
step is larger than ``u``. In float64 it is ``u^(2/3)``: a kink, such as relu's, is crossed with a probability of the
order of the step and then changes the mean by the order of the step, with a variance of ``step^3 = u^2``, a rounding
error's. Float32 has 4 neighbours to each side: with more, inputs that are rounded to 11 bits (TF32) would make another
error in each run, and pass for rounding errors.
"""

FALSE_ALARM = 1e-6
"""The probability that one array of two right implementations is called a mismatch, if errors are as assumed."""


def moved(array: npt.NDArray[Any], rng: np.random.Generator, sign: int = 1) -> npt.NDArray[Any]:
    """Every float moved by a random part of :data:`STEP`, or as far in the other direction. Zeros stay.

    Each is then rounded after up to half a spacing was added or taken away, which is another amount for each sign: the
    sum of both shows what the rounding of an input does.

    >>> x = np.ones(1000, "float32")
    >>> up, down = (moved(x, np.random.default_rng(0), sign) - 1 for sign in (1, -1))
    >>> bool(np.abs(up).max() <= 2**-21 + 2**-23), bool(np.abs(up + down).max() <= 2 * 2**-23), (up + down).any()
    (True, True, np.True_)
    """
    if array.dtype.kind != "f":
        return array
    step = STEP[array.dtype.name] * rng.uniform(-1, 1, array.shape)
    jitter = rng.uniform(-0.5, 0.5, (2, *array.shape))[0 if sign > 0 else 1]
    with np.errstate(over="ignore", invalid="ignore"):
        amount = sign * step * array + jitter * np.spacing(np.abs(array))
        return np.where(array == 0, array, array + amount).astype(array.dtype)


def student_tail(t: float, freedom: int) -> float:
    """The probability that ``|T| > t``, for an even number of degrees of freedom.

    The end of the series for the distribution (Abramowitz and Stegun 1964, 26.7.4): its terms are positive, so that
    small probabilities have no cancellation.

    >>> round(student_tail(2.1199, 16), 4)
    0.05
    """
    cosine = freedom / (freedom + t * t)
    coefficient = math.prod((2 * j - 1) / (2 * j) for j in range(1, freedom // 2 + 1))
    term, total, j = coefficient * cosine ** (freedom // 2), 0.0, freedom // 2
    while term > total * 1e-16 and j < 10_000:
        total += term
        j += 1
        term *= (2 * j - 1) / (2 * j) * cosine
    return math.sqrt(1 - cosine) * total


def factor(elements: int, runs: int = RUNS, false_alarm: float = FALSE_ALARM) -> float:
    """Standard deviations that the largest of some elements may be off by.

    >>> round(factor(1), 1), round(factor(10_000), 1)
    (7.6, 14.7)
    """
    freedom = runs - 1 - (runs - 1) % 2
    wanted, low, high = false_alarm / max(elements, 1), 0.5, 1e9
    for _ in range(200):
        middle = math.sqrt(low * high)
        low, high = (middle, high) if student_tail(middle, freedom) > wanted else (low, middle)
    return high


def deviation(pairs: Sequence[tuple[Floats, Floats]], dtype: str) -> Floats:
    """The standard deviation of rounding errors that pairs of runs show, for each element.

    The sum of a pair has the variance of two errors. An element's is the larger of its own and the array's mean, for
    an element alone may by chance not have moved. No result is more certain than its own rounding, which is uniform
    within ``u |y|``: its variance, ``(u y)^2 / 3``, is added.
    """
    with np.errstate(invalid="ignore", over="ignore"):
        sums = np.stack([np.asarray(up, np.float64) + np.asarray(down, np.float64) for up, down in pairs])
        return _with_floor(np.var(sums, axis=0, ddof=1) / 2, sums[0] / 2, dtype)


def measured(error: Floats, value: Floats, dtype: str) -> Floats:
    """The root mean square over an array of rounding errors that are known; else as :func:`deviation`."""
    with np.errstate(invalid="ignore", over="ignore"):
        square = np.square(np.asarray(error, np.float64))
        square = np.where(np.isfinite(square), square, 0.0)
        return _with_floor(np.full_like(square, square.mean() if square.size else 0.0), value, dtype)


def _with_floor(variance: Floats, value: Floats, dtype: str) -> Floats:
    finite = np.isfinite(variance)
    whole = float(variance[finite].mean()) if finite.any() else 0.0
    own = UNIT_ROUNDOFF[dtype] * np.abs(np.where(np.isfinite(value), value, 0.0)) / math.sqrt(3)
    variance = np.where(finite, np.maximum(variance, whole), whole)
    spread: Floats = np.sqrt(variance + own**2)
    return spread


def underflow(dtype: str) -> float:
    """What hardware may flush to zero."""
    return SMALLEST_NORMAL.get(dtype, 2.0**-14)

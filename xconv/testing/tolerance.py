"""How far the results of two right implementations may be apart, from measured rounding errors: derived, never picked.

To first order the error of a computed result is a weighted sum of the rounding errors of its operations, which are at
most the unit roundoff ``u`` and nearly independent with mean zero (Higham and Mary 2019, "A new approach to
probabilistic rounding error analysis", SIAM J. Sci. Comput. 41(5)). So it is nearly normal, with a standard deviation
that is proportional to ``u``. That deviation is not known, but can be measured: the same computation on inputs that are
moved to neighbouring numbers makes other rounding errors. An error that is divided by a standard deviation from K such
runs follows Student's t distribution, and its quantile at ``FALSE_ALARM / n`` is exceeded by one of n right elements
with a probability of at most ``FALSE_ALARM`` (Bonferroni). docs/your-own-code.md has the whole derivation.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from xconv.bounds import SMALLEST_NORMAL, UNIT_ROUNDOFF
from xconv.reference import Floats

RUNS = 17
"""Runs on moved inputs; 16 degrees of freedom are left around their mean."""

FALSE_ALARM = 1e-6
"""The probability that one array of two right implementations is called a mismatch, if errors are as assumed."""


def unit_roundoff(dtype: np.dtype[np.generic]) -> float:
    """Of a NumPy dtype; 0 where arithmetic is exact.

    >>> unit_roundoff(np.dtype("float32")) == 2**-24, unit_roundoff(np.dtype("int64"))
    (True, 0.0)
    """
    return UNIT_ROUNDOFF.get(dtype.name, 0.0)


def moved(array: npt.NDArray[np.generic], rng: np.random.Generator) -> npt.NDArray[np.generic]:
    """Every float moved to the next number up or down, at random: by between 1 and 2 unit roundoffs. Zeros stay.

    >>> near = moved(np.ones(1000, "float32"), np.random.default_rng(0))
    >>> sorted(set(((near - 1) / np.float32(2**-24)).tolist()))
    [-1.0, 2.0]
    """
    if array.dtype.kind != "f":
        return array
    towards = np.where(rng.integers(0, 2, array.shape, bool), np.inf, -np.inf).astype(array.dtype)
    return np.where(array == 0, array, np.nextafter(array, towards))


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


def deviation(values: Sequence[npt.NDArray[np.generic]], dtype: str) -> Floats:
    """The standard deviation that runs show, for each element: the larger of its own and of the array's.

    An element alone may by chance not have moved; the array's is the root of the mean of the variances. No result is
    more certain than its own rounding, which is uniform within ``u |y|``: its deviation, ``u |y| / sqrt(3)``, is added.
    """
    stack = np.stack([np.asarray(value, np.float64) for value in values])
    with np.errstate(invalid="ignore", over="ignore"):
        variance = np.var(stack, axis=0, ddof=1)
        return _with_floor(variance, stack[0], dtype)


def rounding(errors: Sequence[Floats], value: Floats, dtype: str) -> Floats:
    """The root mean square of measured rounding errors, whose mean is zero; else as :func:`deviation`."""
    with np.errstate(invalid="ignore", over="ignore"):
        variance = np.mean(np.square(np.stack(errors)), axis=0)
        return _with_floor(variance, value, dtype)


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

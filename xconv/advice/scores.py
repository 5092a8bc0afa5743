"""Lines made comparable: without trends, with normal scores."""

from __future__ import annotations

from functools import lru_cache
from statistics import NormalDist
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.floating[Any]]
"""Lines along an axis: (positions, samples, lines of a sample, channels)."""


@lru_cache(maxsize=16)
def _quantiles(count: int) -> Floats:
    normal = NormalDist()
    return np.array([normal.inv_cdf((i + 0.5) / count) for i in range(count)])


def normal_scores(x: Floats) -> Floats:
    """Values as the quantiles of a normal distribution with their ranks; equal values get their mean.

    The correlation of normal scores is the rank correlation of van der Waerden; heavy tails do not harm it.

    >>> normal_scores(np.array([3.0, 1.0, 1000.0])).round(3).tolist()
    [0.0, -0.967, 0.967]
    """
    _, first, inverse, counts = np.unique(x, return_index=True, return_inverse=True, return_counts=True)
    del first
    ends = np.cumsum(counts)
    sums = np.concatenate([[0.0], np.cumsum(_quantiles(x.size))])
    means = (sums[ends] - sums[ends - counts]) / counts
    scores: Floats = means[inverse].reshape(x.shape)
    return scores


def centred(x: Floats, trend: bool) -> Floats:
    """Lines without their mean along the first axis, and without their linear trend.

    >>> centred(np.arange(9.0).reshape(9, 1, 1, 1), trend=True).round(9).any()
    np.False_
    """
    basis = smooth(x.shape[0], trend).astype(x.dtype)
    flat = x.reshape(x.shape[0], -1)
    rest: Floats = (flat - basis.T @ (basis @ flat)).reshape(x.shape)
    return rest


@lru_cache(maxsize=16)
def smooth(count: int, trend: bool) -> Floats:
    """What is taken out of a line, orthonormal: the constant, and the linear trend."""
    line = np.arange(count) - (count - 1) / 2
    basis = [np.full(count, count**-0.5)]
    return np.stack([*basis, line / np.sqrt((line**2).sum())] if trend else basis)


@lru_cache(maxsize=16)
def expected(count: int, lags: int, trend: bool) -> Floats:
    """The mean correlation at lags 1, 2, ... of centred white noise: ``-sum_t H[t, t + d] / tr(I - H)``.

    H projects on what was taken out, so that I - H is the covariance of what is left.

    >>> expected(8, 2, trend=False).round(3).tolist()
    [-0.125, -0.107]
    """
    basis = smooth(count, trend)
    products = [float((basis[:, d:] * basis[:, :-d]).sum()) for d in range(1, lags + 1)]
    return -np.array(products) / (count - len(basis))


def without_trend(x: Floats) -> Floats:
    """Lines (P, ...) without the trend whose slope is the median of pairs half a line apart (Theil 1950).

    Least squares would let one outlier tilt a line, and a tilt looks like dependence.
    """
    half = x.shape[0] // 2
    slopes = np.median(x[-half:] - x[:half], 0) / (x.shape[0] - half)
    rest: Floats = x - slopes * np.arange(x.shape[0]).reshape(-1, *[1] * (x.ndim - 1))
    return rest


def standardised(x: Floats, axes: tuple[int, ...]) -> Floats:
    """With mean 0 and variance 1 over these axes; what is constant there becomes 0."""
    shifted = x - x.mean(axes, keepdims=True)
    scale = shifted.std(axes, keepdims=True)
    # rounding leaves a constant with a spread of a few ulps of its values
    flat = scale <= 1e-12 * np.abs(x).max(axes, keepdims=True)
    result: Floats = np.where(flat, 0.0, shifted / np.where(flat, 1.0, scale))
    return result

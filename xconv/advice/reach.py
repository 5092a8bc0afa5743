"""How far dependence reaches, and which kernels see that far."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np
import numpy.typing as npt

from xconv.advice.statistics import Dependence
from xconv.core.cost import receptive_field

Floats = npt.NDArray[np.floating[Any]]

LARGEST_KERNEL = 15
"""Taps above which a stack of dilated layers is cheaper: two more layers of 3 taps double the span three times."""

UNIT_ROOT = -21.8
"""The 5% point of ``n (phi - 1)`` of a random walk with a trend fitted (Fuller 1976, table 8.5.1, n = infinity)."""

Layer = tuple[int, int, int]


@dataclass(frozen=True)
class RelevantLags:
    """Lags that matter: the farthest correlated one, and the farthest that nearer ones do not explain (partial).

    ``stack`` are layers (kernel, stride, dilation) whose receptive field, ``field``, covers the reach. ``at_least``
    says that dependence does not end within the lags that were looked at.
    """

    correlated: int
    partial: int
    at_least: bool
    kernel: int
    dilation: int
    stack: tuple[Layer, ...]
    field: int


def reach(found: Dependence, level: float) -> RelevantLags:
    """How far the dependence of an axis reaches.

    The band of a lag is that of white surrogates, widened for the correlation at nearer lags (Bartlett 1946) and shared
    by all lags (Bonferroni). A partial correlation has the band of white noise (Quenouille 1949).
    """
    lags = len(found.correlation)
    z = NormalDist().inv_cdf(1 - level / (4 * lags))
    farthest, partial = 0, 0
    for r in (found.correlation, found.magnitude_correlation):
        widened = np.sqrt(1 + 2 * np.concatenate([[0.0], np.cumsum(r[:-1] ** 2)]))
        above = np.flatnonzero(np.abs(r) > z * found.band * widened)
        farthest = max(farthest, int(above[-1]) + 1 if len(above) else 0)
        above = np.flatnonzero(np.abs(partial_correlations(r[:64])) > z * found.band)
        partial = max(partial, int(above[-1]) + 1 if len(above) else 0)
    farthest = max(farthest, found.lag)
    partial = min(max(partial, 1), farthest) if found.lag <= 64 else farthest
    layers = stack(farthest + 1)
    kernel, dilation = _kernel(partial, found)
    return RelevantLags(farthest, partial, farthest >= lags, kernel, dilation, layers, receptive_field(layers))


def partial_correlations(r: Floats) -> Floats:
    """Partial correlations at lags 1, 2, ... from correlations, by the recursion of Durbin and Levinson.

    >>> partial_correlations(0.5 ** np.arange(1, 4)).round(9).tolist()
    [0.5, 0.0, 0.0]
    """
    found = np.zeros(len(r))
    weights = np.zeros(0)
    for lag, value in enumerate(r):
        left = 1 - float(weights @ r[:lag])
        if left <= 1e-9:  # no more to explain
            break
        last = float(np.clip((value - weights @ r[:lag][::-1]) / left, -1, 1))
        weights = np.append(weights - last * weights[::-1], last)
        found[lag] = last
    return found


def stack(span: int) -> tuple[Layer, ...]:
    """Layers (kernel, stride, dilation) that see ``span`` elements: one, or dilations that double (van den Oord 2016).

    >>> stack(4), stack(30)
    (((5, 1, 1),), ((3, 1, 1), (3, 1, 2), (3, 1, 4), (3, 1, 8)))
    """
    if span <= LARGEST_KERNEL:
        return ((max(3, span + 1 - span % 2), 1, 1),)
    layers: list[Layer] = []
    while receptive_field(layers) < span:
        layers.append((3, 1, 2 ** len(layers)))
    return tuple(layers)


def is_walk(x: Floats) -> bool:
    """Whether lines (P, N, R, C) cannot be told from random walks: the median of n (phi - 1) (Dickey and Fuller 1979).

    >>> rng = np.random.default_rng(0)
    >>> noise = rng.standard_normal((400, 3, 1, 1))
    >>> is_walk(noise), is_walk(noise.cumsum(0))
    (False, True)
    """
    count = x.shape[0]
    line = np.arange(count - 1.0)
    basis, _ = np.linalg.qr(np.stack([np.ones(count - 1), line], 1))
    now, before = (part.reshape(count - 1, -1) for part in (x[1:], x[:-1]))
    now, before = (part - basis @ (basis.T @ part) for part in (now, before))
    phi = (now * before).sum(0) / np.maximum((before**2).sum(0), np.finfo(float).tiny)
    return bool(np.median(count * (phi - 1)) > UNIT_ROOT)


def _kernel(partial: int, found: Dependence) -> tuple[int, int]:
    """An odd kernel that sees the partial lag: dilated, if nothing is to be seen before the strongest lag."""
    if partial + 1 <= LARGEST_KERNEL:
        return max(3, partial + 1 + partial % 2), 1
    step = found.lag if found.lag > 4 else -(-partial // (LARGEST_KERNEL - 1))
    return int(np.clip(1 + 2 * -(-partial // (2 * step)), 3, LARGEST_KERNEL)), step

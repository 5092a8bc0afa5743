"""Whether one kernel serves all lines: do they follow the same law, and do they move together?"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from xconv.advice.field import NOISE_SHARE
from xconv.advice.statistics import KINDS, PERMUTATIONS, scored

Floats = npt.NDArray[np.floating[Any]]
"""Lines along an axis: (positions, samples, lines of a sample, channels)."""

LEAST_LINES = 7
"""Lines below which laws are not compared: 7! = 5040 orders are well above the 400 that are drawn."""

LAGS = 3
"""Lags that make a line's law, of values and of magnitudes."""

SHIFTS = 99
"""Surrogates of lines that move together; the smallest p is 0.01."""


def laws_differ(x: Floats, rng: np.random.Generator) -> tuple[float, float]:
    """p of lines (P, N, R, C) that follow one law, and the share of the dependence that one law for all loses.

    A line's law is its correlations at the first lags, of values and of magnitudes. They are estimated twice, from
    halves of the data; if lines differ, the two estimates agree on how, and they do not after a permutation of lines.
    The loss is by cross-validation: how much worse (nats) the law of all lines in one half describes a line in the
    other than that line's own law does, of all the dependence that the own laws describe.

    >>> rng = np.random.default_rng(0)
    >>> noise = rng.standard_normal((500, 1, 20, 1))
    >>> mixed = np.concatenate([noise[1:, :, :10], noise[1:, :, 10:] + noise[:-1, :, 10:]], 2)
    >>> laws_differ(noise, rng)[0] > 0.01, laws_differ(mixed, rng)[0], round(laws_differ(mixed, rng)[1], 1)
    (True, 0.0025, 0.6)
    """
    if x.shape[2] < LEAST_LINES:
        return 1.0, 0.0
    count = x.shape[0] // 2
    halves = (x[:, ::2], x[:, 1::2]) if x.shape[1] > 3 else (x[:count], x[-count:])
    one, two = (_laws(half) for half in halves)
    first, second = (laws - laws.mean((1, 3), keepdims=True) for laws in (one, two))
    agreement = float((first * second).sum())
    others = [float((first * second[:, rng.permutation(x.shape[2])]).sum()) for _ in range(PERMUTATIONS)]
    p = (1 + sum(other >= agreement for other in others)) / (PERMUTATIONS + 1)
    own = worse = 0.0
    for fitted, seen in ((one, two), (two, one)):
        common = np.broadcast_to(fitted.mean((1, 3), keepdims=True), fitted.shape)
        fits = _misfit(fitted, seen)
        own += _misfit(np.zeros_like(fitted), seen) - fits
        worse += _misfit(common, seen) - fits
    return p, max(0.0, worse) / own if own > 0 else 0.0


def _misfit(laws: Floats, seen: Floats) -> float:
    """The mean negative log likelihood, in nats, of lines that are seen to have one law under another."""
    lags = np.abs(np.subtract.outer(np.arange(LAGS + 1), np.arange(LAGS + 1)))
    matrices = [
        np.insert(law, 0, 1.0, axis=-1)[..., lags] for law in (np.moveaxis(laws, 2, -1), np.moveaxis(seen, 2, -1))
    ]
    model, data = (matrix.reshape(-1, LAGS + 1, LAGS + 1) for matrix in matrices)
    model = (1 - NOISE_SHARE) * model + NOISE_SHARE * np.eye(LAGS + 1)
    trace = np.trace(np.linalg.solve(model, data), axis1=1, axis2=2)
    return float((trace + np.linalg.slogdet(model)[1]).mean()) / 2


def move_together(x: Floats, rng: np.random.Generator) -> float:
    """p of lines (P, N, R, C) that are independent of each other: small if far ones, too, move together.

    The mean squared correlation of lines, against lines that are shifted around by random steps, each by its own, which
    keeps what is within each.

    >>> rng = np.random.default_rng(0)
    >>> common = rng.standard_normal((300, 1, 1, 1))
    >>> noise = rng.standard_normal((300, 1, 8, 1))
    >>> move_together(noise, rng) > 0.01, move_together(noise + common, rng)
    (True, 0.01)
    """
    scores = scored(x, False)[KINDS[0]]
    count, samples, lines, channels = scores.shape
    if lines < 2:
        return 1.0
    whole = np.arange(count)[:, None, None]

    def together(lined: Floats) -> float:
        flat = lined.transpose(0, 1, 3, 2).reshape(-1, lines)
        products = flat.T @ flat
        scale = np.sqrt(np.maximum(products.diagonal(), np.finfo(np.float32).tiny))
        return float(((products / (scale[:, None] * scale)) ** 2).sum())

    found = together(scores)
    above = 0
    for _ in range(SHIFTS):
        steps = rng.integers(count, size=(1, samples, lines))
        places = (whole + steps) % count, np.arange(samples)[:, None], np.arange(lines)
        above += together(scores[places].reshape(count, samples, lines, channels)) >= found
    return (1 + above) / (SHIFTS + 1)


def _laws(x: Floats) -> Floats:
    """The correlations of each line: (kinds, lines, lags, channels)."""
    found = []
    for scores in scored(x, False).values():
        power = np.maximum((scores**2).sum((0, 1)), np.finfo(np.float32).tiny)
        lags = [(scores[lag:] * scores[:-lag]).sum((0, 1)) / power for lag in range(1, LAGS + 1)]
        found.append(np.stack(lags, 1))
    return np.stack(found)

"""Whether one kernel serves all lines: do they follow the same law, and do they move together?"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from xconv.advice.statistics import KINDS, PERMUTATIONS, centred, scored

Floats = npt.NDArray[np.floating[Any]]
"""Lines along an axis: (positions, samples, lines of a sample, channels)."""

LEAST_LINES = 7
"""Lines below which laws are not compared: 7! = 5040 orders are well above the 400 that are drawn."""

LAGS = 3
"""Lags that make a line's law, of values and of magnitudes."""

SHIFTS = 99
"""Surrogates of lines that move together; the smallest p is 0.01."""


def laws_differ(x: Floats, rng: np.random.Generator) -> float:
    """p of lines (P, N, R, C) that follow one law: small if each line has its own, and keeps it.

    A line's law is its correlations at the first lags, of values and of magnitudes. They are estimated twice, from
    halves of the data; if lines differ, the two estimates agree on how, and they do not after a permutation of lines.

    >>> rng = np.random.default_rng(0)
    >>> noise = rng.standard_normal((500, 1, 10, 1))
    >>> mixed = np.concatenate([noise[1:, :, :5], noise[1:, :, 5:] + noise[:-1, :, 5:]], 2)
    >>> laws_differ(noise, rng) > 0.01, laws_differ(mixed, rng) <= 0.01
    (True, True)
    """
    if x.shape[2] < LEAST_LINES:
        return 1.0
    count = x.shape[0] // 2
    halves = (x[:, ::2], x[:, 1::2]) if x.shape[1] > 3 else (x[:count], x[-count:])
    one, two = (_laws(half) for half in halves)
    agreement = float((one * two).sum())
    others = [float((one * two[rng.permutation(len(two))]).sum()) for _ in range(PERMUTATIONS)]
    return (1 + sum(other >= agreement for other in others)) / (PERMUTATIONS + 1)


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
    """The law of each line, (R, 2 * LAGS * C), as it differs from that of all."""
    found = []
    for scores in scored(x, False).values():
        lines = centred(scores, False)
        power = np.maximum((lines**2).sum((0, 1)), np.finfo(np.float32).tiny)
        for lag in range(1, min(LAGS, len(x) - 1) + 1):
            found.append((lines[lag:] * lines[:-lag]).sum((0, 1)) / power)
    laws = np.concatenate(found, 1)
    result: Floats = laws - laws.mean(0)
    return result

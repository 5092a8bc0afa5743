"""Local dependence along an axis, against permutations of the positions on that axis.

The null hypothesis is that positions are exchangeable: whole lines across the axis change places, so that everything
within a line, dependence across the axis included, is in the surrogates too.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from xconv.advice.scores import Floats, centred, expected, normal_scores, smooth, standardised, without_trend

KINDS = ("values", "magnitudes")
"""What may depend on its neighbours: the values, or only how large they are (as in ARCH, Engle 1982)."""

PERMUTATIONS = 399
"""With the sample itself 400 draws: the smallest p is 0.0025, the level 0.01 shared by four tests."""

INTERIM_PERMUTATIONS = 99
HOPELESS_P = 0.2
"""After 99 permutations a test with p above 0.2 ends, and ends without a finding: no error becomes likelier."""

RELATIVE_ROUNDING = 1e-12
"""Of the largest value: 4500 roundings of float64."""

NEARLY_LARGEST_SHARE = 0.8
"""The lag that is named is the first whose statistic is nearly the largest: of a period, not its seventh multiple."""

NEAR_LAGS = 16
"""Lags up to here are tested apart from farther ones, so that searching far costs little power near by."""

LEAST_FOR_TREND = 32
"""Positions below which no trend is looked for: a slow wave would pass for one."""

LEAST_POSITIONS = 8
"""Positions below which an axis is not tested: fewer have too few lags that are not a matter of its ends."""

LEAST_POWER = 0.9
LARGE_CORRELATION = 0.5
"""A correlation of 0.5 is "large" (Cohen 1988): data that would not show it with probability 0.9 are not enough."""


@dataclass(frozen=True)
class Dependence:
    """What a permutation test of one axis found.

    ``lag`` is the strongest, ``first_lag`` the first that is as rare as the level asks, ``kinds`` those whose own
    maximum is. ``correlation`` and ``magnitude_correlation`` are of neighbours at lags 1, 2, ...; ``band`` is the
    standard deviation of such a correlation without dependence. ``detectable`` is the smallest correlation of
    neighbours that the test would find with probability 0.9; ``trend`` says whether one was taken out first.
    """

    p: float
    lag: int
    first_lag: int
    kinds: tuple[str, ...]
    correlation: Floats
    magnitude_correlation: Floats
    band: float
    detectable: float
    trend: bool


def has_trend(x: Floats, rng: np.random.Generator) -> bool:
    """Whether the lines (P, N, R, C) rise or fall, by the rank correlation with the position.

    99 permutations at 0.01; a trend is taken out only where there is one, because without it the test is exact.
    """
    if x.shape[0] < LEAST_FOR_TREND:
        return False
    scores = np.stack([normal_scores(x[..., c]) for c in range(x.shape[-1])], -1)
    line = smooth(x.shape[0], True)[1]
    orders = [line, *(rng.permutation(line) for _ in range(99))]
    # all lines of one order: its slopes are as dependent in the surrogates as in the sample
    slopes = [float((np.tensordot(order, scores, 1) ** 2).sum()) for order in orders]
    return slopes[0] > max(slopes[1:])


def scored(x: Floats, trend: bool) -> dict[str, Floats]:
    """The normal scores of values and of magnitudes of lines (P, N, R, C).

    Each line position across the axis is standardised first: that one line is louder than another is no dependence.
    """
    rest = without_trend(x) if trend else x
    rest = rest - rest.mean(0)
    # what rounding leaves of a straight line is not a sample
    rest = standardised(np.where(np.abs(rest) > RELATIVE_ROUNDING * np.abs(x).max(), rest, 0.0), (0, 1))
    sizes = np.abs(rest - np.median(rest, (0, 1), keepdims=True))
    found = {}
    for kind, values in zip(KINDS, (rest, sizes), strict=True):
        scores = np.stack([normal_scores(values[..., c]) for c in range(x.shape[-1])], -1)
        found[kind] = centred(scores.astype(np.float32), trend)
    if np.unique(sizes.round(9)).size < 3:  # two values: a magnitude says nothing more
        del found["magnitudes"]
    return found


def longest_lag(positions: int) -> int:
    """The lags that are looked at: a quarter of the positions, and no more than 1024.

    Box and Jenkins (1970) advise n / 4: farther correlations rest on too few pairs.
    """
    return max(1, min(positions // 4, 1024))


def lag_statistics(x: Floats, lags: int, trend: bool) -> tuple[Floats, Floats]:
    """Statistics of dependence (statistic, lag) and the mean correlation at each lag, of lines (P, N, R, C).

    By the Wiener-Khinchin theorem, from one transform. The statistics are sums of squared correlations: of channels
    with themselves; of channels with each other; of each line apart, for lines whose dependence differs; and of lines
    with their next and next but one, for dependence that is oblique. Their cube roots are nearly normal (Wilson and
    Hilferty 1931), so that statistics of different widths can be compared.
    """
    count, _, lines, channels = x.shape
    size = _fast_size(count + lags)
    f = np.fft.rfft(np.ascontiguousarray(x.transpose(1, 2, 3, 0)), size)
    power = f.real**2 + f.imag**2
    near, bias = slice(1, lags + 1), expected(count, lags, trend)
    if channels == 1:
        cross = np.fft.irfft(power.sum((0, 1, 2)), size)[:, None, None]
    else:
        cross = np.fft.irfft(np.einsum("nrck,nrek->cek", f, f.conj(), optimize=True), size).transpose(2, 0, 1)
    scale = np.sqrt(np.maximum(np.einsum("cc->c", cross[0]), np.finfo(np.float32).tiny))
    cross = cross / (scale[:, None] * scale)
    cross = cross[near] - bias[:, None, None] * cross[0]
    own = np.einsum("dcc->dc", cross)
    squares = [(own**2).sum(1)]
    if channels > 1:
        squares.append(np.maximum((cross**2).sum((1, 2)) - squares[0], 0))
    if lines > 1:
        each = np.fft.irfft(power.sum(0), size)
        level = np.where(each[..., :1] > 0, each[..., :1], 1)
        squares.append(((each[..., near] / level - bias) ** 2).sum((0, 1)))
    for apart in range(1, min(3, lines)):
        oblique = np.fft.irfft((f[:, apart:] * f[:, :-apart].conj()).sum((0, 1)), size)
        oblique /= (scale**2)[:, None]
        for side in (oblique[:, near], oblique[:, : -lags - 1 : -1]):
            squares.append(((side - bias * oblique[:, :1]) ** 2).sum(0))
    return np.cbrt(np.stack(squares)), own.mean(1)


def permutation_test(
    x: Floats,
    level: float,
    rng: np.random.Generator,
    permutations: int = PERMUTATIONS,
    progress: Callable[[], None] | None = None,
) -> Dependence:
    """Whether the lines (P, N, R, C) depend on their neighbours along P.

    One permutation is of all samples, lines and channels, so that a pattern that is the same in all samples but knows
    no neighbours, as in images whose pixels are shuffled alike, is in the surrogates too. Trends are taken out of the
    permuted residuals again, as they are out of the sample's (Freedman and Lane 1983). p is that of the largest
    standardised statistic over kinds, statistics and lags, which holds the family-wise error (Westfall and Young 1993).

    >>> rng = np.random.default_rng(0)
    >>> noise = rng.standard_normal((400, 1, 1, 1))
    >>> permutation_test(noise, 0.01, rng).p > 0.01, permutation_test(noise[1:] + noise[:-1], 0.01, rng).p
    (True, 0.0025)
    """
    trend = has_trend(x, rng)
    kinds = scored(x, trend)
    count = x.shape[0]
    lags = longest_lag(count)
    if np.abs(kinds["values"]).max() < 1e-6:  # a straight line, and nothing beside it
        nothing = np.zeros(lags)
        return Dependence(1.0, 1, 1, (), nothing, nothing, 0.0, 0.0, trend)
    means: dict[str, Floats] = {}
    drawn: dict[str, list[Floats]] = {kind: [] for kind in kinds}
    null: list[Floats] = []
    for kind, scores in kinds.items():
        statistic, means[kind] = lag_statistics(scores, lags, trend)
        drawn[kind].append(statistic)
    for done in range(permutations):
        order = rng.permutation(count)
        for kind, scores in kinds.items():
            statistic, correlation = lag_statistics(centred(scores[order], trend), lags, trend)
            drawn[kind].append(statistic)
            if kind == "values":
                null.append(correlation)
        if progress is not None:
            progress()
        if done + 1 == INTERIM_PERMUTATIONS and _p(_largest_of_all(drawn)) >= HOPELESS_P:
            break
    each = {kind: _largest(_standard(np.stack(values))) for kind, values in drawn.items()}
    largest = _largest_of_all(drawn)
    p = _p(largest)
    rare = _rare(largest[1:], level)
    best = max(each, key=lambda kind: float(each[kind][0]))
    found = tuple(kind for kind, values in each.items() if p <= level and (kind == best or values[0] >= rare))
    z = _standard(np.stack(drawn[best]))[0].max(0)
    lag = int(np.argmax(z >= NEARLY_LARGEST_SHARE * z.max())) + 1
    first_lag = min(lag, int(np.argmax(z >= rare)) + 1 if z.max() >= rare else lag)
    band = float(np.stack(null)[:, 0].std())
    white = np.stack(drawn["values"])[1:, 0, 0]
    threshold = max(0.0, float(white.mean() + rare * white.std())) ** 1.5 / np.sqrt(x.shape[-1])
    detectable = float(threshold + NormalDist().inv_cdf(LEAST_POWER) * band)
    sizes = means.get("magnitudes", np.zeros(lags))
    return Dependence(p, lag, first_lag, found, means["values"], sizes, band, detectable, trend)


def _largest_of_all(drawn: dict[str, list[Floats]]) -> Floats:
    """The largest statistic of the sample and of each surrogate."""
    largest: Floats = np.max([_largest(_standard(np.stack(values))) for values in drawn.values()], axis=0)
    return largest


def _p(largest: Floats) -> float:
    """The share of draws, the sample among them, that are as large as the sample."""
    return float((largest >= largest[0]).mean())


def _rare(largest: Floats, level: float) -> float:
    """What a maximum exceeds with a probability: the Gumbel distribution with these draws' mean and spread."""
    spread = float(largest.std()) * np.sqrt(6) / np.pi
    return float(largest.mean() - spread * (np.euler_gamma + np.log(-np.log1p(-level))))


def _standard(drawn: Floats) -> Floats:
    spread = drawn.std(0)
    z: Floats = (drawn - drawn.mean(0)) / np.where(spread > 1e-9, spread, np.inf)
    return z


def _largest(z: Floats) -> Floats:
    """The largest over statistics and lags of each draw; far lags are set back by what searching them adds."""
    near: Floats = z[:, :, :NEAR_LAGS].max((1, 2))
    if z.shape[2] <= NEAR_LAGS:
        return near
    far = z[:, :, NEAR_LAGS:].max((1, 2))
    either: Floats = np.maximum(near, far - (np.quantile(far, 0.95) - np.quantile(near, 0.95)))
    return either


def _fast_size(least: int) -> int:
    """The smallest 2^i or 3 * 2^i from ``least`` on."""
    power = 1 << (least - 1).bit_length()
    return power * 3 // 4 if power >= 4 and power * 3 // 4 >= least else power

"""What samples come to: paired ratios with intervals, and a verdict against what the run cannot tell from nothing.

Samples of one round were taken next to each other, so a slow spell of the machine is in both and cancels in their
ratio. A round and the next, which goes through the subjects in reverse, make one pair; the estimate is the median of
the pairs' log ratios, its interval the percentile bootstrap over pairs (Efron and Tibshirani 1993, chapter 13).
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

Verdict = Literal["win", "tie", "loss", "undecided"]
VERDICTS: tuple[Verdict, ...] = ("loss", "undecided", "tie", "win")

CONFIDENCE, RESAMPLES = 0.95, 2000
MANY_PAIRS = 5
"""A/A pairs from which on their median is used, and not their farthest end."""

FEWEST_PAIRS = 5
"""The range of n independent values covers their median with a probability of ``1 - 2^(1 - n)``: of 5 with 94 %."""

PLAIN_LOG_RATIO = math.log(5)
"""A difference that needs no statistics. Of 664 single A/A pairs, beside another program, two were 4 times apart, the
others up to 2.3."""

WORTH_LOG_RATIO = math.log(1.2)
"""A difference that anyone would act on. A run whose floor is above it cannot call anything a tie."""

NORMAL = statistics.NormalDist().inv_cdf((1 + CONFIDENCE) / 2) / statistics.NormalDist().inv_cdf(0.75)
"""The 95 % quantile of the size of a normal variable over its median: 2.9."""


@dataclass(frozen=True)
class Ratio:
    """The other's time over ours, so that above 1 ours is faster, with its 95 % interval, from ``pairs`` pairs."""

    value: float
    low: float
    high: float
    pairs: int = 0
    against: str = ""

    def __str__(self) -> str:
        return f"{self.value:.2f} ({self.low:.2f} to {self.high:.2f})"

    def inverse(self) -> Ratio:
        """Ours over the other's."""
        return Ratio(1 / self.value, 1 / self.high, 1 / self.low, self.pairs, self.against)

    def verdict(self, floor: float) -> Verdict:
        """Whether that is faster, against a floor of log ratios.

        A win or a loss is claimed only if the interval leaves out 1 and the effect is larger than the floor. Within
        the floor it is a tie, if floor and interval could have told a difference of :data:`WORTH_LOG_RATIO`; all else
        is undecided. So is what fewer than :data:`FEWEST_PAIRS` pairs tell, unless all are :data:`PLAIN_LOG_RATIO`.

        >>> [Ratio(value, low, high, 8).verdict(0.02) for value, low, high in ((1.1, 1.05, 1.2), (1.1, 0.9, 1.2))]
        ['win', 'undecided']
        >>> Ratio(1.01, 1.005, 1.02, 8).verdict(0.02), Ratio(0.9, 0.85, 0.95, 8).verdict(0.02)
        ('tie', 'loss')
        >>> Ratio(1.01, 0.6, 1.7, 8).verdict(0.5), Ratio(1.3, 1.3, 1.3, 2).verdict(0.02)
        ('undecided', 'undecided')
        >>> Ratio(12.0, 11.0, 13.0, 2).verdict(0.02)
        'win'
        """
        if self.pairs < FEWEST_PAIRS and max(math.log(self.low), -math.log(self.high)) < max(PLAIN_LOG_RATIO, floor):
            return "undecided"
        if abs(math.log(self.value)) <= floor:
            widest = max(floor, abs(math.log(self.low)), abs(math.log(self.high)))
            return "tie" if widest <= WORTH_LOG_RATIO else "undecided"
        if self.low > 1:
            return "win"
        return "loss" if self.high < 1 else "undecided"


def paired(ours: Sequence[float | None], other: Sequence[float | None], against: str = "") -> Ratio | None:
    """The ratio of samples of the same rounds; a round that either lacks is left out. None without any.

    >>> str(paired([1.0, 2.0, 4.0, 2.0], [2.0, 4.0, 8.0, 4.0, 1.0]))
    '2.00 (2.00 to 2.00)'
    """
    logarithms = []
    for start in range(0, min(len(ours), len(other)), 2):
        both = [
            math.log(theirs / mine)
            for mine, theirs in zip(ours[start : start + 2], other[start : start + 2], strict=False)
            if mine and theirs
        ]
        if both:
            logarithms.append(statistics.fmean(both))
    if not logarithms:
        return None
    low, high = interval(logarithms)
    return Ratio(math.exp(statistics.median(logarithms)), math.exp(low), math.exp(high), len(logarithms), against)


def interval(values: Sequence[float]) -> tuple[float, float]:
    """The 95 % interval of the median of a sample; of fewer than three, all of it.

    >>> interval([1.0, 2.0])
    (1.0, 2.0)
    """
    if len(values) < 3 or min(values) == max(values):
        return min(values), max(values)
    import numpy as np
    from scipy.stats import bootstrap

    found = bootstrap(
        (np.asarray(values),),
        np.median,
        confidence_level=CONFIDENCE,
        n_resamples=RESAMPLES,
        method="percentile",
        rng=np.random.default_rng(0),
    ).confidence_interval
    return float(found.low), float(found.high)


def floor(twins: Iterable[Ratio | None]) -> float:
    """What a run cannot tell from nothing, as a log ratio: how far apart two processes of one and the same are.

    From many A/A pairs it is what 95 % of them keep within if they are spread normally, ``1.96 / 0.6745`` times the
    median of their effects: a few groups that are noisier than the others do not blur all (they have their own A/A).
    From few, it is the farthest end of their intervals. Infinite without any.

    >>> floor([Ratio(1.02, 0.99, 1.03), None])
    0.02955880224154443
    >>> floor([]), round(floor([Ratio(math.exp(n / 100), 0.5, 2) for n in (0, 1, 1, 1, 50)]), 4)
    (inf, 0.0291)
    """
    measured = [ratio for ratio in twins if ratio is not None]
    if not measured:
        return math.inf
    if len(measured) < MANY_PAIRS:
        return max(abs(math.log(end)) for ratio in measured for end in (ratio.low, ratio.high))
    return NORMAL * statistics.median(abs(math.log(ratio.value)) for ratio in measured)


def geometric_mean(values: Iterable[float]) -> float | None:
    """Of ratios; None without any.

    >>> geometric_mean([4.0, 1.0])
    2.0
    """
    logarithms = [math.log(value) for value in values]
    return math.exp(statistics.fmean(logarithms)) if logarithms else None


def spread(samples: Sequence[float]) -> float:
    """Half the range of the middle half of the samples, as a part of the median.

    >>> spread([1.0, 1.0, 2.0, 3.0, 3.0])
    0.5
    """
    if len(samples) < 2:
        return 0.0
    low, middle, high = statistics.quantiles(samples, n=4, method="inclusive")
    return (high - low) / 2 / middle

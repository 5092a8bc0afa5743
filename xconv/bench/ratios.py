"""How much faster xconv is than what it replaces: ratios of times of the same round, and what they come to.

Contenders of one round were timed next to each other, so a slow spell of the machine is in both and cancels. A ratio is
the other's time over xconv's: above 1 xconv is faster.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from xconv.bench.arena import Measurement
from xconv.bench.limits import Limits
from xconv.bench.peers import find
from xconv.bench.table import spread


@dataclass(frozen=True)
class Ratio:
    """The median of the ratios of each round, and half the range of their middle half."""

    value: float
    spread: float
    against: str = ""

    def __str__(self) -> str:
        return f"{self.value:.2f} +-{self.spread:.2f}"


def paired(ours: Sequence[float], other: Sequence[float], against: str = "") -> Ratio:
    """The ratio of samples of the same rounds; what only one of them has is left out.

    >>> str(paired([1.0, 2.0, 4.0], [2.0, 4.0, 8.0, 1.0]))
    '2.00 +-0.00'
    """
    rounds = [theirs / mine for mine, theirs in zip(ours, other, strict=False)]
    middle = statistics.median(rounds)
    return Ratio(middle, spread(rounds) * middle, against)


@dataclass(frozen=True)
class Comparison:
    """xconv on one backend and layer, against that framework's own ways and against all peers.

    ``own`` and ``best`` are None where no such peer has a number.
    """

    measurement: Measurement
    own: Ratio | None
    best: Ratio | None
    fraction: float
    binds: str

    @property
    def key(self) -> tuple[str, str]:
        """What is summarised together: the backend, with opt-ins or without, and the direction."""
        contender = self.measurement.contender
        return contender.backend + " with opt-ins" * contender.opt_ins, contender.direction

    @property
    def is_loss(self) -> bool:
        """Whether the framework's own or a peer was faster."""
        return any(ratio is not None and ratio.value < 1 for ratio in (self.own, self.best))


def compare(group: Sequence[Measurement], limits: Limits) -> list[Comparison]:
    """A comparison for each of xconv's contenders of a group that has a number.

    The framework's own is its fastest way that xconv on it replaces (its op, or the usual recipe around it).
    """
    found = []
    for ours in group:
        contender = ours.contender
        if contender.way or ours.error:
            continue
        others = [
            other
            for other in group
            if other.contender.way and not other.error and other.contender.direction == contender.direction
        ]
        own = [o for o in others if o.contender.backend == contender.backend and find(*_named(o)).own]
        fraction, binds = limits.fraction(contender.cost(), ours.seconds)
        found.append(Comparison(ours, _against(ours, own), _against(ours, others), fraction, binds))
    return found


def geometric_mean(ratios: Iterable[Ratio | None]) -> float | None:
    """Of those that are there.

    >>> geometric_mean([Ratio(4.0, 0.0), None, Ratio(1.0, 0.0)])
    2.0
    """
    logarithms = [math.log(ratio.value) for ratio in ratios if ratio is not None]
    return math.exp(statistics.fmean(logarithms)) if logarithms else None


def means(
    comparisons: Sequence[Comparison], of: Callable[[Comparison], Ratio | None]
) -> dict[str, tuple[int, float | None]]:
    """For each domain, and for all of them, how many layers and the geometric mean of one of their ratios."""
    domains = sorted({c.measurement.contender.layer.domain for c in comparisons})
    within = {d: [c for c in comparisons if c.measurement.contender.layer.domain == d] for d in domains}
    within["all"] = list(comparisons)
    return {domain: (len(part), geometric_mean(map(of, part))) for domain, part in within.items()}


def _named(measurement: Measurement) -> tuple[str, str]:
    return measurement.contender.backend, measurement.contender.way


def _against(ours: Measurement, others: Sequence[Measurement]) -> Ratio | None:
    if not others:
        return None
    fastest = min(others, key=lambda m: m.seconds)
    return paired(ours.samples, fastest.samples, fastest.contender.peer)

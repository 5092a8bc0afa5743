"""How much faster xconv is than what it replaces and than everyone else, for each layer and direction of a run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from xconv.bench.peers import PEERS
from xconv.bench.results import Group, Result, Run
from xconv.bench.statistics import Ratio, Verdict, geometric_mean, paired

_OWN = {(peer.framework, peer.way) for peer in PEERS if peer.own}


@dataclass(frozen=True)
class LayerComparison:
    """xconv in one way on a layer, against that framework's own ways and against all peers.

    ``own`` and ``best`` are None where no such peer has a number; the verdicts are against the floor of the group.
    ``fraction`` is of the limit that ``binds``.
    """

    group: str
    ours: Result
    own: Ratio | None
    best: Ratio | None
    own_verdict: Verdict | None
    best_verdict: Verdict | None
    fraction: float
    binds: str

    @property
    def key(self) -> tuple[str, str]:
        """What is summarised together: the backend and how, and the direction."""
        contender = self.ours.contender
        words = [contender.backend]
        words += [contender.mode] if contender.mode != "eager" else []
        words += ["channels first"] if contender.channels == "first" else []
        words += ["with opt-ins"] if contender.opt_ins else []
        return ", ".join(words), contender.direction

    @property
    def is_loss(self) -> bool:
        """Whether the framework's own or a peer is faster by more than nothing."""
        return "loss" in (self.own_verdict, self.best_verdict)

    def to_json(self) -> dict[str, Any]:
        """For machines."""
        return {
            "group": self.group,
            "layer": self.ours.contender.layer.name,
            "contender": self.ours.how,
            "direction": self.ours.contender.direction,
            "own": asdict(self.own) if self.own else None,
            "own_verdict": self.own_verdict,
            "best": asdict(self.best) if self.best else None,
            "best_verdict": self.best_verdict,
            "fraction_of_limit": self.fraction,
            "binds": self.binds,
        }


def compare(run: Run) -> list[LayerComparison]:
    """A comparison for each of xconv's results that has a number and a peer to be compared with."""
    return [found for group in run.groups for direction in group.directions for found in _in(group, direction, run)]


def _in(group: Group, direction: str, run: Run) -> list[LayerComparison]:
    timed = group.timed(direction)
    peers = [result for result in timed if result.contender.way]
    found = []
    for ours in timed:
        contender = ours.contender
        if contender.way or not peers:
            continue
        own = [p for p in peers if p.contender.backend == contender.backend and _is_own(p)]
        fraction, binds = run.limits.fraction(contender.cost(), ours.seconds)
        against_own, against_best = against(ours, own), against(ours, peers)
        found.append(
            LayerComparison(
                group.name,
                ours,
                against_own,
                against_best,
                against_own.verdict(run.floor_of(group)) if against_own else None,
                against_best.verdict(run.floor_of(group)) if against_best else None,
                fraction,
                binds,
            )
        )
    return found


def against(ours: Result, others: Sequence[Result]) -> Ratio | None:
    """Ours against the fastest of others."""
    if not others:
        return None
    fastest = min(others, key=lambda result: result.seconds)
    return paired(ours.times, fastest.times, fastest.how)


def means(
    comparisons: Sequence[LayerComparison], of: Callable[[LayerComparison], Ratio | None]
) -> dict[str, tuple[int, float | None]]:
    """For each domain, and for all of them, how many layers and the geometric mean of one of their ratios."""
    domains = sorted({c.ours.contender.layer.domain for c in comparisons})
    within = {d: [c for c in comparisons if c.ours.contender.layer.domain == d] for d in domains}
    within["all"] = list(comparisons)
    found = {}
    for domain, part in within.items():
        ratios = [ratio.value for ratio in map(of, part) if ratio is not None]
        found[domain] = (len(ratios), geometric_mean(ratios))
    return found


def _is_own(result: Result) -> bool:
    return (result.contender.backend, result.contender.way) in _OWN

"""Has anything become slower? Two runs of the same machine, with what has not changed as the control.

Between two runs a machine drifts: another load, another clock. Peers are in both and have not changed (where their
framework's version has not): how their times moved is the drift, and how far they scatter around it is what two runs
cannot tell from nothing. What moved further than that, and than both runs' own A/A floors, has changed.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from tabulate import tabulate

from xconv.bench.reasons import ms
from xconv.bench.results import Result, Run
from xconv.bench.statistics import FEWEST_PAIRS, MANY_PAIRS, NORMAL, RESAMPLES, WORTH_LOG_RATIO, Ratio
from xconv.system.errors import ArgumentError

Change = Literal["slower", "faster", "same", "undecided"]


@dataclass(frozen=True)
class Changed:
    """One contender in both runs; the ratio is of its time now over its time before, without the drift."""

    group: str
    before: Result
    now: Result
    ratio: Ratio
    change: Change


@dataclass(frozen=True)
class RunComparison:
    """Two runs. ``drift`` is the factor by which ``controls`` peers moved; ``floor`` a log ratio."""

    rows: list[Changed]
    drift: float
    floor: float
    controls: int
    broken: list[str]
    missing: list[str]

    @property
    def ok(self) -> bool:
        """Nothing of xconv is slower, and nothing that had a number has lost it."""
        return not self.broken and not any(row.change == "slower" for row in self.rows)


def compare(before: Run, now: Run) -> RunComparison:
    """The second run against the first.

    Raises:
        ArgumentError: the two were not measured on the same kind of machine with the same settings, or share nothing.
    """
    look_at(before, now.settings, now.machine)
    old, new = _by_identity(before), _by_identity(now)
    shared = [key for key in new if key in old and old[key].has_number and new[key].has_number]
    if not shared:
        raise ArgumentError("bench", "run", "a run with no contender in common", "one of the same cases")
    peers = [old[key].contender.peer for key in shared]
    unchanged = [
        key for key, peer in zip(shared, peers, strict=True) if peer and _version(before, peer) == _version(now, peer)
    ]
    moves = [math.log(new[key].seconds / old[key].seconds) for key in unchanged]
    drift = statistics.median(moves) if len(moves) >= MANY_PAIRS else 0.0
    scatter = NORMAL * statistics.median(abs(move - drift) for move in moves) if len(moves) >= MANY_PAIRS else 0.0
    floor = max(before.floor, now.floor, scatter)
    noise: dict[str, float] = {}
    for run in (before, now):
        for group in run.groups:
            noise[group.name] = max(noise.get(group.name, 0.0), run.floor_of(group))
    rows = [
        _changed(key[0], old[key], new[key], drift, max(floor, noise[key[0]]))
        for key, peer in zip(shared, peers, strict=True)
        if not peer
    ]
    broken = [
        f"{key[0]}: {new[key].contender.label}: {new[key].error.splitlines()[0]}"
        for key in new
        if key in old and old[key].has_number and (new[key].is_wrong or new[key].cannot)
    ]
    missing = [f"{key[0]}: {old[key].contender.label}" for key in old if key not in new]
    rows.sort(key=lambda row: -row.ratio.value)
    return RunComparison(rows, math.exp(drift), floor, len(moves) if len(moves) >= MANY_PAIRS else 0, broken, missing)


def to_text(found: RunComparison) -> str:
    """What became slower, what became faster, and by what that was told."""
    parts = []
    for change in ("slower", "faster"):
        rows = [
            [
                r.group,
                r.now.how,
                ms(r.before.seconds),
                ms(r.now.seconds),
                str(r.ratio),
            ]
            for r in found.rows
            if r.change == change
        ]
        if rows:
            headers = ["group", "contender", "before", "now", "now over before"]
            parts.append(f"{change}\n{tabulate(rows, headers, disable_numparse=True)}")
    if found.broken:
        parts.append("no number any more\n" + "\n".join(found.broken))
    counted = {change: sum(row.change == change for row in found.rows) for change in ("slower", "faster", "same")}
    control = "no peers to tell the machine's drift by"
    if found.controls:
        control = f"{found.controls} peers that did not change moved by {found.drift:.3f}, which is taken out"
    undecided = len(found.rows) - sum(counted.values())
    parts.append(
        f"{len(found.rows)} of xconv's results: {counted['slower']} slower, {counted['faster']} faster, "
        f"{counted['same']} the same, {undecided} undecided; {control}; differences under "
        f"{100 * math.expm1(min(found.floor, 700.0)):.3g} % are noise."
        + (f" Not measured this time: {len(found.missing)}." if found.missing else "")
    )
    return "\n\n".join(parts)


def _changed(group: str, before: Result, now: Result, drift: float, floor: float) -> Changed:
    value, low, high = (x - drift for x in _log_ratio(before.samples, now.samples))
    change: Change = "same" if max(floor, abs(low), abs(high)) <= WORTH_LOG_RATIO else "undecided"
    if abs(value) > floor:
        change = "slower" if low > 0 else "faster" if high < 0 else "undecided"
    return Changed(group, before, now, Ratio(math.exp(value), math.exp(low), math.exp(high)), change)


def _log_ratio(before: Sequence[float], now: Sequence[float]) -> tuple[float, float, float]:
    """The log ratio of medians of two independent samples, and its bootstrap interval."""
    value = math.log(statistics.median(now) / statistics.median(before))
    if min(len(before), len(now)) < FEWEST_PAIRS:
        return value, -math.inf, math.inf
    if len(set(before)) == len(set(now)) == 1:
        return value, value, value
    import numpy as np
    from scipy.stats import bootstrap

    def difference(a: Any, b: Any, axis: int = -1) -> Any:
        return np.median(b, axis=axis) - np.median(a, axis=axis)

    interval = bootstrap(
        (np.log(before), np.log(now)),
        difference,
        n_resamples=RESAMPLES,
        method="percentile",
        rng=np.random.default_rng(0),
    ).confidence_interval
    return value, float(interval.low), float(interval.high)


def look_at(before: Run, settings: Mapping[str, Any], machine: Mapping[str, Any]) -> None:
    """Find out, before anything is measured, whether a run under these circumstances can be compared with it.

    Raises:
        ArgumentError: other threads, another device or CPU.
    """
    for name in ("threads", "device"):
        if before.settings[name] != settings[name]:
            got = f"a run with {name} {before.settings[name]}"
            raise ArgumentError("bench", "compare", got, f"one with {name} {settings[name]}", "measure it again")
    if before.machine["cpu"] != machine["cpu"]:
        hint = "runs of several machines are put side by side by `xconv bench --merge`"
        raise ArgumentError("bench", "compare", f"a run on {before.machine['cpu']}", machine["cpu"], hint)


def _by_identity(run: Run) -> dict[tuple[str, str], Result]:
    return {(group.name, result.contender.identity): result for group in run.groups for result in group.contenders}


def _version(run: Run, worker: str) -> Any:
    return run.workers.get(worker, {}).get("version")

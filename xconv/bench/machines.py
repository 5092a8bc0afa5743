"""Runs of several machines side by side: the same questions, a column each."""

from __future__ import annotations

from collections.abc import Sequence

from xconv.bench.comparisons import compare
from xconv.bench.reasons import ms
from xconv.bench.results import Run
from xconv.bench.statistics import geometric_mean
from xconv.bench.text import Table
from xconv.system.errors import ArgumentError


def names(runs: Sequence[Run]) -> list[str]:
    """A name for each machine: its CPU and threads or its device, numbered where two are alike."""
    found = []
    for run in runs:
        device, threads = run.settings["device"], run.settings["threads"]
        on = f"{run.machine['cpu']}, {threads} thread(s)" if device == "cpu" else f"{run.machine['cpu']}, {device}"
        found.append(on)
    return [
        f"{name} ({found[: at + 1].count(name)})" if found.count(name) > 1 else name for at, name in enumerate(found)
    ]


def side_by_side(runs: Sequence[Run]) -> list[Table]:
    """A row for each group and direction that any has: who is fastest on each machine, and at what time.

    Raises:
        ArgumentError: fewer than two runs.
    """
    if len(runs) < 2:
        raise ArgumentError("bench", "merge", f"{len(runs)} run", "two or more")
    columns = names(runs)
    fastest: dict[tuple[str, str], dict[int, str]] = {}
    for at, run in enumerate(runs):
        for group in run.groups:
            for direction in group.directions:
                timed = group.timed(direction)
                if timed:
                    said = f"{ms(timed[0].seconds)} {timed[0].how}"
                    fastest.setdefault((group.name, direction), {})[at] = said
    rows = [
        [name if direction in name else f"{name}, {direction}", *(said.get(at, "") for at in range(len(runs)))]
        for (name, direction), said in fastest.items()
    ]
    return [
        ("the machines", ["", *columns], _about(runs)),
        ("xconv over the framework's own op, geometric means", ["", *columns], _means(runs)),
        ("the fastest on each machine", ["group", *columns], rows),
    ]


def _about(runs: Sequence[Run]) -> list[list[str]]:
    return [
        ["measured", *(run.taken for run in runs)],
        ["GFLOP/s", *(f"{run.limits.flops / 1e9:.0f}" for run in runs)],
        ["GB/s", *(f"{run.limits.bytes / 1e9:.0f}" for run in runs)],
        ["page fault", *(ms(run.limits.fault) for run in runs)],
        ["A/A floor", *(f"{100 * run.floor:.1f} %" for run in runs)],
        ["versions", *(_versions(run) for run in runs)],
    ]


def _versions(run: Run) -> str:
    found = {about.get("backend", name): about.get("version", "?") for name, about in run.workers.items()}
    return ", ".join(f"{name} {version}" for name, version in sorted(found.items()))


def _means(runs: Sequence[Run]) -> list[list[str]]:
    each = []
    for run in runs:
        ratios: dict[str, list[float]] = {}
        for found in compare(run):
            if found.own is not None:
                ratios.setdefault(", ".join(found.key), []).append(found.own.value)
        each.append(ratios)
    keys = dict.fromkeys(key for ratios in each for key in ratios)
    return [
        [key, *(f"{geometric_mean(ratios[key]):.2f} of {len(ratios[key])}" if key in ratios else "" for ratios in each)]
        for key in keys
    ]

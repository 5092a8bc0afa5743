"""Comparisons as text: losses first, then wins, then geometric means."""

from __future__ import annotations

from collections.abc import Sequence

from tabulate import tabulate

from xconv.bench.limits import Limits
from xconv.bench.ratios import Comparison, Ratio, means

HEADERS = ["layer", "formulation", "ms", "own", "against own", "best peer", "against best", "of limit", "binds"]


def ratio_table(comparisons: Sequence[Comparison], limits: Limits) -> str:
    """A table of losses and one of wins for each backend and direction, and the geometric means."""
    parts = []
    for backend, direction in dict.fromkeys(c.key for c in comparisons):
        mine = sorted((c for c in comparisons if c.key == (backend, direction)), key=_worst)
        for title, rows in (
            ("losses", [_row(c) for c in mine if c.is_loss]),
            ("no losses", [_row(c) for c in mine if not c.is_loss]),
        ):
            if rows:
                table = tabulate(rows, HEADERS, tablefmt="simple", disable_numparse=True)
                parts.append(f"xconv on {backend}, {direction}: {title}\n{table}")
    parts.append(_means(comparisons))
    known = "not measured"
    if limits.flops and limits.bytes:
        known = f"{limits.flops / 1e9:.1f} GFLOP/s by a matrix product, {limits.bytes / 1e9:.1f} GB/s by a copy"
    parts.append(
        "Ratios are the other's time over xconv's, above 1 xconv is faster: the median over rounds, and half the range "
        f"of the middle half of them. The limits of this machine in this run: {known}."
    )
    return "\n\n".join(parts)


def _means(comparisons: Sequence[Comparison]) -> str:
    rows = []
    for backend, direction in dict.fromkeys(c.key for c in comparisons):
        mine = [c for c in comparisons if c.key == (backend, direction)]
        own, best = means(mine, lambda c: c.own), means(mine, lambda c: c.best)
        for domain, (count, mean) in own.items():
            rows.append([f"{backend}, {direction}", domain, str(count), _number(mean), _number(best[domain][1])])
    headers = ["xconv on", "domain", "layers", "against own", "against best"]
    return "geometric means\n" + tabulate(rows, headers, tablefmt="simple", disable_numparse=True)


def _row(comparison: Comparison) -> list[str]:
    m = comparison.measurement
    return [
        m.contender.layer.name,
        m.chosen,
        f"{m.seconds * 1e3:.3f}",
        *_said(comparison.own),
        *_said(comparison.best),
        f"{comparison.fraction:.2f}" if comparison.binds else "",
        comparison.binds,
    ]


def _said(ratio: Ratio | None) -> tuple[str, str]:
    return ("", "") if ratio is None else (ratio.against, str(ratio))


def _number(mean: float | None) -> str:
    return "" if mean is None else f"{mean:.2f}"


def _worst(comparison: Comparison) -> float:
    return min((ratio.value for ratio in (comparison.own, comparison.best) if ratio is not None), default=float("inf"))

"""Measurements as a table for reading."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from tabulate import tabulate

from xconv.bench.arena import Measurement


def table(measurements: Sequence[Measurement]) -> str:
    """A row for each contender, fastest first; one that was wrong or failed comes last, with the reason.

    GFLOP/s and GB/s count the operations of the direct method and each array once; samples/s counts the batch. "ratio"
    is to the fastest of the table in the same direction.
    """
    timed = sorted((m for m in measurements if not m.error), key=lambda m: m.seconds)
    rows = []
    for m in timed:
        cost, batch = m.contender.cost(), m.contender.layer.x_shape[0]
        rows.append(
            [
                m.contender.label,
                f"{m.seconds * 1e3:.3f}",
                f"+-{100 * spread(m.samples):.0f} %",
                f"{m.seconds / _fastest(timed, m):.2f}",
                f"{cost.flops / m.seconds / 1e9:.1f}",
                f"{cost.bytes / m.seconds / 1e9:.1f}",
                f"{batch / m.seconds:,.0f}",
            ]
        )
    rows += [[m.contender.label, "", "", _reason(m), "", "", ""] for m in measurements if m.error]
    headers = ["contender", "ms", "", "ratio", "GFLOP/s", "GB/s", "samples/s"]
    align = ("left", *["right"] * 6)
    return tabulate(rows, headers, tablefmt="simple", disable_numparse=True, colalign=align if rows else None)


def spread(samples: Sequence[float]) -> float:
    """Half the range of the middle half of the samples, as a part of the median.

    >>> spread([1.0, 1.0, 2.0, 3.0, 3.0])
    0.5
    """
    if len(samples) < 2:
        return 0.0
    low, middle, high = statistics.quantiles(samples, n=4, method="inclusive")
    return (high - low) / 2 / middle


def _reason(measurement: Measurement) -> str:
    first = measurement.error.splitlines()[0]
    return f"{'cannot' if measurement.cannot else 'no number'}: {first}"[:70]


def _fastest(timed: Sequence[Measurement], of: Measurement) -> float:
    return min(m.seconds for m in timed if m.contender.direction == of.contender.direction)

"""Arrays brought from channels first to channels last and back, a square of vectors at a time."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from xconv.direct.machine import here
from xconv.direct.panels import TransposeTile
from xconv.direct.program import Program, Schedule, Sizes
from xconv.direct.team import Team

KEPT = 512
"""Sizes of arrays whose schedules are kept."""

BLOCK = 1 << 16
"""Numbers of a run of squares: threads share runs."""


def transpose(x: int, y: int, size: tuple[int, int, int], dtype: str, threads: int, team: Team) -> None:
    """Write the (lines, columns, rows) of an array of (lines, rows, columns), from its address to another."""
    _program(*size, dtype, threads)(x, 0, None, y, team)


@lru_cache(maxsize=KEPT)
def _program(lines: int, rows: int, columns: int, dtype: str, threads: int) -> Program:
    made, machine = Schedule(), here()
    lanes = machine.lanes(dtype)
    step = max(BLOCK // rows // lanes, 1) * lanes
    start, tile = np.arange(0, columns, step), made.number(TransposeTile())
    made.add(tile=tile, x=start, y=start * rows, taps=np.minimum(step, columns - start), places=rows, extra=rows)
    sizes = Sizes(rows * columns, 0, rows * columns, columns, 0, 0)
    threads = max(1, min(threads, lines * rows * columns // BLOCK))
    return Program(made, sizes, made.parts(lines, threads), dtype, machine, 1)

"""Arrays copied from channels first to channels last and back, a square of vectors at a time."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from xconv.direct.panels import TransposeTile
from xconv.direct.processor import detect_processor
from xconv.direct.program import ArrayStrides, Schedule, TileProgram
from xconv.direct.team import Team

KEPT_PROGRAMS = 512
"""Sizes of arrays whose programs are kept."""

BLOCK_NUMBERS = 1 << 16
"""Numbers of a run of squares; threads are given whole runs."""


def transpose(x: int, y: int, size: tuple[int, int, int], dtype: str, threads: int, team: Team) -> None:
    """Copy ``size`` = (lines, rows, columns) at address ``x`` to (lines, columns, rows) at address ``y``, row-major."""
    _get_program(*size, dtype, threads)(x, 0, None, y, team)


@lru_cache(maxsize=KEPT_PROGRAMS)
def _get_program(lines: int, rows: int, columns: int, dtype: str, threads: int) -> TileProgram:
    made, processor = Schedule(), detect_processor()
    lanes = processor.lanes(dtype)
    step = max(BLOCK_NUMBERS // rows // lanes, 1) * lanes
    start, tile = np.arange(0, columns, step), made.add_tile(TransposeTile())
    made.add(tile=tile, x=start, y=start * rows, taps=np.minimum(step, columns - start), places=rows, extra=rows)
    sizes = ArrayStrides(rows * columns, 0, rows * columns, columns, 0, 0)
    threads = max(1, min(threads, lines * rows * columns // BLOCK_NUMBERS))
    return TileProgram(made, sizes, made.split_among_threads(lines, threads), dtype, processor, 1)

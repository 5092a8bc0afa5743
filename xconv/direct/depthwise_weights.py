"""Weight gradients of depthwise layers: for each tap and channel, products of ``x`` and ``dy`` summed over all places.

Vectors, periods and steps are those of :mod:`xconv.direct.depthwise`; the sums of the places of a period are added at
the end.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from xconv.core.problem import ConvProblem
from xconv.direct.code import Code, Value
from xconv.direct.depthwise import Period, fold_columns
from xconv.direct.method import Method
from xconv.direct.phases import split_by_seen_taps
from xconv.direct.processor import ITEM_BYTES, Processor
from xconv.direct.program import Floats, Integers, Schedule, ThreadShare, TileArguments


@dataclass(frozen=True)
class DepthwiseWeightTile:
    """The sums of ``taps`` taps by ``lanes`` numbers of a step, ``vectors`` at a time, over an entry's places (steps).

    They are added to what the result holds; a last vector that is not full is masked.

    Attributes:
        x_stride, dy_stride: numbers from one step to the next in x and in dy (the entry's ``weight``).
        y_row: numbers from the sums of one tap to those of the next.
    """

    taps: int
    vectors: int
    lanes: int
    x_stride: int
    dy_stride: int
    y_row: int

    def write(self, code: Code, args: TileArguments) -> None:
        """Write the vectors of a step, some at a time, each summed over all steps."""
        whole, tail = divmod(self.lanes, code.lanes)
        blocks = whole // self.vectors
        width = self.vectors * code.lanes
        code.repeat(blocks, lambda block: self._sum_steps(code, args, code.times(block, width), self.vectors, 0))
        rest = whole - blocks * self.vectors + (tail > 0)
        if rest:
            self._sum_steps(code, args, blocks * width, rest, tail)

    def _sum_steps(self, code: Code, args: TileArguments, first: Value, vectors: int, tail: int) -> None:
        columns = [(n * code.lanes, tail if n == vectors - 1 else 0) for n in range(vectors)]
        targets = [
            [(code.offset(args.y, first, tap * self.y_row + n), end) for n, end in columns] for tap in range(self.taps)
        ]
        sums = [[code.variable(code.load(place, end)) for place, end in tap_sums] for tap_sums in targets]
        x, dy = code.variable(code.offset(args.x, first)), code.variable(code.offset(args.weight, first))
        x_block, dy_block = code.times(args.places, self.x_stride), code.times(args.places, self.dy_stride)
        with code.loop(0, args.places):
            if vectors * code.lanes < self.lanes:  # the next block of places comes from memory meanwhile
                for n, _ in columns:
                    code.prefetch(code.offset(code.get(x), n, x_block))
                    code.prefetch(code.offset(code.get(dy), n, dy_block))
            gradients = [code.load(code.offset(code.get(dy), n), end) for n, end in columns]
            for tap, tap_sums in enumerate(sums):
                reads = code.offset(code.get(x), code.times(args.tap_stride, tap))
                for (n, end), total, gradient in zip(columns, tap_sums, gradients, strict=True):
                    code.add_product(total, code.load(code.offset(reads, n), end), gradient)
            code.set(x, code.offset(code.get(x), self.x_stride))
            code.set(dy, code.offset(code.get(dy), self.dy_stride))
        for tap_sums, places in zip(sums, targets, strict=True):
            for total, (place, end) in zip(tap_sums, places, strict=True):
                code.store(code.get(total), place, end)


SUM_VECTORS = {32: 24, 16: 12}
"""Vectors of sums in a tile, by the processor's vector registers."""

MAX_TILE_TAPS = 12
"""Taps of a tile, at most."""

MIN_BLOCK_PLACES = 2
"""Places of a block, at least: for each block a tile's sums are read and written once."""

BLOCK_BYTES = 1 << 17
"""Bytes of x and dy in a block of places: they stay in a core's cache while all taps read them."""


class DepthwiseWeightMethod(Method):
    """A depthwise weight gradient; its sums have the shape (thread, tap, number of a period)."""

    def __init__(self, direction: str, problem: ConvProblem, processor: Processor) -> None:
        super().__init__(direction, fold_columns(problem), processor)
        [self.phase], self.channels = self.geometry.phases, problem.in_channels
        self.period = Period(self.geometry, self.x_channels, self.lanes)
        self.taps = -(-self.kernel // -(-self.kernel // MAX_TILE_TAPS))
        self.vectors = min(SUM_VECTORS[processor.vector_registers] // self.taps, 4)
        self.block_places = max(
            BLOCK_BYTES // (ITEM_BYTES[problem.dtype] * self.x_channels * (self.phase.input_step + 1)), MIN_BLOCK_PLACES
        )

    def build_schedule(self, threads: int) -> Schedule:
        """All tiles: for a block of places all taps, then the next block."""
        del threads
        made = Schedule()
        starts = np.arange(0, self.phase.places, self.block_places)
        stops = np.minimum(starts + self.block_places, self.phase.places)
        whole = self.kernel // self.taps * self.taps
        for low, high, taps in ((0, whole, self.taps), (whole, self.kernel, self.kernel - whole)):
            if low < high:
                tap = np.arange(low, high, taps)
                for part in split_by_seen_taps(self.phase, self.geometry.length, tap, taps, starts, stops):
                    self._add_entries(made, *part)
        made.sort_by_turn()
        return made

    def _add_entries(self, made: Schedule, tap: Integers, taps: int, low: Integers, high: Integers) -> None:
        phase, period, total = self.phase, self.period, np.maximum(high - low, 0) * self.x_channels
        whole, x_factor = total // period.size * period.size, 1 if period.is_contiguous else phase.input_step
        block = np.broadcast_to(np.arange(low.shape[1]), low.shape)
        for lanes, begin, numbers in ((period.size, 0 * whole, whole), (self.x_channels, whole, total - whole)):
            nonempty = numbers > 0
            if nonempty.any():
                tile = DepthwiseWeightTile(taps, self.vectors, lanes, x_factor * lanes, lanes, period.size)
                x = (
                    phase.first_input + low * phase.input_step + tap * phase.tap_step
                ) * self.x_channels + begin * x_factor
                made.add(
                    tile=made.add_tile(tile),
                    x=x[nonempty],
                    weight=(low * self.x_channels + begin)[nonempty],
                    y=np.broadcast_to(tap * period.size, low.shape)[nonempty],
                    taps=taps,
                    places=numbers[nonempty] // lanes,
                    turn=block[nonempty],
                )

    def split_among_threads(self, schedule: Schedule, threads: int) -> list[ThreadShare]:
        """Some of the places for each thread, which adds to sums of its own."""
        sums = self.kernel * self.period.size
        shares = [share._replace(y=n * sums) for n, share in enumerate(super().split_among_threads(schedule, threads))]
        self.sum_count = max(len(shares), 1) * sums
        return shares

    def finish_gradient(self, sums: Floats) -> Floats:
        """The gradient (tap, 1, channel)."""
        found: Floats = sums.reshape(-1, self.kernel, self.period.size // self.channels, self.channels).sum((0, 2))
        return found[:, None]

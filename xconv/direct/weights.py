"""Weight gradients of dense layers: for each tap, a product of the matrices ``x`` and ``dy``, summed over all places.

A tile is some rows of the kernel (input channels of a tap, or of several) by some output channels, whose sums stay in
registers for a block of places.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise
from math import prod

import numpy as np

from xconv.core.problem import ConvProblem
from xconv.direct.code import Code
from xconv.direct.dense import TILE_PLACES
from xconv.direct.method import Method
from xconv.direct.phases import split_by_seen_taps
from xconv.direct.processor import ITEM_BYTES, Processor
from xconv.direct.program import ArrayStrides, Floats, Integers, Schedule, ThreadShare, TileArguments
from xconv.direct.tiled import split_channels


@dataclass(frozen=True)
class WeightTile:
    """Products of the numbers at ``row_offsets`` from each place in ``x`` with ``vectors`` of the other array.

    The other array is the entry's ``weight``. The sums are added to what the result holds. An entry has ``taps`` such
    tiles, each as many rows after the one before. Its places are summed ``extra`` times (turns), each time
    ``args.tap_stride`` numbers further in ``x`` and ``args.tap_step`` in the other array.

    Attributes:
        tail: numbers in the last vector; 0 if it is full.
        x_stride, other_stride: numbers from one place to the next in the two arrays.
        y_row: numbers from one row of the result to the next.
    """

    row_offsets: tuple[int, ...]
    vectors: int
    tail: int
    x_stride: int
    other_stride: int
    y_row: int

    def write(self, code: Code, args: TileArguments) -> None:
        """Write one tile after the other, each summed over all places of the entry."""
        columns = [(n * code.lanes, self.tail if n == self.vectors - 1 else 0) for n in range(self.vectors)]
        rows = len(self.row_offsets)
        with code.loop(0, args.taps) as tile:
            y = code.offset(args.y, code.times(tile, rows * self.y_row))
            targets = [[(code.offset(y, row * self.y_row + n), tail) for n, tail in columns] for row in range(rows)]
            sums = [[code.variable(code.load(place, tail)) for place, tail in row_sums] for row_sums in targets]
            x_first = code.offset(args.x, code.times(tile, rows))
            with code.loop(0, args.extra) as turn:
                x = code.variable(code.offset(x_first, code.times(turn, args.tap_stride)))
                other = code.variable(code.offset(args.weight, code.times(turn, args.tap_step)))
                with code.loop(0, args.places):
                    vectors = [code.load(code.offset(code.get(other), n), tail) for n, tail in columns]
                    for offset, row_sums in zip(self.row_offsets, sums, strict=True):
                        number = code.broadcast(code.offset(code.get(x), offset))
                        for total, vector in zip(row_sums, vectors, strict=True):
                            code.add_product(total, number, vector)
                    code.set(x, code.offset(code.get(x), self.x_stride))
                    code.set(other, code.offset(code.get(other), self.other_stride))
            for row_sums, places in zip(sums, targets, strict=True):
                for total, (place, tail) in zip(row_sums, places, strict=True):
                    code.store(code.get(total), place, tail)


BLOCK_BYTES = 1 << 18
"""Bytes of x and dy in a block of places: they stay in a core's cache while all tiles read them."""

MIN_BLOCK_PLACES = 128
"""Places of a block, at least: for each block a tile's sums are read and written once."""

SHORT_ROW_ELEMENTS = 16
"""Inner elements below which an entry's places are neighbours on the sliding axis, and from which in a row."""


class WeightMethod(Method):
    """The weight gradient of a layer that is not depthwise.

    With few output channels the operands are swapped: then the sums have the shape (tap, group, output, input channel).
    """

    def __init__(self, direction: str, problem: ConvProblem, processor: Processor) -> None:
        super().__init__(direction, problem, processor)
        geometry, [self.phase] = self.geometry, self.geometry.phases
        self.swaps_operands = self.written_channels <= self.lanes // 2 < self.read_channels
        self.row_count, column_count = self.read_channels, self.written_channels
        if self.swaps_operands:
            self.row_count, column_count = column_count, self.row_count
        self.channel_blocks = split_channels(column_count, self.lanes, self._choose_vectors(processor))
        self.rows = TILE_PLACES[processor.vector_registers][self.channel_blocks[0].vectors]
        self.counts_along_signal = geometry.inner < SHORT_ROW_ELEMENTS
        self.tap_stride = self.phase.tap_step * geometry.inner * self.x_channels
        along_signal = self.phase.input_step * geometry.inner * self.x_channels, geometry.inner * self.y_channels
        along_row = self.x_channels, self.y_channels
        self.place_strides, self.turn_strides = along_row, along_signal
        if self.counts_along_signal:
            self.place_strides, self.turn_strides = along_signal, along_row
        place_bytes = ITEM_BYTES[problem.dtype] * sum(along_signal)
        self.block_places = max(BLOCK_BYTES // place_bytes, MIN_BLOCK_PLACES if self.counts_along_signal else 1)
        self.lines_at_once = 1  # with short signals, the turns of an entry are the lines of a block
        if geometry.inner == 1:
            most = min(max(self.block_places // max(self.phase.places, 1), 1), max(geometry.lines, 1))
            self.lines_at_once = max(n for n in range(1, most + 1) if geometry.lines % n == 0)
            self.turn_strides = geometry.length * self.x_channels, self.phase.places * self.y_channels
        if self.swaps_operands:
            self.place_strides = self.place_strides[1], self.place_strides[0]
            self.turn_strides = self.turn_strides[1], self.turn_strides[0]
        self.sum_count = self.kernel * self.read_channels * self.y_channels

    def _choose_vectors(self, processor: Processor) -> int:
        """Vectors of a tile: as many as fill the registers together with the rows."""
        shapes = TILE_PLACES[processor.vector_registers]
        if self.row_count >= shapes[max(shapes)] or self.swaps_operands:
            return max(shapes)

        def count_sums(vectors: int) -> int:
            return vectors * (shapes[vectors] // self.row_count * self.row_count)

        return max(shapes, key=lambda vectors: (count_sums(vectors), vectors))

    def build_schedule(self, threads: int) -> Schedule:
        """All tiles: for a block of places all of a thread's, then the next block."""
        made = Schedule()
        starts = np.arange(0, self.phase.places, self.block_places)
        stops = np.minimum(starts + self.block_places, self.phase.places)
        tap_ranges = self._split_taps()
        shape = self.groups, len(self.channel_blocks), len(tap_ranges), 1
        work = np.arange(prod(shape)).reshape(shape)
        turn = (work * threads // max(work.size, 1) * len(starts) + np.arange(len(starts))) * work.size + work
        taps = np.array([taps for _, taps in tap_ranges])
        for count in set(taps.tolist()):
            members = np.flatnonzero(taps == count)
            tap = np.array([tap_ranges[number][0] for number in members.tolist()])
            for part in split_by_seen_taps(self.phase, self.geometry.length, tap, count, starts, stops):
                self._add_entries(made, turn[:, :, members.repeat(len(part[0]) // len(members))], *part)
        made.sort_by_turn()
        self._cuts = made.split_by_turn(len(starts) * work.size, threads)
        return made

    def _split_taps(self) -> list[tuple[int, int]]:
        """(first tap, count of taps) of tiles: one tap, or several whose channels fill the rows of a tile."""
        taps = 1 if self.swaps_operands else max(min(self.rows // self.row_count, self.kernel), 1)
        count = -(-self.kernel // taps)
        cuts = [self.kernel * n // count for n in range(count + 1)]
        return [(low, high - low) for low, high in pairwise(cuts)]

    def _add_entries(
        self, made: Schedule, turn: Integers, tap: Integers, taps: int, low: Integers, high: Integers
    ) -> None:
        """Add tiles of all groups, blocks of channels, first taps and blocks of places: the axes of ``turn``."""
        nonempty = low < high
        if not nonempty.any():
            return
        group = np.arange(self.groups)[:, None, None]
        first = np.array([block.first_channel for block in self.channel_blocks])[:, None]
        tap, place, places = (np.broadcast_to(field, low.shape)[nonempty] for field in (tap, low, high - low))
        element = self.phase.first_input + place * self.phase.input_step + tap * self.phase.tap_step
        x = element * self.geometry.inner * self.x_channels + group * self.read_channels
        dy = place * self.geometry.inner * self.y_channels + group * self.written_channels
        across = self.geometry.inner if self.geometry.inner > 1 else self.lines_at_once
        count, turns = (places, across) if self.counts_along_signal else (across, places)
        if self.swaps_operands:
            x, dy = dy, x
            y, y_row = (tap * self.groups + group) * self.written_channels * self.read_channels, self.read_channels
        else:
            y, y_row = tap * self.read_channels * self.y_channels + group * self.written_channels, self.y_channels
        for row, row_offsets, tile_count in self._split_rows(taps):
            tiles = [
                WeightTile(row_offsets, each.vectors, each.tail, *self.place_strides, y_row)
                for each in self.channel_blocks
            ]
            made.add(
                tile=np.array([made.add_tile(tile) for tile in tiles])[:, None],
                x=x + row,
                weight=dy + first,
                y=y + row * y_row + first,
                taps=tile_count,
                places=count,
                extra=turns,
                turn=turn[:, :, nonempty],
            )

    def _split_rows(self, taps: int) -> list[tuple[int, tuple[int, ...], int]]:
        """(first row, row offsets of a tile, count of tiles) for ``taps`` taps: full tiles, then the rest."""
        if taps > 1:
            return [(0, tuple(t * self.tap_stride + c for t in range(taps) for c in range(self.read_channels)), 1)]
        rows = min(self.rows, self.row_count)
        whole, rest = divmod(self.row_count, rows)
        return [(0, tuple(range(rows)), whole), *([(whole * rows, tuple(range(rest)), 1)] if rest else [])]

    def split_among_threads(self, schedule: Schedule, threads: int) -> list[ThreadShare]:
        """Tiles of its own for each thread, over all lines."""
        del schedule, threads
        return [ThreadShare(0, self.geometry.lines // self.lines_at_once, *cut) for cut in pairwise(self._cuts)]

    def compute_strides(self) -> ArrayStrides:
        """Those of the arrays; ``tap_stride`` and ``tap_step`` are from one turn to the next."""
        found = super().compute_strides()
        x_line, other_line = found.x_line * self.lines_at_once, found.weight_line * self.lines_at_once
        return replace(
            found, x_line=x_line, weight_line=other_line, tap_stride=self.turn_strides[0], tap_step=self.turn_strides[1]
        )

    def finish_gradient(self, sums: Floats) -> Floats:
        """The gradient (tap, input channel of a group, output channel)."""
        if not self.swaps_operands:
            return super().finish_gradient(sums)
        by_group = sums.reshape(self.kernel, self.groups, self.written_channels, self.read_channels)
        return np.ascontiguousarray(by_group.transpose(0, 3, 1, 2)).reshape(
            self.kernel, self.read_channels, self.y_channels
        )

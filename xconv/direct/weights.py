"""Weight gradients of dense layers: products of what a tap sees with the gradient, summed over all places.

A tile is some rows of the kernel (input channels, or taps of a few) by some output channels; it stays in registers
while a block of places goes by.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from xconv.core.problem import ConvProblem
from xconv.direct.code import Code
from xconv.direct.dense import ROWS
from xconv.direct.machine import ITEM, Machine
from xconv.direct.method import Method
from xconv.direct.program import Arguments, Floats, Integers, Part, Schedule, Sizes
from xconv.direct.sweeps import whole_and_partly
from xconv.direct.tiled import columns


@dataclass(frozen=True)
class WeightTile:
    """``rows`` of numbers, each so many elements from the place, by ``vectors`` of the other array.

    ``place`` and ``other_place`` are elements from one place to the next in the two arrays that are read, ``y_row``
    elements from one row of the result to the next. It is added to what is there. An entry's taps are how many such
    tiles there are, each a tile's rows further; its extra number is how many times its places come, each time ``tap``
    and ``spread`` elements further in the two arrays.
    """

    rows: tuple[int, ...]
    vectors: int
    tail: int
    place: int
    other_place: int
    y_row: int

    def write(self, code: Code, given: Arguments) -> None:
        """One tile after the other, over all places of the run."""
        columns = [(n * code.lanes, self.tail if n == self.vectors - 1 else 0) for n in range(self.vectors)]
        many = len(self.rows)
        with code.loop(0, given.taps) as tile:
            y = code.at(given.y, code.times(tile, many * self.y_row))
            at = [[(code.at(y, row * self.y_row + n), tail) for n, tail in columns] for row in range(many)]
            sums = [[code.variable(code.load(place, tail)) for place, tail in of_row] for of_row in at]
            x_first = code.at(given.x, code.times(tile, many))
            with code.loop(0, given.extra) as turn:
                x = code.variable(code.at(x_first, code.times(turn, given.tap)))
                other = code.variable(code.at(given.weight, code.times(turn, given.spread)))
                with code.loop(0, given.places):
                    vectors = [code.load(code.at(code.get(other), n), tail) for n, tail in columns]
                    for offset, of_row in zip(self.rows, sums, strict=True):
                        number = code.spread(code.at(code.get(x), offset))
                        for total, vector in zip(of_row, vectors, strict=True):
                            code.add_product(total, number, vector)
                    code.set(x, code.at(code.get(x), self.place))
                    code.set(other, code.at(code.get(other), self.other_place))
            for of_row, places in zip(sums, at, strict=True):
                for total, (place, tail) in zip(of_row, places, strict=True):
                    code.store(code.get(total), place, tail)


BLOCK = 1 << 18
"""Bytes of both arrays, which stay in a core's cache while all tiles read them."""

LEAST = 128
"""Places of a block, at the least: a tile's sums are read and written once for each."""

ALONG = 16
"""Inner elements below which places are counted along the sliding axis."""


class Weights(Method):
    """A weight gradient of a layer with many channels on one side at least.

    With few output channels the operands change places: the sums are (tap, group, output, input channel) then.
    """

    def __init__(self, direction: str, problem: ConvProblem, machine: Machine) -> None:
        super().__init__(direction, problem, machine)
        walk, [self.sweep] = self.walk, self.walk.sweeps
        self.swapped = self.writes <= self.lanes // 2 < self.reads
        self.many, other = (self.writes, self.reads) if self.swapped else (self.reads, self.writes)
        self.columns = columns(other, self.lanes, self._vectors(machine))
        self.rows = ROWS[machine.registers][self.columns[0].vectors]
        self.along = walk.inner < ALONG
        self.tap = self.sweep.spread * walk.inner * self.x_all
        ahead = self.sweep.step * walk.inner * self.x_all, walk.inner * self.y_all  # on the sliding axis
        beside = self.x_all, self.y_all
        self.places: tuple[int, int] = ahead if self.along else beside
        self.turns: tuple[int, int] = beside if self.along else ahead
        bytes_of_place = ITEM[problem.dtype] * sum(ahead)
        self.block = max(BLOCK // bytes_of_place, LEAST if self.along else 1)
        self.together = 1  # short signals have their turns
        if walk.inner == 1:
            most = min(max(self.block // max(self.sweep.places, 1), 1), max(walk.lines, 1))
            self.together = max(n for n in range(1, most + 1) if walk.lines % n == 0)
            self.turns = walk.length * self.x_all, self.sweep.places * self.y_all
        if self.swapped:
            self.places, self.turns = (self.places[1], self.places[0]), (self.turns[1], self.turns[0])
        self.sums = self.kernel * self.reads * self.y_all

    def _vectors(self, machine: Machine) -> int:
        """As many as fill the registers with the rows that there are."""
        shapes = ROWS[machine.registers]
        if self.many >= shapes[max(shapes)] or self.swapped:
            return max(shapes)
        return max(shapes, key=lambda vectors: (vectors * (shapes[vectors] // self.many * self.many), vectors))

    def schedule(self, threads: int) -> Schedule:
        """The tiles: for a block of places all of them, then the next block; each thread has tiles of its own."""
        made = Schedule()
        starts = np.arange(0, self.sweep.places, self.block)
        stops = np.minimum(starts + self.block, self.sweep.places)
        chunks = self._chunks()
        work = np.arange(self.groups * len(self.columns) * len(chunks)).reshape(self.groups, len(self.columns), -1, 1)
        turn = (work * threads // max(work.size, 1) * len(starts) + np.arange(len(starts))) * work.size + work
        taps = np.array([taps for _, taps in chunks])
        for many in set(taps.tolist()):
            mine = np.flatnonzero(taps == many)
            tap = np.array([chunks[number][0] for number in mine.tolist()])
            for part in whole_and_partly(self.sweep, self.walk.length, tap, many, starts, stops):
                self._add(made, turn[:, :, mine.repeat(len(part[0]) // len(mine))], *part)
        made.in_turn()
        self._cuts = made.cuts(len(starts) * work.size, threads)
        return made

    def _chunks(self) -> list[tuple[int, int]]:
        """(first tap, taps) of tiles: one tap, or some whose channels fill the rows of a tile together."""
        taps = 1 if self.swapped else max(min(self.rows // self.many, self.kernel), 1)
        many = -(-self.kernel // taps)
        cuts = [self.kernel * n // many for n in range(many + 1)]
        return [(low, high - low) for low, high in pairwise(cuts)]

    def _add(self, made: Schedule, turn: Integers, tap: Integers, taps: int, low: Integers, high: Integers) -> None:
        """Tiles of every group and block of columns; ``turn`` has an axis for each, for the taps and the places."""
        some = low < high
        if not some.any():
            return
        group = np.arange(self.groups)[:, None, None]
        first = np.array([column.first for column in self.columns])[:, None]
        tap, place, places = (np.broadcast_to(field, low.shape)[some] for field in (tap, low, high - low))
        element = self.sweep.first + place * self.sweep.step + tap * self.sweep.spread
        x = element * self.walk.inner * self.x_all + group * self.reads
        dy = place * self.walk.inner * self.y_all + group * self.writes
        beside = self.walk.inner if self.walk.inner > 1 else self.together
        count, turns = (places, beside) if self.along else (beside, places)
        if self.swapped:
            x, dy = dy, x
            y, y_row = (tap * self.groups + group) * self.writes * self.reads, self.reads
        else:
            y, y_row = tap * self.reads * self.y_all + group * self.writes, self.y_all
        for row, rows, times in self._rows(taps):
            tiles = [WeightTile(rows, each.vectors, each.tail, *self.places, y_row) for each in self.columns]
            made.add(
                tile=np.array([made.number(tile) for tile in tiles])[:, None],
                x=x + row,
                weight=dy + first,
                y=y + row * y_row + first,
                taps=times,
                places=count,
                extra=turns,
                turn=turn[:, :, some],
            )

    def _rows(self, taps: int) -> list[tuple[int, tuple[int, ...], int]]:
        """(first row, where a tile's rows read, tiles) of some taps: as many whole tiles as there are, and the rest."""
        if taps > 1:
            return [(0, tuple(t * self.tap + c for t in range(taps) for c in range(self.reads)), 1)]
        rows = min(self.rows, self.many)
        whole, rest = divmod(self.many, rows)
        return [(0, tuple(range(rows)), whole), *([(whole * rows, tuple(range(rest)), 1)] if rest else [])]

    def parts(self, schedule: Schedule, threads: int) -> list[Part]:
        """The tiles of each thread, over all lines."""
        del schedule, threads
        return [Part(0, self.walk.lines // self.together, *cut) for cut in pairwise(self._cuts)]

    def sizes(self) -> Sizes:
        """The steps of the arrays: from one turn to the next too."""
        found = super().sizes()
        x_line, other_line = found.x_line * self.together, found.weight_line * self.together
        return replace(found, x_line=x_line, weight_line=other_line, tap=self.turns[0], spread=self.turns[1])

    def result(self, sums: Floats) -> Floats:
        """The gradient as (tap, input channel, output channel)."""
        if not self.swapped:
            return super().result(sums)
        by_group = sums.reshape(self.kernel, self.groups, self.writes, self.reads)
        return np.ascontiguousarray(by_group.transpose(0, 3, 1, 2)).reshape(self.kernel, self.reads, self.y_all)

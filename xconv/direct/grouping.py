"""Which places a tile takes together: neighbours of a signal or a row, or the same place of each line.

All give the same sums. They differ in what they compute in vain: a run of places that is no multiple of a tile's rows
is computed twice in part, and neighbours at a border see padding where the same place of all lines sees none.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from xconv.direct.phases import DirectionGeometry, Integers, expand_rows

ALIASING_BYTES, CACHE_WAYS = 4096, 8
"""Bytes apart at which lines of memory take each other's place in a first-level cache, and how many there find one."""

LONG_RUN_TILES = 8
"""Tiles from which it does not matter what the last one computes again."""

ACROSS_LINES_FACTOR = 1.05
"""How much slower it is to go from line to line."""

SUMS_IN_FLIGHT = 8
"""Sums that must be on their way for none to be waited for."""


class TileRuns(NamedTuple):
    """Runs of places: where each begins to read and to write, in elements of the lines, and the taps that it sees.

    ``phase`` is the number of its sweep, ``x_step`` the element on the sliding axis that its first place reads, and
    ``at_border`` says whether some see padding. Integers and arrays, which are broadcast together.
    """

    phase: Integers
    x: Integers
    y: Integers
    places: Integers | int
    first_tap: Integers | int
    taps: Integers | int
    first_input: Integers
    at_border: Integers | int


class TileRegisters(NamedTuple):
    """The registers: vectors of sums for each place, and rows that a tile may have; and bytes of an element that is
    read."""

    vectors_per_place: int
    allowed_rows: Sequence[int]
    element_bytes: int


class PlaceGrouping(ABC):
    """A way through the places, ``rows`` at a time; ``x_step`` and ``y_step`` are elements from one to the next."""

    by_line = True
    """Whether each line is gone through alone."""

    def __init__(
        self, geometry: DirectionGeometry, places: int, x_step: int, y_step: int, registers: TileRegisters
    ) -> None:
        self.geometry, self.x_step, self.y_step, self.vectors = geometry, x_step, y_step, registers.vectors_per_place
        most = CACHE_WAYS if x_step * registers.element_bytes % ALIASING_BYTES == 0 else registers.allowed_rows[-1]
        self.rows = choose_rows(places, [rows for rows in registers.allowed_rows if rows <= most])

    @abstractmethod
    def find_runs(self, block: int) -> TileRuns:
        """The runs of places of all sweeps, of at most about ``block``."""

    @abstractmethod
    def count_products(self) -> int:
        """Products of a place and a tap that are computed, those in vain included."""

    def cost(self) -> float:
        """Products, and what a tile of few rows waits: for weights to be read, for sums to be ready."""
        sums = self.rows * self.vectors
        return self.count_products() * max(sums + self.vectors / 2, SUMS_IN_FLIGHT) / sums

    def round_up(self, places: int) -> int:
        """Places that are computed for so many."""
        return -(-places // self.rows) * self.rows


class AlongSignal(PlaceGrouping):
    """Neighbours on the sliding axis. At the borders a tile looks whether a place sees padding."""

    def __init__(self, geometry: DirectionGeometry, registers: TileRegisters) -> None:
        places = min(phase.places for phase in geometry.phases)
        super().__init__(
            geometry, places, geometry.input_step * geometry.inner, geometry.output_step * geometry.inner, registers
        )

    def count_products(self) -> int:
        """Whole tiles, padding included."""
        geometry = self.geometry
        return int(
            geometry.lines * geometry.inner * sum(self.round_up(s.places) * len(s.taps) for s in geometry.phases)
        )

    def find_runs(self, block: int) -> TileRuns:
        """The borders, and what is between them."""
        geometry, inner, block, rows = self.geometry, self.geometry.inner, self.round_up(block), []
        for number, phase in enumerate(geometry.phases):
            places, (start, stop) = phase.places, phase.interior(geometry.length)
            start, stop = self.round_up(start), places - self.round_up(places - stop)  # the borders are whole tiles
            if stop - start < self.rows:
                start = stop = places
            for low, high, at_border in ((0, start, 1), (start, stop, 0), (stop, places, 1)):
                blocks = -(-(high - low) // block)
                rows.append(
                    (blocks, number, phase.first_input, phase.first_output, len(phase.taps), low, high, at_border)
                )
        index, number, first_input, first_output, taps, low, high, at_border = expand_rows(rows)
        place = low + index * block
        end = np.minimum(place + block, high)
        place = np.minimum(place, end - self.rows)
        read = first_input + place * geometry.input_step
        x, y = read * inner, (first_output + place * geometry.output_step) * inner
        if inner > 1:
            element = np.arange(inner)[:, None]
            x, y = x + element, y + element
        return TileRuns(number, x, y, end - place, 0, taps, read, at_border)


class AlongRow(PlaceGrouping):
    """Neighbours in a row of a map that slides along its columns: all see the same taps."""

    def __init__(self, geometry: DirectionGeometry, registers: TileRegisters) -> None:
        super().__init__(geometry, geometry.inner, 1, 1, registers)

    def count_products(self) -> int:
        """Of the taps that are seen, whole tiles."""
        geometry = self.geometry
        return int(geometry.lines * geometry.count_products() * self.round_up(geometry.inner))

    def find_runs(self, block: int) -> TileRuns:
        """One row after the other."""
        del block
        inner, runs = self.geometry.inner, self.geometry.find_runs(each_place=True)
        return TileRuns(
            runs.phase,
            runs.first_input * inner,
            runs.first_output * inner,
            inner,
            runs.first_tap,
            runs.taps,
            runs.first_input,
            0,
        )


class AcrossLines(PlaceGrouping):
    """The same place of several lines: all see the same taps, and none sees padding."""

    by_line = False

    def __init__(self, geometry: DirectionGeometry, registers: TileRegisters) -> None:
        super().__init__(
            geometry, geometry.lines, geometry.length, geometry.places // max(geometry.lines, 1), registers
        )

    def count_products(self) -> int:
        """Of the taps that are seen, whole tiles."""
        geometry = self.geometry
        return geometry.count_products() * self.round_up(geometry.lines)

    def cost(self) -> float:
        """A little more: neighbours share lines of memory."""
        return ACROSS_LINES_FACTOR * super().cost()

    def find_runs(self, block: int) -> TileRuns:
        """A block of lines, place by place, then the next block."""
        geometry, runs = self.geometry, self.geometry.find_runs(each_place=True)
        block = self.round_up(max(block // max(self.y_step, 1), 1))
        line = np.minimum(np.arange(0, geometry.lines, block), geometry.lines - self.rows)[:, None]
        x, y = line * geometry.length + runs.first_input, line * self.y_step + runs.first_output
        return TileRuns(
            runs.phase, x, y, np.minimum(block, geometry.lines - line), runs.first_tap, runs.taps, runs.first_input, 0
        )


def choose_grouping(geometry: DirectionGeometry, registers: TileRegisters) -> PlaceGrouping:
    """The way that computes least in vain."""
    groupings = AlongSignal(geometry, registers), (AlongRow if geometry.inner > 1 else AcrossLines)(geometry, registers)
    return min(groupings, key=lambda grouping: grouping.cost())


def choose_rows(places: int, rows: Sequence[int]) -> int:
    """Rows of a tile: many of those that it may have, and such that the last tile computes little again.

    >>> [choose_rows(places, range(1, 7)) for places in (17, 8, 3, 1000)], choose_rows(3, (1, 2, 4))
    ([6, 4, 3, 6], 2)
    """
    most = rows[-1]
    if places >= LONG_RUN_TILES * most:  # the same for all lengths, so that one more needs no code of its own
        return most
    if places <= most:
        return max((each for each in rows if each <= places), default=1)
    large = [each for each in reversed(rows) if each > most // 2]
    return min(large, key=lambda each: -(-places // each) * each * (1 + 0.02 * (most - each)))

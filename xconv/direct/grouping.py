"""Which places a tile computes together: neighbours in a signal or in a row, or the same place of several lines.

All groupings give the same sums. They differ in wasted products: if the places are no multiple of a tile's rows, the
last tile computes some of them again; and neighbours at a border multiply padding, the same place of all lines does
not.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from xconv.direct.phases import DirectionGeometry, Integers, expand_rows

ALIASING_BYTES, CACHE_WAYS = 4096, 8
"""Addresses that differ by a multiple of the first share a set of the first-level cache, which holds the second."""

LONG_RUN_TILES = 8
"""Tiles of a run from which the last one's wasted products do not matter."""

ACROSS_LINES_FACTOR = 1.05
"""Times as slow as places of one line: those of several lines share no cache lines."""

SUMS_IN_FLIGHT = 8
"""Independent sums that hide the latency of a multiply-add."""


class TileRuns(NamedTuple):
    """Runs of places, each for a tile or several; arrays and integers that are broadcast together.

    Attributes:
        phase: index of the stride phase.
        x, y: where the first place reads its first tap and where it writes, as indices of all elements of all lines.
        places: the count of places.
        first_tap, taps: the first tap, as an index of the phase's taps, and the count of taps.
        first_input: the element of the sliding axis that the first place reads for its first tap.
        at_border: 1 if some places see padding, else 0.
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
    """How the registers may be used: vectors of sums for a place, and how many places (rows) a tile may have, in rising
    order; and the bytes of all channels of an element that is read."""

    vectors_per_place: int
    allowed_rows: Sequence[int]
    element_bytes: int


class PlaceGrouping(ABC):
    """Which places a tile computes together, ``rows`` of them.

    Attributes:
        x_step, y_step: elements from one place of a tile to the next where it reads and where it writes, each with all
            its channels.
    """

    by_line = True
    """Whether the places of a tile are of one line."""

    def __init__(
        self, geometry: DirectionGeometry, places: int, x_step: int, y_step: int, registers: TileRegisters
    ) -> None:
        self.geometry, self.x_step, self.y_step, self.vectors = geometry, x_step, y_step, registers.vectors_per_place
        most = CACHE_WAYS if x_step * registers.element_bytes % ALIASING_BYTES == 0 else registers.allowed_rows[-1]
        self.rows = choose_rows(places, [rows for rows in registers.allowed_rows if rows <= most])

    @abstractmethod
    def find_runs(self, block: int) -> TileRuns:
        """The runs of places of all phases, of about ``block`` places at most."""

    @abstractmethod
    def count_products(self) -> int:
        """Products of a place and a tap that are computed, wasted ones included."""

    def estimate_cost(self) -> float:
        """Products, more for a tile of few rows: it loads weights more often, and waits for its sums."""
        return estimate_cost(self.count_products(), self.rows, self.vectors)

    def round_up(self, places: int) -> int:
        """Places that whole tiles compute for ``places``."""
        return -(-places // self.rows) * self.rows


class AlongSignal(PlaceGrouping):
    """Neighbours on the sliding axis. At a border a tile asks for each place and tap whether it is padding."""

    def __init__(self, geometry: DirectionGeometry, registers: TileRegisters) -> None:
        places = min(phase.places for phase in geometry.phases)
        x_step, y_step = geometry.input_step * geometry.inner, geometry.output_step * geometry.inner
        super().__init__(geometry, places, x_step, y_step, registers)

    def count_products(self) -> int:
        """Whole tiles of all taps, padding included."""
        of_line = sum(self.round_up(phase.places) * len(phase.taps) for phase in self.geometry.phases)
        return int(self.geometry.lines * self.geometry.inner * of_line)

    def find_runs(self, block: int) -> TileRuns:
        """The borders, and what is between them."""
        geometry, inner, block, rows = self.geometry, self.geometry.inner, self.round_up(block), []
        for number, phase in enumerate(geometry.phases):
            places, (start, stop) = phase.places, phase.find_interior(geometry.length)
            start, stop = self.round_up(start), places - self.round_up(places - stop)  # the borders are whole tiles
            if stop - start < self.rows:
                start = stop = places
            for low, high, at_border in ((0, start, 1), (start, stop, 0), (stop, places, 1)):
                blocks = -(-(high - low) // block)
                of_phase = number, phase.first_input, phase.first_output, len(phase.taps)
                rows.append((blocks, *of_phase, low, high, at_border))
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
    """Neighbours in a row of a map whose columns are convolved: all see the same taps."""

    def __init__(self, geometry: DirectionGeometry, registers: TileRegisters) -> None:
        super().__init__(geometry, geometry.inner, 1, 1, registers)

    def count_products(self) -> int:
        """Whole tiles of the taps that read elements, not padding."""
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
    """The same place of several lines: all see the same taps, without padding."""

    by_line = False

    def __init__(self, geometry: DirectionGeometry, registers: TileRegisters) -> None:
        super().__init__(
            geometry, geometry.lines, geometry.length, geometry.places // max(geometry.lines, 1), registers
        )

    def count_products(self) -> int:
        """Whole tiles of the taps that read elements, not padding."""
        geometry = self.geometry
        return geometry.count_products() * self.round_up(geometry.lines)

    def estimate_cost(self) -> float:
        """A little more, because neighbours share cache lines."""
        return ACROSS_LINES_FACTOR * super().estimate_cost()

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
    """The grouping with the least estimated cost."""
    along = AlongSignal(geometry, registers)
    if geometry.lines == geometry.inner == 1:  # the other's tiles have one row: mostly there is no need to count
        interiors = [(phase.find_interior(geometry.length), len(phase.taps)) for phase in geometry.phases]
        products = sum((stop - start) * taps for (start, stop), taps in interiors)
        if along.estimate_cost() <= ACROSS_LINES_FACTOR * estimate_cost(products, 1, along.vectors):
            return along
    other = (AlongRow if geometry.inner > 1 else AcrossLines)(geometry, registers)
    return min((along, other), key=lambda grouping: grouping.estimate_cost())


def estimate_cost(products: float, rows: int, vectors: int) -> float:
    """The cost of products in tiles of ``rows`` places by ``vectors`` of output channels, in products."""
    sums = rows * vectors
    return products * max(sums + vectors / 2, SUMS_IN_FLIGHT) / sums


def choose_rows(places: int, rows: Sequence[int]) -> int:
    """Rows of a tile, from those that are allowed: many, but so that the last tile computes few places again.

    >>> [choose_rows(places, range(1, 7)) for places in (17, 8, 3, 1000)], choose_rows(3, (1, 2, 4))
    ([6, 4, 3, 6], 2)
    """
    most = rows[-1]
    if places >= LONG_RUN_TILES * most:  # the same tile for all long signals, which so share its code
        return most
    if places <= most:
        return max((each for each in rows if each <= places), default=1)
    large = [each for each in reversed(rows) if each > most // 2]
    return min(large, key=lambda each: -(-places // each) * each * (1 + 0.02 * (most - each)))

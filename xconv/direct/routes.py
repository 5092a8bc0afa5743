"""Which places a tile takes together: neighbours of a signal or a row, or the same place of each line.

All give the same sums. They differ in what they compute in vain: a run of places that is no multiple of a tile's rows
is computed twice in part, and neighbours at a border see padding where the same place of all lines sees none.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from xconv.direct.sweeps import Integers, Walk, expanded

ALIASING, WAYS = 4096, 8
"""Bytes apart at which lines of memory take each other's place in a first-level cache, and how many there find one."""

LONG = 8
"""Tiles from which it does not matter what the last one computes again."""

FURTHER = 1.05
"""How much slower it is to go from line to line."""

LATENCY = 8
"""Sums that must be on their way for none to be waited for."""


class Pieces(NamedTuple):
    """Runs of places: where each begins to read and to write, in elements of the lines, and the taps that it sees.

    ``sweep`` is the number of its sweep, ``place`` the element on the sliding axis that its first place reads, and
    ``border`` says whether some see padding. Integers and arrays, which are broadcast together.
    """

    sweep: Integers
    x: Integers
    y: Integers
    places: Integers | int
    tap: Integers | int
    taps: Integers | int
    place: Integers
    border: Integers | int


class Room(NamedTuple):
    """The registers: vectors of sums for each place, and rows that a tile may have; and bytes of an element that is
    read."""

    vectors: int
    rows: Sequence[int]
    element: int


class Route(ABC):
    """A way through the places, ``rows`` at a time; ``place`` and ``y_place`` are elements from one to the next."""

    by_line = True
    """Whether each line is gone through alone."""

    def __init__(self, walk: Walk, places: int, place: int, y_place: int, room: Room) -> None:
        self.walk, self.place, self.y_place, self.vectors = walk, place, y_place, room.vectors
        most = WAYS if place * room.element % ALIASING == 0 else room.rows[-1]
        self.rows = fitting(places, [rows for rows in room.rows if rows <= most])

    @abstractmethod
    def pieces(self, block: int) -> Pieces:
        """The runs of places of all sweeps, of at most about ``block``."""

    @abstractmethod
    def products(self) -> int:
        """Products of a place and a tap that are computed, those in vain included."""

    def cost(self) -> float:
        """Products, and what a tile of few rows waits: for weights to be read, for sums to be ready."""
        sums = self.rows * self.vectors
        return self.products() * max(sums + self.vectors / 2, LATENCY) / sums

    def whole(self, places: int) -> int:
        """Places that are computed for so many."""
        return -(-places // self.rows) * self.rows


class Along(Route):
    """Neighbours on the sliding axis. At the borders a tile looks whether a place sees padding."""

    def __init__(self, walk: Walk, room: Room) -> None:
        places = min(sweep.places for sweep in walk.sweeps)
        super().__init__(walk, places, walk.step * walk.inner, walk.apart * walk.inner, room)

    def products(self) -> int:
        """Whole tiles, padding included."""
        walk = self.walk
        return int(walk.lines * walk.inner * sum(self.whole(s.places) * len(s.taps) for s in walk.sweeps))

    def pieces(self, block: int) -> Pieces:
        """The borders, and what is between them."""
        walk, inner, block, rows = self.walk, self.walk.inner, self.whole(block), []
        for number, sweep in enumerate(walk.sweeps):
            places, (start, stop) = sweep.places, sweep.inner(walk.length)
            start, stop = self.whole(start), places - self.whole(places - stop)  # the borders are whole tiles
            if stop - start < self.rows:
                start = stop = places
            for low, high, border in ((0, start, 1), (start, stop, 0), (stop, places, 1)):
                blocks = -(-(high - low) // block)
                rows.append((blocks, number, sweep.first, sweep.at, len(sweep.taps), low, high, border))
        index, number, first, at, many, low, high, border = expanded(rows)
        place = low + index * block
        end = np.minimum(place + block, high)
        place = np.minimum(place, end - self.rows)
        read = first + place * walk.step
        x, y = read * inner, (at + place * walk.apart) * inner
        if inner > 1:
            element = np.arange(inner)[:, None]
            x, y = x + element, y + element
        return Pieces(number, x, y, end - place, 0, many, read, border)


class Inner(Route):
    """Neighbours in a row of a map that slides along its columns: all see the same taps."""

    def __init__(self, walk: Walk, room: Room) -> None:
        super().__init__(walk, walk.inner, 1, 1, room)

    def products(self) -> int:
        """Of the taps that are seen, whole tiles."""
        walk = self.walk
        return int(walk.lines * walk.products() * self.whole(walk.inner))

    def pieces(self, block: int) -> Pieces:
        """One row after the other."""
        del block
        inner, runs = self.walk.inner, self.walk.runs(alone=True)
        return Pieces(runs.sweep, runs.read * inner, runs.write * inner, inner, runs.tap, runs.taps, runs.read, 0)


class Lines(Route):
    """The same place of several lines: all see the same taps, and none sees padding."""

    by_line = False

    def __init__(self, walk: Walk, room: Room) -> None:
        super().__init__(walk, walk.lines, walk.length, walk.places // max(walk.lines, 1), room)

    def products(self) -> int:
        """Of the taps that are seen, whole tiles."""
        walk = self.walk
        return walk.products() * self.whole(walk.lines)

    def cost(self) -> float:
        """A little more: neighbours share lines of memory."""
        return FURTHER * super().cost()

    def pieces(self, block: int) -> Pieces:
        """A block of lines, place by place, then the next block."""
        walk, runs = self.walk, self.walk.runs(alone=True)
        block = self.whole(max(block // max(self.y_place, 1), 1))
        line = np.minimum(np.arange(0, walk.lines, block), walk.lines - self.rows)[:, None]
        x, y = line * walk.length + runs.read, line * self.y_place + runs.write
        return Pieces(runs.sweep, x, y, np.minimum(block, walk.lines - line), runs.tap, runs.taps, runs.read, 0)


def route(walk: Walk, room: Room) -> Route:
    """The way that computes least in vain."""
    ways = Along(walk, room), (Inner if walk.inner > 1 else Lines)(walk, room)
    return min(ways, key=lambda way: way.cost())


def fitting(places: int, rows: Sequence[int]) -> int:
    """Rows of a tile: many of those that it may have, and such that the last tile computes little again.

    >>> [fitting(places, range(1, 7)) for places in (17, 8, 3, 1000)], fitting(3, (1, 2, 4))
    ([6, 4, 3, 6], 2)
    """
    most = rows[-1]
    if places >= LONG * most:  # the same for all lengths, so that one more needs no code of its own
        return most
    if places <= most:
        return max((each for each in rows if each <= places), default=1)
    large = [each for each in reversed(rows) if each > most // 2]
    return min(large, key=lambda each: -(-places // each) * each * (1 + 0.02 * (most - each)))

"""Which places a tile takes together: neighbours of a signal or a row, or the same place of each line.

All give the same sums. They differ in what they compute in vain: a run of places that is no multiple of a tile's rows
is computed twice in part, and neighbours at a border see padding where the same place of all lines sees none.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from xconv.direct.sweeps import Integers, Sweep, Walk

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

    ``place`` is the element on the sliding axis that its first place reads; ``border`` says whether some see padding.
    Integers and arrays, which are broadcast together.
    """

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
    def pieces(self, sweep: Sweep, block: int) -> Pieces:
        """The runs of places, of at most about ``block``."""

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
        sweep = walk.sweeps[0]
        places = min((each.places for each in walk.sweeps), default=0)
        super().__init__(walk, places, sweep.step * walk.inner, sweep.apart * walk.inner, room)

    def products(self) -> int:
        """Whole tiles, padding included."""
        walk = self.walk
        return int(walk.lines * walk.inner * sum(self.whole(s.places) * len(s.taps) for s in walk.sweeps))

    def pieces(self, sweep: Sweep, block: int) -> Pieces:
        """The borders, and what is between them."""
        many, inner, places, block = len(sweep.taps), self.walk.inner, sweep.places, self.whole(block)
        start, stop = sweep.inner(self.walk.length) if many else (0, places)
        start, stop = self.whole(start), places - self.whole(places - stop)  # the borders are whole tiles
        if stop - start < self.rows:
            start = stop = places
        parts = (0, start), (start, stop), (stop, places)
        first = np.concatenate([np.arange(low, high, block) for low, high in parts])
        end = np.minimum(first + block, np.where(first < start, start, np.where(first < stop, stop, places)))
        border = np.where((first < start) | (first >= stop), 1, 0)
        first = np.minimum(first, end - self.rows)
        read = sweep.first + first * sweep.step
        x, y = read * inner, (sweep.at + first * sweep.apart) * inner
        if inner > 1:
            element = np.arange(inner)[:, None]
            x, y = x + element, y + element
        return Pieces(x, y, end - first, 0, many, read, border)


class Inner(Route):
    """Neighbours in a row of a map that slides along its columns: all see the same taps."""

    def __init__(self, walk: Walk, room: Room) -> None:
        super().__init__(walk, walk.inner, 1, 1, room)

    def products(self) -> int:
        """Of the taps that are seen, whole tiles."""
        walk = self.walk
        return int(walk.lines * taps_seen(walk) * self.whole(walk.inner))

    def pieces(self, sweep: Sweep, block: int) -> Pieces:
        """One row after the other."""
        del block
        inner, place = self.walk.inner, np.arange(sweep.places)
        low, high = sweep.seen(self.walk.length, place)
        read = sweep.first + place * sweep.step + low * sweep.spread
        return Pieces(read * inner, (sweep.at + place * sweep.apart) * inner, inner, low, high - low, read, 0)


class Lines(Route):
    """The same place of several lines: all see the same taps, and none sees padding."""

    by_line = False

    def __init__(self, walk: Walk, room: Room) -> None:
        super().__init__(walk, walk.lines, walk.length, walk.places // max(walk.lines, 1), room)

    def products(self) -> int:
        """Of the taps that are seen, whole tiles."""
        walk = self.walk
        return taps_seen(walk) * self.whole(walk.lines)

    def cost(self) -> float:
        """A little more: neighbours share lines of memory."""
        return FURTHER * super().cost()

    def pieces(self, sweep: Sweep, block: int) -> Pieces:
        """A block of lines, place by place, then the next block."""
        walk, place = self.walk, np.arange(sweep.places)
        low, high = sweep.seen(walk.length, place)
        block = self.whole(max(block // max(sweep.places, 1), 1))
        line = np.minimum(np.arange(0, walk.lines, block), walk.lines - self.rows)[:, None]
        read = sweep.first + place * sweep.step + low * sweep.spread
        y = line * self.y_place + sweep.at + place * sweep.apart
        many = np.minimum(block, walk.lines - line)
        return Pieces(line * walk.length + read, y, many, low, high - low, read, 0)


def taps_seen(walk: Walk) -> int:
    """The taps that the places of a line see, padding left out."""
    return sum(sweep.products(walk.length) for sweep in walk.sweeps)


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

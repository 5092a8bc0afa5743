"""Each channel alone: lanes run along the channels, or along channels and places where those are neighbours in memory.

With stride 1 the places of a signal and their channels are one row of numbers, and a tap is a shift of it; its weights
come again after ``channels`` numbers. A vector need not end where a place ends then: as many places as make whole
vectors are one *period*. So one channel fills its lanes with places, and three channels lose none.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from xconv.core.problem import ConvProblem
from xconv.direct.code import Code, Value
from xconv.direct.machine import ITEM, Machine
from xconv.direct.method import Method, streams
from xconv.direct.program import Arguments, Floats, Integers, Schedule
from xconv.direct.sweeps import Walk


@dataclass(frozen=True)
class DepthwiseTile:
    """``rows`` steps by ``vectors`` of a period of ``lanes`` numbers; a last vector that is not full is masked.

    ``step`` and ``y_step`` are elements from one step to the next where it reads and writes; ``weight_row`` from one
    tap's weights to the next one's. ``together`` taps are written out where a tap is a step further: then most of what
    one of them reads is in a register already.
    """

    rows: int
    vectors: int
    lanes: int
    step: int
    y_step: int
    weight_row: int
    together: int
    streams: bool = False

    def write(self, code: Code, given: Arguments) -> None:
        """The steps, some at a time, and for each all vectors; the last steps may overlap those before."""
        whole, tail = divmod(self.lanes, code.lanes)
        blocks, width = whole // self.vectors, self.vectors * code.lanes
        rest = whole - blocks * self.vectors + (tail > 0)
        with code.loop(0, given.places, self.rows) as start:
            first = code.least(start, code.plus(given.places, -self.rows))
            x = code.at(given.x, code.times(first, self.step))
            y = code.at(given.y, code.times(first, self.y_step))
            of_block = partial(self._vectors, code, given, x, y)
            code.each(blocks, lambda block: of_block(code.times(block, width), self.vectors, 0))
            if rest:
                of_block(blocks * width, rest, tail)

    def _vectors(
        self, code: Code, given: Arguments, x_at: Value, y_at: Value, at: Value, vectors: int, tail: int
    ) -> None:
        columns = [(index * code.lanes, tail if index == vectors - 1 else 0) for index in range(vectors)]
        x, y = code.variable(code.at(x_at, at)), code.at(y_at, at)
        weight = code.variable(code.at(given.weight, at))
        sums = [[code.variable(code.zero()) for _ in columns] for _ in range(self.rows)]

        def taps(many: int) -> None:
            for ahead in range(many):
                reads, of_tap = code.get(x), code.at(code.get(weight), ahead * self.weight_row)
                weights = [code.load(code.at(of_tap, column), end) for column, end in columns]
                for row, of_row in enumerate(sums):
                    for (column, end), total, vector in zip(columns, of_row, weights, strict=True):
                        seen = code.at(reads, (row + ahead) * self.step + column)
                        code.add_product(total, code.load(seen, end), vector)
            code.set(x, code.at(code.get(x), many * self.step if self.together > 1 else given.tap))
            code.set(weight, code.at(code.get(weight), many * self.weight_row))

        whole = code.whole(given.taps, self.together)
        with code.loop(0, whole, self.together):
            taps(self.together)
        if self.together > 1:
            with code.loop(whole, given.taps):
                taps(1)
        biases = [code.bias(code.load(code.at(given.bias, at, column), end)) for column, end in columns]
        for row, of_row in enumerate(sums):
            for (column, end), total, bias in zip(columns, of_row, biases, strict=True):
                place, found = code.at(y, row * self.y_step + column), code.add(code.get(total), bias)
                if self.streams:
                    code.stream(found, place)
                else:
                    code.store(found, place, end)


SUMS = {32: 16, 16: 8}
"""Vectors of sums in a tile."""

MANY = 12
"""Taps from which a tile is tall, and keeps what was read for the next taps."""

FEW, WINDOW = 8, 1 << 14
"""Taps, and bytes that they see, up to which a step at a time is fastest: then memory is read from end to end."""

TOGETHER = 8
"""Taps that are written out together."""

BLOCK = 1 << 18
"""Bytes of the array that is read, of a run of tiles: threads share runs."""

FILLED = 8
"""Vectors of a step from which a last one that is not full costs little."""


def beside(problem: ConvProblem) -> ConvProblem:
    """Columns of a map as a signal with a channel for each channel of each column: they lie so in memory."""
    if problem.inner == 1:
        return problem
    channels = problem.in_channels * problem.inner
    return replace(problem, inner=1, in_channels=channels, out_channels=channels, groups=channels)


class Period:
    """How many numbers a step has: the channels of a place, or of as many places as fill vectors.

    ``runs_on`` says whether the next place's channels follow in both arrays, so that a vector may hold some of them.
    """

    def __init__(self, walk: Walk, channels: int, lanes: int) -> None:
        self.runs_on = walk.step == walk.apart == 1
        self.size = math.lcm(channels, lanes) if self.runs_on and channels < FILLED * lanes else channels


class Depthwise(Method):
    """A depthwise convolution, or its input gradient."""

    def __init__(self, direction: str, problem: ConvProblem, machine: Machine) -> None:
        super().__init__(direction, beside(problem), machine)
        period = Period(self.walk, self.x_all, self.lanes)
        self.runs_on, self.period, self.channels = period.runs_on, period.size, problem.in_channels
        self.packs = self.period > self.channels
        shared = self.walk.step == self.walk.spread and self.period == self.x_all
        self.rows, self.vectors = self._shape(shared)
        self.together = min(TOGETHER, self.kernel) if shared else 1
        self.streams = streams(self, self.x_all)

    def _shape(self, shared: bool) -> tuple[int, int]:
        """Steps and vectors of a tile."""
        many, sums = -(-self.period // self.lanes), SUMS[self.machine.registers]
        if shared and self.kernel >= MANY:
            return sums * 3 // 4, 1
        if many <= 4:
            return sums // many, many
        window = self.kernel * self.walk.spread * self.x_all * ITEM[self.problem.dtype]
        return (1, sums // 2) if self.kernel <= FEW and window <= WINDOW else (sums // 4, 4)

    def zeros(self) -> int:
        """A period of them."""
        return self.period

    def schedule(self, threads: int) -> Schedule:
        """The tiles: a block of neighbouring places, then the next."""
        del threads
        made, walk, runs = Schedule(), self.walk, self.walk.runs()
        ahead, y_ahead = (1, 1) if self.runs_on else (walk.step, walk.apart)
        for count in sorted(set(runs.places.tolist())):
            these = np.flatnonzero(runs.places == count)[:, None]
            for lanes, rows, at, steps in self._pieces(count, walk.step):
                vectors = self.vectors if rows > 1 else SUMS[self.machine.registers] // 2
                step, y_step, row = ahead * lanes, y_ahead * lanes, walk.back * self.period
                # a step alone keeps nothing for the next tap: unless all are so, it is a border's, and a loop will do
                together = self.together if rows > 1 or self.rows == 1 else 1
                tile = DepthwiseTile(rows, vectors, lanes, step, y_step, row, together, self.streams)
                made.add(
                    tile=made.number(tile),
                    x=runs.read[these] * self.x_all + at * ahead,
                    weight=runs.of_kernel[these] * self.period,
                    y=runs.write[these] * self.x_all + at * y_ahead,
                    taps=runs.taps[these],
                    places=steps,
                )
        return made

    def _pieces(self, places: int, step: int) -> Iterator[tuple[int, int, Integers, Integers]]:
        """(lanes of a step, rows of a tile, first numbers, steps) for places that lie in a row."""
        total = places * self.x_all
        lanes = self.period if total >= self.period else self.x_all
        steps = total // lanes
        rows = min(self.rows, steps)
        block = max(BLOCK // (step * lanes * ITEM[self.problem.dtype]) // rows, 1) * rows
        first = np.minimum(np.arange(0, steps, block), steps - rows)
        yield lanes, rows, first * lanes, np.minimum(block, steps - first)
        if total % lanes:  # the last step overlaps the one before
            yield lanes, 1, np.array([total - lanes]), np.array([1])

    def pack(self, weight: Floats) -> Floats:
        """The weights of each tap, again and again over a period."""
        return np.tile(weight.reshape(self.kernel, self.channels), self.period // self.channels)

    def pack_bias(self, bias: Floats) -> Floats:
        """The bias over a period."""
        return np.tile(bias, self.period // self.channels)

"""Weight gradients of depthwise layers: what a tap sees times the gradient, summed over all places, channel by channel.

Lanes run as in :mod:`xconv.direct.depthwise`; where a period holds several places, their sums are added at the end.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from xconv.core.problem import ConvProblem
from xconv.direct.code import Code, Value
from xconv.direct.depthwise import Period, beside
from xconv.direct.machine import ITEM, Machine
from xconv.direct.method import Method
from xconv.direct.program import Arguments, Floats, Integers, Part, Schedule
from xconv.direct.sweeps import whole_and_partly


@dataclass(frozen=True)
class DepthwiseWeightTile:
    """``taps`` by ``vectors`` of ``lanes`` numbers, summed over steps; a last vector that is not full is masked.

    ``step`` and ``other_step`` are elements from one step to the next in x and in dy, ``y_row`` from one tap's sums to
    the next one's. It is added to what is there.
    """

    taps: int
    vectors: int
    lanes: int
    step: int
    other_step: int
    y_row: int

    def write(self, code: Code, given: Arguments) -> None:
        """All vectors of a step, some at a time, and for each all steps."""
        whole, tail = divmod(self.lanes, code.lanes)
        blocks = whole // self.vectors
        width = self.vectors * code.lanes
        code.each(blocks, lambda block: self._steps(code, given, code.times(block, width), self.vectors, 0))
        rest = whole - blocks * self.vectors + (tail > 0)
        if rest:
            self._steps(code, given, blocks * width, rest, tail)

    def _steps(self, code: Code, given: Arguments, first: Value, vectors: int, tail: int) -> None:
        columns = [(n * code.lanes, tail if n == vectors - 1 else 0) for n in range(vectors)]
        at = [[(code.at(given.y, first, tap * self.y_row + n), end) for n, end in columns] for tap in range(self.taps)]
        sums = [[code.variable(code.load(place, end)) for place, end in of_tap] for of_tap in at]
        x, other = code.variable(code.at(given.x, first)), code.variable(code.at(given.weight, first))
        ahead = code.times(given.places, self.step), code.times(given.places, self.other_step)
        with code.loop(0, given.places):
            if vectors * code.lanes < self.lanes:  # while these are summed, the next block's come from memory
                for n, _ in columns:
                    code.fetch(code.at(code.get(x), n, ahead[0]))
                    code.fetch(code.at(code.get(other), n, ahead[1]))
            gradients = [code.load(code.at(code.get(other), n), end) for n, end in columns]
            for tap, of_tap in enumerate(sums):
                reads = code.at(code.get(x), code.times(given.tap, tap))
                for (n, end), total, gradient in zip(columns, of_tap, gradients, strict=True):
                    code.add_product(total, code.load(code.at(reads, n), end), gradient)
            code.set(x, code.at(code.get(x), self.step))
            code.set(other, code.at(code.get(other), self.other_step))
        for of_tap, places in zip(sums, at, strict=True):
            for total, (place, end) in zip(of_tap, places, strict=True):
                code.store(code.get(total), place, end)


SUMS = {32: 24, 16: 12}
"""Vectors of sums in a tile."""

TALL = 12
"""Taps of a tile, at the most."""

LEAST = 2
"""Places of a block, at the least: a tile's sums are read and written once for each."""

BLOCK = 1 << 17
"""Bytes of both arrays, which stay in a core's cache while all taps read them."""


class DepthwiseWeights(Method):
    """A depthwise weight gradient; its sums are (thread, tap, number of a period)."""

    def __init__(self, direction: str, problem: ConvProblem, machine: Machine) -> None:
        super().__init__(direction, beside(problem), machine)
        [self.sweep], self.channels = self.walk.sweeps, problem.in_channels
        self.period = Period(self.walk, self.x_all, self.lanes)
        self.taps = -(-self.kernel // -(-self.kernel // TALL))
        self.vectors = min(SUMS[machine.registers] // self.taps, 4)
        self.block = max(BLOCK // (ITEM[problem.dtype] * self.x_all * (self.sweep.step + 1)), LEAST)

    def schedule(self, threads: int) -> Schedule:
        """The tiles: for a block of places all taps, then the next block."""
        del threads
        made = Schedule()
        starts = np.arange(0, self.sweep.places, self.block)
        stops = np.minimum(starts + self.block, self.sweep.places)
        whole = self.kernel // self.taps * self.taps
        for low, high, taps in ((0, whole, self.taps), (whole, self.kernel, self.kernel - whole)):
            if low < high:
                tap = np.arange(low, high, taps)
                for part in whole_and_partly(self.sweep, self.walk.length, tap, taps, starts, stops):
                    self._add(made, *part)
        made.in_turn()
        return made

    def _add(self, made: Schedule, tap: Integers, taps: int, low: Integers, high: Integers) -> None:
        sweep, period, total = self.sweep, self.period, np.maximum(high - low, 0) * self.x_all
        whole, ahead = total // period.size * period.size, 1 if period.runs_on else sweep.step
        block = np.broadcast_to(np.arange(low.shape[1]), low.shape)
        for lanes, begin, numbers in ((period.size, 0 * whole, whole), (self.x_all, whole, total - whole)):
            some = numbers > 0
            if some.any():
                tile = DepthwiseWeightTile(taps, self.vectors, lanes, ahead * lanes, lanes, period.size)
                x = (sweep.first + low * sweep.step + tap * sweep.spread) * self.x_all + begin * ahead
                made.add(
                    tile=made.number(tile),
                    x=x[some],
                    weight=(low * self.x_all + begin)[some],
                    y=np.broadcast_to(tap * period.size, low.shape)[some],
                    taps=taps,
                    places=numbers[some] // lanes,
                    turn=block[some],
                )

    def parts(self, schedule: Schedule, threads: int) -> list[Part]:
        """Some of the places for each thread, with sums of its own."""
        each = self.kernel * self.period.size
        parts = [part._replace(y=n * each) for n, part in enumerate(super().parts(schedule, threads))]
        self.sums = max(len(parts), 1) * each
        return parts

    def result(self, sums: Floats) -> Floats:
        """The gradient as (tap, 1, channel)."""
        found: Floats = sums.reshape(-1, self.kernel, self.period.size // self.channels, self.channels).sum((0, 2))
        return found[:, None]

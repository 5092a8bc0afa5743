"""Few output channels: lanes run along the input channels, and are added up at the end."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from xconv.core.problem import ConvProblem
from xconv.direct.code import Code, Value, Variable
from xconv.direct.machine import Machine
from xconv.direct.program import Arguments, Floats
from xconv.direct.tiled import Columns, Tiled


@dataclass(frozen=True)
class NarrowTile:
    """``rows`` places by all ``outputs`` of a group; weights lie as (tap, output, input channel).

    ``place`` and ``y_place`` are elements from one place to the next where it reads and writes, None for the program's
    ``length`` and ``spread``. ``step`` is for places at the borders: elements on the sliding axis from one to the next;
    0 elsewhere. An entry's extra number is the element that the first tap of its first place reads.

    Each sum has one vector, however many rows there are: a tile of few waits for each product, and has the same bits.
    """

    rows: int
    outputs: int
    channels: int
    place: int | None
    y_place: int | None
    step: int = 0

    def write(self, code: Code, given: Arguments) -> None:
        """Tiles from the first place on; the last one may overlap its neighbour, and computes the same again."""
        outputs, place, y_place = range(self.outputs), self.place or given.length, self.y_place or given.spread
        reads_at, writes_at = ([code.times(each, row) for row in range(self.rows)] for each in (place, y_place))
        with code.loop(0, given.places, self.rows) as start:
            first = code.least(start, code.plus(given.places, -self.rows))
            x = code.variable(code.at(given.x, code.times(first, place)))
            y = code.at(given.y, code.times(first, y_place))
            element = code.variable(code.plus(given.extra, code.times(first, self.step)))
            weight = code.variable(given.weight)
            sums = [[code.variable(code.zero()) for _ in outputs] for _ in range(self.rows)]
            with code.loop(0, given.taps):
                reads, of_tap, seen = code.get(x), code.get(weight), code.get(element)
                rows = [code.at(reads, at) for at in reads_at]
                if self.step:  # what lies outside is read from a row of zeros
                    rows = [
                        code.within(code.plus(seen, row * self.step), given.length, at, given.zeros)
                        for row, at in enumerate(rows)
                    ]
                whole, tail = self.channels // code.lanes * code.lanes, self.channels % code.lanes
                if whole > UNROLLED * code.lanes:
                    with code.loop(0, whole, code.lanes) as at:
                        self._products(code, rows, of_tap, at, 0, sums)
                else:
                    for at in range(0, whole, code.lanes):
                        self._products(code, rows, of_tap, at, 0, sums)
                if tail:
                    self._products(code, rows, of_tap, whole, tail, sums)
                code.set(x, code.at(reads, given.tap))
                code.set(weight, code.at(of_tap, self.outputs * self.channels))
                code.set(element, code.plus(seen, given.spread))
            biases = [code.bias(code.number_at(code.at(given.bias, output))) for output in outputs]
            for at_row, of_row in zip(writes_at, sums, strict=True):
                for output, (total, bias) in enumerate(zip(of_row, biases, strict=True)):
                    whole = code.add(code.sum_of_lanes(code.get(total)), bias)
                    code.set(code.at(y, at_row, output), whole)

    def _products(
        self, code: Code, rows: list[Value], weight: Value, at: Value, tail: int, sums: list[list[Variable]]
    ) -> None:
        """Of a vector of input channels: the numbers of each row with the weights of each output."""
        first = code.at(weight, at)
        weights = [code.load(code.at(first, output * self.channels), tail) for output in range(self.outputs)]
        for row, of_row in zip(rows, sums, strict=True):
            numbers = code.load(code.at(row, at), tail)
            for total, vector in zip(of_row, weights, strict=True):
                code.add_product(total, numbers, vector)


UNROLLED = 2
"""Vectors of input channels up to which their products are written out; more are a loop, which compiles sooner."""

SUMS = {32: 16, 16: 8}
"""Vectors of sums in a tile."""

BLOCK = 1 << 16
"""Bytes of what is read and written by a run of tiles: they stay in a core's cache for the other sweeps."""


class Narrow(Tiled):
    """A convolution to few channels, or an input gradient of few."""

    packs = True

    def __init__(self, direction: str, problem: ConvProblem, machine: Machine) -> None:
        writes = problem.group_in if direction == "input_gradient" else problem.group_out
        most = SUMS[machine.registers] // writes
        rows = [*(each for each in (1, 2, 4, 8) if each < most), most]
        super().__init__(direction, problem, machine, [Columns(0, writes, writes, 0)], rows, BLOCK)

    def tile(self, column: Columns, step: int) -> NarrowTile:
        """All outputs of a group."""
        del column
        return NarrowTile(self.rows, self.writes, self.reads, self.place, self.y_place, step)

    def pack(self, weight: Floats) -> Floats:
        """For each sweep and group: taps, output channels, input channels."""
        by_group = weight.reshape(self.kernel, -1, self.groups, weight.shape[2] // self.groups)
        by_group = by_group.transpose((0, 2, 1, 3) if self.back else (0, 2, 3, 1))
        panels = [by_group[sweep.of_kernel].swapaxes(0, 1).ravel() for sweep in self.walk.sweeps]
        return panels[0] if len(panels) == 1 else np.concatenate(panels)

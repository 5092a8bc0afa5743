"""Sums over taps and channels, a tile of places by output channels at a time.

The loop of a matrix product without its matrix of windows: for each tap and input channel the numbers of some
neighbouring places are spread over vectors of the weights of some output channels, and summed in registers
(Georganas et al. 2018, "Anatomy of high-performance deep learning convolutions on SIMD architectures",
arXiv:1808.05567).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from xconv.core.problem import ConvProblem
from xconv.direct.code import Code, Value, Variable
from xconv.direct.machine import ITEM, Machine, address
from xconv.direct.method import streams
from xconv.direct.panels import CopyTile, TransposeTile
from xconv.direct.program import Arguments, Floats, Part, Program, Schedule, Sizes
from xconv.direct.scratch import scratch
from xconv.direct.team import pool
from xconv.direct.tiled import Columns, Tiled, columns


@dataclass(frozen=True)
class DenseTile:
    """``rows`` places by ``vectors`` of output channels, of which the last has ``tail`` (0: all its lanes).

    ``channels`` are a group's input channels; ``place`` and ``y_place`` elements from one place to the next where it
    reads and writes, None for the program's ``length`` and ``spread``; ``weight_row`` from one input channel's weights
    to the next one's. ``step`` is for places at the borders: elements on the sliding axis from one to the next; 0
    elsewhere. An entry's extra number is the element that the first tap of its first place reads. ``streams`` is for
    results that no cache holds.
    """

    rows: int
    vectors: int
    tail: int
    channels: int
    place: int | None
    y_place: int | None
    weight_row: int
    step: int = 0
    streams: bool = False

    def write(self, code: Code, given: Arguments) -> None:
        """Tiles from the first place on; the last one may overlap its neighbour, and computes the same again."""
        place, y_place = self.place or given.length, self.y_place or given.spread
        reads_at, writes_at = ([code.times(each, row) for row in range(2 * self.rows)] for each in (place, y_place))
        with code.loop(0, given.places, self.rows) as start:
            first = code.least(start, code.plus(given.places, -self.rows))
            x = code.at(given.x, code.times(first, place))
            y = code.at(given.y, code.times(first, y_place))
            seen = code.plus(given.extra, code.times(first, self.step))
            sums = [[code.variable(code.zero()) for _ in range(self.vectors)] for _ in range(self.rows)]
            weight = code.variable(given.weight)
            if not self.streams and not self.step:
                for at, _ in self._columns(code):
                    self._fetch(code, code.at(y, at), writes_at, to_write=True)
            with code.loop(0, given.taps) as tap:
                reads = code.at(x, code.times(tap, given.tap))
                rows = [code.at(reads, at) for at in reads_at[: self.rows]]
                if self.step:  # what lies outside is read from a row of zeros
                    element = code.plus(seen, code.times(tap, given.spread))
                    rows = [
                        code.within(code.plus(element, row * self.step), given.length, at, given.zeros)
                        for row, at in enumerate(rows)
                    ]
                if self.channels >= code.lanes and not self.step:
                    with code.loop(0, self.channels, code.lanes) as at:
                        self._fetch(code, code.at(reads, at), reads_at)
                self._tap(code, rows, weight, sums)
            biases = [code.bias(code.load(code.at(given.bias, at), tail)) for at, tail in self._columns(code)]
            for at_row, of_row in zip(writes_at, sums, strict=False):
                for (at, tail), total, bias in zip(self._columns(code), of_row, biases, strict=True):
                    to, found = code.at(y, at_row, at), code.add(code.get(total), bias)
                    if self.streams:
                        code.stream(found, to)
                    else:
                        code.store(found, to, tail)

    def _tap(self, code: Code, rows: list[Value], weight: Variable, sums: list[list[Variable]]) -> None:
        def channel(index: Value) -> None:
            weights = [code.load(code.at(code.get(weight), at), tail) for at, tail in self._columns(code)]
            for pointer, of_row in zip(rows, sums, strict=True):
                number = code.spread(code.at(pointer, index))
                for total, vector in zip(of_row, weights, strict=True):
                    code.add_product(total, number, vector)
            code.set(weight, code.at(code.get(weight), self.weight_row))

        code.each(self.channels, channel)

    def _fetch(self, code: Code, pointer: Value, rows: Sequence[Value], to_write: bool = False) -> None:
        """What the next tile will read or write: too far apart for the processor to foresee, and loops are short."""
        for at in rows[self.rows :]:
            code.fetch(code.at(pointer, at), level=2, to_write=to_write)

    def _columns(self, code: Code) -> Iterator[tuple[int, int]]:
        """Each vector's first output channel, and its tail."""
        for vector in range(self.vectors):
            yield vector * code.lanes, self.tail if vector == self.vectors - 1 else 0


ROWS = {32: {1: 12, 2: 12, 3: 8, 4: 6}, 16: {1: 8, 2: 6}}
"""Places that a tile of so many vectors has: sums, weights and a number fill the registers of the machine."""

BLOCK = 1 << 18
"""Bytes of what is read and written, which stay in a core's cache while all output channels are computed."""

PAGE, PAGES = 1 << 12, 1 << 11
"""Bytes of a page of memory, and the pages of which a core remembers where they are."""


class Dense(Tiled):
    """A convolution, or an input gradient, with many output channels.

    Attributes:
        reuses, far_reuses: tiles that must read a weight before it is worth bringing into their order, and those where
            what they read lies in more pages than :data:`PAGES`.
    """

    reuses, far_reuses = 32, 8

    def __init__(self, direction: str, problem: ConvProblem, machine: Machine) -> None:
        shapes, item = ROWS[machine.registers], ITEM[problem.dtype]
        writes = problem.group_in if direction == "input_gradient" else problem.group_out
        blocks = columns(writes, machine.lanes(problem.dtype), max(shapes))
        rows = range(1, shapes[blocks[0].vectors] + 1)
        super().__init__(direction, problem, machine, blocks, rows, BLOCK)
        self.streams = streams(self, self.writes)
        several = len(self.columns) * self.groups > 1
        weights = self.kernel * self.reads  # rows of it, of which each tile reads a piece
        pages = min(weights, weights * self.y_all * item // PAGE)
        reuses = self.reuses if pages <= PAGES else self.far_reuses
        self.packs = self.back or (several and self.walk.places >= reuses * self.rows)

    def tile(self, column: Columns, step: int) -> DenseTile:
        """Weights are read from a panel, or as they lie."""
        shape = self.rows, column.vectors, column.tail, self.reads
        row = column.width if self.packs else self.y_all
        return DenseTile(*shape, self.place, self.y_place, row, step, self.streams)

    def pack(self, weight: Floats) -> Floats:
        """A panel for each sweep, block of output channels and group: taps, input channels, output channels.

        They last until this thread packs another weight.
        """
        packed = scratch("panels", self.packed_size, self.problem.dtype)
        self._packing(address(weight), address(packed), None, address(packed), pool)
        return packed

    @cached_property
    def _packing(self) -> Program:
        made, outputs = Schedule(), self.problem.out_channels
        tile = made.number(TransposeTile() if self.back else CopyTile())
        for number, sweep in enumerate(self.walk.sweeps):
            taps, index = np.array(sweep.taps, np.int64), np.arange(len(sweep.taps))
            group = np.arange(self.groups)[:, None]
            for column in self.columns:
                width = min(column.width, self.writes - column.first)
                row = (group * len(sweep.taps) + index) * self.reads
                first = column.first * outputs + group * self.reads if self.back else group * self.writes + column.first
                made.add(
                    tile=tile,
                    x=taps * self.problem.group_in * outputs + first,
                    y=self.panels[number, column.first] + row * column.width,
                    taps=self.reads if self.back else width,
                    places=width if self.back else self.reads,
                    extra=column.width,
                )
        whole = [Part(0, 1, 0, len(made.entries))]
        return Program(made, Sizes(0, 0, 0, outputs, 0, 0), whole, self.problem.dtype, self.machine, 1)


class DenseForGood(Dense):
    """With a weight that is brought into order once."""

    reuses = far_reuses = 0

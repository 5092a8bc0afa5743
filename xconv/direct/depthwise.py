"""Depthwise layers: vectors of channels, or of the channels of several places that are neighbours in memory.

With stride 1 the places of a signal and their channels are one row of numbers, of which a tap reads a shifted copy, and
the weights repeat every ``channels`` numbers. So vectors may cross places. A *period* is as many places as fill whole
vectors: with one channel the lanes are places, and with three no lane is empty. A *step* is a period, or the channels
of one place where vectors may not cross places.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from xconv.core.problem import ConvProblem
from xconv.direct.code import Code, Value
from xconv.direct.method import Method, is_streamed
from xconv.direct.phases import DirectionGeometry
from xconv.direct.processor import ITEM_BYTES, Processor
from xconv.direct.program import Floats, Integers, Schedule, TileArguments


@dataclass(frozen=True)
class DepthwiseTile:
    """``rows`` steps of ``lanes`` numbers each, ``vectors`` of them at a time.

    A last vector that is not full is masked. An entry's places are steps.

    Attributes:
        x_stride, y_stride: numbers from one step to the next where the tile reads and writes.
        weight_row: numbers from the weights of one tap to those of the next.
        unrolled_taps: taps that are unrolled. More than one where a tap reads what the tap before read one step on, so
            that most of it is in a register.
        streams: whether the result is written past the caches.
    """

    rows: int
    vectors: int
    lanes: int
    x_stride: int
    y_stride: int
    weight_row: int
    unrolled_taps: int
    streams: bool = False

    def write(self, code: Code, args: TileArguments) -> None:
        """Write steps, some at a time, with all their vectors; the last ones may compute steps before them again."""
        whole, tail = divmod(self.lanes, code.lanes)
        blocks, width = whole // self.vectors, self.vectors * code.lanes
        rest = whole - blocks * self.vectors + (tail > 0)
        with code.loop(0, args.places, self.rows) as start:
            first = code.minimum(start, code.plus(args.places, -self.rows))
            x = code.offset(args.x, code.times(first, self.x_stride))
            y = code.offset(args.y, code.times(first, self.y_stride))
            write_vectors = partial(self._write_vectors, code, args, x, y)
            code.repeat(blocks, lambda block: write_vectors(code.times(block, width), self.vectors, 0))
            if rest:
                write_vectors(blocks * width, rest, tail)

    def _write_vectors(
        self, code: Code, args: TileArguments, x: Value, y: Value, first: Value, vectors: int, tail: int
    ) -> None:
        columns = [(index * code.lanes, tail if index == vectors - 1 else 0) for index in range(vectors)]
        x, y = code.variable(code.offset(x, first)), code.offset(y, first)
        weight = code.variable(code.offset(args.weight, first))
        sums = [[code.variable(code.zero()) for _ in columns] for _ in range(self.rows)]

        def add_taps(count: int) -> None:
            for tap in range(count):
                reads, tap_weights = code.get(x), code.offset(code.get(weight), tap * self.weight_row)
                weights = [code.load(code.offset(tap_weights, column), end) for column, end in columns]
                for row, row_sums in enumerate(sums):
                    for (column, end), total, vector in zip(columns, row_sums, weights, strict=True):
                        pointer = code.offset(reads, (row + tap) * self.x_stride + column)
                        code.add_product(total, code.load(pointer, end), vector)
            code.set(x, code.offset(code.get(x), count * self.x_stride if self.unrolled_taps > 1 else args.tap_stride))
            code.set(weight, code.offset(code.get(weight), count * self.weight_row))

        whole = code.round_down(args.taps, self.unrolled_taps)
        with code.loop(0, whole, self.unrolled_taps):
            add_taps(self.unrolled_taps)
        if self.unrolled_taps > 1:
            with code.loop(whole, args.taps):
                add_taps(1)
        biases = [
            code.without_negative_zero(code.load(code.offset(args.bias, first, column), end)) for column, end in columns
        ]
        for row, row_sums in enumerate(sums):
            for (column, end), total, bias in zip(columns, row_sums, biases, strict=True):
                place, found = code.offset(y, row * self.y_stride + column), code.add(code.get(total), bias)
                if self.streams:
                    code.store_past_caches(found, place)
                else:
                    code.store(found, place, end)


SUM_VECTORS = {32: 16, 16: 8}
"""Vectors of sums in a tile, by the processor's vector registers."""

TALL_TILE_TAPS = 12
"""Taps from which a tile has many steps, and keeps what it reads in registers for the next taps."""

FEW_TAPS, WINDOW_BYTES = 8, 1 << 14
"""Taps, and bytes that they reach over, up to which a tile of one step, which reads memory in order, is fastest."""

UNROLLED_TAPS = 8
"""Taps that are unrolled, at most."""

BLOCK_BYTES = 1 << 18
"""Bytes that a run of tiles reads; threads are given whole runs."""

FULL_VECTORS = 8
"""Vectors of a place from which a last one that is not full costs little."""


def fold_columns(problem: ConvProblem) -> ConvProblem:
    """A problem on maps as one on signals: each channel of each column becomes a channel, as memory has them."""
    if problem.inner == 1:
        return problem
    channels = problem.in_channels * problem.inner
    return replace(problem, inner=1, in_channels=channels, out_channels=channels, groups=channels)


class Period:
    """The numbers of a period, ``size``.

    ``is_contiguous`` says whether the next place's channels follow in both arrays, so that vectors may cross places.
    """

    def __init__(self, geometry: DirectionGeometry, channels: int, lanes: int) -> None:
        self.is_contiguous = geometry.input_step == geometry.output_step == 1
        self.size = math.lcm(channels, lanes) if self.is_contiguous and channels < FULL_VECTORS * lanes else channels


class DepthwiseMethod(Method):
    """A depthwise convolution, or its input gradient."""

    def __init__(self, direction: str, problem: ConvProblem, processor: Processor) -> None:
        super().__init__(direction, fold_columns(problem), processor)
        period = Period(self.geometry, self.x_channels, self.lanes)
        self.is_contiguous, self.period, self.channels = period.is_contiguous, period.size, problem.in_channels
        self.packs_weight = self.period > self.channels
        shared = self.geometry.input_step == self.geometry.tap_step and self.period == self.x_channels
        self.rows, self.vectors = self._choose_shape(shared)
        self.unrolled_taps = min(UNROLLED_TAPS, self.kernel) if shared else 1
        self.streams = is_streamed(self, self.x_channels)

    def _choose_shape(self, shared: bool) -> tuple[int, int]:
        """Steps and vectors of a tile."""
        vectors, sums = -(-self.period // self.lanes), SUM_VECTORS[self.processor.vector_registers]
        if shared and self.kernel >= TALL_TILE_TAPS:
            return sums * 3 // 4, 1
        if vectors <= 4:
            return sums // vectors, vectors
        window = self.kernel * self.geometry.tap_step * self.x_channels * ITEM_BYTES[self.problem.dtype]
        return (1, sums // 2) if self.kernel <= FEW_TAPS and window <= WINDOW_BYTES else (sums // 4, 4)

    def count_zeros(self) -> int:
        """Those of a period."""
        return self.period

    def build_schedule(self, threads: int) -> Schedule:
        """The tiles: a block of neighbouring places, then the next."""
        del threads
        made, geometry, runs = Schedule(), self.geometry, self.geometry.find_runs()
        x_factor, y_factor = (1, 1) if self.is_contiguous else (geometry.input_step, geometry.output_step)
        for count in sorted(set(runs.places.tolist())):
            indices = np.flatnonzero(runs.places == count)[:, None]
            for lanes, rows, first, steps in self._split_steps(count, geometry.input_step):
                vectors = self.vectors if rows > 1 else SUM_VECTORS[self.processor.vector_registers] // 2
                step, y_step, row = x_factor * lanes, y_factor * lanes, geometry.kernel_step * self.period
                # a tile of one step keeps nothing for the next tap; if others have more, it is at a border, and rare
                unrolled_taps = self.unrolled_taps if rows > 1 or self.rows == 1 else 1
                tile = DepthwiseTile(rows, vectors, lanes, step, y_step, row, unrolled_taps, self.streams)
                made.add(
                    tile=made.add_tile(tile),
                    x=runs.first_input[indices] * self.x_channels + first * x_factor,
                    weight=runs.kernel_tap[indices] * self.period,
                    y=runs.first_output[indices] * self.x_channels + first * y_factor,
                    taps=runs.taps[indices],
                    places=steps,
                )
        return made

    def _split_steps(self, places: int, input_step: int) -> Iterator[tuple[int, int, Integers, Integers]]:
        """(numbers of a step, rows of a tile, first numbers of runs, steps of runs) for ``places`` neighbours."""
        total = places * self.x_channels
        lanes = self.period if total >= self.period else self.x_channels
        steps = total // lanes
        rows = min(self.rows, steps)
        block = max(BLOCK_BYTES // (input_step * lanes * ITEM_BYTES[self.problem.dtype]) // rows, 1) * rows
        first = np.minimum(np.arange(0, steps, block), steps - rows)
        yield lanes, rows, first * lanes, np.minimum(block, steps - first)
        if total % lanes:  # the last step computes places of the one before again
            yield lanes, 1, np.array([total - lanes]), np.array([1])

    def pack(self, weight: Floats) -> Floats:
        """The weights as (tap, number of a period), repeated for each place of a period."""
        return np.tile(weight.reshape(self.kernel, self.channels), self.period // self.channels)

    def pack_bias(self, bias: Floats) -> Floats:
        """The bias, repeated for each place of a period."""
        return np.tile(bias, self.period // self.channels)

"""Few output channels: a lane sums some of the input channels, and the lanes are added at the end."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from xconv.core.problem import ConvProblem
from xconv.direct.code import Code, Value, Variable
from xconv.direct.processor import Processor
from xconv.direct.program import Floats, TileArguments
from xconv.direct.tiled import ChannelBlock, TiledMethod


@dataclass(frozen=True)
class NarrowTile:
    """``rows`` places by all ``outputs`` of a group; weights are (tap, output, input channel).

    An entry's ``extra`` is the element of the sliding axis that its first place reads for its first tap. Each sum has
    one vector, whatever the rows: so tiles of all heights have the same bits, though low ones wait for each product.

    Attributes:
        channels: input channels of a group.
        x_stride, y_stride: numbers from one place to the next where the tile reads and writes; None for the program's
            ``length`` and ``tap_step``.
        border_step: elements of the sliding axis from one place to the next if places may see padding, else 0.
    """

    rows: int
    outputs: int
    channels: int
    x_stride: int | None
    y_stride: int | None
    border_step: int = 0

    def write(self, code: Code, args: TileArguments) -> None:
        """Write tiles from the first place on; the last one may compute places of the one before again."""
        outputs, x_stride, y_stride = range(self.outputs), self.x_stride or args.length, self.y_stride or args.tap_step
        read_offsets, write_offsets = (
            [code.times(each, row) for row in range(self.rows)] for each in (x_stride, y_stride)
        )
        with code.loop(0, args.places, self.rows) as start:
            first = code.minimum(start, code.plus(args.places, -self.rows))
            x = code.variable(code.offset(args.x, code.times(first, x_stride)))
            y = code.offset(args.y, code.times(first, y_stride))
            element = code.variable(code.plus(args.extra, code.times(first, self.border_step)))
            weight = code.variable(args.weight)
            sums = [[code.variable(code.zero()) for _ in outputs] for _ in range(self.rows)]
            with code.loop(0, args.taps):
                reads, tap_weights, first_input = code.get(x), code.get(weight), code.get(element)
                rows = [code.offset(reads, offset) for offset in read_offsets]
                if self.border_step:  # padding is read from a row of zeros
                    rows = [
                        code.select_inside(
                            code.plus(first_input, row * self.border_step), args.length, pointer, args.zeros
                        )
                        for row, pointer in enumerate(rows)
                    ]
                whole, tail = self.channels // code.lanes * code.lanes, self.channels % code.lanes
                if whole > UNROLLED_VECTORS * code.lanes:
                    with code.loop(0, whole, code.lanes) as offset:
                        self._add_products(code, rows, tap_weights, offset, 0, sums)
                else:
                    for offset in range(0, whole, code.lanes):
                        self._add_products(code, rows, tap_weights, offset, 0, sums)
                if tail:
                    self._add_products(code, rows, tap_weights, whole, tail, sums)
                code.set(x, code.offset(reads, args.tap_stride))
                code.set(weight, code.offset(tap_weights, self.outputs * self.channels))
                code.set(element, code.plus(first_input, args.tap_step))
            biases = [
                code.without_negative_zero(code.load_number(code.offset(args.bias, output))) for output in outputs
            ]
            for row_offset, row_sums in zip(write_offsets, sums, strict=True):
                for output, (total, bias) in enumerate(zip(row_sums, biases, strict=True)):
                    whole = code.add(code.sum_lanes(code.get(total)), bias)
                    code.set(code.offset(y, row_offset, output), whole)

    def _add_products(
        self, code: Code, rows: list[Value], weight: Value, offset: Value, tail: int, sums: list[list[Variable]]
    ) -> None:
        """Add a vector of input channels of each row, times the weights of each output."""
        first = code.offset(weight, offset)
        weights = [code.load(code.offset(first, output * self.channels), tail) for output in range(self.outputs)]
        for row, row_sums in zip(rows, sums, strict=True):
            numbers = code.load(code.offset(row, offset), tail)
            for total, vector in zip(row_sums, weights, strict=True):
                code.add_product(total, numbers, vector)


UNROLLED_VECTORS = 2
"""Vectors of input channels up to which products are unrolled; a loop over more compiles faster."""

SUM_VECTORS = {32: 16, 16: 8}
"""Vectors of sums in a tile, by the processor's vector registers."""

BLOCK_BYTES = 1 << 16
"""Bytes that a run of tiles reads and writes: they stay in a core's cache for the other stride phases."""


class NarrowMethod(TiledMethod):
    """A convolution to few channels, or an input gradient of few."""

    packs_weight = True

    def __init__(self, direction: str, problem: ConvProblem, processor: Processor) -> None:
        writes = problem.group_in if direction == "input_gradient" else problem.group_out
        most = SUM_VECTORS[processor.vector_registers] // writes
        rows = [*(each for each in (1, 2, 4, 8) if each < most), most]
        super().__init__(direction, problem, processor, [ChannelBlock(0, writes, writes, 0)], rows, BLOCK_BYTES)

    def build_tile(self, channel_block: ChannelBlock, border_step: int) -> NarrowTile:
        """A tile of all outputs of a group."""
        del channel_block
        return NarrowTile(
            self.rows, self.written_channels, self.read_channels, self.x_stride, self.y_stride, border_step
        )

    def pack(self, weight: Floats) -> Floats:
        """(taps, output channels, input channels) for each phase and group."""
        by_group = weight.reshape(self.kernel, -1, self.groups, weight.shape[2] // self.groups)
        by_group = by_group.transpose((0, 2, 1, 3) if self.is_input_gradient else (0, 2, 3, 1))
        panels = [by_group[phase.kernel_slice].swapaxes(0, 1).ravel() for phase in self.geometry.phases]
        return panels[0] if len(panels) == 1 else np.concatenate(panels)

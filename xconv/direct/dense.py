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
from xconv.direct.method import is_streamed
from xconv.direct.panels import CopyTile, TransposeTile
from xconv.direct.processor import ITEM_BYTES, Processor, address
from xconv.direct.program import ArrayStrides, Floats, Schedule, ThreadShare, TileArguments, TileProgram
from xconv.direct.scratch import take_scratch
from xconv.direct.team import run_in_pool
from xconv.direct.tiled import ChannelBlock, TiledMethod, split_channels


@dataclass(frozen=True)
class DenseTile:
    """``rows`` places by ``vectors`` of output channels, of which the last has ``tail`` (0: all its lanes).

    ``channels`` are a group's input channels; ``x_stride`` and ``y_stride`` elements from one place to the next where it
    reads and writes, None for the program's ``length`` and ``spread``; ``weight_row`` from one input channel's weights
    to the next one's. ``border_step`` is for places at the borders: elements on the sliding axis from one to the next; 0
    elsewhere. An entry's extra number is the element that the first tap of its first place reads. ``streams`` is for
    results that no cache holds.
    """

    rows: int
    vectors: int
    tail: int
    channels: int
    x_stride: int | None
    y_stride: int | None
    weight_row: int
    border_step: int = 0
    streams: bool = False

    def write(self, code: Code, args: TileArguments) -> None:
        """Tiles from the first place on; the last one may overlap its neighbour, and computes the same again."""
        x_stride, y_stride = self.x_stride or args.length, self.y_stride or args.tap_step
        read_offsets, write_offsets = (
            [code.times(each, row) for row in range(2 * self.rows)] for each in (x_stride, y_stride)
        )
        with code.loop(0, args.places, self.rows) as start:
            first = code.minimum(start, code.plus(args.places, -self.rows))
            x = code.offset(args.x, code.times(first, x_stride))
            y = code.offset(args.y, code.times(first, y_stride))
            first_input = code.plus(args.extra, code.times(first, self.border_step))
            sums = [[code.variable(code.zero()) for _ in range(self.vectors)] for _ in range(self.rows)]
            weight = code.variable(args.weight)
            if not self.streams and not self.border_step:
                for offset, _ in self._vectors(code):
                    self._prefetch(code, code.offset(y, offset), write_offsets, to_write=True)
            with code.loop(0, args.taps) as tap:
                reads = code.offset(x, code.times(tap, args.tap_stride))
                rows = [code.offset(reads, offset) for offset in read_offsets[: self.rows]]
                if self.border_step:  # what lies outside is read from a row of zeros
                    element = code.plus(first_input, code.times(tap, args.tap_step))
                    rows = [
                        code.select_inside(code.plus(element, row * self.border_step), args.length, pointer, args.zeros)
                        for row, pointer in enumerate(rows)
                    ]
                if self.channels >= code.lanes and not self.border_step:
                    with code.loop(0, self.channels, code.lanes) as offset:
                        self._prefetch(code, code.offset(reads, offset), read_offsets)
                self._tap(code, rows, weight, sums)
            biases = [
                code.without_negative_zero(code.load(code.offset(args.bias, offset), tail))
                for offset, tail in self._vectors(code)
            ]
            for row_offset, row_sums in zip(write_offsets, sums, strict=False):
                for (offset, tail), total, bias in zip(self._vectors(code), row_sums, biases, strict=True):
                    target, found = code.offset(y, row_offset, offset), code.add(code.get(total), bias)
                    if self.streams:
                        code.store_past_caches(found, target)
                    else:
                        code.store(found, target, tail)

    def _tap(self, code: Code, rows: list[Value], weight: Variable, sums: list[list[Variable]]) -> None:
        def channel(index: Value) -> None:
            weights = [code.load(code.offset(code.get(weight), offset), tail) for offset, tail in self._vectors(code)]
            for pointer, row_sums in zip(rows, sums, strict=True):
                number = code.broadcast(code.offset(pointer, index))
                for total, vector in zip(row_sums, weights, strict=True):
                    code.add_product(total, number, vector)
            code.set(weight, code.offset(code.get(weight), self.weight_row))

        code.repeat(self.channels, channel)

    def _prefetch(self, code: Code, pointer: Value, rows: Sequence[Value], to_write: bool = False) -> None:
        """What the next tile will read or write: too far apart for the processor to foresee, and loops are short."""
        for offset in rows[self.rows :]:
            code.prefetch(code.offset(pointer, offset), level=2, to_write=to_write)

    def _vectors(self, code: Code) -> Iterator[tuple[int, int]]:
        """Each vector's first output channel, and its tail."""
        for vector in range(self.vectors):
            yield vector * code.lanes, self.tail if vector == self.vectors - 1 else 0


TILE_PLACES = {32: {1: 12, 2: 12, 3: 8, 4: 6}, 16: {1: 8, 2: 6}}
"""Places that a tile of so many vectors has: sums, weights and a number fill the registers of the machine."""

BLOCK_BYTES = 1 << 18
"""Bytes of what is read and written, which stay in a core's cache while all output channels are computed."""

PAGE_BYTES, TLB_PAGES = 1 << 12, 1 << 11
"""Bytes of a page of memory, and the pages of which a core remembers where they are."""


class DenseMethod(TiledMethod):
    """A convolution, or an input gradient, with many output channels.

    Attributes:
        reuses, far_reuses: tiles that must read a weight before it is worth bringing into their order, and those where
            what they read lies in more pages than :data:`PAGES`.
    """

    reuses, far_reuses = 32, 8

    def __init__(self, direction: str, problem: ConvProblem, processor: Processor) -> None:
        shapes, item = TILE_PLACES[processor.vector_registers], ITEM_BYTES[problem.dtype]
        writes = problem.group_in if direction == "input_gradient" else problem.group_out
        blocks = split_channels(writes, processor.lanes(problem.dtype), max(shapes))
        rows = range(1, shapes[blocks[0].vectors] + 1)
        super().__init__(direction, problem, processor, blocks, rows, BLOCK_BYTES)
        self.streams = is_streamed(self, self.written_channels)
        several = len(self.channel_blocks) * self.groups > 1
        weights = self.kernel * self.read_channels  # rows of it, of which each tile reads a piece
        pages = min(weights, weights * self.y_channels * item // PAGE_BYTES)
        reuses = self.reuses if pages <= TLB_PAGES else self.far_reuses
        self.packs_weight = self.is_input_gradient or (several and self.geometry.places >= reuses * self.rows)

    def tile(self, channel_block: ChannelBlock, border_step: int) -> DenseTile:
        """Weights are read from a panel, or as they lie."""
        shape = self.rows, channel_block.vectors, channel_block.tail, self.read_channels
        row = channel_block.width if self.packs_weight else self.y_channels
        return DenseTile(*shape, self.x_stride, self.y_stride, row, border_step, self.streams)

    def pack(self, weight: Floats) -> Floats:
        """A panel for each sweep, block of output channels and group: taps, input channels, output channels.

        They last until this thread packs another weight.
        """
        packed = take_scratch("panels", self.packed_size, self.problem.dtype)
        self._packing(address(weight), address(packed), None, address(packed), run_in_pool)
        return packed

    @cached_property
    def _packing(self) -> TileProgram:
        made, outputs = Schedule(), self.problem.out_channels
        tile = made.number(TransposeTile() if self.is_input_gradient else CopyTile())
        for number, phase in enumerate(self.geometry.phases):
            taps, index = np.array(phase.taps, np.int64), np.arange(len(phase.taps))
            group = np.arange(self.groups)[:, None]
            for block in self.channel_blocks:
                width = min(block.width, self.written_channels - block.first_channel)
                row = (group * len(phase.taps) + index) * self.read_channels
                if self.is_input_gradient:
                    first = block.first_channel * outputs + group * self.read_channels
                else:
                    first = group * self.written_channels + block.first_channel
                made.add(
                    tile=tile,
                    x=taps * self.problem.group_in * outputs + first,
                    y=self.panels[number, block.first_channel] + row * block.width,
                    taps=self.read_channels if self.is_input_gradient else width,
                    places=width if self.is_input_gradient else self.read_channels,
                    extra=block.width,
                )
        whole = [ThreadShare(0, 1, 0, len(made.entries))]
        return TileProgram(made, ArrayStrides(0, 0, 0, outputs, 0, 0), whole, self.problem.dtype, self.processor, 1)


class ConstantWeightDenseMethod(DenseMethod):
    """With a weight that is brought into order once."""

    reuses = far_reuses = 0

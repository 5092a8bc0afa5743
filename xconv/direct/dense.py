"""Sums over taps and channels, a tile of places by output channels at a time.

The loops of a matrix product, without a matrix of windows: for each tap and input channel, the number of each place is
broadcast, multiplied by vectors of the weights of some output channels, and added to sums in registers (Georganas
et al. 2018, "Anatomy of high-performance deep learning convolutions on SIMD architectures", arXiv:1808.05567).
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
    """``rows`` places by ``vectors`` of output channels.

    An entry's ``extra`` is the element of the sliding axis that its first place reads for its first tap.

    Attributes:
        tail: channels in the last vector; 0 if it is full.
        channels: input channels of a group.
        x_stride, y_stride: numbers from one place to the next where the tile reads and writes; None for the program's
            ``length`` and ``tap_step``.
        weight_row: numbers from the weights of one input channel to those of the next.
        border_step: elements of the sliding axis from one place to the next if places may see padding, else 0.
        streams: whether the result is written past the caches.
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
        """Write tiles from the first place on; the last one may compute places of the one before again."""
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
                for offset, _ in self._list_vectors(code):
                    self._prefetch(code, code.offset(y, offset), write_offsets, to_write=True)
            with code.loop(0, args.taps) as tap:
                reads = code.offset(x, code.times(tap, args.tap_stride))
                rows = [code.offset(reads, offset) for offset in read_offsets[: self.rows]]
                if self.border_step:  # padding is read from a row of zeros
                    element = code.plus(first_input, code.times(tap, args.tap_step))
                    rows = [
                        code.select_inside(code.plus(element, row * self.border_step), args.length, pointer, args.zeros)
                        for row, pointer in enumerate(rows)
                    ]
                if self.channels >= code.lanes and not self.border_step:
                    with code.loop(0, self.channels, code.lanes) as offset:
                        self._prefetch(code, code.offset(reads, offset), read_offsets)
                self._add_tap(code, rows, weight, sums)
            biases = [
                code.without_negative_zero(code.load(code.offset(args.bias, offset), tail))
                for offset, tail in self._list_vectors(code)
            ]
            for row_offset, row_sums in zip(write_offsets, sums, strict=False):
                for (offset, tail), total, bias in zip(self._list_vectors(code), row_sums, biases, strict=True):
                    target, found = code.offset(y, row_offset, offset), code.add(code.get(total), bias)
                    if self.streams:
                        code.store_past_caches(found, target)
                    else:
                        code.store(found, target, tail)

    def _add_tap(self, code: Code, rows: list[Value], weight: Variable, sums: list[list[Variable]]) -> None:
        def add_channel(index: Value) -> None:
            weights = [
                code.load(code.offset(code.get(weight), offset), tail) for offset, tail in self._list_vectors(code)
            ]
            for pointer, row_sums in zip(rows, sums, strict=True):
                number = code.broadcast(code.offset(pointer, index))
                for total, vector in zip(row_sums, weights, strict=True):
                    code.add_product(total, number, vector)
            code.set(weight, code.offset(code.get(weight), self.weight_row))

        code.repeat(self.channels, add_channel)

    def _prefetch(self, code: Code, pointer: Value, rows: Sequence[Value], to_write: bool = False) -> None:
        """Prefetch what the next tile reads or writes: loops are too short for the processor to see the pattern."""
        for offset in rows[self.rows :]:
            code.prefetch(code.offset(pointer, offset), level=2, to_write=to_write)

    def _list_vectors(self, code: Code) -> Iterator[tuple[int, int]]:
        """(first output channel, tail) of each vector."""
        for vector in range(self.vectors):
            yield vector * code.lanes, self.tail if vector == self.vectors - 1 else 0


TILE_PLACES = {32: {1: 12, 2: 12, 3: 8, 4: 6}, 16: {1: 8, 2: 6}}
"""Places of a tile, by the processor's vector registers and the tile's vectors: sums, weights and a broadcast number
fill the registers."""

BLOCK_BYTES = 1 << 18
"""Bytes that a block of places reads and writes: they stay in a core's cache while all output channels are computed."""

PAGE_BYTES, TLB_PAGES = 1 << 12, 1 << 11
"""Bytes of a page of memory, and pages whose addresses a core keeps (its translation lookaside buffer)."""


class DenseMethod(TiledMethod):
    """A convolution, or an input gradient, with many output channels.

    Attributes:
        reuses: tiles that must read a weight for packing it to pay; ``far_reuses`` if they read more pages than
            :data:`TLB_PAGES`.
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
        weights = self.kernel * self.read_channels  # rows, of each of which a tile reads some
        pages = min(weights, weights * self.y_channels * item // PAGE_BYTES)
        reuses = self.reuses if pages <= TLB_PAGES else self.far_reuses
        self.packs_weight = self.is_input_gradient or (several and self.geometry.places >= reuses * self.rows)

    def build_tile(self, channel_block: ChannelBlock, border_step: int) -> DenseTile:
        """A tile that reads weights from a panel, or from the weight itself."""
        shape = self.rows, channel_block.vectors, channel_block.tail, self.read_channels
        row = channel_block.width if self.packs_weight else self.y_channels
        return DenseTile(*shape, self.x_stride, self.y_stride, row, border_step, self.streams)

    def pack(self, weight: Floats) -> Floats:
        """A panel (taps, input channels, output channels) for each phase, block of output channels and group.

        The panels are in scratch memory, which the next call of this thread overwrites.
        """
        packed = take_scratch("panels", self.packed_size, self.problem.dtype)
        self._packing_program(address(weight), address(packed), None, address(packed), run_in_pool)
        return packed

    @cached_property
    def _packing_program(self) -> TileProgram:
        made, outputs = Schedule(), self.problem.out_channels
        tile = made.add_tile(TransposeTile() if self.is_input_gradient else CopyTile())
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
    """With a weight that does not change, and so is packed once, which always pays."""

    reuses = far_reuses = 0

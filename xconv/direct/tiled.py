"""What :mod:`~xconv.direct.dense` and :mod:`~xconv.direct.narrow` share: tiles of places by output channels."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from xconv.core.problem import ConvProblem
from xconv.direct.grouping import TileRegisters, choose_grouping
from xconv.direct.method import Method
from xconv.direct.processor import ITEM_BYTES, Processor
from xconv.direct.program import ArrayStrides, Schedule, ThreadShare, Tile


@dataclass(frozen=True)
class ChannelBlock:
    """Output channels of a group that a tile sums together, from ``first_channel`` on.

    Attributes:
        vectors: vectors of output channels.
        width: weights of a panel for one input channel of a tap: the output channels, rounded up to whole vectors.
        tail: channels in the last vector; 0 if it is full.
    """

    first_channel: int
    vectors: int
    width: int
    tail: int


def split_channels(channels: int, lanes: int, most: int) -> list[ChannelBlock]:
    """All output channels of a group, in blocks of nearly equal numbers of vectors, ``most`` at most.

    >>> [(block.first_channel, block.vectors, block.tail) for block in split_channels(70, 16, 4)]
    [(0, 3, 0), (48, 2, 6)]
    """
    vectors = -(-channels // lanes)
    count = -(-vectors // most)
    found, first_channel = [], 0
    for number in range(count):
        size = (vectors + count - 1 - number) // count
        tail = channels % lanes if number == count - 1 else 0
        found.append(ChannelBlock(first_channel, size, size * lanes, tail))
        first_channel += size * lanes
    return found


class TiledMethod(Method):
    """A convolution, or an input gradient, by tiles of some places and a block of output channels of a group.

    Attributes:
        grouping: which places a tile computes together.
        rows: places of a tile.
        x_stride, y_stride: numbers from one place to the next where a tile reads and writes. None where they depend on
            the length: then code is compiled for any length, and the program's strides have them.
        panels: where the packed weights of (phase, first channel of a block) begin; ``packed_size`` is their count.
    """

    def __init__(
        self,
        direction: str,
        problem: ConvProblem,
        processor: Processor,
        channel_blocks: Sequence[ChannelBlock],
        rows: Sequence[int],
        block_bytes: int,
    ) -> None:
        """``rows`` are the numbers of places that a tile may have, ``block_bytes`` what stays in a core's cache."""
        super().__init__(direction, problem, processor)
        geometry, item = self.geometry, ITEM_BYTES[problem.dtype]
        self.channel_blocks = channel_blocks
        self.grouping = choose_grouping(
            geometry, TileRegisters(channel_blocks[0].vectors, rows, self.x_channels * item)
        )
        self.x_stride: int | None = None
        self.y_stride: int | None = None
        if self.grouping.by_line:
            self.x_stride, self.y_stride = (
                self.grouping.x_step * self.x_channels,
                self.grouping.y_step * self.y_channels,
            )
        self.rows = self.grouping.rows
        place_bytes = (geometry.input_step * self.x_channels + self.y_channels) * item
        self.block_places = max(block_bytes // place_bytes, 4 * self.rows)
        self.panels: dict[tuple[int, int], int] = {}
        self.packed_size = 0
        for number, phase in enumerate(geometry.phases):
            for block in self.channel_blocks:
                self.panels[number, block.first_channel] = self.packed_size
                self.packed_size += self.groups * len(phase.taps) * self.read_channels * block.width

    @abstractmethod
    def build_tile(self, channel_block: ChannelBlock, border_step: int) -> Tile:
        """The tile of a block of output channels.

        ``border_step`` is elements of the sliding axis from one place to the next at a border, and 0 elsewhere.
        """

    def build_schedule(self, threads: int) -> Schedule:
        """All tiles: for a block of places all output channels, then the next block."""
        del threads
        made, geometry = Schedule(), self.geometry
        found = self.grouping.find_runs(self.block_places)
        phase, x, y, places, first_tap, taps, first_input, at_border = (
            field if isinstance(field, int) else field[..., None, None] for field in found
        )
        border_steps = (
            (0, geometry.input_step) if np.any(at_border) else (0,)
        )  # a tile for the interior, and one for borders
        tile = np.array(
            [[made.add_tile(self.build_tile(block, step)) for block in self.channel_blocks] for step in border_steps]
        )
        first_channel = np.array([block.first_channel for block in self.channel_blocks])
        group = np.arange(self.groups)[:, None]
        first_output_channel = group * self.written_channels + first_channel
        if self.packs_weight:
            width = np.array([block.width for block in self.channel_blocks])
            tap_counts = np.array([len(each.taps) for each in geometry.phases])
            panels = np.array(list(self.panels.values())).reshape(len(geometry.phases), len(self.channel_blocks))
            weight = (
                panels[found.phase][..., None, :] + (group * tap_counts[phase] + first_tap) * self.read_channels * width
            )
        else:
            weight = first_tap * self.read_channels * self.y_channels + first_output_channel
        made.add(
            tile=tile[at_border, np.arange(len(self.channel_blocks))],
            x=x * self.x_channels + group * self.read_channels,
            weight=weight,
            bias=first_output_channel,
            y=y * self.y_channels + first_output_channel,
            taps=taps,
            places=places,
            extra=first_input,
            turn=x // (self.block_places * geometry.input_step),
        )
        if len(geometry.phases) > 1:
            made.sort_by_turn()
        return made

    def compute_strides(self) -> ArrayStrides:
        """Those of the arrays; across lines, ``length`` and ``tap_step`` are ``x_stride`` and ``y_stride`` of tiles."""
        found, grouping = super().compute_strides(), self.grouping
        return (
            found
            if grouping.by_line
            else replace(found, length=grouping.x_step * self.x_channels, tap_step=grouping.y_step * self.y_channels)
        )

    def split_among_threads(self, schedule: Schedule, threads: int) -> list[ThreadShare]:
        """Lines, or entries of the schedule, for each thread."""
        return schedule.split_among_threads(self.geometry.lines if self.grouping.by_line else 1, threads)

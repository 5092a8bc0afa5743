"""What dense and narrow layers have in common: tiles of some places by a block of output channels."""

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
    """Output channels that are summed at a time: a count of vectors, of which the last has ``tail`` (0: all its lanes).

    ``width`` is how many weights of a panel belong to an input channel of a tap.
    """

    first_channel: int
    vectors: int
    width: int
    tail: int


def split_channels(channels: int, lanes: int, most: int) -> list[ChannelBlock]:
    """All output channels of a group, in blocks of about the same number of vectors.

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
        route: the way through the places.
        rows: places of a tile.
        place, y_place: elements from one place to the next where it reads and writes; None if that depends on the
            length, so that code for it would be for one length only: it is in the program's sizes then.
        panels: where the weights of a sweep and a block of output channels begin, if they are packed.
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
        """``rows`` are those that a tile may have, ``block_bytes`` how many bytes stay in a core's cache."""
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
    def tile(self, channel_block: ChannelBlock, border_step: int) -> Tile:
        """The tile of a block of output channels; at a border, with ``border_step`` elements from one place to the next."""

    def schedule(self, threads: int) -> Schedule:
        """The tiles: for a block of places all output channels, then the next block."""
        del threads
        made, geometry = Schedule(), self.geometry
        found = self.grouping.find_runs(self.block_places)
        phase, x, y, places, first_tap, taps, first_input, at_border = (
            field if isinstance(field, int) else field[..., None, None] for field in found
        )
        border_steps = (0, geometry.input_step) if np.any(at_border) else (0,)  # between the borders, and there
        tile = np.array(
            [[made.number(self.tile(block, step)) for block in self.channel_blocks] for step in border_steps]
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

    def strides(self) -> ArrayStrides:
        """The steps of the arrays; from line to line, where tiles go that way, instead of what borders need."""
        found, grouping = super().strides(), self.grouping
        return (
            found
            if grouping.by_line
            else replace(found, length=grouping.x_step * self.x_channels, tap_step=grouping.y_step * self.y_channels)
        )

    def split_among_threads(self, schedule: Schedule, threads: int) -> list[ThreadShare]:
        """Some of the lines or of the entries for each thread."""
        return schedule.split_among_threads(self.geometry.lines if self.grouping.by_line else 1, threads)

"""What dense and narrow layers have in common: tiles of some places by a block of output channels."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from xconv.core.problem import ConvProblem
from xconv.direct.machine import ITEM, Machine
from xconv.direct.method import Method
from xconv.direct.program import Part, Schedule, Sizes, Tile
from xconv.direct.routes import Room, route


@dataclass(frozen=True)
class Columns:
    """Output channels that are summed at a time: a count of vectors, of which the last has ``tail`` (0: all its lanes).

    ``width`` is how many weights of a panel belong to an input channel of a tap.
    """

    first: int
    vectors: int
    width: int
    tail: int


def columns(channels: int, lanes: int, most: int) -> list[Columns]:
    """All output channels of a group, in blocks of about the same number of vectors.

    >>> [(block.first, block.vectors, block.tail) for block in columns(70, 16, 4)]
    [(0, 3, 0), (48, 2, 6)]
    """
    vectors = -(-channels // lanes)
    many = -(-vectors // most)
    found, first = [], 0
    for number in range(many):
        size = (vectors + many - 1 - number) // many
        tail = channels % lanes if number == many - 1 else 0
        found.append(Columns(first, size, size * lanes, tail))
        first += size * lanes
    return found


class Tiled(Method):
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
        machine: Machine,
        blocks: Sequence[Columns],
        rows: Sequence[int],
        block: int,
    ) -> None:
        """``rows`` are those that a tile may have, ``block`` how many bytes stay in a core's cache."""
        super().__init__(direction, problem, machine)
        walk, item = self.walk, ITEM[problem.dtype]
        self.columns = blocks
        self.route = route(walk, Room(blocks[0].vectors, rows, self.x_all * item))
        self.place: int | None = None
        self.y_place: int | None = None
        if self.route.by_line:
            self.place, self.y_place = self.route.place * self.x_all, self.route.y_place * self.y_all
        self.rows = self.route.rows
        step = walk.step * self.x_all + self.y_all
        self.block = max(block // (step * item), 4 * self.rows)
        self.panels: dict[tuple[int, int], int] = {}
        self.packed_size = 0
        for number, sweep in enumerate(walk.sweeps):
            for column in self.columns:
                self.panels[number, column.first] = self.packed_size
                self.packed_size += self.groups * len(sweep.taps) * self.reads * column.width

    @abstractmethod
    def tile(self, column: Columns, step: int) -> Tile:
        """The tile of a block of output channels; at a border, with ``step`` elements from one place to the next."""

    def schedule(self, threads: int) -> Schedule:
        """The tiles: for a block of places all output channels, then the next block."""
        del threads
        made, walk = Schedule(), self.walk
        found = self.route.pieces(self.block)
        sweep, x, y, places, tap, taps, place, border = (
            field if isinstance(field, int) else field[..., None, None] for field in found
        )
        steps = (0, walk.step) if np.any(border) else (0,)  # between the borders, and there
        tile = np.array([[made.number(self.tile(column, step)) for column in self.columns] for step in steps])
        first = np.array([column.first for column in self.columns])
        group = np.arange(self.groups)[:, None]
        out = group * self.writes + first
        if self.packs:
            width = np.array([column.width for column in self.columns])
            many = np.array([len(each.taps) for each in walk.sweeps])
            panels = np.array(list(self.panels.values())).reshape(len(walk.sweeps), len(self.columns))
            weight = panels[found.sweep][..., None, :] + (group * many[sweep] + tap) * self.reads * width
        else:
            weight = tap * self.reads * self.y_all + out
        made.add(
            tile=tile[border, np.arange(len(self.columns))],
            x=x * self.x_all + group * self.reads,
            weight=weight,
            bias=out,
            y=y * self.y_all + out,
            taps=taps,
            places=places,
            extra=place,
            turn=x // (self.block * walk.step),
        )
        if len(walk.sweeps) > 1:
            made.in_turn()
        return made

    def sizes(self) -> Sizes:
        """The steps of the arrays; from line to line, where tiles go that way, instead of what borders need."""
        found, way = super().sizes(), self.route
        return found if way.by_line else replace(found, length=way.place * self.x_all, spread=way.y_place * self.y_all)

    def parts(self, schedule: Schedule, threads: int) -> list[Part]:
        """Some of the lines or of the entries for each thread."""
        return schedule.parts(self.walk.lines if self.route.by_line else 1, threads)

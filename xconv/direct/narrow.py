"""Few output channels: lanes run along the input channels, and are added up at the end."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from xconv.direct.code import Code
from xconv.direct.machine import ITEM
from xconv.direct.method import Method
from xconv.direct.program import Arguments, Floats, Schedule


@dataclass(frozen=True)
class NarrowTile:
    """``rows`` places by all ``outputs`` of a group; weights lie as (tap, output, input channel).

    ``place`` and ``y_place`` are elements from one place to the next where it reads and writes.
    """

    rows: int
    outputs: int
    channels: int
    place: int
    y_place: int

    def write(self, code: Code, given: Arguments) -> None:
        """Tiles from the first place on; the last one may overlap its neighbour, and computes the same again."""
        vectors = [(at, min(self.channels - at, code.lanes)) for at in range(0, self.channels, code.lanes)]
        outputs = range(self.outputs)
        begin = [code.unsigned_zeros(code.builder.load(code.at(given.bias, output))) for output in outputs]
        with code.loop(0, given.places, self.rows) as start:
            first = code.least(start, code.plus(given.places, -self.rows))
            x = code.variable(code.at(given.x, code.times(first, self.place)))
            y = code.at(given.y, code.times(first, self.y_place))
            weight = code.variable(given.weight)
            sums = [[code.variable(code.zero()) for _ in range(self.outputs)] for _ in range(self.rows)]
            with code.loop(0, given.taps):
                reads, of_tap = code.get(x), code.get(weight)
                for at, many in vectors:
                    weights = [
                        code.load(code.at(of_tap, output * self.channels + at), many % code.lanes)
                        for output in range(self.outputs)
                    ]
                    for row, of_row in enumerate(sums):
                        seen = code.load(code.at(reads, row * self.place + at), many % code.lanes)
                        for total, vector in zip(of_row, weights, strict=True):
                            code.add_product(total, seen, vector)
                code.set(x, code.at(reads, given.tap))
                code.set(weight, code.at(of_tap, self.outputs * self.channels))
            for row, of_row in enumerate(sums):
                for output, total in enumerate(of_row):
                    whole = code.add(code.sum_of_lanes(code.get(total)), begin[output])
                    code.builder.store(whole, code.at(y, row * self.y_place + output))


SUMS = {32: 16, 16: 8}
"""Vectors of sums in a tile."""

BLOCK = 1 << 16
"""Bytes of the array that is read, of a run of tiles: they stay in a core's cache for the other sweeps."""


class Narrow(Method):
    """A convolution to few channels, or an input gradient of few."""

    packs = True

    def schedule(self, threads: int) -> Schedule:
        """The tiles, one run of places after the other."""
        del threads
        made, walk, panel = Schedule(), self.walk, 0
        across, most = walk.inner > 1, SUMS[self.machine.registers] // self.writes
        block = max(BLOCK // (self.x_all * walk.sweeps[0].step * ITEM[self.problem.dtype]), most)
        group = np.arange(self.groups)[:, None]
        for sweep in walk.sweeps:
            step, apart = (1, 1) if across else (sweep.step, sweep.apart)
            for place, count, tap, taps in sweep.runs(walk.length):
                first = place + np.arange(0, count, 1 if across else block)
                places = np.full_like(first, walk.inner) if across else np.minimum(block, place + count - first)
                rows = [min(most, many) for many in places.tolist()]
                tiles = {
                    many: made.number(NarrowTile(many, self.writes, self.reads, step * self.x_all, apart * self.y_all))
                    for many in set(rows)
                }
                x = (sweep.first + first * sweep.step + tap * sweep.spread) * walk.inner * self.x_all
                made.add(
                    tile=np.array([tiles[many] for many in rows]),
                    x=x + group * self.reads,
                    weight=panel + (group * len(sweep.taps) + tap) * self.writes * self.reads,
                    bias=group * self.writes,
                    y=(sweep.at + first * sweep.apart) * walk.inner * self.y_all + group * self.writes,
                    taps=taps,
                    places=places,
                    turn=x // (block * self.x_all),
                )
            panel += self.groups * len(sweep.taps) * self.writes * self.reads
        if len(walk.sweeps) > 1:
            made.in_turn()
        return made

    def pack(self, weight: Floats) -> Floats:
        """For each sweep and group: taps, output channels, input channels."""
        by_group = weight.reshape(self.kernel, -1, self.groups, weight.shape[2] // self.groups)
        by_group = by_group.transpose((0, 2, 1, 3) if self.back else (0, 2, 3, 1))
        panels = [by_group[sweep.of_kernel].swapaxes(0, 1).ravel() for sweep in self.walk.sweeps]
        return panels[0] if len(panels) == 1 else np.concatenate(panels)

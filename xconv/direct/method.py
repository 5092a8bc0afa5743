"""How a direction of a problem is cut into tiles: what the methods have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod

from xconv.core.problem import ConvProblem
from xconv.direct.machine import ITEM, LINE, Machine
from xconv.direct.program import Floats, Part, Schedule, Sizes
from xconv.direct.sweeps import Walk


class Method(ABC):
    """Where the tiles of a direction of a problem lie, and in which order they want its weights.

    Attributes:
        walk: what is slid over.
        x_all, y_all: channels of the array that is slid over, and of the other signal (the result, or dy).
        packs: whether weights and bias are to be brought into the order of the tiles.
        swapped: whether the tiles take the second operand for the first.
        sums: numbers that a weight gradient's tiles add to; 0 where they write the result itself.
    """

    packs = False
    swapped = False
    sums = 0

    def __init__(self, direction: str, problem: ConvProblem, machine: Machine) -> None:
        self.problem, self.machine, self.lanes = problem, machine, machine.lanes(problem.dtype)
        self.walk, self.kernel, self.groups = Walk(direction, problem), problem.kernel, problem.groups
        self.back = direction == "input_gradient"
        self.reads, self.writes = problem.group_in, problem.group_out
        if self.back:
            self.reads, self.writes = self.writes, self.reads
        self.x_all, self.y_all = self.reads * self.groups, self.writes * self.groups

    @abstractmethod
    def schedule(self, threads: int) -> Schedule:
        """All tiles, in the order in which they are best computed."""

    def parts(self, schedule: Schedule, threads: int) -> list[Part]:
        """What each thread works off."""
        return schedule.parts(self.walk.lines, threads)

    def sizes(self) -> Sizes:
        """The steps of the arrays."""
        walk = self.walk
        x_line = walk.length * walk.inner * self.x_all
        y_line = walk.inner * self.y_all * sum(each.places for each in walk.sweeps)
        steps = walk.spread * walk.inner * self.x_all, walk.spread, walk.length
        if not self.sums:
            return Sizes(x_line, 0, y_line, *steps)
        return Sizes(y_line, x_line, 0, *steps) if self.swapped else Sizes(x_line, y_line, 0, *steps)

    def zeros(self) -> int:
        """Numbers of padding, or of a bias that is not there, that a tile may read."""
        return max(self.x_all, self.y_all)

    def pack(self, weight: Floats) -> Floats:
        """The weight in the order of the tiles."""
        return weight

    def pack_bias(self, bias: Floats) -> Floats:
        """The bias in the order of the tiles."""
        return bias

    def result(self, sums: Floats) -> Floats:
        """The weight gradient, from what the tiles added up."""
        return sums.reshape(self.problem.weight_shape)


STREAMED = 1 << 25
"""Bytes of a result from which it is written past the caches, which would not hold it until it is read."""


def streams(method: Method, channels: int) -> bool:
    """Whether each vector of so many channels is a whole line of memory, of a large result."""
    whole = channels % method.lanes == method.y_all % method.lanes == 0
    large = method.walk.places * method.y_all * ITEM[method.problem.dtype] >= STREAMED
    return whole and large and method.machine.vector == LINE

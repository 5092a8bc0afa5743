"""How a direction of a problem is cut into tiles: what the methods have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod

from xconv.core.problem import ConvProblem
from xconv.direct.phases import DirectionGeometry
from xconv.direct.processor import CACHE_LINE_BYTES, ITEM_BYTES, Processor
from xconv.direct.program import ArrayStrides, Floats, Schedule, ThreadShare


class Method(ABC):
    """Where the tiles of a direction of a problem lie, and in which order they want its weights.

    Attributes:
        walk: what is slid over.
        x_all, y_all: channels of the array that is slid over, and of the other signal (the result, or dy).
        packs: whether weights and bias are to be brought into the order of the tiles.
        swapped: whether the tiles take the second operand for the first.
        sums: numbers that a weight gradient's tiles add to; 0 where they write the result itself.
    """

    packs_weight = False
    swaps_operands = False
    sum_count = 0

    def __init__(self, direction: str, problem: ConvProblem, processor: Processor) -> None:
        self.problem, self.processor, self.lanes = problem, processor, processor.lanes(problem.dtype)
        self.geometry, self.kernel, self.groups = DirectionGeometry(direction, problem), problem.kernel, problem.groups
        self.is_input_gradient = direction == "input_gradient"
        self.read_channels, self.written_channels = problem.group_in, problem.group_out
        if self.is_input_gradient:
            self.read_channels, self.written_channels = self.written_channels, self.read_channels
        self.x_channels, self.y_channels = self.read_channels * self.groups, self.written_channels * self.groups

    @abstractmethod
    def schedule(self, threads: int) -> Schedule:
        """All tiles, in the order in which they are best computed."""

    def split_among_threads(self, schedule: Schedule, threads: int) -> list[ThreadShare]:
        """What each thread works off."""
        return schedule.split_among_threads(self.geometry.lines, threads)

    def strides(self) -> ArrayStrides:
        """The steps of the arrays."""
        geometry = self.geometry
        x_line = geometry.length * geometry.inner * self.x_channels
        y_line = geometry.inner * self.y_channels * sum(each.places for each in geometry.phases)
        steps = geometry.tap_step * geometry.inner * self.x_channels, geometry.tap_step, geometry.length
        if not self.sum_count:
            return ArrayStrides(x_line, 0, y_line, *steps)
        return (
            ArrayStrides(y_line, x_line, 0, *steps) if self.swaps_operands else ArrayStrides(x_line, y_line, 0, *steps)
        )

    def zero_count(self) -> int:
        """Numbers of padding, or of a bias that is not there, that a tile may read."""
        return max(self.x_channels, self.y_channels)

    def pack(self, weight: Floats) -> Floats:
        """The weight in the order of the tiles."""
        return weight

    def pack_bias(self, bias: Floats) -> Floats:
        """The bias in the order of the tiles."""
        return bias

    def finish_gradient(self, sums: Floats) -> Floats:
        """The weight gradient, from what the tiles added up."""
        return sums.reshape(self.problem.weight_shape)


STREAMED_BYTES = 1 << 25
"""Bytes of a result from which it is written past the caches, which would not hold it until it is read."""


def is_streamed(method: Method, channels: int) -> bool:
    """Whether each vector of so many channels is a whole line of memory, of a large result."""
    whole = channels % method.lanes == method.y_channels % method.lanes == 0
    large = method.geometry.places * method.y_channels * ITEM_BYTES[method.problem.dtype] >= STREAMED_BYTES
    return whole and large and method.processor.vector_bytes == CACHE_LINE_BYTES

"""How a direction of a problem is cut into tiles: what all methods share."""

from __future__ import annotations

from abc import ABC, abstractmethod

from xconv.core.problem import ConvProblem
from xconv.direct.phases import DirectionGeometry
from xconv.direct.processor import CACHE_LINE_BYTES, ITEM_BYTES, Processor
from xconv.direct.program import ArrayStrides, Floats, Schedule, ThreadShare


class Method(ABC):
    """The tiles of a direction of a problem, and the order in which they read its weights.

    Attributes:
        geometry: which elements each place reads and writes.
        lanes: numbers in a vector register.
        read_channels, written_channels: channels of a group in the array that is read, and in the other signal (the
            result, or dy); ``x_channels`` and ``y_channels`` are those of all groups.
        packs_weight: whether :meth:`pack` and :meth:`pack_bias` must reorder weight and bias.
        swaps_operands: whether the program is called with dy for x and x for dy.
        sum_count: numbers of the sums of a weight gradient; 0 for other directions, whose tiles write the result.
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
    def build_schedule(self, threads: int) -> Schedule:
        """All tiles, in the order in which they are computed, for ``threads`` threads."""

    def split_among_threads(self, schedule: Schedule, threads: int) -> list[ThreadShare]:
        """The lines and entries that each thread computes."""
        return schedule.split_among_threads(self.geometry.lines, threads)

    def compute_strides(self) -> ArrayStrides:
        """Numbers from line to line and from tap to tap of the arrays."""
        geometry = self.geometry
        x_line = geometry.length * geometry.inner * self.x_channels
        y_line = geometry.inner * self.y_channels * sum(each.places for each in geometry.phases)
        steps = geometry.tap_step * geometry.inner * self.x_channels, geometry.tap_step, geometry.length
        if not self.sum_count:
            return ArrayStrides(x_line, 0, y_line, *steps)
        return (
            ArrayStrides(y_line, x_line, 0, *steps) if self.swaps_operands else ArrayStrides(x_line, y_line, 0, *steps)
        )

    def count_zeros(self) -> int:
        """Zeros that a tile may read for padding or for a bias that is not given."""
        return max(self.x_channels, self.y_channels)

    def pack(self, weight: Floats) -> Floats:
        """A weight (tap, input channel of a group, output channel) in the order in which tiles read it."""
        return weight

    def pack_bias(self, bias: Floats) -> Floats:
        """A bias (output channel,) in the order in which tiles read it."""
        return bias

    def finish_gradient(self, sums: Floats) -> Floats:
        """The weight gradient (tap, input channel of a group, output channel), from ``sum_count`` sums."""
        return sums.reshape(self.problem.weight_shape)


STREAMED_BYTES = 1 << 25
"""Bytes of a result from which it is written past the caches: they would not hold it until it is read."""


def is_streamed(method: Method, channels: int) -> bool:
    """Whether a result is large and each vector of ``channels`` channels of it a whole cache line."""
    whole = channels % method.lanes == method.y_channels % method.lanes == 0
    large = method.geometry.places * method.y_channels * ITEM_BYTES[method.problem.dtype] >= STREAMED_BYTES
    return whole and large and method.processor.vector_bytes == CACHE_LINE_BYTES

"""A direction of a problem, ready to run: its method, its compiled code, and the schedule for its sizes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from math import prod
from typing import TypeAlias

from xconv.core.problem import ConvProblem
from xconv.direct.groups import as_depthwise, has_repeated_input
from xconv.direct.method import Method
from xconv.direct.processor import ITEM_BYTES, Processor, address, detect_processor
from xconv.direct.program import Floats, TileProgram
from xconv.direct.scratch import make_zeros, take_scratch
from xconv.direct.team import Team

KEPT_COMPUTATIONS = 512
"""Computations that are kept."""

THREAD_PRODUCTS = 1 << 17
"""Products of vectors from which another thread pays."""


def choose_method(
    direction: str, problem: ConvProblem, processor: Processor, constant_weight: bool = False
) -> type[Method]:
    """The method for the channels of a problem; ``constant_weight`` says that the weight will not change.

    Its module is imported when a layer first needs it: all of them would be a tenth of what the first call costs.
    """
    if problem.group_in == problem.group_out == 1:
        if direction == "weight_gradient":
            from xconv.direct.depthwise_weights import DepthwiseWeightMethod

            return DepthwiseWeightMethod
        from xconv.direct.depthwise import DepthwiseMethod

        return DepthwiseMethod
    if direction == "weight_gradient":
        from xconv.direct.weights import WeightMethod

        return WeightMethod
    reads, writes = problem.group_in, problem.group_out
    if direction == "input_gradient":
        reads, writes = writes, reads
    if writes <= processor.lanes(problem.dtype) // 2 <= reads:
        from xconv.direct.narrow import NarrowMethod

        return NarrowMethod
    from xconv.direct.dense import ConstantWeightDenseMethod, DenseMethod

    return ConstantWeightDenseMethod if constant_weight else DenseMethod


Run: TypeAlias = Callable[[int, int, int | None, int, Team], None]
"""Called with the addresses of the signal (x, or dy for an input gradient), weight, bias and result, and a team."""


class Computation:
    """A direction of a problem, for the addresses of row-major arrays in the problem's dtype.

    Shapes are those of the problem: x (outer, length, inner, input channels), dy and results of the forward direction
    (outer, output length, inner, output channels), the weight (tap, input channel of a group, output channel), the bias
    (output channel,).

    Attributes:
        run: computes a result or an input gradient, with a weight and bias that the method has packed if
            ``packs_weight`` says so.
    """

    def __init__(
        self, direction: str, problem: ConvProblem, threads: int, processor: Processor, constant_weight: bool = False
    ) -> None:
        threads = max(1, min(threads, int(problem.macs) // (THREAD_PRODUCTS * processor.lanes(problem.dtype))))
        self.method = choose_method(direction, problem, processor, constant_weight)(direction, problem, processor)
        schedule = self.method.build_schedule(threads)
        shares = self.method.split_among_threads(schedule, threads)
        self.packs_weight, self.sum_count = self.method.packs_weight, self.method.sum_count
        self.swaps_operands = self.method.swaps_operands
        self.run: Run = TileProgram(
            schedule, self.method.compute_strides(), shares, problem.dtype, processor, self.method.count_zeros()
        )

    def weight_gradient(self, x: int, dy: int, team: Team) -> Floats:
        """The weight gradient (tap, input channel of a group, output channel) from the addresses of x and dy."""
        total = make_zeros(self.sum_count, self.method.problem.dtype)
        self.add(x, dy, address(total), team)
        return self.method.finish_gradient(total)

    def add(self, x: int, dy: int, total: int, team: Team) -> None:
        """Add a weight gradient to the sums at address ``total``."""
        self.run(*((dy, x) if self.swaps_operands else (x, dy)), None, total, team)


CACHED_BYTES = 1 << 18
"""Bytes of a repeated input that stay in a core's cache until they are read."""


class RepeatedComputation:
    """The same for small groups, as a depthwise computation on a repeated input, some lines at a time.

    A result is computed from the repeated input; an input gradient is summed over the repetitions.
    """

    def __init__(
        self, direction: str, problem: ConvProblem, threads: int, processor: Processor, constant_weight: bool
    ) -> None:
        from xconv.direct.repeated import build_repeat_program  # see choose_method

        self._dtype, self._weight_shape, item = problem.dtype, problem.weight_shape, ITEM_BYTES[problem.dtype]
        size = prod(as_depthwise(problem).input_shape) // problem.outer
        lines = max(
            1, min(problem.outer, CACHED_BYTES // max(size * item, 1))
        )  # whatever the threads, for the same sums
        self._size, is_input_gradient = lines * size, direction == "input_gradient"
        self._x_line = problem.length * problem.inner * problem.in_channels * item
        self._y_line = problem.output_length * problem.inner * problem.out_channels * item

        def build_piece(line_count: int) -> tuple[Computation, TileProgram]:
            piece = replace(problem, outer=line_count)
            computation = Computation(direction, as_depthwise(piece), threads, processor, constant_weight)
            return computation, build_repeat_program(piece, threads, processor, is_input_gradient)

        whole, rest = divmod(problem.outer, lines)
        self._pieces = [(n * lines, *each) for each in [build_piece(lines)] for n in range(whole)]
        self._pieces += [(whole * lines, *build_piece(rest))] if rest else []
        first = self._pieces[0][1]
        self.packs_weight, self.method, self.sum_count = first.packs_weight, first.method, first.sum_count
        self.run: Run = self._run_and_add_up if is_input_gradient else self._run_on_repeated

    def weight_gradient(self, x: int, dy: int, team: Team) -> Floats:
        """That of :class:`Computation`, from the repeated input."""
        repeated_input = take_scratch("repeated", self._size, self._dtype)
        total = make_zeros(self.sum_count, self._dtype)
        for line, computation, repeated in self._pieces:
            repeated(x + line * self._x_line, 0, None, address(repeated_input), team)
            computation.add(address(repeated_input), dy + line * self._y_line, address(total), team)
        return self.method.finish_gradient(total).reshape(self._weight_shape)

    def _run_on_repeated(self, x: int, weight: int, bias: int | None, y: int, team: Team) -> None:
        repeated_input = take_scratch("repeated", self._size, self._dtype)
        for line, computation, repeated in self._pieces:
            repeated(x + line * self._x_line, 0, None, address(repeated_input), team)
            computation.run(address(repeated_input), weight, bias, y + line * self._y_line, team)

    def _run_and_add_up(self, dy: int, weight: int, bias: int | None, dx: int, team: Team) -> None:
        assert bias is None, "the caller adds the bias to the sums"
        repeated_input = take_scratch("repeated", self._size, self._dtype)
        for line, computation, added_up in self._pieces:
            computation.run(dy + line * self._y_line, weight, None, address(repeated_input), team)
            added_up(address(repeated_input), 0, None, dx + line * self._x_line, team)


AnyComputation: TypeAlias = Computation | RepeatedComputation


def prepare(direction: str, problem: ConvProblem, threads: int, *, constant_weight: bool = False) -> AnyComputation:
    """The computation of a direction of a problem by ``threads`` threads at most; made once.

    ``constant_weight`` says that the weight will not change, so that it is packed where that pays once.
    """
    return _prepare(direction, problem, threads, detect_processor(), constant_weight)


@lru_cache(maxsize=KEPT_COMPUTATIONS)
def _prepare(
    direction: str, problem: ConvProblem, threads: int, processor: Processor, constant_weight: bool
) -> Computation | RepeatedComputation:
    kind = RepeatedComputation if has_repeated_input(problem) else Computation
    return kind(direction, problem, threads, processor, constant_weight)

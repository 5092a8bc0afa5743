"""A direction of a problem, ready to run: the method that suits it, its code, and the schedule for its sizes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from math import prod
from typing import TypeAlias

from xconv.core.problem import ConvProblem
from xconv.direct.groups import alone, is_repeated
from xconv.direct.machine import ITEM, Machine, address, here
from xconv.direct.method import Method
from xconv.direct.program import Floats, Program
from xconv.direct.scratch import scratch, zeros
from xconv.direct.team import Team

KEPT = 512
"""Directions of problems that are kept ready."""

SHARE = 1 << 17
"""Products of a thread, in vectors, from which it is worth to wake it."""


def method(direction: str, problem: ConvProblem, machine: Machine, for_good: bool = False) -> type[Method]:
    """The method that suits the channels; ``for_good`` says that the weight will not change.

    Each is imported when the first layer needs it: all of them would be a tenth of what the first call costs.
    """
    if problem.group_in == problem.group_out == 1:
        if direction == "weight_gradient":
            from xconv.direct.depthwise_weights import DepthwiseWeights

            return DepthwiseWeights
        from xconv.direct.depthwise import Depthwise

        return Depthwise
    if direction == "weight_gradient":
        from xconv.direct.weights import Weights

        return Weights
    reads, writes = problem.group_in, problem.group_out
    if direction == "input_gradient":
        reads, writes = writes, reads
    if writes <= machine.lanes(problem.dtype) // 2 <= reads:
        from xconv.direct.narrow import Narrow

        return Narrow
    from xconv.direct.dense import Dense, DenseForGood

    return DenseForGood if for_good else Dense


Run: TypeAlias = Callable[[int, int, int | None, int, Team], None]
"""Called with the addresses of what is slid over, the weight, the bias and the result."""


class Prepared:
    """A direction of a problem, to be called with addresses of channels-last arrays that lie in order in memory."""

    def __init__(
        self, direction: str, problem: ConvProblem, threads: int, machine: Machine, for_good: bool = False
    ) -> None:
        threads = max(1, min(threads, int(problem.macs) // (SHARE * machine.lanes(problem.dtype))))
        self.method = method(direction, problem, machine, for_good)(direction, problem, machine)
        schedule = self.method.schedule(threads)
        parts = self.method.parts(schedule, threads)
        self.packs, self.swapped, self.sums = self.method.packs, self.method.swapped, self.method.sums
        self.run: Run = Program(schedule, self.method.sizes(), parts, problem.dtype, machine, self.method.zeros())

    def weight_gradient(self, x: int, dy: int, team: Team) -> Floats:
        """Compute it, where ``run`` computes a result or the gradient for x."""
        total = zeros(self.sums, self.method.problem.dtype)
        self.add(x, dy, address(total), team)
        return self.method.result(total)

    def add(self, x: int, dy: int, total: int, team: Team) -> None:
        """Add a weight gradient to sums at an address."""
        self.run(*((dy, x) if self.swapped else (x, dy)), None, total, team)


CACHED = 1 << 18
"""Bytes of a repeated input that a core's cache holds until they are read."""


class Repeated:
    """The same for small groups, as channels alone: of an input that is repeated, or whose gradient is added up.

    A few lines at a time, where there are several.
    """

    def __init__(self, direction: str, problem: ConvProblem, threads: int, machine: Machine, for_good: bool) -> None:
        from xconv.direct.repeated import repeating  # see method

        self._dtype, self._weight_shape, item = problem.dtype, problem.weight_shape, ITEM[problem.dtype]
        size = prod(alone(problem).input_shape) // problem.outer
        lines = max(1, min(problem.outer, CACHED // max(size * item, 1)))  # however many threads: the same sums
        self._size, back = lines * size, direction == "input_gradient"
        self._x_line = problem.length * problem.inner * problem.in_channels * item
        self._y_line = problem.output_length * problem.inner * problem.out_channels * item

        def piece(many: int) -> tuple[Prepared, Program]:
            part = replace(problem, outer=many)
            return Prepared(direction, alone(part), threads, machine, for_good), repeating(part, threads, machine, back)

        whole, rest = divmod(problem.outer, lines)
        self._pieces = [(n * lines, *each) for each in [piece(lines)] for n in range(whole)]
        self._pieces += [(whole * lines, *piece(rest))] if rest else []
        first = self._pieces[0][1]
        self.packs, self.method, self.sums = first.packs, first.method, first.sums
        self.run: Run = self._added_up if back else self._repeated

    def weight_gradient(self, x: int, dy: int, team: Team) -> Floats:
        """Of the repeated input."""
        apart = scratch("repeated", self._size, self._dtype)
        total = zeros(self.sums, self._dtype)
        for line, known, repeated in self._pieces:
            repeated(x + line * self._x_line, 0, None, address(apart), team)
            known.add(address(apart), dy + line * self._y_line, address(total), team)
        return self.method.result(total).reshape(self._weight_shape)

    def _repeated(self, x: int, weight: int, bias: int | None, y: int, team: Team) -> None:
        apart = scratch("repeated", self._size, self._dtype)
        for line, known, repeated in self._pieces:
            repeated(x + line * self._x_line, 0, None, address(apart), team)
            known.run(address(apart), weight, bias, y + line * self._y_line, team)

    def _added_up(self, dy: int, weight: int, bias: int | None, dx: int, team: Team) -> None:
        assert bias is None, "a bias is added to the sums"
        apart = scratch("repeated", self._size, self._dtype)
        for line, known, added_up in self._pieces:
            known.run(dy + line * self._y_line, weight, None, address(apart), team)
            added_up(address(apart), 0, None, dx + line * self._x_line, team)


Known: TypeAlias = Prepared | Repeated


def prepared(direction: str, problem: ConvProblem, threads: int, *, for_good: bool = False) -> Known:
    """What is needed to compute a direction of a problem with so many threads at most; made once.

    ``for_good`` is for a weight that will not change.
    """
    return _prepared(direction, problem, threads, here(), for_good)


@lru_cache(maxsize=KEPT)
def _prepared(
    direction: str, problem: ConvProblem, threads: int, machine: Machine, for_good: bool
) -> Prepared | Repeated:
    kind = Repeated if is_repeated(problem) else Prepared
    return kind(direction, problem, threads, machine, for_good)

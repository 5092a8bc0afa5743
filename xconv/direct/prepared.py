"""A direction of a problem, ready to run: the method that suits it, its code, and the schedule for its sizes."""

from __future__ import annotations

from functools import lru_cache

from xconv.direct.dense import Dense, DenseForGood
from xconv.direct.depthwise import Depthwise
from xconv.direct.depthwise_weights import DepthwiseWeights
from xconv.direct.machine import Machine, address, here
from xconv.direct.method import Method
from xconv.direct.narrow import Narrow
from xconv.direct.program import Floats, Program
from xconv.direct.scratch import zeros
from xconv.direct.team import Team
from xconv.direct.weights import Weights
from xconv.problem import ConvProblem

KEPT = 512
"""Directions of problems that are kept ready."""

SHARE = 1 << 17
"""Products of a thread, in vectors, from which it is worth to wake it."""


def method(direction: str, problem: ConvProblem, machine: Machine, for_good: bool = False) -> type[Method]:
    """The method that suits the channels; ``for_good`` says that the weight will not change."""
    if problem.group_in == problem.group_out == 1:
        return DepthwiseWeights if direction == "weight_gradient" else Depthwise
    if direction == "weight_gradient":
        return Weights
    reads, writes = problem.group_in, problem.group_out
    if direction == "input_gradient":
        reads, writes = writes, reads
    if writes <= machine.lanes(problem.dtype) // 2 <= reads:
        return Narrow
    return DenseForGood if for_good else Dense


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
        self.run = Program(schedule, self.method.sizes(), parts, problem.dtype, machine, self.method.zeros())

    def weight_gradient(self, x: int, dy: int, team: Team) -> Floats:
        """Compute it, where ``run`` computes a result or the gradient for x."""
        total = zeros(self.sums, self.method.problem.dtype)
        self.run(*((dy, x) if self.swapped else (x, dy)), None, address(total), team)
        return self.method.result(total)


def prepared(direction: str, problem: ConvProblem, threads: int, *, for_good: bool = False) -> Prepared:
    """What is needed to compute a direction of a problem with so many threads at most; made once.

    ``for_good`` is for a weight that will not change.
    """
    return _prepared(direction, problem, threads, here(), for_good)


@lru_cache(maxsize=KEPT)
def _prepared(direction: str, problem: ConvProblem, threads: int, machine: Machine, for_good: bool) -> Prepared:
    return Prepared(direction, problem, threads, machine, for_good)

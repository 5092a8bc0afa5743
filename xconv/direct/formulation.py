"""The formulation ``direct``, for any framework whose arrays lie in the memory of the CPU."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from xconv.backend import Array, Formulation
from xconv.direct.machine import unavailable
from xconv.direct.prepared import prepared
from xconv.direct.team import Team
from xconv.problem import ConvProblem

MOST_GROUPS = 256
"""Groups of several channels, each of which has tiles of its own."""


class Memory(Protocol):
    """What a framework's arrays are to code that knows addresses."""

    team: Team
    """The framework's own threads, if it has any that others may use."""

    def is_hidden(self, *arrays: Array | None) -> bool:
        """Whether there is no memory to compute in (a compiler traces), or somebody must see what is done to it."""

    def ordered(self, array: Array) -> Array:
        """The array, or a copy of it in the order of its axes."""

    def address(self, array: Array) -> int:
        """Where it lies."""

    def view(self, array: Array) -> np.ndarray:
        """Its memory as a NumPy array."""

    def empty(self, like: Array, shape: Sequence[int]) -> Array:
        """An array to be written."""

    def from_numpy(self, array: np.ndarray) -> Array:
        """An array of the framework."""

    def threads(self) -> int:
        """How many threads may compute."""

    def otherwise(self, direction: str, problem: ConvProblem) -> Formulation:
        """What computes it where there is no memory to compute in."""


class Direct(Formulation):
    """Sums in registers, by code that is compiled for the layer (:mod:`xconv.direct`).

    Where its arrays are not in the CPU's memory, or a compiler traces, it is the framework's own op.
    """

    name = "direct"
    needs_memory = True

    def __init__(self, memory: Memory) -> None:
        self.memory = memory

    def unsupported(self, direction: str, problem: ConvProblem) -> str | None:
        if not problem.is_static:
            return "sizes are not known yet"
        reason = unavailable()
        if reason is not None:
            return f"no code can be compiled here ({reason})"
        if 1 < problem.groups and max(problem.group_in, problem.group_out) > 1:
            if problem.groups > MOST_GROUPS or max(problem.group_in, problem.group_out) < 8:
                return "its groups are many, or too small to fill a vector"
        return None

    def forward(self, problem: ConvProblem, axis: int, x: Array, weight: Array, bias: Array | None) -> Array:
        if self.memory.is_hidden(x, weight, bias):
            return self.memory.otherwise("forward", problem).forward(problem, axis, x, weight, bias)
        return self._signal("forward", problem, axis, x, weight, bias)

    def input_gradient(self, problem: ConvProblem, axis: int, dy: Array, weight: Array) -> Array:
        if self.memory.is_hidden(dy, weight):
            return self.memory.otherwise("input_gradient", problem).input_gradient(problem, axis, dy, weight)
        return self._signal("input_gradient", problem, axis, dy, weight, None)

    def weight_gradient(self, problem: ConvProblem, axis: int, x: Array, dy: Array) -> Array:
        memory = self.memory
        if memory.is_hidden(x, dy):
            return memory.otherwise("weight_gradient", problem).weight_gradient(problem, axis, x, dy)
        ready = prepared("weight_gradient", problem, memory.threads())
        x, dy = memory.ordered(x), memory.ordered(dy)
        return memory.from_numpy(ready.weight_gradient(memory.address(x), memory.address(dy), memory.team))

    def _signal(
        self, direction: str, problem: ConvProblem, axis: int, a: Array, weight: Array, bias: Array | None
    ) -> Array:
        memory = self.memory
        ready = prepared(direction, problem, memory.threads())
        a, shape = memory.ordered(a), list(a.shape)
        shape[axis] = problem.output_length if direction == "forward" else problem.length
        shape[-1] = problem.out_channels if direction == "forward" else problem.in_channels
        y = memory.empty(a, shape)
        if ready.packs:
            kernel, begin = ready.packed(memory.view(weight), None if bias is None else memory.view(bias))
            ready.run(memory.address(a), kernel.ctypes.data, None if begin is None else begin.ctypes.data, memory.address(y), memory.team)
        else:
            weight, bias = memory.ordered(weight), None if bias is None else memory.ordered(bias)
            begin = None if bias is None else memory.address(bias)
            ready.run(memory.address(a), memory.address(weight), begin, memory.address(y), memory.team)
        return y

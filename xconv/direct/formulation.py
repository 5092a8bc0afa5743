"""The formulation ``direct``, for any framework whose arrays are in the memory of the CPU."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from math import prod
from typing import TYPE_CHECKING, Protocol

import numpy as np

from xconv.core.call import Call
from xconv.core.cost import ITEM_SIZE, LANES
from xconv.core.formulation import Array, Formulation
from xconv.core.problem import ConvProblem
from xconv.direct.availability import unavailable
from xconv.direct.groups import as_depthwise, fills_vectors, has_repeated_input
from xconv.direct.order import (
    CHANNELS_FIRST,
    ROW_MAJOR,
    MemoryOrder,
    from_channels_last,
    order_kernel,
    to_channels_last,
)
from xconv.direct.processor import ITEM_BYTES, address
from xconv.direct.scratch import take_scratch
from xconv.direct.team import Team

if TYPE_CHECKING:
    from xconv.core.lowering import Lowered
    from xconv.direct.prepared import AnyComputation

GRADIENT_ROWS = 6
"""Rows of a tile of a weight gradient, for estimates."""


class Memory(Protocol):
    """The memory of a framework's arrays, for code that reads and writes by address.

    Arrays are of the framework, float32 or float64, in the memory of the CPU. Signals are channels last, (N, L, C) or
    (N, H, W, C); weights are (taps, input channels of a group, output channels); a bias is (output channels,).
    """

    team: Team
    """What runs the shares of the threads: the framework's own threads where others may use them."""

    def wants_gradients(self, *arrays: Array | None) -> bool:
        """Whether the framework may ask for gradients of what is computed from arrays of any shapes and dtypes."""

    def memory_order(self, array: Array) -> MemoryOrder:
        """The order of an array's numbers in memory, for any shape and dtype."""

    def to_row_major(self, array: Array) -> Array:
        """The array, or a row-major copy: the same shape and dtype."""

    def permute(self, array: Array, axes: tuple[int, ...]) -> Array:
        """The array with axis ``axes[i]`` as its axis ``i``, of shape ``[array.shape[i] for i in axes]``: a view or a
        copy of the same dtype."""

    def dtype(self, array: Array) -> str:
        """``"float32"`` or ``"float64"``, the type of the numbers of an array of any shape."""

    def address(self, array: Array) -> int:
        """The address of the first number of an array of any shape, in bytes."""

    def to_numpy(self, array: Array) -> np.ndarray:
        """A row-major NumPy array of the same shape and dtype: the array's memory where that is possible, or a copy."""

    def materialize(self, array: Array) -> Array:
        """The array, or a copy of the same shape and dtype if its memory does not hold its numbers: a sign or zeros
        that the framework keeps beside it."""

    def empty(self, like: Array, shape: Sequence[int]) -> tuple[Array, int]:
        """A new row-major array of ``shape`` and of the dtype of ``like``, with any numbers, and its address in bytes.

        The address is a multiple of :data:`~xconv.direct.processor.CACHE_LINE_BYTES`.
        """

    def from_numpy(self, array: np.ndarray) -> Array:
        """An array of the same shape and dtype, which may share the memory of the NumPy array."""

    def threads(self) -> int:
        """How many threads may compute a call, at least 1."""


class Direct(Formulation):
    """Sums in registers, by code that is compiled for the layer (:mod:`xconv.direct`).

    Signals are channels last, (N, L, C) or (N, H, W, C), and slide along ``axis``; weights are (taps, input channels of
    a group, output channels); a bias has the shape of the result's channels. All are float32 or float64; float16 and
    bfloat16 problems come with float32 arrays.
    """

    name = "direct"
    needs_memory = True

    def __init__(self, memory: Memory) -> None:
        self.memory = memory

    def unsupported(self, direction: str, problem: ConvProblem) -> str | None:
        """Why not: sizes that are not known, groups that fill no vector, or a process that cannot compile."""
        del direction
        if not problem.is_static:
            return "sizes are not known yet"
        reason = unavailable()
        if reason is not None:
            return f"no code can be compiled here ({reason})"
        if not (fills_vectors(problem) or has_repeated_input(problem)):
            return "its groups are many, or too small to fill a vector"
        return None

    def workspace(self, direction: str, problem: ConvProblem) -> int:
        """Bytes of the packed weight, or of the sums of its gradient, and of a repeated input."""
        if has_repeated_input(problem):
            depthwise = as_depthwise(problem)
            repeated = prod(depthwise.input_shape) * ITEM_SIZE[problem.dtype]
            return int(repeated + self.workspace(direction, depthwise))
        weights = problem.kernel * problem.group_in * problem.out_channels
        if problem.group_in == problem.group_out == 1:
            weights *= max(problem.inner, LANES)  # over a period
        return int(weights) * ITEM_SIZE[problem.dtype]

    def work(self, direction: str, problem: ConvProblem) -> Sequence[float]:
        """Products, sums of lanes, products of a weight gradient's tiles, runs of tiles; vectors count in full."""
        if has_repeated_input(problem):
            products, _, rows, runs = self.work(direction, as_depthwise(problem))
            return [products, prod(as_depthwise(problem).input_shape), rows, runs]
        reads, writes = problem.group_in, problem.group_out
        if direction == "input_gradient":
            reads, writes = writes, reads
        places = problem.outer * problem.output_length * problem.inner
        rows = problem.outer * (problem.output_length if problem.inner > 1 else 1)
        if reads == writes == 1:
            few = problem.stride > 1 and problem.inner == 1 and direction != "weight_gradient"
            channels = _round_up_to_lanes(problem.groups) if few else problem.groups
            return [places * problem.kernel * channels, 0, 0, rows * problem.kernel]
        narrow = writes <= LANES // 2 <= reads
        if narrow:
            reads, writes = writes, reads  # lanes run along what is summed
        products = places * problem.kernel * problem.groups * reads * _round_up_to_lanes(writes)
        sums = places * problem.groups * reads if narrow and direction != "weight_gradient" else 0
        tiles = places * problem.kernel * problem.groups * -(-reads // GRADIENT_ROWS) * _round_up_to_lanes(writes)
        return [products, sums, tiles if direction == "weight_gradient" else 0, rows * problem.groups]

    def fuses_bias(self, direction: str, problem: ConvProblem) -> bool:
        """Whether tiles add a bias: in results, and in input gradients of inputs that are not repeated."""
        return direction == "forward" or (direction == "input_gradient" and not has_repeated_input(problem))

    def forward(self, problem: ConvProblem, axis: int, x: Array, weight: Array, bias: Array | None = None) -> Array:
        """The result (N, output length, output channels), or that of a map, from ``x``."""
        return self._compute_signal("forward", problem, axis, x, weight, bias)

    def input_gradient(
        self, problem: ConvProblem, axis: int, dy: Array, weight: Array, bias: Array | None = None
    ) -> Array:
        """The gradient for ``x``, in its shape, from ``dy``; ``bias`` (input channels,) is added to it."""
        return self._compute_signal("input_gradient", problem, axis, dy, weight, bias)

    def weight_gradient(self, problem: ConvProblem, axis: int, x: Array, dy: Array) -> Array:
        """The gradient for the weight, in its shape, from ``x`` and ``dy``."""
        del axis  # the problem's outer and inner sizes say which axis slides
        memory, dtype = self.memory, self.memory.dtype(x)
        ready = _prepare("weight_gradient", problem, dtype, memory.threads())
        (x, x_at), (dy, dy_at) = (
            to_channels_last(memory, array, dtype, name) for array, name in ((x, "first"), (dy, "second"))
        )
        return memory.from_numpy(ready.weight_gradient(x_at, dy_at, memory.team))

    def _compute_signal(
        self, direction: str, problem: ConvProblem, axis: int, a: Array, weight: Array, bias: Array | None
    ) -> Array:
        ready = _prepare(direction, problem, self.memory.dtype(a), self.memory.threads())
        return self._run(ready, axis, _find_result_sizes(direction, problem), a, weight, bias)

    def _run(
        self, ready: AnyComputation, axis: int, sizes: tuple[int, int], a: Array, weight: Array, bias: Array | None
    ) -> Array:
        memory = self.memory
        if not ready.packs_weight and memory.memory_order(weight) is ROW_MAJOR:
            return self._run_with_kernel(ready, axis, sizes, a, memory.address(weight), bias)
        ordered = order_kernel(memory, weight, ready.method.problem.dtype)
        packed = ready.method.pack(ordered) if ready.packs_weight else ordered
        return self._run_with_kernel(ready, axis, sizes, a, address(packed), bias)

    def _run_with_kernel(
        self, ready: AnyComputation, axis: int, sizes: tuple[int, int], a: Array, weight: int, bias: Array | None
    ) -> Array:
        """Compute, with the address of a weight in the order in which tiles read it."""
        memory, dtype, shape = self.memory, ready.method.problem.dtype, list(a.shape)
        shape[axis], shape[-1] = sizes
        packed_bias = None if bias is None else ready.method.pack_bias(memory.to_numpy(bias))
        bias_at = None if packed_bias is None else address(packed_bias)
        if memory.memory_order(a) is CHANNELS_FIRST:
            given, at = to_channels_last(memory, a, dtype, "first")
            last = take_scratch("result", prod(shape), dtype)
            ready.run(at, weight, bias_at, address(last), memory.team)
            del given
            return from_channels_last(memory, address(last), a, shape, dtype)
        a = memory.to_row_major(a)
        y, y_at = memory.empty(a, shape)
        ready.run(memory.address(a), weight, bias_at, y_at, memory.team)
        return y

    def lower(self, call: Call, whole: Lowered) -> Lowered | None:
        """A call as little more than its code; None if the call needs more. ``whole`` computes it with gradients."""
        if not _is_plain(call):
            return None
        direction, problem, axis, memory = call.direction, call.problem, call.axis, self.memory
        layout, of_weight = call.layout, call.weight_axes
        sizes = _find_result_sizes(direction, problem)
        last, to_last, from_last = layout.channels_last, layout.to_channels_last, layout.from_channels_last
        by_threads: dict[int, AnyComputation] = {}

        def compute(x: Array, weight: Array, bias: Array | None) -> Array:
            if memory.wants_gradients(x, weight, bias):
                return whole(x, weight, bias)
            threads = memory.threads()
            ready = by_threads.get(threads)
            if ready is None:
                ready = by_threads[threads] = _prepare(direction, problem, problem.dtype, threads)
            if last:
                return self._run(ready, axis, sizes, x, weight, bias)
            y = self._run(ready, axis, sizes, memory.permute(x, to_last), memory.permute(weight, of_weight), bias)
            return memory.permute(y, from_last)

        return compute

    def pack(self, call: Call, weight: Array) -> Callable[..., Array] | None:
        """A function of ``(x, bias=None)`` with a copy of the weight, packed if it pays; None if a call needs more."""
        if not _is_plain(call) or not call.layout.channels_last:
            return None
        memory, axis, sizes = self.memory, call.axis, _find_result_sizes(call.direction, call.problem)
        fixed = memory.to_numpy(weight).copy()
        kernels: dict[int, tuple[AnyComputation, np.ndarray]] = {}

        def compute(x: Array, bias: Array | None = None) -> Array:
            threads = memory.threads()
            if threads not in kernels:
                made = _prepare(call.direction, call.problem, call.problem.dtype, threads, constant_weight=True)
                kernels[threads] = made, made.method.pack(fixed).copy() if made.packs_weight else fixed
            ready, kernel = kernels[threads]
            x = memory.materialize(x)
            return self._run_with_kernel(ready, axis, sizes, x, address(kernel), bias)

        return compute


def _round_up_to_lanes(channels: int) -> int:
    """Channels, rounded up to whole vectors."""
    return -(-channels // LANES) * LANES


def _prepare(
    direction: str, problem: ConvProblem, dtype: str, threads: int, *, constant_weight: bool = False
) -> AnyComputation:
    """The computation for arrays of ``dtype``: a float16 problem has float32 arrays."""
    from xconv.direct.prepared import prepare  # it imports what needs llvmlite

    in_dtype = problem if problem.dtype == dtype else replace(problem, dtype=dtype)
    return prepare(direction, in_dtype, threads, constant_weight=constant_weight)


def _find_result_sizes(direction: str, problem: ConvProblem) -> tuple[int, int]:
    """Size of the sliding axis, and channels, of the result."""
    if direction == "forward":
        return problem.output_length, problem.out_channels
    return problem.length, problem.in_channels


def _is_plain(call: Call) -> bool:
    """Whether a call needs no step before or after its problem is computed."""
    problem = call.problem
    in_dtype = problem.is_static and not problem.is_empty and not problem.decimates
    in_dtype = in_dtype and (
        call.direction == "forward" or not has_repeated_input(problem)
    )  # whose bias is added afterwards
    zeros = problem.padding_mode == "zeros" and problem.dtype in ITEM_BYTES
    return in_dtype and zeros and call.direction != "weight_gradient"

"""Problems in which a stride is only a choice of elements, put as problems without one.

Frameworks get some of them wrong where a stride is left, each backend and its tests say which.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol

from xconv.core.epilogue import add_bias
from xconv.core.formulation import Array
from xconv.core.problem import ConvProblem, Size

if TYPE_CHECKING:
    from xconv.core.arrays import Arrays


class Shaping(Protocol):
    """What a framework does with one axis of an array, so that strides can be left out."""

    def pad(self, x: Any, axis: int, padding: tuple[Size, Size]) -> Any:
        """Zeros on both sides; a negative amount crops."""

    def take_every(self, x: Any, axis: int, step: int) -> Any:
        """Every step-th element, from the first."""

    def spaced(self, x: Any, axis: int, step: int) -> Any:
        """``step - 1`` zeros behind each element."""


def decimated(shaping: Shaping, problem: ConvProblem, axis: int, x: Array) -> tuple[ConvProblem, Array]:
    """A forward problem of every stride-th element, if its kernel has one tap; else as it is."""
    if not problem.decimates:
        return problem, x
    return problem.decimated(), shaping.take_every(shaping.pad(x, axis, problem.padding), axis, problem.stride)


def without_stride(
    shaping: Shaping,
    compute: Callable[..., Array],
    direction: str,
    problem: ConvProblem,
    axis: int,
    a: Array,
    b: Array,
    bias: Array | None,
) -> Array:
    """A direction of a problem that decimates, by ``compute(direction, problem, axis, a, b, bias)`` of a dense one.

    oneDNN's AVX-512 weight gradient of a strided pointwise channels-last convolution writes out of its bounds.
    """
    if direction != "input_gradient":
        dense, seen = decimated(shaping, problem, axis, a)
        return compute(direction, dense, axis, seen, b, bias)
    dense, step, low = problem.decimated(), problem.stride, problem.padding[0]
    dx = shaping.spaced(compute(direction, dense, axis, a, b, None), axis, step)
    return add_bias(shaping.pad(dx, axis, (-low, problem.length + low - dense.length * step)), bias)


def single_place(arrays: Arrays, problem: ConvProblem, axis: int, x: Array) -> tuple[ConvProblem, Array]:
    """A problem whose kernel has one place, without its stride and its unseen elements.

    oneDNN's AVX-512 kernels compute wrong values for one input channel, a stride, one place and several rows.
    """
    count, low, seen = problem.output_length, problem.padding[0], problem.extent - problem.padding[0]
    if problem.stride == 1 or not problem.is_static or count != 1 or seen < 1:
        return problem, x
    length = min(problem.length, seen)
    x = x if length == problem.length else arrays.narrow(x, axis, 0, length)
    return replace(problem, stride=1, length=length, padding=(low, seen - length)), x

"""What a formulation is: one way to compute a convolution in one framework."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

from xconv.core.epilogue import add_bias
from xconv.core.problem import ConvProblem, Size
from xconv.system.errors import UnsupportedError

Array: TypeAlias = Any
"""An array of some framework: a tensor, a symbolic tensor, a traced value."""


class Formulation:
    """One way to compute the directions of a problem in one framework.

    Arrays are channels last, rank 3 ``(N, W, C)`` or rank 4 ``(N, H, W, C)``; ``axis`` is the one that slides; the
    weight is ``(kernel, in / groups, out)``. They may be views with any strides. The padding mode is always "zeros":
    other borders are in the array already.
    """

    name: str

    needs_memory: bool = False
    """Whether it computes in the arrays' own memory: a plan for a graph, whose arrays have none, takes another."""

    is_local: bool = True
    """Whether an element reaches only the results whose windows hold it, as in a sum of products.

    NaN and infinity stay there, zeros are exact before an impulse, and small integers are exact. A Fourier transform
    spreads its errors over a block.
    """

    def unsupported(self, direction: str, problem: ConvProblem) -> str | None:
        """Why this form cannot compute a direction of a problem, or None if it can."""
        del direction, problem
        return None

    def workspace(self, direction: str, problem: ConvProblem) -> Size:
        """Bytes that it holds at its peak beside its operands and its result."""
        del direction, problem
        return 0

    def work(self, direction: str, problem: ConvProblem) -> Sequence[float]:
        """Quantities of its own that its time depends on, for :mod:`xconv.planning.estimate`."""
        del direction, problem
        return ()

    def transform_length(self, direction: str, problem: ConvProblem) -> int:
        """The length of its Fourier transforms, whose error spreads over a block; 0 for sums of products."""
        del direction, problem
        return 0

    def fuses_bias(self, direction: str, problem: ConvProblem) -> bool:
        """Whether the method of a direction takes a bias too, and adds it where it stores a sum."""
        del direction, problem
        return False

    def compute(
        self, direction: str, problem: ConvProblem, axis: int, a: Array, b: Array, bias: Array | None = None
    ) -> Array:
        """One direction and its epilogue: of (x, weight), of (dy, weight) or of (x, dy); ``bias`` is (channels,)."""
        run = getattr(self, direction)
        if bias is not None and self.fuses_bias(direction, problem):
            return run(problem, axis, a, b, bias)
        return add_bias(run(problem, axis, a, b), bias)

    def forward(self, problem: ConvProblem, axis: int, x: Array, weight: Array) -> Array:
        """The convolution of ``x``."""
        del problem, axis, x, weight
        raise UnsupportedError(f"{self.name} has no forward")

    def input_gradient(self, problem: ConvProblem, axis: int, dy: Array, weight: Array) -> Array:
        """The adjoint with respect to ``x``, from the gradient of the result."""
        del problem, axis, dy, weight
        raise UnsupportedError(f"{self.name} has no input gradient")

    def weight_gradient(self, problem: ConvProblem, axis: int, x: Array, dy: Array) -> Array:
        """The adjoint with respect to the weight."""
        del problem, axis, x, dy
        raise UnsupportedError(f"{self.name} has no weight gradient")

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
    weight is ``(kernel, in / groups, out)``. All arrays of a call have one dtype: float32, float64, or float16 and
    bfloat16 where the framework sums these in float32 (:meth:`xconv.core.arrays.Arrays.accumulator`). They may be
    views with any strides. The padding mode is always "zeros": other borders are in the array already.
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
        """Why this form cannot compute a direction of a problem, or None if it can.

        Args:
            direction: "forward", "input_gradient" or "weight_gradient".
            problem: what is computed.

        Returns:
            The reason, in words that fit behind "cannot compute this problem: ", or None.
        """
        del direction, problem
        return None

    def workspace(self, direction: str, problem: ConvProblem) -> Size:
        """Bytes that it holds at its peak beside its operands and its result.

        Args:
            direction: "forward", "input_gradient" or "weight_gradient".
            problem: what is computed.

        Returns:
            A number of bytes; symbolic where a size of the problem is.
        """
        del direction, problem
        return 0

    def work(self, direction: str, problem: ConvProblem) -> Sequence[float]:
        """Quantities of its own that its time depends on, for :mod:`xconv.planning.estimate`.

        Args:
            direction: "forward", "input_gradient" or "weight_gradient".
            problem: one whose sizes are known.

        Returns:
            Numbers, always as many; what each one counts is the formulation's own.
        """
        del direction, problem
        return ()

    def transform_length(self, direction: str, problem: ConvProblem) -> int:
        """The length of its Fourier transforms, whose error spreads over a block; 0 for sums of products.

        Args:
            direction: "forward", "input_gradient" or "weight_gradient".
            problem: one whose sizes are known.

        Returns:
            The length in elements, or 0.
        """
        del direction, problem
        return 0

    def fuses_bias(self, direction: str, problem: ConvProblem) -> bool:
        """Whether the method of a direction takes a bias too, and adds it where it stores a sum.

        Args:
            direction: "forward", "input_gradient" or "weight_gradient".
            problem: what is computed.

        Returns:
            Whether the method is to be called with a bias of shape (channels of the result,) as its last argument.
        """
        del direction, problem
        return False

    def compute(
        self, direction: str, problem: ConvProblem, axis: int, a: Array, b: Array, bias: Array | None = None
    ) -> Array:
        """One direction, and the bias behind it.

        Args:
            direction: "forward", "input_gradient" or "weight_gradient".
            problem: what is computed.
            axis: the one of the channels-last arrays that slides: 1 for W of (N, W, C) and H of (N, H, W, C), 2 for its
                W.
            a: x (N, W, in) or (N, H, W, in); for "input_gradient" dy, of the shape of the result.
            b: the weight (kernel, in/groups, out); for "weight_gradient" dy, of the shape of the result.
            bias: (channels of the result,), or None.

        Returns:
            What the method of the direction returns, of shape ``problem.result_sizes(direction, a.shape, axis)`` and
            the dtype of ``a``.

        Raises:
            UnsupportedError: there is no such direction in this formulation.
        """
        run = getattr(self, direction)
        if bias is not None and self.fuses_bias(direction, problem):
            return run(problem, axis, a, b, bias)
        return add_bias(run(problem, axis, a, b), bias)

    def forward(self, problem: ConvProblem, axis: int, x: Array, weight: Array) -> Array:
        """The convolution of ``x``.

        Args:
            problem: what is computed.
            axis: the one of the channels-last arrays that slides: 1 for W of (N, W, C) and H of (N, H, W, C), 2 for its
                W.
            x: (N, W, in), or (N, H, W, in).
            weight: (kernel, in/groups, out), of the same dtype.

        Returns:
            ``x`` with ``problem.output_length`` elements along ``axis`` and ``out`` channels, of the same dtype.

        Raises:
            UnsupportedError: there is no such direction in this formulation.
        """
        del problem, axis, x, weight
        raise UnsupportedError(f"{self.name} has no forward")

    def input_gradient(self, problem: ConvProblem, axis: int, dy: Array, weight: Array) -> Array:
        """The adjoint with respect to ``x``, from the gradient of the result.

        Args:
            problem: what is computed.
            axis: the one of the channels-last arrays that slides: 1 for W of (N, W, C) and H of (N, H, W, C), 2 for its
                W.
            dy: of the shape and dtype of what :meth:`forward` returns.
            weight: (kernel, in/groups, out), of the same dtype.

        Returns:
            ``dy`` with ``problem.length`` elements along ``axis`` and ``in`` channels: the shape of ``x``.

        Raises:
            UnsupportedError: there is no such direction in this formulation.
        """
        del problem, axis, dy, weight
        raise UnsupportedError(f"{self.name} has no input gradient")

    def weight_gradient(self, problem: ConvProblem, axis: int, x: Array, dy: Array) -> Array:
        """The adjoint with respect to the weight.

        Args:
            problem: what is computed.
            axis: the one of the channels-last arrays that slides: 1 for W of (N, W, C) and H of (N, H, W, C), 2 for its
                W.
            x: (N, W, in), or (N, H, W, in).
            dy: of the shape and dtype of what :meth:`forward` returns.

        Returns:
            (kernel, in/groups, out), of the same dtype.

        Raises:
            UnsupportedError: there is no such direction in this formulation.
        """
        del problem, axis, x, dy
        raise UnsupportedError(f"{self.name} has no weight gradient")

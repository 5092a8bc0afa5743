"""What xconv asks a framework to do with its arrays."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING

from xconv.core.formulation import Array
from xconv.core.problem import ConvProblem, Size

if TYPE_CHECKING:
    import numpy as np


class Arrays(ABC):
    """A framework's arrays: what they are, and steps that it can differentiate."""

    @abstractmethod
    def unusable(self, array: Array) -> tuple[str, str] | None:
        """Why what the framework has made cannot be convolved (it is sparse, ragged, ...) and what to try, or None.

        It is asked first, of anything whose type is the framework's: it may not rely on a shape or a dtype.

        Args:
            array: anything whose type is the framework's.

        Returns:
            What it is, and a hint, in the words of an :class:`~xconv.errors.ArgumentError`; or None.
        """

    @abstractmethod
    def prepare(self, array: Array) -> Array:
        """An array as the framework computes with it (a variable is read, autocasting is applied).

        Args:
            array: a tensor or a variable of any shape and dtype.

        Returns:
            A tensor of the same shape, in the same gradient graph; of the dtype of the autocast scope, if there is one.
        """

    @abstractmethod
    def shape(self, array: Array) -> tuple[Size, ...]:
        """Sizes, as ``int`` where they are known.

        Args:
            array: a tensor of any shape.

        Returns:
            A size for each axis; one that is open while a compiler traces is symbolic.
        """

    @abstractmethod
    def dtype(self, array: Array) -> str:
        """The NumPy name of the element type.

        Args:
            array: a tensor of any shape.

        Returns:
            "float32", "bfloat16", "int64", ...
        """

    @abstractmethod
    def device(self, array: Array) -> str | None:
        """Where the array lives, in xconv's words ("cpu", "cuda:0"), or None if that is not known while tracing.

        Args:
            array: a tensor of any shape.

        Returns:
            The name of the device, or None.
        """

    @abstractmethod
    def from_numpy(self, array: np.ndarray, device: str) -> Array:
        """A NumPy array on a device of this framework, without a copy where that is safe; every dtype is kept.

        Args:
            array: of any shape and of a dtype that the framework has.
            device: "cpu", "cuda:0", ...

        Returns:
            A tensor of the same shape and dtype on that device. It may share its memory with ``array``.
        """

    @abstractmethod
    def to_numpy(self, array: Array) -> np.ndarray:
        """A NumPy array of the same type and values.

        Args:
            array: an eager tensor on any device, with or without a gradient graph.

        Returns:
            An array of the same shape in the memory of the CPU. It may share its memory with the tensor.
        """

    @abstractmethod
    def permute(self, array: Array, axes: tuple[int, ...]) -> Array:
        """The array with its axes in another order; a view where the framework has views.

        Args:
            array: a tensor of any shape.
            axes: for each axis of the result, which one of ``array`` it is, as for ``numpy.transpose``.

        Returns:
            A tensor of shape ``array.shape[axes[0]], array.shape[axes[1]], ...`` and the same dtype.
        """

    def settle(self, array: Array, like: Array) -> Array:
        """The array in the order of its axes in memory, if ``like`` is: what a caller expects.

        Args:
            array: a result, in the caller's layout.
            like: the caller's x.

        Returns:
            A tensor of the same shape, dtype and values; by default ``array`` itself.
        """
        del like
        return array

    @abstractmethod
    def narrow(self, array: Array, axis: int, start: Size, size: Size) -> Array:
        """``size`` elements of an axis from ``start``; a view where the framework has views.

        Args:
            array: a tensor of any shape.
            axis: the axis to cut, counted from 0.
            start: the first element that stays.
            size: how many elements stay.

        Returns:
            A tensor of the shape of ``array``, but ``size`` along ``axis``; the same dtype.
        """

    @abstractmethod
    def flip(self, array: Array, axis: int) -> Array:
        """The array backwards along an axis.

        Args:
            array: a tensor of any shape.
            axis: counted from 0.

        Returns:
            A tensor of the same shape and dtype.
        """

    @abstractmethod
    def repeat(self, array: Array, axis: int, times: Size) -> Array:
        """An axis of size 1 repeated.

        Args:
            array: a tensor with size 1 along ``axis``.
            axis: counted from 0.
            times: how often.

        Returns:
            A tensor of the shape of ``array``, but ``times`` along ``axis``; the same dtype.
        """

    @abstractmethod
    def concatenate(self, arrays: Sequence[Array], axis: int) -> Array:
        """Arrays joined along an axis.

        Args:
            arrays: one or more of the same dtype, and of the same shape but along ``axis``.
            axis: counted from 0.

        Returns:
            A tensor of the same dtype, as long along ``axis`` as all of them together.
        """

    @abstractmethod
    def zeros(self, shape: tuple[Size, ...], *parents: Array) -> Array:
        """Zeros of the dtype and device of the parents, and in their gradient graph.

        Args:
            shape: of the result.
            parents: one or more tensors of the same dtype and device, of any shapes.

        Returns:
            A tensor of that shape, through which a gradient of zeros flows to each parent.
        """

    @abstractmethod
    def cast(self, array: Array, dtype: str) -> Array:
        """The array with another element type.

        Args:
            array: a tensor of any shape.
            dtype: the NumPy name of the other type.

        Returns:
            A tensor of the same shape, in the same gradient graph.
        """

    @abstractmethod
    def relu(self, array: Array) -> Array:
        """The rectified array.

        Args:
            array: a tensor of any shape.

        Returns:
            ``max(array, 0)``, of the same shape and dtype.
        """

    @abstractmethod
    def accumulator(self, array: Array) -> str | None:
        """The wider dtype to compute in where the framework would sum in this array's narrow one, or None.

        Args:
            array: a floating-point tensor of any shape.

        Returns:
            "float32" for float16 and bfloat16 where that is so, or None.
        """

    def fits(self, problem: ConvProblem, x: Array) -> Array:
        """``x``, after a check when the program runs that the kernel and borders fit a length that was unknown.

        A framework whose own ops refuse what does not fit may leave it to them.

        Args:
            problem: one whose length is symbolic.
            x: (N, W, C) or (N, H, W, C).

        Returns:
            A tensor of the same shape, dtype and values; by default ``x`` itself.
        """
        del problem
        return x

    def pad_borders(self, problem: ConvProblem, axis: int, x: Array) -> Array:
        """``x`` with the border values of a padding mode on both sides of an axis.

        The mode is not "zeros". A pad is an ``int``, or a symbolic size of at least 1.

        Args:
            problem: with the pads and their mode, "reflect", "replicate" or "circular".
            axis: the one of the channels-last arrays that slides: 1 for W of (N, W, C) and H of (N, H, W, C), 2 for its
                W.
            x: (N, W, C) or (N, H, W, C), with ``problem.length`` elements along ``axis``.

        Returns:
            ``x`` with ``problem.padded_length`` elements along ``axis``, of the same dtype.
        """
        (low, high), length, mode = problem.padding, problem.length, problem.padding_mode

        def border(first: Size, count: Size) -> Array:
            """Some elements beyond an end, which show those of the signal from the first on."""
            if mode == "replicate":
                return self.repeat(self.narrow(x, axis, first, 1), axis, count)
            part = self.narrow(x, axis, first, count)
            return self.flip(part, axis) if mode == "reflect" else part

        parts = [x]
        if not (isinstance(low, int) and low == 0):
            parts.insert(0, border(length - low if mode == "circular" else int(mode == "reflect"), low))
        if not (isinstance(high, int) and high == 0):
            first = {"reflect": length - 1 - high, "replicate": length - 1}
            parts.append(border(first.get(mode, 0), high))
        return self.concatenate(parts, axis) if len(parts) > 1 else x

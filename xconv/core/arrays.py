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
        """

    @abstractmethod
    def prepare(self, array: Array) -> Array:
        """An array as the framework computes with it (a variable is read, autocasting is applied)."""

    @abstractmethod
    def shape(self, array: Array) -> tuple[Size, ...]:
        """Sizes, as ``int`` where they are known."""

    @abstractmethod
    def dtype(self, array: Array) -> str:
        """The NumPy name of the element type."""

    @abstractmethod
    def device(self, array: Array) -> str | None:
        """Where the array lives, in xconv's words ("cpu", "cuda:0"), or None if that is not known while tracing."""

    @abstractmethod
    def from_numpy(self, array: np.ndarray, device: str) -> Array:
        """A NumPy array on a device of this framework, without a copy where that is safe; every dtype is kept."""

    @abstractmethod
    def to_numpy(self, array: Array) -> np.ndarray:
        """A NumPy array of the same type and values."""

    @abstractmethod
    def permute(self, array: Array, axes: tuple[int, ...]) -> Array:
        """The array with its axes in another order; a view where the framework has views."""

    def settle(self, array: Array, like: Array) -> Array:
        """The array in the order of its axes in memory, if ``like`` is: what a caller expects."""
        del like
        return array

    @abstractmethod
    def narrow(self, array: Array, axis: int, start: Size, size: Size) -> Array:
        """``size`` elements of an axis from ``start``; a view where the framework has views."""

    @abstractmethod
    def flip(self, array: Array, axis: int) -> Array:
        """The array backwards along an axis."""

    @abstractmethod
    def repeat(self, array: Array, axis: int, times: Size) -> Array:
        """An axis of size 1 repeated."""

    @abstractmethod
    def concatenate(self, arrays: Sequence[Array], axis: int) -> Array:
        """Arrays joined along an axis."""

    @abstractmethod
    def zeros(self, shape: tuple[Size, ...], *parents: Array) -> Array:
        """Zeros of the dtype and device of the parents, and in their gradient graph."""

    @abstractmethod
    def cast(self, array: Array, dtype: str) -> Array:
        """The array with another element type."""

    @abstractmethod
    def relu(self, array: Array) -> Array:
        """The rectified array."""

    @abstractmethod
    def accumulator(self, array: Array) -> str | None:
        """The wider dtype to compute in where the framework would sum in this array's narrow one, or None."""

    def fits(self, problem: ConvProblem, x: Array) -> Array:
        """``x``, after a check when the program runs that the kernel and borders fit a length that was unknown.

        A framework whose own ops refuse what does not fit may leave it to them.
        """
        del problem
        return x

    def pad_borders(self, problem: ConvProblem, axis: int, x: Array) -> Array:
        """``x`` with the border values of a padding mode on both sides of an axis.

        The mode is not "zeros". A pad is an ``int``, or a symbolic size of at least 1.
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

"""Arrays of one side in the other side's layout."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from xconv.system.errors import ArgumentError
from xconv.testing.frameworks import Array

Names: TypeAlias = str | Sequence[str | None] | None
Transpose: TypeAlias = Callable[[Array], Array]

_EXPECTED = "two layouts of the same axes, one for f and one for g, such as ('NCW', 'NWC')"


@dataclass(frozen=True)
class Layouts:
    """The axes of f's and of g's arrays, for each input; what is of another rank is left as it is.

    >>> both = Layouts.of(("NCW", "NWC"), 1)
    >>> both.to_g(0, np.zeros((2, 3, 9))).shape, both.to_f(np.zeros((2, 9, 3))).shape, both.to_f(np.zeros((2, 5))).shape
    ((2, 9, 3), (2, 3, 9), (2, 5))
    """

    pairs: tuple[tuple[str, str], ...] = ()
    """For each input; ("", "") for one that is not transposed."""

    @staticmethod
    def of(layouts: Any, inputs: int) -> Layouts:
        """From ``layouts=`` as it is written.

        Raises:
            ArgumentError: the two do not name the same axes.
        """
        if layouts is None:
            return Layouts((("", ""),) * inputs)
        if isinstance(layouts, str) or not isinstance(layouts, Sequence) or len(layouts) != 2:
            raise ArgumentError("assert_parity", "layouts", repr(layouts), _EXPECTED)
        sides = [[side] * inputs if side is None or isinstance(side, str) else list(side) for side in layouts]
        if any(len(side) != inputs for side in sides):
            raise ArgumentError("assert_parity", "layouts", repr(layouts), f"a layout for each of {inputs} inputs")
        pairs = tuple((one or "", other or "") for one, other in zip(*sides, strict=True))
        for one, other in pairs:
            if sorted(one) != sorted(other) or len(set(one)) != len(one):
                raise ArgumentError("assert_parity", "layouts", repr(layouts), _EXPECTED)
        return Layouts(pairs)

    def to_g(self, number: int, array: Array) -> Array:
        """An input of f as g takes it."""
        one, other = self.pairs[number]
        if not one or array.ndim != len(one):
            return array
        return np.ascontiguousarray(np.transpose(array, [one.index(axis) for axis in other]))

    def to_f(self, array: Array, number: int | None = None) -> Array:
        """A result of g (or its gradient for an input of that number) as f has it."""
        pair = self._of_rank(array.ndim) if number is None else self.pairs[number]
        if not pair[0] or array.ndim != len(pair[0]):
            return array
        return np.transpose(array, [pair[1].index(axis) for axis in pair[0]])

    def result_to_g(self, array: Array) -> Array:
        """A result of f (or what comes from above) as g has it."""
        one, other = self._of_rank(array.ndim)
        return np.ascontiguousarray(np.transpose(array, [one.index(axis) for axis in other])) if one else array

    def _of_rank(self, rank: int) -> tuple[str, str]:
        return next((pair for pair in self.pairs if len(pair[0]) == rank), ("", ""))

"""What a direction of a problem slides over: the same walk for a convolution and for its strided adjoint.

A sweep is a row of places. Place ``q`` reads, through its tap ``t``, the element ``first + q * step + t * spread`` of
the array that is read, and writes the element ``at + q * apart`` of the one that is written. The forward direction is
one sweep. The input gradient is one for each residue of the stride: every ``stride``-th element of ``dx`` sees the same
taps of the kernel, and no other element does, so that none of them meets the zeros between the elements of ``dy``.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from xconv.problem import ConvProblem

Integers: TypeAlias = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Sweep:
    """Places that see the same taps of a kernel, which are listed in the order in which they read."""

    first: int
    step: int
    spread: int
    taps: tuple[int, ...]
    places: int
    at: int = 0
    apart: int = 1

    @property
    def of_kernel(self) -> slice:
        """The taps, as a slice of the kernel.

        >>> list(range(5))[Sweep(first=0, step=1, spread=1, taps=(4, 2, 0), places=1).of_kernel]
        [4, 2, 0]
        """
        if len(self.taps) < 2:
            return slice(*(self.taps[0], self.taps[0] + 1) if self.taps else (0, 0))
        apart = self.taps[1] - self.taps[0]
        return slice(self.taps[0], None if apart < 0 else self.taps[-1] + 1, apart)

    def seen(self, length: int) -> tuple[Integers, Integers]:
        """For each place its first tap, and the end of its taps, that meet the ``length`` elements and no padding.

        >>> [part.tolist() for part in Sweep(first=-1, step=1, spread=1, taps=(0, 1, 2), places=5).seen(5)]
        [[1, 0, 0, 0, 0], [3, 3, 3, 3, 2]]
        """
        reads, many = self.first + np.arange(self.places) * self.step, len(self.taps)
        low = np.clip(-(reads // self.spread), 0, many)
        return low, np.maximum(np.clip(-((reads - length) // self.spread), 0, many), low)

    def runs(self, length: int) -> list[tuple[int, int, int, int]]:
        """(place, places, tap, taps) of neighbours that see the same taps.

        >>> Sweep(first=-1, step=1, spread=1, taps=(0, 1, 2), places=5).runs(5)
        [(0, 1, 1, 2), (1, 3, 0, 3), (4, 1, 0, 2)]
        """
        low, high = self.seen(length)
        starts = np.flatnonzero(np.diff(low, prepend=-1) | np.diff(high, prepend=-1))
        counts = np.diff(starts, append=self.places)
        return list(zip(*(a.tolist() for a in (starts, counts, low[starts], (high - low)[starts])), strict=True))

    def inner(self, length: int, tap: Integers | int = 0, taps: int | None = None) -> tuple[Integers, Integers]:
        """The places from start to stop that see no padding through so many taps; arrays for an array of first taps.

        >>> [int(place) for place in Sweep(first=-1, step=1, spread=1, taps=(0, 1, 2), places=5).inner(5)]
        [1, 4]
        """
        last = tap + (len(self.taps) if taps is None else taps) - 1
        start = np.clip(-((self.first + tap * self.spread) // self.step), 0, self.places)
        stop = np.clip(-((self.first + last * self.spread - length) // self.step), start, self.places)
        return start, stop


def sweeps(direction: str, problem: ConvProblem) -> list[Sweep]:
    """The sweeps of a direction; those of the weight gradient are the forward's, which it sums over.

    >>> [s.taps for s in sweeps("input_gradient", ConvProblem(1, 10, 1, 2, 3, kernel=5, stride=2))]
    [(4, 2, 0), (3, 1)]
    """
    low, stride, dilation = problem.padding[0], problem.stride, problem.dilation
    if direction != "input_gradient":
        return [Sweep(-low, stride, dilation, tuple(range(problem.kernel)), problem.output_length)]
    found = []
    for at in range(max(min(stride, problem.length), 1)):
        taps = [j for j in reversed(range(problem.kernel)) if (at + low - j * dilation) % stride == 0]
        first = (at + low - taps[0] * dilation) // stride if taps else 0
        places = -(-(problem.length - at) // stride)
        found.append(Sweep(first, 1, dilation // math.gcd(stride, dilation), tuple(taps), places, at, stride))
    return found


def whole_and_partly(
    sweep: Sweep, length: int, tap: int, taps: int, starts: Integers, stops: Integers
) -> Iterator[tuple[Integers, int, Integers, Integers]]:
    """(first taps, taps, first places, ends) of the places of each block that see so many taps and no padding.

    Where only some of the taps are seen, each comes by itself. Rows are taps and columns blocks; where the end is not
    behind the first place, there is no such place.

    >>> sweep = Sweep(first=-1, step=1, spread=1, taps=(0, 1, 2), places=5)
    >>> for found in whole_and_partly(sweep, 5, 0, 2, np.array([0]), np.array([5])):
    ...     print([part.tolist() if isinstance(part, np.ndarray) else part for part in found])
    [[[0]], 2, [[1]], [[5]]]
    [[[0], [1]], 1, [[1], [0]], [[1], [1]]]
    [[[0], [1]], 1, [[5], [5]], [[5], [5]]]
    """

    def among(first: Integers, many: int) -> tuple[Integers, Integers]:
        low, high = (np.clip(at, starts, stops) for at in sweep.inner(length, first, many))
        return low, high

    whole = np.array([[tap]])
    low, high = among(whole, taps)
    yield whole, taps, low, high
    if taps > 1:
        each = np.arange(tap, tap + taps)[:, None]
        first, last = among(each, 1)
        yield each, 1, first, np.minimum(last, low)
        yield each, 1, np.maximum(first, high), last


class Walk:
    """All sweeps of a direction, over arrays of ``(lines, length, inner, channels)``."""

    def __init__(self, direction: str, problem: ConvProblem) -> None:
        self.sweeps = sweeps(direction, problem)
        self.lines, self.inner = problem.outer, problem.inner
        self.length = problem.output_length if direction == "input_gradient" else problem.length
        if problem.kernel == problem.stride == 1 and not any(problem.padding):  # every element is a place
            self.lines, self.length, self.inner = 1, problem.outer * problem.length * problem.inner, 1
            self.sweeps = [replace(self.sweeps[0], places=self.length)]

    @property
    def places(self) -> int:
        """Elements that are written, channels aside."""
        return int(self.lines * self.inner * sum(sweep.places for sweep in self.sweeps))

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

    def seen(self, length: int, places: Integers) -> tuple[Integers, Integers]:
        """For each of some places its first tap, and the end of its taps, that meet the ``length`` elements.

        >>> [part.tolist() for part in Sweep(first=-1, step=1, spread=1, taps=(0, 1, 2), places=5).seen(5, np.arange(5))]
        [[1, 0, 0, 0, 0], [3, 3, 3, 3, 2]]
        """
        reads, many = self.first + places * self.step, len(self.taps)
        low = np.minimum(np.maximum(-(reads // self.spread), 0), many)
        return low, np.maximum(np.minimum(-((reads - length) // self.spread), many), low)

    def runs(self, length: int) -> Integers:
        """Rows of (place, places, tap, taps) for neighbours that see the same taps.

        >>> Sweep(first=-1, step=1, spread=1, taps=(0, 1, 2), places=5).runs(5).tolist()
        [[0, 1, 1, 2], [1, 3, 0, 3], [4, 1, 0, 2]]
        """
        start, stop = self.inner(length) if self.taps else (0, self.places)
        place = np.concatenate([np.arange(min(start + 1, self.places)), np.arange(max(stop, start + 1), self.places)])
        low, high = self.seen(length, place)
        first = np.ones(len(place), np.bool_)  # of the places from start to stop, only the first is here
        first[1:] = (low[1:] != low[:-1]) | (high[1:] != high[:-1])
        place, low, high = place[first], low[first], high[first]
        ends = np.concatenate([place[1:], [self.places]])
        return np.stack([place, ends - place, low, high - low], axis=-1) if len(place) else place.reshape(0, 4)

    def inner(self, length: int) -> tuple[int, int]:
        """The places from start to stop that see no padding.

        >>> Sweep(first=-1, step=1, spread=1, taps=(0, 1, 2), places=5).inner(5)
        (1, 4)
        """
        last = self.first + (len(self.taps) - 1) * self.spread
        start = min(max(-(self.first // self.step), 0), self.places)
        return start, min(max(-((last - length) // self.step), start), self.places)

    def within(self, length: int, tap: Integers, taps: int) -> tuple[Integers, Integers]:
        """The same for each of some first taps, of so many taps."""
        first, ahead = self.first + tap * self.spread, (taps - 1) * self.spread - length
        start = np.minimum(np.maximum(-(first // self.step), 0), self.places)
        return start, np.minimum(np.maximum(-((first + ahead) // self.step), start), self.places)

    def products(self, length: int) -> int:
        """Pairs of a place and a tap that meet an element.

        >>> Sweep(first=-1, step=1, spread=1, taps=(0, 1, 2), places=5).products(5)
        13
        """
        if not self.taps or self.inner(length) == (0, self.places):
            return self.places * len(self.taps)
        start, stop = self.within(length, np.arange(len(self.taps)), 1)
        return int((stop - start).sum())


def sweeps(direction: str, problem: ConvProblem) -> list[Sweep]:
    """The sweeps of a direction; those of the weight gradient are the forward's, which it sums over.

    >>> [s.taps for s in sweeps("input_gradient", ConvProblem(1, 10, 1, 2, 3, kernel=5, stride=2))]
    [(4, 2, 0), (3, 1)]
    """
    low, stride, dilation = problem.padding[0], problem.stride, problem.dilation
    if direction != "input_gradient":
        return [Sweep(-low, stride, dilation, tuple(range(problem.kernel)), problem.output_length)]
    period = stride // math.gcd(stride, dilation)  # from one tap that a place sees to the next
    found: list[Sweep] = []
    for at in range(max(min(stride, problem.length), 1)):
        seen = (j for j in range(min(period, problem.kernel)) if (at + low - j * dilation) % stride == 0)
        taps = tuple(reversed(range(next(seen, problem.kernel), problem.kernel, period)))
        first = (at + low - taps[0] * dilation) // stride if taps else 0
        places = -(-(problem.length - at) // stride)
        found.append(Sweep(first, 1, dilation // math.gcd(stride, dilation), taps, places, at, stride))
    return found


def whole_and_partly(
    sweep: Sweep, length: int, tap: Integers, taps: int, starts: Integers, stops: Integers
) -> Iterator[tuple[Integers, int, Integers, Integers]]:
    """(first taps, taps, first places, ends) of the places of each block that see ``taps`` taps and no padding.

    Where only some of the taps are seen, each comes by itself. Rows are taps and columns blocks; where the end is not
    behind the first place, there is no such place.

    >>> sweep = Sweep(first=-1, step=1, spread=1, taps=(0, 1, 2), places=5)
    >>> for found in whole_and_partly(sweep, 5, np.array([0]), 2, np.array([0]), np.array([5])):
    ...     print([part.tolist() if isinstance(part, np.ndarray) else part for part in found])
    [[[0]], 2, [[1]], [[5]]]
    [[[0], [1]], 1, [[1], [0]], [[1], [1]]]
    [[[0], [1]], 1, [[5], [5]], [[5], [5]]]
    """

    def among(first: Integers, many: int) -> tuple[Integers, Integers]:
        low, high = (np.minimum(np.maximum(at, starts), stops) for at in sweep.within(length, first, many))
        return low, high

    whole = tap[:, None]
    low, high = among(whole, taps)
    yield whole, taps, low, high
    if taps > 1 and ((low > starts) | (high < stops)).any():
        each = (whole + np.arange(taps)).reshape(-1, 1)
        first, last = among(each, 1)
        yield each, 1, first, np.minimum(last, low.repeat(taps, 0))
        yield each, 1, np.maximum(first, high.repeat(taps, 0)), last


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

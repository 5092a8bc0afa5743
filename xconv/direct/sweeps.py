"""What a direction of a problem slides over: the same walk for a convolution and for its strided adjoint.

A sweep is a row of places. Place ``q`` reads, through its tap ``t``, the element ``first + q * step + t * spread`` of
the array that is read, and writes the element ``at + q * apart`` of the one that is written. The forward direction is
one sweep. The input gradient is one for each residue of the stride: every ``stride``-th element of ``dx`` sees the same
taps of the kernel, and no other element does, so that none of them meets the zeros between the elements of ``dy``.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from xconv.core.problem import ConvProblem

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

    def inner(self, length: int) -> tuple[int, int]:
        """The places from start to stop that see no padding: all of them where there is no tap.

        >>> Sweep(first=-1, step=1, spread=1, taps=(0, 1, 2), places=5).inner(5)
        (1, 4)
        """
        if not self.taps:
            return 0, self.places
        last = self.first + (len(self.taps) - 1) * self.spread
        start = min(max(-(self.first // self.step), 0), self.places)
        return start, min(max(-((last - length) // self.step), start), self.places)

    def within(self, length: int, tap: Integers, taps: int) -> tuple[Integers, Integers]:
        """The same for runs of ``taps`` taps, from each of some first taps on."""
        first, ahead = self.first + tap * self.spread, (taps - 1) * self.spread - length
        start = np.minimum(np.maximum(-(first // self.step), 0), self.places)
        return start, np.minimum(np.maximum(-((first + ahead) // self.step), start), self.places)


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


class Runs(NamedTuple):
    """Neighbouring places of a sweep that see the same taps, an array for each field.

    ``sweep`` is its number, ``place`` the first place, ``tap`` the first of its ``taps``, which is ``of_kernel`` in the
    kernel; ``read`` is the element that this tap reads, ``write`` the one that the first place writes.
    """

    sweep: Integers
    place: Integers
    places: Integers
    tap: Integers
    taps: Integers
    of_kernel: Integers
    read: Integers
    write: Integers


class Walk:
    """All sweeps of a direction, over arrays of ``(lines, length, inner, channels)``.

    Attributes:
        step, spread, apart: those of every sweep.
        back: from one tap of a sweep to the next in the kernel.
    """

    def __init__(self, direction: str, problem: ConvProblem) -> None:
        self.sweeps, gradient = sweeps(direction, problem), direction == "input_gradient"
        self.lines, self.inner = problem.outer, problem.inner
        self.length = problem.output_length if gradient else problem.length
        self.back = -problem.stride // math.gcd(problem.stride, problem.dilation) if gradient else 1
        if problem.kernel == problem.stride == 1 and not any(problem.padding):  # every element is a place
            self.lines, self.length, self.inner = 1, problem.outer * problem.length * problem.inner, 1
            self.sweeps, gradient = [replace(self.sweeps[0], places=self.length)], False
        self.step, self.spread, self.apart = (getattr(self.sweeps[0], name) for name in ("step", "spread", "apart"))
        self._forward = (sweeps("forward", problem)[0], problem.length) if gradient else (self.sweeps[0], self.length)

    @property
    def places(self) -> int:
        """Elements that are written, channels aside."""
        return int(self.lines * self.inner * sum(sweep.places for sweep in self.sweeps))

    def products(self) -> int:
        """Pairs of a place of a line and a tap that meet an element; the same pairs in both directions.

        >>> problem = ConvProblem(1, 5, 1, 2, 3, kernel=3, padding=(1, 1))
        >>> [Walk(direction, problem).products() for direction in ("forward", "input_gradient")]
        [13, 13]
        """
        sweep, length = self._forward
        start, stop = sweep.within(length, np.arange(len(sweep.taps)), 1)
        return int((stop - start).sum())

    def runs(self, alone: bool = False) -> Runs:
        """All places of a line; each ``alone``, or with its neighbours that see the same taps.

        >>> walk = Walk("forward", ConvProblem(1, 5, 1, 2, 3, kernel=3, padding=(1, 1)))
        >>> [field.tolist() for field in walk.runs()[1:5]]
        [[0, 1, 4], [1, 3, 1], [1, 0, 0], [2, 3, 2]]
        """
        rows: list[tuple[int, ...]] = []
        for number, sweep in enumerate(self.sweeps):
            kernel = sweep.taps[0] if sweep.taps else 0
            shared = number, sweep.first, sweep.at, len(sweep.taps), kernel, sweep.places
            start, stop = (sweep.places, sweep.places) if alone else sweep.inner(self.length)
            start = min(start + 1, sweep.places)  # of those that see no padding, the first one stands for all
            stop = max(start, stop)
            rows += [(start, 0, *shared), (sweep.places - stop, stop, *shared)]
        place, begin, number, first, at, many, kernel, ends = expanded(rows)
        place = place + begin
        reads = first + place * self.step
        low = np.minimum(np.maximum(-(reads // self.spread), 0), many)
        high = np.maximum(np.minimum(-((reads - self.length) // self.spread), many), low)
        if not alone:
            new = np.ones(len(place), np.bool_)
            new[1:] = (low[1:] != low[:-1]) | (high[1:] != high[:-1]) | (number[1:] != number[:-1])
            number, place, low, high, kernel, reads, at, ends = (
                field[new] for field in (number, place, low, high, kernel, reads, at, ends)
            )
        last = np.ones(len(place), np.bool_)
        last[:-1] = number[1:] != number[:-1]
        places = np.where(last, ends, np.roll(place, -1)) - place
        taps, reads, writes = high - low, reads + low * self.spread, at + place * self.apart
        return Runs(number, place, places, low, taps, np.where(taps > 0, kernel + low * self.back, 0), reads, writes)


def expanded(rows: Sequence[tuple[int, ...]]) -> Integers:
    """The columns of some rows, each of which comes as often as its first number says: that counts them.

    >>> expanded([(2, 7), (0, 8), (1, 9)]).tolist()
    [[0, 1, 0], [7, 7, 9]]
    """
    table = np.array(rows, np.int64)
    counts = table[:, 0].copy()
    table[:, 0] = counts - np.cumsum(counts)
    found = table.repeat(counts, 0).T
    found[0] += np.arange(found.shape[1])
    return found

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

import numpy as np

from xconv.problem import ConvProblem


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

    def runs(self, length: int) -> list[tuple[int, int, int, int]]:
        """(place, places, tap, taps): neighbours whose taps meet the ``length`` elements and not the padding.

        >>> Sweep(first=-1, step=1, spread=1, taps=(0, 1, 2), places=5).runs(5)
        [(0, 1, 1, 2), (1, 3, 0, 3), (4, 1, 0, 2)]
        """
        reads, many = self.first + np.arange(self.places) * self.step, len(self.taps)
        low = np.clip(-(reads // self.spread), 0, many)
        high = np.maximum(np.clip(-((reads - length) // self.spread), 0, many), low)
        starts = np.flatnonzero(np.diff(low, prepend=-1) | np.diff(high, prepend=-1))
        counts = np.diff(starts, append=self.places)
        return [(int(q), int(n), int(low[q]), int(high[q] - low[q])) for q, n in zip(starts, counts, strict=True)]

    def inner(self, length: int, tap: int = 0, taps: int | None = None) -> tuple[int, int]:
        """The places from ``start`` to ``stop`` that see no padding through so many taps.

        >>> Sweep(first=-1, step=1, spread=1, taps=(0, 1, 2), places=5).inner(5)
        (1, 4)
        """
        last = tap + (len(self.taps) if taps is None else taps) - 1
        start = -((self.first + tap * self.spread) // self.step)
        stop = -((self.first + last * self.spread - length) // self.step)
        start = min(max(start, 0), self.places)
        return start, min(max(stop, start), self.places)


def sweeps(direction: str, problem: ConvProblem) -> list[Sweep]:
    """The sweeps of a direction; those of the weight gradient are the forward's, which it sums over.

    >>> [s.taps for s in sweeps("input_gradient", ConvProblem(1, 10, 1, 2, 3, kernel=5, stride=2))]
    [(4, 2, 0), (3, 1)]
    """
    low, stride, dilation = problem.padding[0], problem.stride, problem.dilation
    if direction != "input_gradient":
        return [Sweep(-low, stride, dilation, tuple(range(problem.kernel)), problem.output_length)]
    found = []
    for at in range(min(stride, problem.length)):
        taps = [j for j in reversed(range(problem.kernel)) if (at + low - j * dilation) % stride == 0]
        first = (at + low - taps[0] * dilation) // stride if taps else 0
        places = -(-(problem.length - at) // stride)
        found.append(Sweep(first, 1, dilation // math.gcd(stride, dilation), tuple(taps), places, at, stride))
    return found


def seen(sweep: Sweep, length: int, tap: int, taps: int, start: int, stop: int) -> Iterator[tuple[int, int, int, int]]:
    """(tap, taps, first place, end) of the places from start to stop where so many taps see no padding.

    Where only some of them do, each comes by itself.

    >>> list(seen(Sweep(first=-1, step=1, spread=1, taps=(0, 1, 2), places=5), 5, 0, 2, 0, 5))
    [(0, 2, 1, 5), (1, 1, 0, 1)]
    """

    def among(first: int, many: int) -> tuple[int, int]:
        low, high = (min(max(at, start), stop) for at in sweep.inner(length, first, many))
        return low, high

    low, high = among(tap, taps)
    parts = [(tap, taps, low, high)]
    for one in range(tap, tap + taps) if taps > 1 else ():
        first, last = among(one, 1)
        parts += [(one, 1, first, min(last, low)), (one, 1, max(first, high), last)]
    yield from (part for part in parts if part[2] < part[3])


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

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
class StridePhase:
    """Places that see the same taps of a kernel, which are listed in the order in which they read."""

    first_input: int
    input_step: int
    tap_step: int
    taps: tuple[int, ...]
    places: int
    first_output: int = 0
    output_step: int = 1

    @property
    def kernel_slice(self) -> slice:
        """The taps, as a slice of the kernel.

        >>> list(range(5))[StridePhase(0, 1, 1, taps=(4, 2, 0), places=1).kernel_slice]
        [4, 2, 0]
        """
        if len(self.taps) < 2:
            return slice(*(self.taps[0], self.taps[0] + 1) if self.taps else (0, 0))
        step = self.taps[1] - self.taps[0]
        return slice(self.taps[0], None if step < 0 else self.taps[-1] + 1, step)

    def interior(self, length: int) -> tuple[int, int]:
        """The places from start to stop that see no padding: all of them where there is no tap.

        >>> StridePhase(-1, 1, 1, taps=(0, 1, 2), places=5).interior(5)
        (1, 4)
        """
        if not self.taps:
            return 0, self.places
        last = self.first_input + (len(self.taps) - 1) * self.tap_step
        start = min(max(-(self.first_input // self.input_step), 0), self.places)
        return start, min(max(-((last - length) // self.input_step), start), self.places)

    def interior_of_taps(self, length: int, tap: Integers, taps: int) -> tuple[Integers, Integers]:
        """The same for runs of ``taps`` taps, from each of some first taps on."""
        first_input, ahead = self.first_input + tap * self.tap_step, (taps - 1) * self.tap_step - length
        start = np.minimum(np.maximum(-(first_input // self.input_step), 0), self.places)
        return start, np.minimum(np.maximum(-((first_input + ahead) // self.input_step), start), self.places)


def split_into_phases(direction: str, problem: ConvProblem) -> list[StridePhase]:
    """The sweeps of a direction; those of the weight gradient are the forward's, which it sums over.

    >>> [phase.taps for phase in split_into_phases("input_gradient", ConvProblem(1, 10, 1, 2, 3, kernel=5, stride=2))]
    [(4, 2, 0), (3, 1)]
    """
    low, stride, dilation = problem.padding[0], problem.stride, problem.dilation
    if direction != "input_gradient":
        return [StridePhase(-low, stride, dilation, tuple(range(problem.kernel)), problem.output_length)]
    period = stride // math.gcd(stride, dilation)  # from one tap that a place sees to the next
    found: list[StridePhase] = []
    for first_output in range(max(min(stride, problem.length), 1)):
        seen_taps = (j for j in range(min(period, problem.kernel)) if (first_output + low - j * dilation) % stride == 0)
        taps = tuple(reversed(range(next(seen_taps, problem.kernel), problem.kernel, period)))
        first_input = (first_output + low - taps[0] * dilation) // stride if taps else 0
        places = -(-(problem.length - first_output) // stride)
        found.append(
            StridePhase(first_input, 1, dilation // math.gcd(stride, dilation), taps, places, first_output, stride)
        )
    return found


def split_by_seen_taps(
    phase: StridePhase, length: int, tap: Integers, taps: int, starts: Integers, stops: Integers
) -> Iterator[tuple[Integers, int, Integers, Integers]]:
    """(first taps, taps, first places, ends) of the places of each block that see ``taps`` taps and no padding.

    Where only some of the taps are seen, each comes by itself. Rows are taps and columns blocks; where the end is not
    behind the first place, there is no such place.

    >>> phase = StridePhase(-1, 1, 1, taps=(0, 1, 2), places=5)
    >>> for found in split_by_seen_taps(phase, 5, np.array([0]), 2, np.array([0]), np.array([5])):
    ...     print([part.tolist() if isinstance(part, np.ndarray) else part for part in found])
    [[[0]], 2, [[1]], [[5]]]
    [[[0], [1]], 1, [[1], [0]], [[1], [1]]]
    [[[0], [1]], 1, [[5], [5]], [[5], [5]]]
    """

    def find_interior(first_tap: Integers, count: int) -> tuple[Integers, Integers]:
        low, high = (
            np.minimum(np.maximum(place, starts), stops) for place in phase.interior_of_taps(length, first_tap, count)
        )
        return low, high

    whole = tap[:, None]
    low, high = find_interior(whole, taps)
    yield whole, taps, low, high
    if taps > 1 and ((low > starts) | (high < stops)).any():
        each = (whole + np.arange(taps)).reshape(-1, 1)
        first, last = find_interior(each, 1)
        yield each, 1, first, np.minimum(last, low.repeat(taps, 0))
        yield each, 1, np.maximum(first, high.repeat(taps, 0)), last


class PlaceRuns(NamedTuple):
    """Neighbouring places of a sweep that see the same taps, an array for each field.

    ``phase`` is its number, ``place`` the first place, ``tap`` the first of its ``taps``, which is ``kernel_slice`` in the
    kernel; ``read`` is the element that this tap reads, ``write`` the one that the first place writes.
    """

    phase: Integers
    first_place: Integers
    places: Integers
    first_tap: Integers
    taps: Integers
    kernel_tap: Integers
    first_input: Integers
    first_output: Integers


class DirectionGeometry:
    """All sweeps of a direction, over arrays of ``(lines, length, inner, channels)``.

    Attributes:
        step, spread, apart: those of every sweep.
        back: from one tap of a sweep to the next in the kernel.
    """

    def __init__(self, direction: str, problem: ConvProblem) -> None:
        self.phases, gradient = split_into_phases(direction, problem), direction == "input_gradient"
        self.lines, self.inner = problem.outer, problem.inner
        self.length = problem.output_length if gradient else problem.length
        self.kernel_step = -problem.stride // math.gcd(problem.stride, problem.dilation) if gradient else 1
        if problem.kernel == problem.stride == 1 and not any(problem.padding):  # every element is a place
            self.lines, self.length, self.inner = 1, problem.outer * problem.length * problem.inner, 1
            self.phases, gradient = [replace(self.phases[0], places=self.length)], False
        first = self.phases[0]
        self.input_step, self.tap_step, self.output_step = first.input_step, first.tap_step, first.output_step
        self._forward = (
            (split_into_phases("forward", problem)[0], problem.length) if gradient else (self.phases[0], self.length)
        )

    @property
    def places(self) -> int:
        """Elements that are written, channels aside."""
        return int(self.lines * self.inner * sum(phase.places for phase in self.phases))

    def count_products(self) -> int:
        """Pairs of a place of a line and a tap that meet an element; the same pairs in both directions.

        >>> problem = ConvProblem(1, 5, 1, 2, 3, kernel=3, padding=(1, 1))
        >>> [DirectionGeometry(direction, problem).count_products() for direction in ("forward", "input_gradient")]
        [13, 13]
        """
        phase, length = self._forward
        start, stop = phase.interior_of_taps(length, np.arange(len(phase.taps)), 1)
        return int((stop - start).sum())

    def find_runs(self, each_place: bool = False) -> PlaceRuns:
        """All places of a line; each ``each_place``, or with its neighbours that see the same taps.

        >>> geometry = DirectionGeometry("forward", ConvProblem(1, 5, 1, 2, 3, kernel=3, padding=(1, 1)))
        >>> [field.tolist() for field in geometry.find_runs()[1:5]]
        [[0, 1, 4], [1, 3, 1], [1, 0, 0], [2, 3, 2]]
        """
        rows: list[tuple[int, ...]] = []
        for number, phase in enumerate(self.phases):
            kernel = phase.taps[0] if phase.taps else 0
            shared = number, phase.first_input, phase.first_output, len(phase.taps), kernel, phase.places
            start, stop = (phase.places, phase.places) if each_place else phase.interior(self.length)
            start = min(start + 1, phase.places)  # of those that see no padding, the first one stands for all
            stop = max(start, stop)
            rows += [(start, 0, *shared), (phase.places - stop, stop, *shared)]
        place, begin, number, first_input, first_output, many, kernel, ends = expand_rows(rows)
        place = place + begin
        reads = first_input + place * self.input_step
        low = np.minimum(np.maximum(-(reads // self.tap_step), 0), many)
        high = np.maximum(np.minimum(-((reads - self.length) // self.tap_step), many), low)
        if not each_place:
            new = np.ones(len(place), np.bool_)
            new[1:] = (low[1:] != low[:-1]) | (high[1:] != high[:-1]) | (number[1:] != number[:-1])
            number, place, low, high, kernel, reads, first_output, ends = (
                field[new] for field in (number, place, low, high, kernel, reads, first_output, ends)
            )
        last = np.ones(len(place), np.bool_)
        last[:-1] = number[1:] != number[:-1]
        places = np.where(last, ends, np.roll(place, -1)) - place
        taps, reads, writes = high - low, reads + low * self.tap_step, first_output + place * self.output_step
        return PlaceRuns(
            number, place, places, low, taps, np.where(taps > 0, kernel + low * self.kernel_step, 0), reads, writes
        )


def expand_rows(rows: Sequence[tuple[int, ...]]) -> Integers:
    """The columns of some rows, each of which comes as often as its first number says: that counts them.

    >>> expand_rows([(2, 7), (0, 8), (1, 9)]).tolist()
    [[0, 1, 0], [7, 7, 9]]
    """
    table = np.array(rows, np.int64)
    counts = table[:, 0].copy()
    table[:, 0] = counts - np.cumsum(counts)
    found = table.repeat(counts, 0).T
    found[0] += np.arange(found.shape[1])
    return found

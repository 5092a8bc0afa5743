"""Which elements each place reads and writes: a convolution, and a strided input gradient, as convolutions that write
every element once.

The input gradient of a layer with stride ``s`` is split into ``s`` *stride phases*: every ``s``-th element of ``dx``
sees the same taps of the kernel, so each phase is a convolution of ``dy`` with those taps, and no tap is multiplied by
a zero between the elements of ``dy``. The forward direction, and the weight gradient, which sums over its places, are
one phase.
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
    """Places that see the same taps of the kernel.

    Place ``q`` reads element ``first_input + q * input_step + t * tap_step`` of the sliding axis for ``taps[t]``, and
    writes element ``first_output + q * output_step``.

    Attributes:
        first_input: the element that the first place reads for its first tap; below 0 in the padding.
        input_step: elements from what a place reads to what the next one reads.
        tap_step: elements from what a tap reads to what the next one reads.
        taps: the taps as indices of the kernel, in the order in which they read.
        places: how many there are.
        first_output, output_step: the element that the first place writes, and elements from one place to the next.
    """

    first_input: int
    input_step: int
    tap_step: int
    taps: tuple[int, ...]
    places: int
    first_output: int = 0
    output_step: int = 1

    @property
    def kernel_slice(self) -> slice:
        """The taps as a slice of the kernel.

        >>> list(range(5))[StridePhase(0, 1, 1, taps=(4, 2, 0), places=1).kernel_slice]
        [4, 2, 0]
        """
        if len(self.taps) < 2:
            return slice(*(self.taps[0], self.taps[0] + 1) if self.taps else (0, 0))
        step = self.taps[1] - self.taps[0]
        return slice(self.taps[0], None if step < 0 else self.taps[-1] + 1, step)

    def find_interior(self, length: int) -> tuple[int, int]:
        """The first place that sees no padding, and the first one after those; all places if there is no tap.

        ``length`` is the count of elements of the sliding axis of what is read.

        >>> StridePhase(-1, 1, 1, taps=(0, 1, 2), places=5).find_interior(5)
        (1, 4)
        """
        if not self.taps:
            return 0, self.places
        last = self.first_input + (len(self.taps) - 1) * self.tap_step
        start = min(max(-(self.first_input // self.input_step), 0), self.places)
        return start, min(max(-((last - length) // self.input_step), start), self.places)

    def find_interior_of_taps(self, length: int, tap: Integers, taps: int) -> tuple[Integers, Integers]:
        """The same for ``taps`` taps from each of the first taps ``tap`` on: an array of starts, and one of stops."""
        first_input, ahead = self.first_input + tap * self.tap_step, (taps - 1) * self.tap_step - length
        start = np.minimum(np.maximum(-(first_input // self.input_step), 0), self.places)
        return start, np.minimum(np.maximum(-((first_input + ahead) // self.input_step), start), self.places)


def split_into_phases(direction: str, problem: ConvProblem) -> list[StridePhase]:
    """The stride phases of a direction; that of the weight gradient is the forward's, over whose places it sums.

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
    """Places of blocks, split into those that see ``taps`` taps from ``tap`` on without padding, and the others.

    Block ``n`` has the places from ``starts[n]`` to ``stops[n]``. Yields (first taps, count of taps, first places,
    stops); the others come once for each single tap that they see. Rows are first taps, columns are blocks; a range
    whose stop is not greater than its first place is empty.

    >>> phase = StridePhase(-1, 1, 1, taps=(0, 1, 2), places=5)
    >>> for found in split_by_seen_taps(phase, 5, np.array([0]), 2, np.array([0]), np.array([5])):
    ...     print([part.tolist() if isinstance(part, np.ndarray) else part for part in found])
    [[[0]], 2, [[1]], [[5]]]
    [[[0], [1]], 1, [[1], [0]], [[1], [1]]]
    [[[0], [1]], 1, [[5], [5]], [[5], [5]]]
    """

    def find_interior(first_tap: Integers, count: int) -> tuple[Integers, Integers]:
        low, high = (
            np.minimum(np.maximum(place, starts), stops)
            for place in phase.find_interior_of_taps(length, first_tap, count)
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
    """Runs of neighbouring places of a phase that see the same taps; each field is an array with an element a run.

    Attributes:
        phase: index of the phase.
        first_place, places: the first place in its phase, and the count of places.
        first_tap, taps: the first tap that is seen, as an index of the phase's taps, and the count of taps.
        kernel_tap: the first tap as an index of the kernel.
        first_input: the element that the first place reads for its first tap.
        first_output: the element that the first place writes.
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
    """All stride phases of a direction, over arrays of shape (lines, length, inner, channels).

    A pointwise layer (one tap, stride 1, no padding) is one line of all its elements.

    Attributes:
        phases: the stride phases.
        lines, length, inner: sizes of the array that is read, besides its channels; ``length`` is the sliding axis.
        input_step, tap_step, output_step: those of every phase.
        kernel_step: from one tap of a phase to the next, as indices of the kernel.
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
        """How many elements are written in all lines, each with all its channels."""
        return int(self.lines * self.inner * sum(phase.places for phase in self.phases))

    def count_products(self) -> int:
        """How many pairs of a place and a tap of one line read an element, not padding; equal in both directions.

        >>> problem = ConvProblem(1, 5, 1, 2, 3, kernel=3, padding=(1, 1))
        >>> [DirectionGeometry(direction, problem).count_products() for direction in ("forward", "input_gradient")]
        [13, 13]
        """
        phase, length = self._forward
        start, stop = phase.find_interior_of_taps(length, np.arange(len(phase.taps)), 1)
        return int((stop - start).sum())

    def find_runs(self, each_place: bool = False) -> PlaceRuns:
        """The runs of one line: neighbours that see the same taps, or with ``each_place`` every place by itself.

        >>> geometry = DirectionGeometry("forward", ConvProblem(1, 5, 1, 2, 3, kernel=3, padding=(1, 1)))
        >>> [field.tolist() for field in geometry.find_runs()[1:5]]
        [[0, 1, 4], [1, 3, 1], [1, 0, 0], [2, 3, 2]]
        """
        rows: list[tuple[int, ...]] = []
        for number, phase in enumerate(self.phases):
            kernel = phase.taps[0] if phase.taps else 0
            shared = number, phase.first_input, phase.first_output, len(phase.taps), kernel, phase.places
            start, stop = (phase.places, phase.places) if each_place else phase.find_interior(self.length)
            start = min(start + 1, phase.places)  # the first one that sees no padding stands for all of them
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
    """The columns of a table in which each row is repeated as often as its first number says; that number becomes the
    index of the repetition.

    >>> expand_rows([(2, 7), (0, 8), (1, 9)]).tolist()
    [[0, 1, 0], [7, 7, 9]]
    """
    table = np.array(rows, np.int64)
    counts = table[:, 0].copy()
    table[:, 0] = counts - np.cumsum(counts)
    found = table.repeat(counts, 0).T
    found[0] += np.arange(found.shape[1])
    return found

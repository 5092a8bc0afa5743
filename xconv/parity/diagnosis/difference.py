"""An array that is not what it must be, and what a cause would have made of it."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from xconv.core.bounds import Enclosure, round_to
from xconv.core.reference import Floats
from xconv.parity.comparison import compare

Places: TypeAlias = npt.NDArray[np.intp]
"""For each element the place in the expected array, flattened, that it comes from; -1 is a zero moved in."""

NEARBY = (1, -1, 2, -2, 3, -3)
"""The shifts that are tried: an index is off by one, or by a pad, and seldom by more."""

FIRST_ELEMENTS = 1000
"""Elements that are looked at before a large array is rearranged."""


@dataclass(frozen=True)
class Prediction:
    """What an array would be if a condition held.

    ``bound`` is asked for only where no element is further away than ``far``; without one the value is exact.
    Predictions of the same ``synonym`` are one cause in other words. Those that are rounded on the way on integers too
    are not ``bitwise``.
    """

    condition: str
    value: Floats
    bound: Callable[[], Enclosure] | None = None
    far: float = math.inf
    synonym: Hashable = None
    bitwise: bool = True


@dataclass(frozen=True)
class Match:
    """A condition under which an array is explained, in every bit or within the bound."""

    condition: str
    exact: bool


@dataclass(frozen=True)
class Difference:
    """What is known of a mismatch; ``labels`` name the axes of the expected array."""

    wanted: Enclosure
    got: Floats
    dtype: str = "float64"
    exactly: bool = False
    labels: tuple[str, ...] = ()

    @cached_property
    def target(self) -> Floats:
        """The expected values, rounded to the dtype where every bit counts."""
        with np.errstate(over="ignore"):
            return round_to(self.dtype, self.wanted.value) if self.exactly else self.wanted.value

    @property
    def shape(self) -> tuple[int, ...]:
        """The expected shape."""
        return self.wanted.value.shape

    @cached_property
    def wrong(self) -> npt.NDArray[np.bool_]:
        """Where it differs by more than it may; only for the expected shape."""
        return ~within(self.got, self.target, self.wanted.error)

    @cached_property
    def same_elements(self) -> bool:
        """Whether one may be a rearrangement of the other: sorted, they are no further apart than the largest bound."""
        got, wanted, error = np.sort(self.got, axis=None), np.sort(self.target, axis=None), self.wanted.error
        if got.size != wanted.size:
            return False
        largest = error.max(initial=0.0, where=np.isfinite(error))
        return bool(within(got, wanted, np.full(got.shape, largest)).all())

    def axis(self, number: int) -> str:
        """What an axis is called.

        >>> Difference(Enclosure.exact([1.0]), np.zeros(1)).axis(0)
        'axis 0'
        """
        return self.labels[number] if self.labels else f"axis {number}"

    def order(self, axes: Sequence[int]) -> str:
        """What an order of axes is called."""
        return "(" + ", ".join(self.labels[axis] if self.labels else str(axis) for axis in axes) + ")"

    def explained_by(self, prediction: Prediction) -> Match | None:
        """The match, if the array is what is predicted; the comparison is that of :func:`xconv.parity.check`."""
        got, value = self.got, prediction.value
        if value.shape != got.shape or np.array_equal(value, self.wanted.value, equal_nan=True):
            return None
        exactly = self.exactly and prediction.bitwise
        with np.errstate(invalid="ignore", over="ignore"):
            if exactly or prediction.bound is None:
                enclosure = Enclosure.exact(value)
            elif (np.abs(value - got) > prediction.far).any():
                return None
            else:
                enclosure = prediction.bound()
            fits = compare("", got, enclosure, self.dtype, exactly=exactly).ok
        return Match(prediction.condition, exactly) if fits else None

    def matches(self, predictions: Iterable[Prediction | None]) -> list[Match]:
        """All that explain it, each cause once."""
        found: dict[Hashable, Match] = {}
        for prediction in predictions:
            if prediction is None:
                continue
            key = prediction.synonym or prediction.condition
            match = None if key in found else self.explained_by(prediction)
            if match is not None:
                found[key] = match
        return list(found.values())

    def rearranged(self, condition: str, places: Places) -> Prediction | None:
        """The expected elements in other places; None where the first elements tell already that it is not so."""
        wanted, few = self.wanted, places.ravel()[:FIRST_ELEMENTS]
        if places.shape != self.got.shape:
            return None
        if not within(self.got.ravel()[:FIRST_ELEMENTS], _taken(self.target, few), _taken(wanted.error, few)).all():
            return None
        value, error = _taken(wanted.value, places), _taken(wanted.error, places)
        synonym = ("places", places.shape, places.tobytes())
        return Prediction(condition, value, lambda: Enclosure(value, error), synonym=synonym)

    def places(self) -> Places:
        """The place of each expected element: what a rearrangement starts from."""
        return np.arange(self.wanted.value.size).reshape(self.shape)


def within(got: Floats, target: Floats, error: Floats) -> npt.NDArray[np.bool_]:
    """Where two arrays are no further apart than the error; NaN and infinity must be the same.

    >>> within(np.array([1.0, np.nan, 2.0]), np.array([1.1, np.nan, np.nan]), np.full(3, 0.2)).tolist()
    [True, True, False]
    """
    with np.errstate(invalid="ignore"):
        near: Any = np.abs(got - target) <= error
    same = (got == target) | (np.isnan(got) & np.isnan(target))
    return np.asarray(same | (near & np.isfinite(target)))


def _taken(array: Floats, places: Places) -> Floats:
    return np.where(places < 0, 0.0, array.ravel()[places])

"""Which elements of an input each position of a tensor sees, along one axis.

Layers are followed from the input on, position by position of one period: a stride moves the view by several elements
from one position to the next, a transposed layer by a fraction of one, so that every second or third position sees
alike. That is exact for branches, transposed layers and resizing, where the formula of a stack is not (Araujo, Norris
and Sim 2019, "Computing receptive fields of convolutional neural networks", Distill).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import TypeAlias

View: TypeAlias = "tuple[int, int] | None"
"""The first and the last element seen; None where none is. Elements before 0 and after the last are padding."""


@dataclass(frozen=True)
class WindowTaps:
    """What a layer's positions see of its own input.

    ``places`` are those of one period; in the next they lie ``shift`` further.

    >>> sliding(3, stride=2, low=1)
    WindowTaps(places=((-1, 0, 1),), shift=2)
    """

    places: tuple[tuple[int, ...], ...]
    shift: int


@dataclass(frozen=True)
class Field:
    """The views of the positions of one period, and the elements by which they move over it.

    ``shift`` 0 is a view that all positions share: of a global pool, or of a dense layer over all positions.
    """

    views: tuple[View, ...] = ((0, 0),)
    shift: int = 1

    def at(self, position: int) -> View:
        """What a position sees.

        >>> Field().through(sliding(3, stride=2, low=1)).at(4)
        (7, 9)
        """
        periods, within = divmod(position, len(self.views))
        view = self.views[within]
        return None if view is None else (view[0] + periods * self.shift, view[1] + periods * self.shift)

    @property
    def size(self) -> int:
        """Elements from the first to the last that one position sees; the most, where positions differ."""
        return max((view[1] - view[0] + 1 for view in self.views if view is not None), default=0)

    @property
    def stride(self) -> Fraction:
        """Elements by which the view moves from one position to the next; 0 where all see the same."""
        return Fraction(self.shift, len(self.views))

    @property
    def start(self) -> int | None:
        """The first element that position 0 sees, below 0 in the padding; None if it sees none."""
        view = self.views[0]
        return None if view is None else view[0]

    def through(self, taps: WindowTaps) -> Field:
        """The field behind a layer.

        >>> Field().through(sliding(3)).through(sliding(2, stride=2)).through(sliding(3)).size
        8
        """
        repeats = len(self.views) // math.gcd(len(self.views), taps.shift) if taps.shift else 1
        views = []
        for repeat in range(repeats):
            for places in taps.places:
                ends = (min(places), max(places)) if places and len(self.views) == 1 else places
                views.append(hull(self.at(place + repeat * taps.shift) for place in ends))
        return Field(tuple(views), self.shift * taps.shift * repeats // len(self.views))

    def all_of(self, length: int) -> Field:
        """The field of what sees every one of some positions."""
        return Field((hull(self.at(position) for position in range(length)),), 0)

    def beside(self, other: Field, length: int) -> Field:
        """The field of what sees this and another one at the same positions: the larger one of two branches."""
        if self.stride != other.stride:
            return Field((hull((*self.all_of(length).views, *other.all_of(length).views)),), 0)
        period = math.lcm(len(self.views), len(other.views))
        views = tuple(hull((self.at(position), other.at(position))) for position in range(period))
        return Field(views, int(self.stride * period))


def hull(views: Iterable[View]) -> View:
    """From the first to the last element of several views."""
    seen = [view for view in views if view is not None]
    return (min(view[0] for view in seen), max(view[1] for view in seen)) if seen else None


def sliding(kernel: int, stride: int = 1, dilation: int = 1, low: int = 0) -> WindowTaps:
    """A convolution or a pool; a slice is one of kernel 1, a pad one with ``low``, a crop one with ``low`` below 0."""
    return WindowTaps((tuple(range(-low, (kernel - 1) * dilation - low + 1, dilation)),), stride)


def transposed(kernel: int, stride: int = 1, dilation: int = 1, low: int = 0) -> WindowTaps:
    """A transposed convolution that crops ``low``: position o sees the u with ``u * stride + j * dilation - low = o``.

    >>> transposed(3, stride=2, low=1).places
    ((0,), (1, 0))
    """
    reached = [[position + low - tap * dilation for tap in range(kernel)] for position in range(stride)]
    return WindowTaps(tuple(tuple(at // stride for at in each if at % stride == 0) for each in reached), 1)


def adaptive(length: int, size: int) -> WindowTaps:
    """A pool to a size: position i sees from ``floor(i * length / size)`` to ``ceil((i + 1) * length / size)``."""
    common = math.gcd(length, size)
    each = range(size // common)
    ends = [(i * length // size, -(-(i + 1) * length // size) - 1) for i in each]
    return WindowTaps(tuple(ends), length // common)


def resized(length: int, size: int, taps: int, corners: bool = False) -> WindowTaps:
    """An interpolation from a length to a size.

    Args:
        length: positions that go in.
        size: positions that come out.
        taps: 1 for the nearest element, 2 for linear, 4 for cubic interpolation.
        corners: whether the first and last positions stay where they are (``align_corners``).

    >>> resized(4, 8, 1).places, resized(4, 8, 2).places
    (((0,), (0,)), ((-1, 0), (0, 1)))
    """
    if taps == 1:
        common = math.gcd(length, size)
        return WindowTaps(tuple((i * length // size,) for i in range(size // common)), length // common)
    scale = Fraction(length - 1, max(size - 1, 1)) if corners else Fraction(length, size)
    moved = Fraction(0) if corners else (scale - 1) / 2
    places = []
    for i in range(scale.denominator):
        at = math.floor(i * scale + moved)
        exact = (i * scale + moved).denominator == 1
        places.append((at,) if exact else tuple(range(at - taps // 2 + 1, at + taps // 2 + 1)))
    return WindowTaps(tuple(places), scale.numerator)


def one(position: int) -> WindowTaps:
    """A single position, taken out."""
    return WindowTaps(((position,),), 0)


def pair(value: int | Sequence[int], count: int) -> tuple[int, ...]:
    """A size for each of some axes, of which there may be one for all.

    >>> pair(3, 2), pair([3], 2), pair((3, 4), 2)
    ((3, 3), (3, 3), (3, 4))
    """
    values = (value,) if isinstance(value, int) else tuple(value)
    return values * count if len(values) == 1 else values

"""What may have become of an array of which nothing else is known: moved, scaled, or with a constant per channel."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import permutations

import numpy as np

from xconv.core.bounds import UNIT_ROUNDOFF, Enclosure, round_to
from xconv.core.reference import Floats
from xconv.parity.diagnosis.difference import NEARBY, Difference, Match, Prediction, within

CONFIRMING_ELEMENTS = 3
"""Elements that a fitted constant needs: one to find it and two that agree."""

MOST_AXES = 5
"""Orders of axes are tried up to 5! = 120."""

EPSILONS = (1e-3, 1e-5, 1e-6, 1e-7, 1e-8, 1e-12)
"""Of batch and layer norms: Keras has 1e-3, torch 1e-5, others the rest."""


def predictions(difference: Difference) -> Iterator[Prediction | None]:
    """The expected array with its elements moved, with another sign or twofold, or rounded: nothing is fitted."""
    if difference.wanted.value.size == 0:
        return
    yield from _orders(difference)
    yield from _flattened(difference)
    yield from _within_axes(difference)
    yield from _shuffled(difference)
    for factor, said in ((-1.0, "the sign is the other one"), (2.0, None), (0.5, None)):
        yield scaled(difference, factor, said or f"the expected values are multiplied by {factor:g}")
    value = difference.wanted.value
    yield Prediction("every element is 0 (nothing is written)", np.zeros(difference.shape))
    if not np.isfinite(value).all():
        error = difference.wanted.error
        dropped, bound = (np.where(np.isfinite(value), array, 0.0) for array in (value, error))
        yield Prediction("NaN and infinity in the result are replaced by 0", dropped, lambda: Enclosure(dropped, bound))
    if difference.exactly:
        for dtype in ("bfloat16", "float16"):
            with np.errstate(over="ignore"):
                yield Prediction(f"the result is rounded to {dtype}", round_to(dtype, value))


def scaled(difference: Difference, factor: float, condition: str) -> Prediction:
    """The expected values times a power of two, which is exact."""
    wanted = difference.wanted
    value, error = factor * wanted.value, abs(factor) * wanted.error
    return Prediction(condition, value, lambda: Enclosure(value, error), synonym=("factor", factor))


def _orders(difference: Difference) -> Iterator[Prediction | None]:
    """Axes in another order, as they are or forced into a shape."""
    shape, got, places = difference.shape, difference.got.shape, difference.places()
    if not difference.same_elements or len(shape) > MOST_AXES:
        return
    if shape != got:
        yield difference.rearranged(f"the shape is {got} instead of {shape}", places.reshape(got))
    if len(shape) < 2:
        return
    here = tuple(range(len(shape)))
    first, *others = here
    # with an axis of size 1 some are the same: the channels moved to the other end come first
    usual = [(first, *others[-1:], *others[:-1]), (first, *others[1:], *others[:1])]
    for order in dict.fromkeys([*usual, *permutations(here)]):
        if order == here:
            continue
        said, moved = difference.order(order), places.transpose(order)
        if moved.shape == got:
            yield difference.rearranged(f"the axes are in the order {said}", moved)
        yield difference.rearranged(
            f"the axes are put in the order {said} and the numbers then read with the shape {got}", moved.reshape(got)
        )
        read = places.reshape([shape[axis] for axis in order]).transpose(np.argsort(order))
        yield difference.rearranged(
            f"the numbers are read in the order {said}, without a transpose"
            + ("" if shape == got else f", and then with the shape {got}"),
            read.reshape(got),
        )


def _flattened(difference: Difference) -> Iterator[Prediction | None]:
    """Rows of features, flattened from two axes in the other order: (N, C * W) for (N, W * C)."""
    shape, places = difference.shape, difference.places()
    if shape != difference.got.shape or not 1 <= len(shape) <= 2 or not difference.same_elements:
        return
    for one, other in _divisors(shape[-1]):
        moved = places.reshape(*shape[:-1], one, other).swapaxes(-1, -2).reshape(shape)
        said = f"{difference.axis(len(shape) - 1)} is flattened from ({other}, {one}) instead of ({one}, {other})"
        yield difference.rearranged(said, moved)


def _within_axes(difference: Difference) -> Iterator[Prediction | None]:
    """Backwards, rotated, shifted with zeros moved in, or with a few elements missing, along an axis."""
    shape, got, places = difference.shape, difference.got.shape, difference.places()
    if len(shape) != len(got):
        return
    for axis, size in enumerate(shape):
        name = difference.axis(axis)
        if shape == got and size > 1:
            yield difference.rearranged(f"{name} is flipped", np.flip(places, axis))
            for by in (by for by in NEARBY if abs(by) < size):
                if difference.same_elements:
                    yield difference.rearranged(f"it is rotated by {by} along {name}", np.roll(places, by, axis))
                border = slice(None, by) if by > 0 else slice(by, None)
                if np.moveaxis(difference.got, axis, 0)[border].any():
                    continue
                moved = np.roll(places, by, axis)
                np.moveaxis(moved, axis, 0)[border] = -1
                yield difference.rearranged(f"it is shifted by {by} along {name}, with zeros moved in", moved)
        less = size - got[axis]
        if 0 < less <= max(NEARBY) and got[:axis] + got[axis + 1 :] == shape[:axis] + shape[axis + 1 :]:
            for start, which in ((0, "last"), (less, "first")):
                kept = np.take(places, range(start, start + got[axis]), axis)
                yield difference.rearranged(f"the {which} {_elements(less, name)} left out", kept)


def _shuffled(difference: Difference) -> Iterator[Prediction | None]:
    """An axis seen as (groups, channels) and written as (channels, groups)."""
    shape, places = difference.shape, difference.places()
    if shape != difference.got.shape or not difference.same_elements:
        return
    for axis, size in enumerate(shape):
        for groups, channels in _divisors(size):
            order = np.arange(size).reshape(groups, channels).T.ravel()
            said = f"{difference.axis(axis)} is shuffled from ({groups}, {channels}) to ({channels}, {groups})"
            yield difference.rearranged(f"{said}, like a group order", np.take(places, order, axis))


def fitted(difference: Difference, variances: Floats | None = None) -> Iterator[list[Match]]:
    """Constants found from the numbers, and permuted channels: one number to fit first, then one for each channel.

    Args:
        difference: what came and what was expected, of the same shape.
        variances: of the channels of a batch norm, (C,), or None.

    Yields:
        Matches of one kind.
    """
    if difference.shape != difference.got.shape or not difference.got.size:
        return
    ranks = tuple(range(len(difference.shape)))
    yield [match for kind in ("factor", "constant") if (match := _fit(difference, kind, ranks, None))]
    if variances is not None:
        yield list(_epsilons(difference, variances))
    found = []
    for axis, size in enumerate(difference.shape):
        others = tuple(other for other in ranks if other != axis)
        if size > 1 and difference.got.size >= CONFIRMING_ELEMENTS * size:
            found += [match for kind in ("factor", "constant") if (match := _fit(difference, kind, others, axis))]
            found += _permuted(difference, axis)
    yield found


def _fit(difference: Difference, kind: str, axes: tuple[int, ...], channel: int | None) -> Match | None:
    """The constant, or the factor, that brings all elements over some axes within their bounds, if there is one.

    Each element leaves an interval for it; their intersection is what is left.
    """
    got, wanted, bound = difference.got, difference.target, difference.wanted.error
    both = np.isfinite(got) & np.isfinite(wanted)
    if not within(got[~both], wanted[~both], bound[~both]).all():
        return None
    # the scaled values are rounded to the dtype, and quotients and differences of them in float64
    u = UNIT_ROUNDOFF[difference.dtype] + 4 * UNIT_ROUNDOFF["float64"]
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        slack = bound + u * np.abs(got)
        if kind == "factor":
            known = both & (wanted != 0)
            middle, half = got / wanted, slack / np.abs(wanted) + u * np.abs(got / wanted)
            if not (np.abs(got) <= slack)[both & (wanted == 0)].all():
                return None
        else:
            known = both
            middle, half = got - wanted, slack + u * (np.abs(got) + np.abs(wanted))
        low = np.where(known, middle - half, -np.inf).max(axes, keepdims=True)
        high = np.where(known, middle + half, np.inf).min(axes, keepdims=True)
    if kind == "factor" and (low <= 0).all() and (high >= 0).all():
        return None  # that is no factor
    if (low > high).any() or (known.sum(axes) < CONFIRMING_ELEMENTS).any():
        return None
    numbers = _plain(low, high)
    with np.errstate(invalid="ignore"):
        target = wanted * numbers if kind == "factor" else wanted + numbers
    exact = difference.exactly and bool(within(got, target, np.zeros_like(target)).all())
    return Match(_said(difference, kind, numbers, channel), exact)


def _said(difference: Difference, kind: str, numbers: Floats, channel: int | None) -> str:
    if channel is None:
        number = _shown(float(numbers.ravel()[0]))
        factor = kind == "factor"
        return f"the expected values are multiplied by {number}" if factor else f"{number} is added to every element"
    name = difference.axis(channel)
    if kind == "factor":
        like = "like a batch norm with another epsilon: 1e-3 in Keras, 1e-5 in torch"
        return f"each index of {name} is multiplied by a constant of its own ({like})"
    like = "like a bias that is missing, doubled or another one"
    return f"each index of {name} has a constant of its own added ({like})"


def _plain(low: Floats, high: Floats) -> Floats:
    """An integer or one over an integer in each interval, if there is one, else its middle.

    >>> _plain(np.array([2.9, 0.24, 0.7]), np.array([3.3, 0.27, 0.72])).tolist()
    [3.0, 0.25, 0.71]
    """
    middle = (low + high) / 2
    with np.errstate(divide="ignore", invalid="ignore"):
        whole = np.rint(middle)
        one_over = 1 / np.rint(1 / middle)
    found = np.where((low <= one_over) & (one_over <= high), one_over, middle)
    return np.where((low <= whole) & (whole <= high) & (high - low < 1), whole, found)


def _shown(number: float) -> str:
    """A number, as a fraction of one where it is that.

    >>> _shown(3.0), _shown(1 / 34), _shown(0.3)
    ('3', '1/34', '0.3')
    """
    inverse = 1 / number if number else 0.0
    if abs(inverse) > 1 and 1 / round(inverse) == number:
        return f"1/{round(inverse)}" if inverse > 0 else f"-1/{-round(inverse)}"
    return f"{number:.6g}"


def _epsilons(difference: Difference, variances: Floats) -> Iterator[Match]:
    """Batch norms: what is added to the variance is another number; the shift of each channel is free.

    Args:
        difference: what came and what was expected, of the same shape.
        variances: of the channels, (C,).

    Yields:
        A match for each pair of epsilons that explains the numbers.
    """
    got, wanted, bound = difference.got, difference.target, difference.wanted.error
    u = UNIT_ROUNDOFF[difference.dtype] + 4 * UNIT_ROUNDOFF["float64"]
    for axis, size in enumerate(difference.shape):
        if size != variances.size or got.size < CONFIRMING_ELEMENTS * size:
            continue
        shape = [-1 if other == axis else 1 for other in range(got.ndim)]
        others = tuple(other for other in range(got.ndim) if other != axis)
        for ours, theirs in permutations(EPSILONS, 2):
            ratio = np.sqrt((variances + theirs) / (variances + ours)).reshape(shape)
            half = bound * (1 + ratio) + 2 * u * (np.abs(got) + np.abs(ratio * wanted))
            scaled_difference = got - ratio * wanted
            # without it the shift alone explains the numbers: the variances are too large to tell
            shifted_difference = got - wanted
            told = ((shifted_difference - half).max(others) > (shifted_difference + half).min(others)).any()
            if told and ((scaled_difference - half).max(others) <= (scaled_difference + half).min(others)).all():
                yield Match(f"epsilon is {_power(ours)} instead of {_power(theirs)}", False)


def _power(number: float) -> str:
    return f"1e{round(math.log10(number))}"


def _permuted(difference: Difference, axis: int) -> list[Match]:
    """The channels along an axis in another order, where each one is found somewhere else."""
    if not difference.same_elements:
        return []
    got, wanted, error = (
        np.moveaxis(array, axis, 0) for array in (difference.got, difference.target, difference.wanted.error)
    )
    free, order = list(range(len(wanted))), []
    for channel in got:
        found = next((j for j in free if within(channel, wanted[j], error[j]).all()), None)
        if found is None:
            return []
        free.remove(found)
        order.append(found)
    shown: Sequence[object] = order if len(order) <= 12 else [*order[:11], "..."]
    said = f"{difference.axis(axis)} is permuted to [{', '.join(map(str, shown))}]"
    return [Match(said, difference.exactly)]


def _divisors(size: int) -> list[tuple[int, int]]:
    return [(one, size // one) for one in range(2, size) if size % one == 0]


def _elements(number: int, along: str) -> str:
    return f"element along {along} is" if number == 1 else f"{number} elements along {along} are"

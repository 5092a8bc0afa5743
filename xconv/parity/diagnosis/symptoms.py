"""What can be said of an array that no cause explains in full: where it is right, and how large the error is."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt

from xconv.core.bounds import HALF_SUBNORMAL, LAMBDA, UNIT_ROUNDOFF, gamma, round_to
from xconv.core.bounds import sums as sums_of
from xconv.core.reference import Floats
from xconv.parity.diagnosis.difference import NEARBY, Difference, within

HUGE_RATIO = 2.0**24
"""Times the largest expected value: beside it float32 would not see any of them."""


UNKNOWN_TERMS = 1024
"""Products in a sum of which nothing is known: enough for most layers."""


def statements(difference: Difference, sums: Callable[[], tuple[Floats, int]] | None = None) -> Iterator[str]:
    """What is consistent with the numbers, the most telling first.

    ``sums`` gives the magnitudes of the sums, and how many products are in each, where that is known.
    """
    if difference.got.size == 0 or difference.wanted.value.size == 0:
        return
    found = list(_common_part(difference))
    if difference.got.shape == difference.shape:
        for look in (_not_finite, _not_written, _rounded):
            found = found or list(look(difference))
        found = found or list(_precision(difference, sums))
    yield from found


def _common_part(difference: Difference) -> Iterator[str]:
    """Shifted by a few places, or longer, with the part that both have equal."""
    shape, got = difference.shape, difference.got.shape
    if len(shape) != len(got):
        return
    for axis, size in enumerate(shape):
        longer = got[axis] - size
        if got[:axis] + got[axis + 1 :] != shape[:axis] + shape[axis + 1 :] or abs(longer) > max(NEARBY):
            continue
        for by in (0, *NEARBY):
            first, last = max(by, 0), min(size + by, got[axis])
            common = max(last - first, 0)
            new = got[axis] - common
            if (by == 0 and longer == 0) or common <= new:
                continue
            here, there = (_cut(axis, start, start + common) for start in (first, first - by))
            target, error = difference.target[there], difference.wanted.error[there]
            if not within(difference.got[here], target, error).all():
                continue
            if longer == 0 and not difference.wrong[here].any():
                continue  # nothing is gained by the shift
            yield _shift_said(difference, axis, by, longer, new)


def _shift_said(difference: Difference, axis: int, by: int, longer: int, new: int) -> str:
    name, equal = difference.axis(axis), "the common part matches" + (" exactly" if difference.exactly else "")
    if longer > 0 and by in (0, longer):
        where = "start" if by else "end"
        return f"{longer} more element{'s' if longer > 1 else ''} at the {where} of {name}: {equal}"
    size = f", and {abs(longer)} {'more' if longer > 0 else 'fewer'}" if longer else ""
    return f"a shift by {by} along {name}{size}: {equal}, {new} of {difference.got.shape[axis]} are new"


def _cut(axis: int, start: int, stop: int) -> tuple[slice, ...]:
    return (*[slice(None)] * axis, slice(start, stop))


def _not_finite(difference: Difference) -> Iterator[str]:
    """NaN and infinity that are lost, or reach further than they should."""
    got, target, wrong = difference.got, difference.target, difference.wrong
    special, finite = ~np.isfinite(target), np.isfinite(got)
    if not special.any():
        return
    count = f"{int(wrong.sum())} of {wrong.size} elements"
    if (special & finite)[wrong].all():
        yield f"NaN or infinity that is dropped: {count} are finite and must not be, all others match"
    elif (~special & ~finite)[wrong].all():
        found = "; ".join(
            f"{difference.axis(axis)}: {_range(~finite, axis)} instead of {_range(special, axis)}"
            for axis in range(got.ndim)
            if _range(~finite, axis) != _range(special, axis)
        )
        where = f" ({found})" if found else ""
        yield f"NaN or infinity that reaches outputs which do not see it: {count}{where}, all others match"


def _not_written(difference: Difference) -> Iterator[str]:
    """Elements that are NaN, huge, or all the same number, beside others that are right."""
    got, target, wrong = difference.got, difference.target, difference.wrong
    largest = np.abs(target[np.isfinite(target)]).max(initial=0.0)
    bad = got[wrong]
    with np.errstate(invalid="ignore"):
        garbage = ~np.isfinite(bad) | (np.abs(bad) > HUGE_RATIO * max(largest, 1.0))
    rest = bad[~garbage]
    same = rest.size == 0 or (bool((rest == rest[0]).all()) and (rest.size > 1 or rest[0] == 0))
    if not same:
        return
    kinds = [
        (int(np.isnan(bad).sum()), "NaN"),
        (int(np.isinf(bad).sum()), "infinite"),
        (int((garbage & np.isfinite(bad)).sum()), "huge"),
        (rest.size, f"{rest[0]:.9g}" if rest.size else ""),
    ]
    found = [(count, name) for count, name in kinds if count]
    what = f"are {found[0][1]}"
    if len(found) > 1:
        what = "are garbage (" + ", ".join(f"{count} {name}" for count, name in found) + ")"
    others = ", all others match" if bad.size < got.size else ""
    where = [
        f"{difference.axis(axis)}: {_range(wrong, axis)}"
        for axis in range(got.ndim)
        if len(_indices(wrong, axis)) < got.shape[axis]
    ]
    place = f" ({', '.join(where)})" if where else ""
    yield f"elements that were not written: {bad.size} of {got.size}{place} {what}{others}"


def _rounded(difference: Difference) -> Iterator[str]:
    """A result that is kept in a narrower type."""
    if difference.exactly:
        return
    wanted = difference.wanted
    for dtype in ("bfloat16", "float16"):
        with np.errstate(over="ignore"):
            numbers = np.array_equal(round_to(dtype, difference.got), difference.got, equal_nan=True)
            reach = UNIT_ROUNDOFF[dtype] * (np.abs(wanted.value) + wanted.error) + HALF_SUBNORMAL[dtype]
        if dtype != difference.dtype and numbers and within(difference.got, wanted.value, wanted.error + reach).all():
            yield f"a result that is rounded to {dtype}: every element is a number of that type, and the nearest one"


def _precision(difference: Difference, sums: Callable[[], tuple[Floats, int]] | None) -> Iterator[str]:
    """An error all over the array, of the size that a narrower type gives.

    Rounding a number errs by 0.41 u in the root mean square over mantissas, and by u at most; a sum of n products that
    is rounded at each step by up to sqrt(n) u of what it is. A quarter of u is taken for the least.

    Args:
        difference: what came and what was expected, of the same shape.
        sums: returns the sum of magnitudes of each element, of that shape, and the number of products in it; or None.

    Yields:
        A sentence for each type that it may be.
    """
    got, target = difference.got, difference.target
    if not (np.isfinite(got).all() and np.isfinite(target).all()):
        return
    error, norm = np.abs(got - target), float(np.linalg.norm(target))
    if 2 * np.count_nonzero(error) < error.size or norm == 0:
        return
    relative = float(np.linalg.norm(error)) / norm
    magnitude, terms = sums() if sums is not None else (None, UNKNOWN_TERMS)
    if magnitude is None and error.max() > LAMBDA * math.sqrt(float(np.square(error).mean())):
        return  # a few elements stand out
    own_sums = None if magnitude is None else sums_of(difference.dtype)
    said = []
    for dtype in ("float32", "TF32", "float16", "bfloat16"):
        u = UNIT_ROUNDOFF[dtype.lower()]
        if u <= UNIT_ROUNDOFF.get(difference.dtype, 0.0) and dtype != difference.dtype and magnitude is not None:
            continue
        own = dtype == difference.dtype and magnitude is not None
        bound = difference.wanted.error
        near = magnitude is None or (error <= bound + (2 * u + u * u) * magnitude).all()
        if not own and u / 4 <= relative <= 2 * u and near:
            said.append(f"rounding to {dtype}")
        if dtype in ("TF32", own_sums) or (magnitude is None and dtype != "float32"):
            continue
        reach = math.inf if magnitude is None else bound + gamma(terms, dtype, independent=True) * magnitude
        if u / 4 <= relative <= u * max(2.0, math.sqrt(terms)) and (error <= reach).all():
            said.append(f"sums in {dtype}")
    if said:
        few = f"{relative:.1g} of the values in the 2-norm"
        yield f"lower precision: the error is {few}, what {' or '.join(said)} would give"


def _indices(mask: npt.NDArray[np.bool_], axis: int) -> list[int]:
    return [int(i) for i in np.flatnonzero(mask.any(tuple(other for other in range(mask.ndim) if other != axis)))]


def _range(mask: npt.NDArray[np.bool_], axis: int) -> str:
    """The indices along an axis at which there is something.

    >>> _range(np.array([False, True, True, False]), 0)
    '1 to 2'
    """
    found = _indices(mask, axis)
    return str(found[0]) if len(found) == 1 else f"{found[0]} to {found[-1]}"

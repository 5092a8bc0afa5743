"""Two sides' runs to verdicts: which of the three ways bounds an array, and whether agreement proves anything."""

from __future__ import annotations

from typing import Any

import numpy as np

from xconv.core.bounds import UNIT_ROUNDOFF, Enclosure
from xconv.core.reference import Floats
from xconv.parity.comparison import compare as within
from xconv.testing.evidence import Evidence
from xconv.testing.explain import explained
from xconv.testing.frameworks import Array
from xconv.testing.report import ComparedArray
from xconv.testing.tolerance import factor, measured, underflow

BOTH = "both sides in float64: their rounding errors there, and those of float32 in proportion to the unit roundoff"
ONE = "{} in float64: both sides' distance from it, against the spread of runs on moved numbers"
NONE = "float32 alone: the spread of runs on moved numbers"

MOST_EQUAL_SHARE = 0.95
"""From this share of equal elements on, an array says too little to be trusted: a policy, not a bound."""


def judge(
    f: Evidence, g: Evidence, name: str, runs: int, false_alarm: float, strict: bool = False
) -> list[ComparedArray]:
    """The rows of one array."""
    one, other = f.plain[name], g.plain[name]
    if one.shape != other.shape:
        row = ComparedArray(
            name, "MISMATCH", np.inf, 0.0, np.inf, (), f"f has shape {one.shape}, g {other.shape} (in f's layout)"
        )
        return [_with(row, explained(_as_float(one), _as_float(other), 0.0))]
    if one.dtype.kind != "f" or other.dtype.kind != "f":
        return [_exact(name, one, other)]
    t = factor(one.size, runs, false_alarm)
    if f.wide is not None and g.wide is not None:
        return _both(f, g, name, t, strict)
    if f.wide is not None or g.wide is not None:
        return _one(f, g, name, t)
    dtype = min((one.dtype.name, other.dtype.name), key=lambda kind: -UNIT_ROUNDOFF[kind])
    spread = np.hypot(f.spread(name), g.spread(name))
    return [_row(name, one, other, t * spread + underflow(dtype))]


def _both(f: Evidence, g: Evidence, name: str, t: float, strict: bool) -> list[ComparedArray]:
    assert f.wide is not None
    assert g.wide is not None
    scales = []
    for side, wide in ((f, f.wide[name]), (g, g.wide[name])):
        plain = side.plain[name]
        # the errors of float32 in proportion to the unit roundoff; another order of summation in float64 may err
        # more than float32's did, so that it is measured there too
        with np.errstate(invalid="ignore"):
            errors = measured(plain - wide, _as_float(plain), plain.dtype.name)
        predicted = errors * UNIT_ROUNDOFF["float64"] / UNIT_ROUNDOFF[plain.dtype.name]
        scales.append(np.maximum(predicted, side.wide_spread(name)))
    bound = t * np.hypot(*scales) + underflow("float64")
    row = _row(name, f.wide[name], g.wide[name], bound)
    if row.verdict == "MISMATCH" and np.isfinite(row.error):
        row = _unshrunk(row, f, g, name, strict)
    rows = [row]
    for side, label in ((f, "f"), (g, "g")):
        dtype = side.plain[name].dtype.name
        if dtype != "float64" and side.wide is not None:
            rows.append(_own(side, name, side.wide[name], label, t))
    return rows


def _unshrunk(row: ComparedArray, f: Evidence, g: Evidence, name: str, strict: bool) -> ComparedArray:
    """A difference that rounding in float64 does not explain: real, or one side holds a constant in float32."""
    narrow, wide = (
        np.abs(_as_float(one) - _as_float(other))
        for one, other in ((f.plain[name], g.plain[name]), ((f.wide or {})[name], (g.wide or {})[name]))
    )
    difference = f"in float64 they are {np.nanmax(wide):.3g} apart, in float32 {np.nanmax(narrow):.3g}"
    one_rounding = np.hypot(f.spread(name), g.spread(name))
    if (wide <= one_rounding).all():
        ratio = float(np.max(wide / one_rounding))
        place = tuple(int(i) for i in np.unravel_index(int(np.argmax(wide / one_rounding)), wide.shape))
        detail = f"{difference}: as if a constant was rounded to float32 on one side"
        verdict = "MISMATCH" if strict else "within bound"
        return ComparedArray(name, verdict, row.error, float(one_rounding[place]), ratio, place, detail)
    return _with(row, f"{difference}: it does not shrink with the unit roundoff, so the difference is real")


def _one(f: Evidence, g: Evidence, name: str, t: float) -> list[ComparedArray]:
    wide, label = (f.wide, "f") if f.wide is not None else (g.wide, "g")
    assert wide is not None
    rows = [_own(side, name, wide[name], one, t) for side, one in ((f, "f"), (g, "g"))]
    if label == "f":
        rows.reverse()
    # the first is the side without float64: it carries the array's own name
    other = "g" if label == "f" else "f"
    first = rows[0]
    detail = first.detail and f"{other} differs from the float64 result of {label}: {first.detail}"
    return [ComparedArray(name, first.verdict, first.error, first.bound, first.ratio, first.place, detail), rows[1]]


def _own(side: Evidence, name: str, wide: Array, label: str, t: float) -> ComparedArray:
    """A narrow result against a float64 one."""
    plain = side.plain[name]
    dtype = plain.dtype.name
    bound = t * side.spread(name) + underflow(dtype)
    with np.errstate(over="ignore"):
        overflown = np.isinf(wide.astype(dtype))
    row = _row(f"{name}, {label} in {dtype}", np.where(overflown, wide.astype(dtype), wide), plain, bound)
    if row.verdict == "MISMATCH":
        row = _with(row, "that is further from the float64 result than its rounding errors explain")
    return row


def _row(name: str, wanted: Array, got: Array, bound: Any) -> ComparedArray:
    expected, found = _as_float(wanted), _as_float(got)
    error = np.broadcast_to(np.asarray(bound, np.float64), expected.shape)
    finding = within(name, found, Enclosure(expected, error), "float64", exactly=False)
    at = float(error[finding.place]) if finding.place else float(error) if error.ndim == 0 else 0.0
    detail = finding.detail
    if finding.verdict == "MISMATCH":
        place = f" at {finding.place}" if finding.place else ""
        wanted_there, got_there = expected[finding.place], found[finding.place]
        detail = f"{wanted_there:.9g} against {got_there:.9g}{place}: {abs(wanted_there - got_there):.3g} apart"
        detail += f", {finding.ratio:.3g} times the bound of {at:.3g}"
        share = np.mean(~(np.abs(expected - found) <= error))
        detail += f"; {share:.0%} of {error.size} elements are off" if error.size > 1 else ""
        return _with(
            ComparedArray(name, "MISMATCH", finding.error, at, finding.ratio, finding.place, detail),
            "",
            expected,
            found,
            error,
        )
    return ComparedArray(name, finding.verdict, finding.error, at, finding.ratio, finding.place, detail)


def _with(
    row: ComparedArray, more: str, wanted: Floats | None = None, got: Floats | None = None, bound: Any = 0.0
) -> ComparedArray:
    why = explained(wanted, got, bound) if wanted is not None and got is not None else ""
    detail = "; ".join(part for part in (row.detail, more, why) if part)
    return ComparedArray(row.array, row.verdict, row.error, row.bound, row.ratio, row.place, detail)


def _exact(name: str, one: Array, other: Array) -> ComparedArray:
    if one.dtype.kind != other.dtype.kind and {one.dtype.kind, other.dtype.kind} & {"f", "c"}:
        return ComparedArray(name, "MISMATCH", np.inf, 0.0, np.inf, (), f"f has {one.dtype}, g {other.dtype}")
    differ = np.asarray(one != other)
    if not differ.any():
        return ComparedArray(name, "exact")
    place = tuple(int(i) for i in np.argwhere(differ)[0])
    difference = float(np.max(np.abs(_as_float(one) - _as_float(other)))) if one.dtype.kind in "iub" else np.inf
    detail = f"{one[place]} against {other[place]} at {place}; {np.count_nonzero(differ)} of {one.size} elements differ"
    return ComparedArray(name, "MISMATCH", difference, 0.0, np.inf, place, detail)


def mistrusted(value: Array, far: Array | None, bound: Any) -> str:
    """Why agreement on an array proves nothing, or an empty text.

    ``far`` is f's result on other inputs, None where they could not be varied.
    """
    if value.dtype.kind == "f" and not np.isfinite(value).any():
        return f"no element is finite (all {value.flat[0]})" if value.size else "it has no elements"
    if far is None:
        return "the inputs are all zero, or all equal: nothing shows in them"
    if value.size > 1 and (value == value.flat[0]).all():
        return f"every element is {value.flat[0]:.6g}"
    if value.shape == far.shape and np.array_equal(value, far, equal_nan=value.dtype.kind == "f"):
        return "it does not depend on the inputs: other inputs change nothing"
    return _sameness(value, bound) if value.size > 1 else ""


def _sameness(value: Array, bound: Any) -> str:
    """Whether a constant would have done as well."""
    values, counts = np.unique(value, return_counts=True)
    share = counts.max() / value.size
    if share >= MOST_EQUAL_SHARE and value.size >= 1 / (1 - MOST_EQUAL_SHARE):
        return f"{share:.0%} of its elements are {values[counts.argmax()]:.6g}"
    if value.dtype.kind == "f":
        middle = float(np.median(value[np.isfinite(value)]))
        if (np.abs(_as_float(value) - middle) <= bound).all():
            return f"it hardly varies: the constant {middle:.6g} would be within the bound too"
    return ""


def _as_float(array: Any) -> Floats:
    return np.asarray(array, np.float64)

"""One array against what it should be: exactly, or against a derived bound."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from xconv.core.bounds import Enclosure, round_to
from xconv.core.reference import Floats


@dataclass(frozen=True)
class Finding:
    """One array of a case, compared.

    Attributes:
        array: "y", "dx", "dweight", "dbias", ...
        verdict: "exact", "within bound", "MISMATCH", "error" or "mistrusted".
        error: the largest distance from the reference.
        ratio: the largest distance over its own bound: 0 where every bit agrees, inf where it must agree and does not.
        place: the index of the worst element.
        detail: what is to be told beside.
        diagnosis: what would explain a mismatch.
    """

    array: str
    verdict: str
    error: float
    ratio: float
    place: tuple[int, ...]
    detail: str = ""
    diagnosis: str = ""

    @property
    def ok(self) -> bool:
        """Whether the array is what it should be."""
        return self.verdict in ("exact", "within bound")


def compare(name: str, computed: Floats, wanted: Enclosure, dtype: str, *, exactly: bool) -> Finding:
    """An array against its enclosure; NaN and infinity must be in the same places.

    Args:
        name: of the array.
        computed: float64, of any shape.
        wanted: of the same shape.
        dtype: in which it was computed.
        exactly: whether every bit must agree.

    Returns:
        The verdict, and where the worst element is.
    """
    if computed.shape != wanted.value.shape:
        detail = f"shape {computed.shape} instead of {wanted.value.shape}"
        return Finding(name, "MISMATCH", np.inf, np.inf, (), detail)
    target = round_to(dtype, wanted.value) if exactly and not wanted.error.any() else wanted.value
    if computed.size == 0:
        return Finding(name, "exact", 0.0, 0.0, ())
    finite = np.isfinite(target)
    same = np.where(finite, computed == target, _same_special(computed, target))
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        error = np.where(same, 0.0, np.abs(computed - target))
        error = np.where(np.isnan(error) | (~finite & ~same), np.inf, error)
        ratio = np.where(error == 0, 0.0, error / wanted.error)
    worst = np.unravel_index(int(np.argmax(ratio)), ratio.shape)
    place, largest = tuple(int(i) for i in worst), float(ratio[worst])
    verdict = "exact" if largest == 0 else "within bound" if largest <= 1 else "MISMATCH"
    detail = "" if largest <= 1 else f"got {computed[worst]:.9g}, expected {target[worst]:.9g}"
    return Finding(name, verdict, float(error.max()), largest, place, detail)


def _same_special(computed: Floats, target: Floats) -> Any:
    return (np.isnan(computed) & np.isnan(target)) | (computed == target)

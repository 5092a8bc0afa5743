"""Borders: which element lies at a place beyond the ends of a signal, and how far beyond a place may be."""

from __future__ import annotations

from typing import Any


def source(mode: str, place: Any, length: Any) -> Any:
    """The element that is seen at a place of a signal with borders, which may be before 0 or after the last.

    Places and lengths are integers, or arrays of them: it is written without a branch on either.

    Args:
        mode: "reflect", "replicate" or "circular".
        place: at most as far from the signal as the mode allows.
        length: elements of the signal.

    >>> [[source(mode, place, 4) for place in (-2, 2, 5)] for mode in ("reflect", "replicate", "circular")]
    [[2, 2, 1], [0, 2, 3], [2, 2, 1]]
    """
    last = length - 1
    if mode == "reflect":
        return last - abs(last - abs(place))
    if mode == "replicate":
        return (abs(place) - abs(place - last) + last) // 2
    return place % length


def largest_pad(mode: str, length: Any) -> Any | None:
    """Elements that a border may have on either side of a signal, or None for any number.

    >>> largest_pad("reflect", 4), largest_pad("circular", 4), largest_pad("replicate", 4)
    (3, 4, None)
    """
    return {"reflect": length - 1, "circular": length}.get(mode)

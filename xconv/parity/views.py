"""The same values in other memory: what a backend is handed is seldom a plain block."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.floating]


def sliced(array: Floats) -> Floats:
    """Every second element of an array that has NaN in between."""
    if array.ndim == 0:
        return array
    wide = np.full((*array.shape[:-1], 2 * array.shape[-1]), np.nan, array.dtype)
    wide[..., ::2] = array
    return wide[..., ::2]


def transposed(array: Floats) -> Floats:
    """Its axes in the opposite order in memory."""
    return np.asfortranarray(array)


def rolled(array: Floats) -> Floats:
    """The last axis outermost in memory, as channels first are seen as channels last."""
    return np.moveaxis(np.ascontiguousarray(np.moveaxis(array, -1, 0)), 0, -1)


def backwards(array: Floats) -> Floats:
    """Read with a negative stride."""
    return array[::-1].copy()[::-1]


def offset(array: Floats) -> Floats:
    """Not at the start of its memory."""
    room = np.full(array.size + 3, np.nan, array.dtype)
    room[3:] = array.ravel()
    return room[3:].reshape(array.shape)


VIEWS: dict[str, Callable[[Floats], Floats]] = {
    "contiguous": lambda array: array,
    "transposed": transposed,
    "rolled": rolled,
    "sliced": sliced,
    "backwards": backwards,
    "offset": offset,
}
"""Ways to lay an array out; each gives an equal one."""

"""What would make two arrays agree, in words."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

from xconv.reference import Floats


def explained(wanted: Floats, got: Floats, bound: Any) -> str:
    """Sentences on how ``got`` is ``wanted`` in another order, or nothing.

    >>> explained(np.arange(6.0).reshape(2, 3), np.arange(6.0).reshape(2, 3).T, 0.0)
    'matches exactly if the axes are in the order (1, 0)'
    """
    if wanted.ndim != got.ndim or wanted.ndim > 5:
        return ""
    for axes in itertools.permutations(range(got.ndim)):
        turned = np.transpose(got, axes)
        if turned.shape != wanted.shape:
            continue
        apart = np.abs(turned - wanted)
        if axes != tuple(range(got.ndim)) and (apart <= bound).all():
            how = "exactly" if not apart.any() else "within the bound"
            return f"matches {how} if the axes are in the order {axes}"
    if wanted.shape != got.shape:
        return ""
    for axis in range(got.ndim):
        for shift in (-2, -1, 1, 2):
            inner = slice(max(shift, 0), got.shape[axis] + min(shift, 0))
            index = (slice(None),) * axis + (inner,)
            if got.shape[axis] <= 2 * abs(shift) + 1:
                continue
            limit = bound if np.ndim(bound) == 0 else np.max(bound)
            if (np.abs(np.roll(got, shift, axis)[index] - wanted[index]) <= limit).all():
                return f"matches away from the border if it is shifted by {shift} along axis {axis}"
    return ""

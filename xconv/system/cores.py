"""The cores that this process may compute on."""

from __future__ import annotations

import os


def allowed_cores() -> int:
    """How many cores the system lets this process run on; where it tells only how many there are, those.

    >>> 1 <= allowed_cores() <= os.cpu_count()
    True
    """
    if hasattr(os, "sched_getaffinity"):  # not on macOS and Windows
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1

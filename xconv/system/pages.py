"""Advice to the kernel about one buffer: unlike :mod:`xconv.system.allocator`, it changes nothing else."""

from __future__ import annotations

import ctypes
import mmap
import sys
from collections.abc import Callable
from functools import cache
from typing import Any

PAGE = mmap.PAGESIZE
MADV_HUGEPAGE = 14


def advise_large_pages(address: int, size: int) -> bool:
    """Ask for large pages for memory that was just allocated and not yet written; returns whether they were promised.

    It is advice about this memory only, and is gone with it. Where there is none to give, nothing happens.
    """
    madvise = _madvise()
    start = -(-address // PAGE) * PAGE
    length = (address + size - start) // PAGE * PAGE
    return madvise is not None and length > 0 and madvise(start, length, MADV_HUGEPAGE) == 0


@cache
def _madvise() -> Callable[[int, int, int], int] | None:
    if sys.platform != "linux":
        return None
    function: Any = getattr(ctypes.CDLL(None), "madvise", None)
    if function is not None:
        function.argtypes, function.restype = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int), ctypes.c_int
    return function  # type: ignore[no-any-return]

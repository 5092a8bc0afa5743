"""Scratch memory: kept for each thread, and overwritten by its next call.

Fresh memory costs the kernel a page fault for each page, which can take longer than a convolution; frameworks
keep theirs too.
"""

from __future__ import annotations

import threading
from typing import Any

import numpy as np

from xconv.direct.processor import CACHE_LINE_BYTES, ITEM_BYTES, address

KEPT_BYTES = 64 << 20
"""Bytes of a buffer up to which it is kept."""


class _Buffers(threading.local):
    def __init__(self) -> None:
        self.by_name: dict[str, np.ndarray] = {}


_buffers = _Buffers()


def take_scratch(name: str, count: int, dtype: str) -> np.ndarray[Any, Any]:
    """An array (count,) with any numbers, aligned to a cache line, until this thread asks for the same name again.

    >>> first, second = (take_scratch("doctest", count, "float32") for count in (100, 50))
    >>> first.ctypes.data == second.ctypes.data, first.ctypes.data % 64
    (True, 0)
    >>> release()
    """
    size = count * ITEM_BYTES[dtype]
    buffer = _buffers.by_name.get(name)
    if buffer is None or buffer.nbytes < size + CACHE_LINE_BYTES:
        buffer = np.empty(size + CACHE_LINE_BYTES, np.uint8)
        if size <= KEPT_BYTES:
            _buffers.by_name[name] = buffer
    return _align(buffer, size, dtype)


def make_zeros(count: int, dtype: str) -> np.ndarray[Any, Any]:
    """A new array (count,) of zeros, aligned to a cache line.

    >>> make_zeros(100, "float32").ctypes.data % 64
    0
    """
    size = count * ITEM_BYTES[dtype]
    return _align(np.zeros(size + CACHE_LINE_BYTES, np.uint8), size, dtype)


def _align(buffer: np.ndarray[Any, Any], size: int, dtype: str) -> np.ndarray[Any, Any]:
    start = -address(buffer) % CACHE_LINE_BYTES
    return buffer[start : start + size].view(dtype)


def release() -> None:
    """Free the scratch memory that this thread keeps."""
    _buffers.by_name.clear()

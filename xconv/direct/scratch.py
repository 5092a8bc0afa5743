"""Memory for what a call needs beside its arrays: the next call of the same thread writes over it.

Fresh memory costs the kernel a page fault for each page, which can take longer than a convolution; libraries of layers
keep theirs too.
"""

from __future__ import annotations

import threading
from typing import Any

import numpy as np

from xconv.direct.machine import ITEM, LINE, address

KEPT = 64 << 20
"""Bytes of one piece up to which it is kept."""


class _Pieces(threading.local):
    def __init__(self) -> None:
        self.by_name: dict[str, np.ndarray] = {}


_pieces = _Pieces()


def scratch(name: str, count: int, dtype: str) -> np.ndarray[Any, Any]:
    """So many numbers to be written, from the begin of a line of memory, until this thread asks for the name again.

    >>> first, second = (scratch("doctest", count, "float32") for count in (100, 50))
    >>> first.ctypes.data == second.ctypes.data, first.ctypes.data % 64
    (True, 0)
    >>> release()
    """
    size = count * ITEM[dtype]
    piece = _pieces.by_name.get(name)
    if piece is None or piece.nbytes < size + LINE:
        piece = np.empty(size + LINE, np.uint8)
        if size <= KEPT:
            _pieces.by_name[name] = piece
    return _from_a_line(piece, size, dtype)


def zeros(count: int, dtype: str) -> np.ndarray[Any, Any]:
    """So many zeros from the begin of a line of memory, which nobody else has.

    >>> zeros(100, "float32").ctypes.data % 64
    0
    """
    size = count * ITEM[dtype]
    return _from_a_line(np.zeros(size + LINE, np.uint8), size, dtype)


def _from_a_line(piece: np.ndarray[Any, Any], size: int, dtype: str) -> np.ndarray[Any, Any]:
    start = -address(piece) % LINE
    return piece[start : start + size].view(dtype)


def release() -> None:
    """Let go of what this thread keeps."""
    _pieces.by_name.clear()

"""Fresh memory that is not zero, so that what nobody wrote is seen."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from xconv.system.allocator import unavailable

_PERTURB = -6
"""``M_PERTURB`` of ``mallopt`` in glibc's ``malloc.h``: new blocks are filled with the complement of a byte."""


@contextmanager
def poisoned() -> Iterator[bool]:
    """Whether new blocks are filled with 0x7f (3.4e38 as float32) in this block; it is the whole process's memory.

    Best effort: another allocator than glibc's is not reached, nor is memory that a framework keeps for itself.
    """
    if unavailable() is not None:
        yield False
        return
    import ctypes

    mallopt = ctypes.CDLL(None).mallopt
    mallopt(_PERTURB, 0x80)
    try:
        yield True
    finally:
        mallopt(_PERTURB, 0)

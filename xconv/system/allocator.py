"""Large results without their page faults: glibc keeps freed memory instead of giving it back to the kernel.

glibc takes a large block straight from the kernel and returns it when it is freed, and the kernel clears every page of
the next one at its first touch. For a convolution with a large result that is most of the time. Frameworks that keep
memory themselves (TensorFlow does, and every framework on a GPU) gain nothing.

What was measured, and what else there is: docs/wisdom-and-memory.md.
"""

from __future__ import annotations

import os
import sys
import threading
from types import TracebackType
from typing import Any

from xconv.system.errors import ArgumentError, UnsupportedError

TRIM_THRESHOLD, MMAP_THRESHOLD, MMAP_MAX = -1, -3, -4
"""The parameters of ``mallopt`` in glibc's ``malloc.h``."""
UNLIMITED = -1  # as a size, which is unsigned there, the largest
MAX_LIMIT = 2**31 - 1  # mallopt takes a C int

# What is put back. glibc cannot be asked for the present values, and once one is set it never again adjusts them itself
# (to the size of the largest block freed so far, up to 32 MiB, and to twice that). So these are where that ends. With
# the values that it begins with (128 KiB), every block from 128 KiB up would be faulted in again for ever.
MMAP_THRESHOLD_AFTER = 32 << 20
TRIM_THRESHOLD_AFTER = 64 << 20
MMAP_MAX_AFTER = 65536

_lock = threading.Lock()
_kept: list[KeptMemory] = []


def unavailable() -> str | None:
    """Why freed memory cannot be kept in this process, or None if it can.

    Returns:
        The reason, or None.
    """
    if sys.platform != "linux":
        return f"it is glibc's malloc that can be told to, and this is {sys.platform}"
    try:
        name = os.confstr("CS_GNU_LIBC_VERSION")
    except ValueError:
        name = None
    if not name:
        return "it is glibc's malloc that can be told to, and this is another C library"
    import ctypes

    def address(library: str | None) -> int | None:
        return ctypes.cast(ctypes.CDLL(library).malloc, ctypes.c_void_p).value

    if address(None) != address("libc.so.6"):
        return "another malloc is loaded before glibc's (LD_PRELOAD?)"
    return None


def keep_freed_memory(limit: int | None = 1 << 30) -> KeptMemory:
    """Keep memory that is freed for the next large result, until the handle's ``restore()`` or the end of ``with``.

    It is the whole process's memory, whoever frees it. What is kept is lost to other programs, up to ``limit`` and what
    lies between blocks in use. Only blocks of the thread that Python started in are kept, unless the program was
    started with ``MALLOC_ARENA_MAX=1``: glibc keeps the memory of other threads apart, in pieces of at most 64 MiB.

    While several are in force the largest limit counts; the last one to be restored gives everything back.

    Args:
        limit: how many bytes of free memory are kept, less than 2 GiB, and the largest block that is; None: no limit.

    Returns:
        The handle, a context manager.

    Raises:
        UnsupportedError: not glibc's malloc, see :func:`xconv.system.allocator.unavailable`.
        ArgumentError: a limit that is no such number of bytes.

    >>> import xconv
    >>> if xconv.system.allocator.unavailable() is None:
    ...     with xconv.keep_freed_memory(256 << 20):
    ...         pass  # convolutions with results of up to 256 MiB
    """
    if limit is not None and (not isinstance(limit, int) or isinstance(limit, bool) or not 0 < limit <= MAX_LIMIT):
        raise ArgumentError(
            "keep_freed_memory", "limit", repr(limit), f"bytes from 1 to {MAX_LIMIT}, or None", "None is no limit"
        )
    reason = unavailable()
    if reason:
        raise UnsupportedError(f"keep_freed_memory: freed memory cannot be kept here: {reason}")
    handle = KeptMemory(limit)
    with _lock:
        before = _limit()
        _kept.append(handle)
        _apply(before)
    return handle


class KeptMemory:
    """What :func:`keep_freed_memory` returns; ``restore()`` ends it, and so does the end of ``with``.

    Args:
        limit: bytes, or None for no limit.
    """

    def __init__(self, limit: int | None) -> None:
        self.limit = limit

    @property
    def active(self) -> bool:
        """Whether it has not been restored yet."""
        return any(handle is self for handle in _kept)

    def restore(self) -> None:
        """End it; a second time does nothing.

        The last one gives all free memory back, and sets what glibc's own adjustment ends at: blocks above 32 MiB come
        from the kernel, and 64 MiB are kept. (Or what the environment variables ``MALLOC_MMAP_THRESHOLD_``,
        ``MALLOC_TRIM_THRESHOLD_`` and ``MALLOC_MMAP_MAX_`` say.) What it was before, glibc does not tell.
        """
        with _lock:
            before = _limit()
            _kept[:] = [handle for handle in _kept if handle is not self]
            _apply(before)

    def __enter__(self) -> KeptMemory:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.restore()

    def __repr__(self) -> str:
        return f"<KeptMemory limit={self.limit} {'active' if self.active else 'restored'}>"


def _limit() -> int:
    """The largest limit in force; 0 if there is none in force."""
    if any(handle.limit is None for handle in _kept):
        return UNLIMITED
    return max((handle.limit or 0 for handle in _kept), default=0)


def _apply(before: int) -> None:
    """Tell glibc what the handles in force, all together, want, where it wants what ``before`` says."""
    limit = _limit()
    if limit == before:
        return
    libc = _libc()
    # glibc that refuses more than 32 MiB (older ones did) is told to take no block straight from the kernel
    accepted = libc.mallopt(MMAP_THRESHOLD, limit or _environment("MALLOC_MMAP_THRESHOLD_", MMAP_THRESHOLD_AFTER))
    libc.mallopt(MMAP_MAX, _environment("MALLOC_MMAP_MAX_", MMAP_MAX_AFTER) if accepted else 0)
    libc.mallopt(TRIM_THRESHOLD, limit or _environment("MALLOC_TRIM_THRESHOLD_", TRIM_THRESHOLD_AFTER))
    if limit != UNLIMITED and (before == UNLIMITED or limit < before):
        libc.malloc_trim(limit)


def _libc() -> Any:
    import ctypes

    libc = ctypes.CDLL("libc.so.6")
    libc.mallopt.argtypes = (ctypes.c_int, ctypes.c_int)
    libc.malloc_trim.argtypes = (ctypes.c_size_t,)
    return libc


def _environment(name: str, otherwise: int) -> int:
    text = os.environ.get(name, "")
    return int(text) if text.isdecimal() and int(text) <= MAX_LIMIT else otherwise

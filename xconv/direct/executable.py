"""Whether this process may run memory that it has written, asked before anything is compiled.

Some systems forbid it: ``prctl(PR_SET_MDWE)`` and systemd's ``MemoryDenyWriteExecute``, SELinux without ``execmem``,
policies of seccomp that refuse ``mprotect``.
"""

from __future__ import annotations

import ctypes
import mmap
import os
from collections.abc import Callable
from functools import cache
from typing import Any


def refused() -> str | None:
    """Why written memory cannot be made executable in this process, or None if it can, or nobody can be asked.

    A page that is writable is made executable, as a linker in memory does, and writable again. Nothing in it is run.

    >>> refused()
    """
    change = _find_mprotect()
    if change is None:  # Windows, where LLVM's own calls say it
        return None
    try:
        start = ctypes.addressof(_get_page())
    except OSError as error:
        return f"the system gives no memory: {error.strerror}"
    if change(start, mmap.PAGESIZE, mmap.PROT_READ | mmap.PROT_EXEC) == 0:
        change(start, mmap.PAGESIZE, mmap.PROT_READ | mmap.PROT_WRITE)
        return None
    return f"the system forbids to run memory that was written (mprotect: {os.strerror(ctypes.get_errno())})"


@cache
def _get_page() -> ctypes.c_char:
    """The first byte of a page of memory, which lives as long as the process."""
    page = mmap.mmap(-1, mmap.PAGESIZE, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, mmap.PROT_READ | mmap.PROT_WRITE)
    return ctypes.c_char.from_buffer(page)


@cache
def _find_mprotect() -> Callable[[int, int, int], int] | None:
    if not hasattr(mmap, "MAP_PRIVATE"):
        return None
    function: Any = ctypes.CDLL(None, use_errno=True).mprotect
    function.argtypes, function.restype = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int), ctypes.c_int
    return function  # type: ignore[no-any-return]

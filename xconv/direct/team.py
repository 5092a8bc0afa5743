"""Several threads for one program: the framework's own, or a pool of Python's."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from xconv.direct.program import Worker


class Team(Protocol):
    """Threads that compute the shares of a program."""

    def __call__(self, worker: Worker, shares: Sequence[int], arrays: tuple[int, int, int, int]) -> None:
        """Run ``worker.run(share, *arrays)`` for each share, in parallel, and wait for all.

        ``shares`` and ``arrays`` are addresses; the arrays are x, weight, bias and y.
        """


def run_in_pool(worker: Worker, shares: Sequence[int], arrays: tuple[int, int, int, int]) -> None:
    """Run shares in Python's threads: compiled functions release the interpreter's lock."""
    others = [_get_workers().submit(worker.run, share, *arrays) for share in shares[1:]]
    worker.run(shares[0], *arrays)
    for other in others:
        other.result()


@cache
def _get_workers() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(os.cpu_count(), "xconv")


if hasattr(os, "register_at_fork"):  # a forked process has none of its parent's threads
    os.register_at_fork(after_in_child=_get_workers.cache_clear)


class OpenMP:
    """The threads of an OpenMP library that the framework has loaded.

    After a loop they spin for a while in wait for the next one, so that another pool on the same cores would be slow.
    """

    def __init__(self, library: Path) -> None:
        """Load a library.

        Raises:
            OSError: it cannot be loaded.
            AttributeError: it lacks the functions of GNU's OpenMP.
        """
        omp = ctypes.CDLL(str(library))
        self._parallel: Any = omp.GOMP_parallel
        self._parallel.argtypes = (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_uint, ctypes.c_uint)
        self._parallel.restype = None
        functions = omp.omp_get_thread_num, omp.omp_get_num_threads
        self._functions = [ctypes.cast(function, ctypes.c_void_p).value or 0 for function in functions]

    def __call__(self, worker: Worker, shares: Sequence[int], arrays: tuple[int, int, int, int]) -> None:
        """Run the shares, one a thread."""
        work = (*self._functions, worker.address, len(shares), *arrays, *shares)
        arguments = (ctypes.c_int64 * len(work))(*work)
        self._parallel(worker.team, ctypes.addressof(arguments), len(shares), 0)

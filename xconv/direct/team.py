"""Several threads for one program: those that the framework has already, or a pool of Python's."""

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
    """Something that has each part of the work done, side by side."""

    def __call__(self, worker: Worker, parts: Sequence[int], arrays: tuple[int, int, int, int]) -> None:
        """Run ``worker.run(part, *arrays)`` for each part, addresses all, and wait for them."""


def run_in_pool(worker: Worker, parts: Sequence[int], arrays: tuple[int, int, int, int]) -> None:
    """Python's threads: the function lets go of the interpreter's lock while it runs."""
    others = [_workers().submit(worker.run, part, *arrays) for part in parts[1:]]
    worker.run(parts[0], *arrays)
    for other in others:
        other.result()


@cache
def _workers() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(os.cpu_count(), "xconv")


if hasattr(os, "register_at_fork"):  # a forked process has none of its parent's threads
    os.register_at_fork(after_in_child=_workers.cache_clear)


class OpenMP:
    """The threads of an OpenMP library that is loaded already: two pools on the same cores would wait for each other.

    Between two loops its threads look for work for a while, and what runs beside them then is slow.
    """

    def __init__(self, library: Path) -> None:
        """Raises OSError if it cannot be loaded, AttributeError if it has not GNU's entry points."""
        omp = ctypes.CDLL(str(library))
        self._parallel: Any = omp.GOMP_parallel
        self._parallel.argtypes = (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_uint, ctypes.c_uint)
        self._parallel.restype = None
        asks = omp.omp_get_thread_num, omp.omp_get_num_threads
        self._asks = [ctypes.cast(ask, ctypes.c_void_p).value or 0 for ask in asks]

    def __call__(self, worker: Worker, parts: Sequence[int], arrays: tuple[int, int, int, int]) -> None:
        """Run the parts."""
        work = (*self._asks, worker.address, len(parts), *arrays, *parts)
        given = (ctypes.c_int64 * len(work))(*work)
        self._parallel(worker.team, ctypes.addressof(given), len(parts), 0)

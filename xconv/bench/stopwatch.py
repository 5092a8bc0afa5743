"""The worker's side of the arena: functions that are prepared, and timed in blocks. It knows nothing of what they do.

A worker's ``prepare`` gives a :class:`PreparedCall`; everything else is here: how many calls fill a block, the clocks,
page faults, context switches, and the memory at the peak.
"""

from __future__ import annotations

import ctypes
import gc
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from xconv.bench.usage import usage

LONG_CALL_BLOCKS = 10
"""A call that takes as many blocks is not tried to find out how many fill one."""

WARMING_CALLS = 3
"""Calls until memory that is kept is all there: glibc was seen to alternate between two places for a result."""

MOST_MAPPED_BYTES = 2**25
"""The most to which glibc raises its threshold (DEFAULT_MMAP_THRESHOLD_MAX on 64 bit)."""

STATUS, RESET = Path("/proc/self/status"), Path("/proc/self/clear_refs")


@dataclass
class PreparedCall:
    """A verified function without arguments, and what is known of it. ``scope`` is entered around each block.

    ``peak`` tells the most bytes that one more call takes on a device with memory of its own.
    """

    call: Callable[[], Any]
    facts: dict[str, Any] = field(default_factory=dict)
    scope: Callable[[], AbstractContextManager[Any]] | None = None
    peak: Callable[[], int] | None = None


class Stopwatch:
    """Times prepared functions. ``synchronize`` waits until everything that was asked for is done."""

    def __init__(self, prepare: Callable[..., PreparedCall], synchronize: Callable[[], None]) -> None:
        self._build, self._synchronize = prepare, synchronize
        self._prepared: dict[int, PreparedCall] = {}
        self._blocks: dict[int, float] = {}
        self._calls: dict[int, int] = {}

    def prepare(self, key: int, block: float, **request: Any) -> dict[str, Any]:
        """Build it, make the first call, and see how much memory a call takes."""
        prepared = self._build(**request)
        gc.collect()
        resident = reset_peak()
        with prepared.scope() if prepared.scope else nullcontext():
            first = self._seconds(prepared.call, 1)
            reset_peak()  # what a compiler took is not what a call takes
            second = self._seconds(prepared.call, 1)
            peak = peak_resident()
        self._prepared[key], self._blocks[key] = prepared, block
        if second > LONG_CALL_BLOCKS * block:
            self._calls[key] = 1  # however busy the machine is while others prepare
        facts = {"first_call": first, **prepared.facts}
        if prepared.peak is not None:
            facts["peak_bytes"] = prepared.peak()
        elif resident is not None and peak is not None:
            facts["peak_bytes"] = max(peak - resident, 0)
        return facts

    def time(self, key: int) -> dict[str, float]:
        """One block: an untimed call, or some in a scope, and then the timed ones between two synchronisations."""
        prepared = self._prepared[key]
        if key not in self._calls:
            self._calls[key] = self._filling(prepared.call, self._blocks[key])
        calls = self._calls[key]
        with prepared.scope() if prepared.scope else nullcontext():
            for _ in range(WARMING_CALLS if prepared.scope else 1):
                prepared.call()
            self._synchronize()
            gc.disable()
            try:
                return self._block(prepared.call, calls)
            finally:
                gc.enable()

    def _block(self, function: Callable[[], Any], calls: int) -> dict[str, float]:
        before = usage()
        cpu = time.process_time()
        wall = self._seconds(function, calls)
        cpu = time.process_time() - cpu
        after = usage()
        return {
            "wall": wall,
            "cpu": cpu / calls,
            "faults": (after.faults - before.faults) / calls,
            "switches": after.switches - before.switches,
        }

    def _filling(self, function: Callable[[], Any], block: float) -> int:
        """How many calls fill a block, by the fastest of some tries: too few are timed with cold caches.

        Not when it is prepared: then other workers may be busy.
        """
        best = self._seconds(function, 1)
        if best > block:
            return 1
        calls = 1
        while calls * best < block / 2:
            calls *= 2
            best = min(best, self._seconds(function, calls), self._seconds(function, calls))
        return max(1, round(block / best))

    def forget(self) -> dict[str, Any]:
        """Let all of them go, and tell the bytes that are held nevertheless: what compilers keep, and so on."""
        for kept in (self._prepared, self._blocks, self._calls):
            kept.clear()
        gc.collect()
        return {"held": held()}

    def _seconds(self, function: Callable[[], Any], calls: int) -> float:
        start = time.perf_counter()
        for _ in range(calls):
            function()
        self._synchronize()
        return (time.perf_counter() - start) / calls


def settle_allocator() -> None:
    """Bring glibc's allocator into the state in which any program is that has once freed a large block.

    It maps blocks above a threshold afresh each time, page faults and all, and raises the threshold to the largest
    block that was freed, up to 32 MiB (mallopt(3), M_MMAP_THRESHOLD). Two processes with other pasts were seen to
    differ by 4.5 times in the same op. Elsewhere nothing happens.
    """
    with suppress(OSError, AttributeError):
        libc = ctypes.CDLL(None)
        libc.malloc.restype, libc.malloc.argtypes = ctypes.c_void_p, (ctypes.c_size_t,)
        libc.free.restype, libc.free.argtypes = None, (ctypes.c_void_p,)
        libc.free(libc.malloc(MOST_MAPPED_BYTES - 2**16))


def reset_peak() -> int | None:
    """Forget the peak of this process's memory until now (Linux); the bytes that are resident now, or None."""
    with suppress(OSError):
        RESET.write_text("5")
        return _status("VmRSS")
    return None


def peak_resident() -> int | None:
    """The most bytes that were resident since the peak was last forgotten, or None where that cannot be known."""
    with suppress(OSError):
        return _status("VmHWM")
    return None


def held() -> int:
    """The bytes that the process holds alone, as far as that is known."""
    with suppress(OSError):
        return _status("RssAnon") or 0
    return 0


def _status(name: str) -> int | None:
    for line in STATUS.read_text().splitlines():
        if line.startswith(name):
            return int(line.split()[1]) * 1024
    return None

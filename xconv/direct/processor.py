"""The processor that code is written for."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from functools import cache
from typing import Any

ITEM_BYTES = {"float32": 4, "float64": 8}
"""Bytes of a number, by dtype."""

CACHE_LINE_BYTES = 64
"""Bytes of a line of a cache; every array of a framework begins with one."""


def address(array: Any) -> int:
    """The address of the first number of a NumPy array, in a fifth of the time that ``array.ctypes`` takes.

    >>> import numpy as np
    >>> numbers = np.zeros(3)
    >>> address(numbers) == numbers.ctypes.data
    True
    """
    try:
        return ctypes.addressof(ctypes.c_char.from_buffer(array))
    except (TypeError, ValueError):  # it may not be written, or has gaps, or no number
        return int(array.ctypes.data)


@dataclass(frozen=True)
class Processor:
    """What loops are shaped for: the bytes of a vector register, how many there are, and LLVM's names for the rest.

    >>> Processor(vector_bytes=64, vector_registers=32).lanes("float32")
    16
    """

    vector_bytes: int
    vector_registers: int
    cpu: str = ""
    features: str = ""

    def lanes(self, dtype: str) -> int:
        """Numbers in a vector."""
        return self.vector_bytes // ITEM_BYTES[dtype]


@cache
def detect_processor() -> Processor:
    """The processor of this process."""
    import llvmlite.binding as llvm

    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    has = llvm.get_host_cpu_features()
    cpu, features = llvm.get_host_cpu_name(), has.flatten()
    if has.get("avx512f") and has.get("avx512vl"):
        return Processor(64, 32, cpu, features)
    if has.get("avx2") and has.get("fma"):
        return Processor(32, 16, cpu, features)
    return Processor(16, 32 if has.get("neon") else 16, cpu, features)

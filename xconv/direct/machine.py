"""The processor that code is written for, and how code becomes a function."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

ITEM = {"float32": 4, "float64": 8}
"""Bytes of the element types that are computed in."""

LINE = 64
"""Bytes of a line of memory; every array of a framework begins with one."""


def address(array: Any) -> int:
    """Where the numbers of a NumPy array begin, in a fifth of the time that ``array.ctypes`` takes.

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
class Machine:
    """What the shape of a loop depends on: the width of a vector in bytes, and how many registers hold one."""

    vector: int
    registers: int
    cpu: str = ""
    features: str = ""

    def lanes(self, dtype: str) -> int:
        """Numbers in a vector."""
        return self.vector // ITEM[dtype]


@cache
def here() -> Machine:
    """The processor of this process."""
    import llvmlite.binding as llvm

    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    has = llvm.get_host_cpu_features()
    cpu, features = llvm.get_host_cpu_name(), has.flatten()
    if has.get("avx512f") and has.get("avx512vl"):
        return Machine(64, 32, cpu, features)
    if has.get("avx2") and has.get("fma"):
        return Machine(32, 16, cpu, features)
    return Machine(16, 32 if has.get("neon") else 16, cpu, features)


@cache
def unavailable() -> str | None:
    """Why no code can be made in this process, or None if it can."""
    try:
        from xconv.direct.code import nothing

        function = Function(nothing(), here())  # it owns the code
        function.run(0, 0, 0, 0, 0)
    except Exception as error:  # noqa: BLE001 - whatever forbids it (no library, no right to execute memory) is the reason
        return f"{type(error).__name__}: {error}"
    return None


class Function:
    """A compiled module: ``run`` works off a part, and ``team`` is the address of what a team's threads call."""

    def __init__(self, module: Any, machine: Machine) -> None:
        import llvmlite.binding as llvm

        llvm.initialize_native_target()
        llvm.initialize_native_asmprinter()
        native = llvm.Target.from_default_triple()
        target = native.create_target_machine(cpu=machine.cpu, features=machine.features, opt=3)
        parsed = llvm.parse_assembly(str(module))
        passes = llvm.create_new_module_pass_manager()  # all others take several times as long, for nothing
        passes.add_sroa_pass()
        passes.add_instruction_combine_pass()
        passes.add_new_gvn_pass()
        passes.add_simplify_cfg_pass()
        passes.run(parsed, llvm.create_pass_builder(target, llvm.create_pipeline_tuning_options()))
        self._engine = llvm.create_mcjit_compiler(parsed, target)  # which owns the code
        self._engine.finalize_object()
        self.run: Callable[[int, int, int, int, int], None] = ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * 5)(
            self._engine.get_function_address("run")
        )
        self.team: int = self._engine.get_function_address("team")

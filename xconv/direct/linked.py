"""LLVM's text compiled into object files, and object files linked into this process."""

from __future__ import annotations

import ctypes
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from xconv.direct.executable import refused
from xconv.direct.processor import Processor, detect_processor
from xconv.system.errors import UnsupportedError

OBJECTS_PER_LINKER = 256
"""Object files of a linker, at most."""


def compile_object(text: str, processor: Processor) -> bytes:
    """The object file of a module in LLVM's text, compiled for a processor.

    LLVM's optimizing passes over the text are left out: the loops are written in their final form, and the passes take
    more time than they save.
    """
    import llvmlite.binding as llvm

    target = _get_target(processor)
    module = llvm.parse_assembly(text, llvm.create_context())  # the global context would keep the module's constants
    made: bytes = target.emit_object(module)
    return made


def _create_target(processor: Processor) -> Any:
    import llvmlite.binding as llvm

    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    native = llvm.Target.from_default_triple()
    return native.create_target_machine(cpu=processor.cpu, features=processor.features, opt=3)


_get_target = cache(_create_target)


class LinkedCode:
    """Functions that were linked into this process: their addresses by name, valid while this object lives.

    Many object files share a linker, and take a page or two each; a linker for one file would take a megabyte.
    """

    def __init__(self, linker: Any, names: Sequence[str]) -> None:
        self._linker = linker
        self.addresses: Mapping[str, int] = {name: linker.get_function_address(name) for name in names}


class Linker:
    """LLVM's linker. After :data:`OBJECTS_PER_LINKER` files a new one is used, and the old one is freed with the last
    :class:`LinkedCode` that holds it."""

    def __init__(self) -> None:
        self._engine: Any = None
        self._count = 0

    def link(self, objects: Mapping[str, bytes]) -> LinkedCode:
        """Link object files, by the unique name of the function that each of them has.

        Raises:
            UnsupportedError: the system forbids to run memory that was written.
        """
        import llvmlite.binding as llvm

        reason = refused()  # asked each time: it may be forbidden by now, which LLVM does not notice
        if reason is not None:
            raise UnsupportedError(f"no code can be compiled here ({reason})")
        if self._engine is None or self._count + len(objects) > OBJECTS_PER_LINKER:
            target = _create_target(detect_processor())  # not the cached one: it is freed with the linker
            self._engine, self._count = llvm.create_mcjit_compiler(llvm.parse_assembly(""), target), 0
        self._count += len(objects)
        try:
            for content in objects.values():
                self._engine.add_object_file(llvm.ObjectFileRef.from_data(content))
            self._engine.finalize_object()
            linked = LinkedCode(self._engine, list(objects))
        except RuntimeError as error:
            self._engine = None
            raise UnsupportedError(f"no code can be linked in this process: {error}") from error
        return linked


def try_linking() -> None:
    """Link and run a function that does nothing, by LLVM's other linker, which reports what the system forbids.

    Raises:
        RuntimeError: the system forbids to run memory that was written.
    """
    import llvmlite.binding as llvm

    content = compile_object("define void @nothing() nounwind {\nret void\n}\n", detect_processor())
    linker = llvm.create_lljit_compiler(suppress_errors=True)
    library = llvm.JITLibraryBuilder().add_object_img(content).export_symbol("nothing").link(linker, "trial")
    ctypes.CFUNCTYPE(None)(library["nothing"])()

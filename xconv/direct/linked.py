"""LLVM's text to machine code, and machine code to functions of this process."""

from __future__ import annotations

import ctypes
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from xconv.direct.executable import refused
from xconv.direct.processor import Processor, detect_processor
from xconv.system.errors import UnsupportedError

OBJECTS_PER_LINKER = 256
"""Object files of a linker."""


def compile_object(text: str, processor: Processor) -> bytes:
    """The object file of a module of LLVM's text, made for a processor.

    LLVM's passes over its text are left out: loops are written as they are to be, and to look for more takes longer
    than it saves.
    """
    import llvmlite.binding as llvm

    target = _get_target(processor)
    module = llvm.parse_assembly(text, llvm.create_context())  # the one of the process would keep its constants
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
    """Machine code of this process: the addresses of its functions by their names, which live as long as this object.

    Many object files share a linker, which takes a page or two for each; alone, one would take a megabyte.
    """

    def __init__(self, linker: Any, names: Sequence[str]) -> None:
        self._linker = linker
        self.addresses: Mapping[str, int] = {name: linker.get_function_address(name) for name in names}


class Linker:
    """LLVM's linker, which is followed by another after some object files: what nobody holds any more goes with it."""

    def __init__(self) -> None:
        self._engine: Any = None
        self._count = 0

    def link(self, objects: Mapping[str, bytes]) -> LinkedCode:
        """The functions of object files, each of which has one of a name that no other has.

        Raises:
            UnsupportedError: the system does not let written memory be run.
        """
        import llvmlite.binding as llvm

        why = refused()  # asked each time: LLVM would not see it, and it may have been forbidden since
        if why is not None:
            raise UnsupportedError(f"no code can be compiled here ({why})")
        if self._engine is None or self._count + len(objects) > OBJECTS_PER_LINKER:
            # a target of its own, which goes with it
            self._engine, self._count = (
                llvm.create_mcjit_compiler(llvm.parse_assembly(""), _create_target(detect_processor())),
                0,
            )
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
    """Link and run a function that does nothing, by LLVM's other linker, which sees what the system refuses.

    Raises:
        RuntimeError: the system does not let written memory be run.
    """
    import llvmlite.binding as llvm

    content = compile_object("define void @nothing() nounwind {\nret void\n}\n", detect_processor())
    linker = llvm.create_lljit_compiler(suppress_errors=True)
    library = llvm.JITLibraryBuilder().add_object_img(content).export_symbol("nothing").link(linker, "trial")
    ctypes.CFUNCTYPE(None)(library["nothing"])()

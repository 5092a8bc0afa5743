"""Whether code can be compiled and run in this process."""

from __future__ import annotations

from functools import cache

from xconv.direct.executable import refused
from xconv.system.collection import without_collection


def unavailable() -> str | None:
    """Why no code can be compiled and run in this process, or None if it can.

    The system is asked each time: a program may be forbidden it after it has started.
    """
    return refused() or _find_obstacle()


@cache
def _find_obstacle() -> str | None:
    """Why a function of two lines cannot be compiled and run; tried once."""
    try:
        with without_collection():
            import xconv.direct.prepared  # noqa: F401 - what comes next
            from xconv.direct.linked import try_linking

            try_linking()  # imports LLVM
    except ImportError as error:
        return f"llvmlite cannot be imported: {error}"
    except Exception as error:  # noqa: BLE001 - any other error of LLVM or the system is the reason
        return f"{type(error).__name__}: {error}"
    return None

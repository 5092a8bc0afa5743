"""Python's garbage collector, while modules are imported and code is compiled."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def without_collection() -> Iterator[None]:
    """No collection while modules are imported or code is compiled: what they make lives on, or goes at once.

    A collection in the middle of them would look at everything that a framework has made: 80 ms beside torch. The
    collector is as it was afterwards, and sees all that was made.

    >>> import gc
    >>> with without_collection():
    ...     gc.isenabled()
    False
    >>> gc.isenabled()
    True
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()

"""Compiled functions of this process: from memory, else from the files of earlier processes, else compiled."""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import count
from threading import Lock
from typing import Any, NamedTuple

from xconv.direct import objectcache
from xconv.direct.linked import LinkedCode, Linker, compile_object
from xconv.direct.processor import Processor
from xconv.system.collection import without_collection

KEPT_FUNCTIONS = 4096
"""Functions that are kept in memory, about 8 KiB each, besides those that a plan still holds."""


class Source(NamedTuple):
    """How to make a function: ``parts`` identify it, and ``write(name)`` gives the LLVM text of one with that name."""

    parts: tuple[Any, ...]
    write: Callable[[str], str]


@dataclass(frozen=True)
class Function:
    """A compiled function: its address, which is valid while this object lives, and what keeps it."""

    address: int
    code: LinkedCode


class Functions:
    """The functions that this process keeps: there is one such object."""

    def __init__(self) -> None:
        self._kept: OrderedDict[tuple[Any, ...], Function] = OrderedDict()
        self._linker = Linker()
        self.lock = Lock()

    def get(self, sources: Sequence[Source], processor: Processor) -> list[Function]:
        """The function of each source, compiled if it is not kept.

        Raises:
            UnsupportedError: the system forbids to run memory that was written.
        """
        with self.lock:
            missing = {source.parts: source for source in sources if source.parts not in self._kept}
            if missing:
                with without_collection():
                    self._kept |= self._compile_missing(list(missing.values()), processor)
            found = [self._kept[source.parts] for source in sources]
            for source in sources:
                self._kept.move_to_end(source.parts)
            while len(self._kept) > KEPT_FUNCTIONS:
                self._kept.popitem(last=False)
        return found

    def _compile_missing(self, sources: Sequence[Source], processor: Processor) -> dict[tuple[Any, ...], Function]:
        keys = [_key(source) for source in sources]
        names = [f"xconv_{next(_numbers) if key is None else key}" for key in keys]
        files = [None if key is None else objectcache.read(key) for key in keys]
        made = [
            _compile(source, name, key, processor) if file is None else file
            for source, name, key, file in zip(sources, names, keys, files, strict=True)
        ]
        linked = self._linker.link(dict(zip(names, made, strict=True)))
        return {
            source.parts: Function(linked.addresses[name], linked) for source, name in zip(sources, names, strict=True)
        }


def _compile(source: Source, name: str, key: str | None, processor: Processor) -> bytes:
    """Compile a function, and keep its object file where ``key`` is not None."""
    code = compile_object(source.write(name), processor)
    if key is not None:
        objectcache.write(key, code)
    return code


_numbers = count()
FUNCTIONS = Functions()


def _key(source: Source) -> str | None:
    """The key of a function's file; None for a tile that is not xconv's, whose source is no part of any key."""
    own = all(type(part).__module__.startswith(("xconv.direct.", "builtins")) for part in source.parts)
    kinds = [type(part).__qualname__ for part in source.parts]
    return objectcache.make_key(*kinds, *source.parts) if own else None


def _renew_lock() -> None:
    FUNCTIONS.lock = Lock()  # a thread of the parent may hold the old one, and is not in this process


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_lock)

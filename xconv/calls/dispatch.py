"""Calls that have been made before: what was resolved, checked, planned and lowered once is not done again.

A call is known by the operation, its options with their types, the backend's signature of the arrays and of the target
(shapes, dtypes, device, threads), and the version of the wisdom. What is kept is the lowering that the first call ran.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from typing import TYPE_CHECKING, Any

from xconv.core.integers import plain
from xconv.planning import wisdom

if TYPE_CHECKING:
    from xconv.core.backend import Backend
    from xconv.core.lowering import Lowered

MOST_CALLS = 2048
"""Calls that are kept; then the oldest go."""

_kept: dict[Hashable, Lowered] = {}
_signatures: dict[type, Callable[..., Hashable | None]] = {}
_lock = threading.Lock()


def key(
    operation: str,
    x: Any,
    weight: Any,
    bias: Any,
    formulation: str,
    backend: str | None,
    device: str | None,
    options: tuple[Any, ...],
) -> Hashable | None:
    """What a call is known by, or None if it has to be looked at in full."""
    signature = _signatures.get(x.__class__)
    if signature is None or backend is not None or device is not None or formulation.__class__ is not str:
        return None
    arrays = signature(x, weight, bias)
    if arrays is None:
        return None
    if not _are_plain(options):
        options = plain(options)
        if not _are_plain(options):
            return None
    return operation, formulation, options, arrays, wisdom.version()


def _are_plain(values: tuple[Any, ...]) -> bool:
    """Whether these are integers, names and tuples of them: 1, 1.0 and True are equal, and hash alike."""
    for value in values:
        kind = value.__class__
        if kind is not int and kind is not str and (kind is not tuple or not _are_plain(value)):
            return False
    return True


find = _kept.get


def keep(
    operation: str,
    lowered: Lowered,
    owner: Backend,
    arrays: tuple[Any, Any, Any],
    formulation: str,
    backend: str | None,
    device: str | None,
    options: tuple[Any, ...],
    known: Hashable | None = None,
) -> None:
    """Keep the lowering of a call that was found to fit, under its key if that is ``known`` already."""
    if owner.is_compiling():
        return
    for kind in owner.eager_types:
        _signatures.setdefault(kind, owner.signature)
    if known is None:
        known = key(operation, *arrays, formulation, backend, device, options)
    if known is None:
        return
    with _lock:
        _kept[known] = lowered
        while len(_kept) > MOST_CALLS:
            del _kept[next(iter(_kept))]


def forget() -> None:
    """Let all kept calls go."""
    with _lock:
        _kept.clear()

"""Calls that have been made before: what was resolved, checked and planned once is not done again.

A call is known by all that a plan depends on: the operation, its options with their types, and the backend's signature
of the arrays (shapes, dtypes, device). What is kept is a function of the arrays alone.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

from xconv import wisdom

if TYPE_CHECKING:
    from xconv.backend import Backend
    from xconv.call import Call
    from xconv.formulation import Array
    from xconv.plan import Chosen

Ready: TypeAlias = "Callable[[Array, Array, Array | None], Array]"

MOST = 2048
"""Calls that are kept; then the oldest go."""

_ready: dict[Hashable, Ready] = {}
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
    options: dict[str, Any],
) -> Hashable | None:
    """What a call is known by, or None if it has to be looked at in full."""
    signature = _signatures.get(x.__class__)
    if signature is None or backend is not None or device is not None:
        return None
    arrays = signature(x, weight, bias)
    if arrays is None:
        return None
    values = tuple(options.values())
    for value in values:
        # 1, 1.0 and True are equal and hash alike, but only one of them is a stride
        if value.__class__ is not int and value.__class__ is not str and not _is_plain_tuple(value):
            return None
    return operation, formulation, values, arrays


def _is_plain_tuple(value: Any) -> bool:
    return value.__class__ is tuple and all(
        part.__class__ is int or part.__class__ is str or _is_plain_tuple(part) for part in value
    )


find = _ready.get


def keep(
    operation: str,
    call: Call,
    owner: Backend,
    chosen: Chosen | None,
    arrays: tuple[Any, Any, Any],
    formulation: str,
    backend: str | None,
    device: str | None,
    options: dict[str, Any],
) -> None:
    """Keep a call that went well."""
    from xconv.run import execute

    if owner.is_tracing():
        return
    for kind in owner.eager_types:
        _signatures.setdefault(kind, owner.signature)
    known = key(operation, *arrays, formulation, backend, device, options)
    if known is None:
        return
    ready = None if chosen is None else owner.lowered(call, chosen)
    if ready is None:
        ready = partial(_prepared, owner, partial(execute, call, owner, chosen))
    with _lock:
        _ready[known] = ready
        while len(_ready) > MOST:
            del _ready[next(iter(_ready))]


def forget() -> None:
    """Let all kept calls go."""
    with _lock:
        _ready.clear()


# what was planned may be planned otherwise now
wisdom.LISTENERS.append(forget)


def _prepared(owner: Backend, execute: Ready, x: Array, weight: Array, bias: Array | None) -> Array:
    return execute(owner.prepare(x), owner.prepare(weight), None if bias is None else owner.prepare(bias))

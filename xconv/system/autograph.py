"""Functions that TensorFlow's AutoGraph calls as they are."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

F = TypeVar("F", bound=Callable[..., Any])


def unconverted(function: F) -> F:
    """Mark a function, as ``tf.autograph.experimental.do_not_convert`` does, without TensorFlow being imported.

    In a ``tf.function`` AutoGraph rewrites every Python function that is called, and all that it calls, so that
    ``if`` and ``while`` may depend on tensors. Nothing here does, and that takes seconds at the first call.

    >>> @unconverted
    ... def double(x):
    ...     return x + x
    >>> double(2)
    4
    """
    function.autograph_info__ = None  # type: ignore[attr-defined]  # what AutoGraph looks for
    return function

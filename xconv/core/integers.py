"""What counts as an integer, in options and in shapes: once, for all of them.

An option may be anything with ``__index__`` (NumPy's integers, an integer tensor of one element, a class of the
caller's), and no bool, which says yes or no. ``nn.Conv1d`` keeps its stride, padding and dilation as tuples of one
integer, as Keras' layers do: where there is one axis, those are that integer.
"""

from __future__ import annotations

import operator
from numbers import Integral
from typing import Any


def index(value: object) -> int | None:
    """The integer that a value is, or None.

    >>> import numpy as np
    >>> index(3), index(np.int64(3)), index(np.array(3)), index(3.0), index(True), index((3,))
    (3, 3, 3, None, None, None)
    """
    if isinstance(value, (int, bool)):
        return None if isinstance(value, bool) else int(value)
    if isinstance(value, (tuple, list)):  # as which torch 2.9 traces what it cannot ask
        return None
    try:
        found = operator.index(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, RuntimeError):  # RuntimeError: a torch tensor without a value
        return None
    return None if "bool" in str(getattr(value, "dtype", "")) else found


def only(value: Any) -> Any:
    """The element of a tuple or list of one; anything else as it is.

    >>> only((2,)), only([2]), only(2), only((2, 1))
    (2, 2, 2, (2, 1))
    """
    return value[0] if isinstance(value, (tuple, list)) and len(value) == 1 else value


def plain(value: Any) -> Any:
    """Integers of any kind as ``int`` and lists as tuples, at any depth; anything else as it is.

    >>> import numpy as np
    >>> plain(np.int64(2)), plain([np.int8(1), (0, 2)]), plain("same"), plain(True)
    (2, (1, (0, 2)), 'same', True)
    """
    if isinstance(value, (tuple, list)):
        return tuple(plain(part) for part in value)
    found = None if isinstance(value, str) else index(value)
    return value if found is None else found


def known(value: Any) -> Any:
    """A size that may not vary: of a framework's trace the number that it has now, which it says as ``known``."""
    return value if isinstance(value, int) else size(getattr(value, "known", value))


def size(value: Any) -> Any:
    """A size of a shape: NumPy's integers as ``int``; a framework's symbolic integer as it is.

    >>> import numpy as np
    >>> type(size(np.int64(7))).__name__
    'int'
    """
    if isinstance(value, int):
        return value
    return int(value) if isinstance(value, Integral) else value

"""What would make two arrays agree, in words."""

from __future__ import annotations

from typing import Any

from xconv.core.reference import Floats
from xconv.parity import diagnose_arrays


def explained(wanted: Floats, got: Floats, bound: Any) -> str:
    """What :func:`xconv.parity.diagnose_arrays` says, or nothing where no known cause explains it.

    >>> import numpy as np
    >>> explained(np.arange(6.0).reshape(2, 3), np.arange(6.0).reshape(2, 3).T, 0.0)
    'matches exactly if the axes are in the order (1, 0)'
    """
    found = diagnose_arrays(wanted, got, bound)
    return str(found) if found.explained else ""

"""What JAX makes that cannot be convolved: what each is, and what to do with it."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
from jax._src.array import ArrayImpl
from jax.core import Tracer

_INSTEAD = {
    "ShapeDtypeStruct": "pass an array: what is known of one has no numbers",
    "ShapedArray": "pass an array: what is known of one has no numbers",
    "Ref": "read it: x[...]",
    "BCOO": "make it dense: x.todense()",
    "BCSR": "make it dense: x.todense()",
}


def refused(array: Any) -> tuple[str, str] | None:
    """Why it cannot be convolved and what to try, or None.

    >>> refused(jax.ShapeDtypeStruct((2, 9, 3), "float32"))
    ('a ShapeDtypeStruct', 'pass an array: what is known of one has no numbers')
    """
    if not isinstance(array, jax.Array):
        kind = type(array).__name__
        return f"a {kind}", _INSTEAD.get(kind, "pass an array")
    if isinstance(array, ArrayImpl) and array.is_deleted():
        return "an array that was deleted", "it was donated to a program: keep the result, or do not donate it"
    # jax.grad would leave the scope in which float64 is float64, and transpose some ops in float32
    if isinstance(array, Tracer) and array.dtype == np.float64 and not jax.config.jax_enable_x64:
        what = "a float64 array in a JAX transformation outside jax.enable_x64(), where gradients become float32"
        return what, "transform inside of the scope"
    return None

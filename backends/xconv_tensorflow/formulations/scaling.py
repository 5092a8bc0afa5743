"""Powers of two that keep products of spectra from overflow, as :mod:`xconv.fourier` has them.

They are constants to whoever differentiates: what is multiplied by one is divided by it again.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import tensorflow as tf

from xconv.fourier import FLOATS, unscaled
from xconv_tensorflow.formulations.shapes import Tensor


class Exponents(NamedTuple):
    """Of the powers for the left operand, the right one and the result; None is no power."""

    left: Tensor | None
    right: Tensor | None
    back: Tensor | None
    needed: Tensor | None
    """Whether they are to be multiplied by: in a graph that is known when it runs."""


UNSCALED = Exponents(None, None, None, None)


def largest(x: Tensor, axis: int) -> Tensor:
    """The largest magnitudes along an axis."""
    return tf.maximum(tf.reduce_max(x, axis), -tf.reduce_min(x, axis))


def suits(top: int, *magnitudes: Tensor) -> Tensor | bool:
    """Whether numbers with these largest magnitudes can be transformed as they are; a tensor in a graph."""
    low, high = unscaled(top)
    if tf.executing_eagerly():  # NumPy takes a tenth of the time of so small ops
        return all(bool(_lie(found.numpy(), low, high).all()) for found in magnitudes)
    return tf.reduce_all([tf.reduce_all(_lie(found, low, high)) for found in magnitudes])


def _lie(found: Any, low: float, high: float) -> Any:
    return ((found >= low) & (found < high)) | (found == 0)


def exponents(magnitudes: Tensor, top: int) -> Tensor:
    """Exponents of magnitudes; of tiny ones as if they were as large as can be scaled up to the headroom."""
    excess, fraction = FLOATS[magnitudes.dtype.name]
    bits = tf.bitcast(magnitudes, tf.int32 if magnitudes.dtype == tf.float32 else tf.int64)
    found = tf.bitwise.bitwise_and(tf.bitwise.right_shift(bits, fraction), 2 * excess + 1) - excess
    return tf.maximum(found, top + 1 - excess)


def balanced(a: Tensor, b: Tensor, top: int) -> tuple[Tensor, Tensor, Tensor]:
    """Exponents for the left operand, the right one and the result; ``top`` is the headroom t.

    From the exponents ``a`` (groups, s, l) and ``b`` (groups, s, r) of the two; the result is (groups, l, r).
    """
    shared = tf.reduce_max(b, 2, keepdims=True)
    sums = tf.reduce_max(a + shared, 1, keepdims=True)
    less = tf.reduce_max(b - shared, 1, keepdims=True)
    return (top + shared - sums, top - shared - less, tf.transpose(sums, (0, 2, 1)) + less - 2 * top)


def scaled(x: Tensor, exponent: Tensor | None, needed: Tensor | None) -> Tensor:
    """``x * 2^exponent``, in two steps, for there is not a power for every exponent."""
    if exponent is None:
        return x
    half = exponent // 2
    return tf.cond(needed, lambda: x * _power(half, x.dtype) * _power(exponent - half, x.dtype), lambda: x)


def _power(exponent: Tensor, dtype: tf.DType) -> Tensor:
    excess, fraction = FLOATS[dtype.name]
    return tf.bitcast(tf.bitwise.left_shift(tf.maximum(exponent + excess, 0), fraction), dtype)

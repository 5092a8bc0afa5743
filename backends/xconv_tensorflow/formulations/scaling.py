"""Powers of two that keep products of spectra from overflow, as :mod:`xconv.core.fourier` has them.

They are constants to whoever differentiates: what is multiplied by one is divided by it again.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import tensorflow as tf

from xconv.core.fourier import FLOATS, unscaled
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
    if tf.executing_eagerly():  # NumPy takes a tenth of the time of so small ops
        return all(bool(_ordinary(found.numpy(), top).all()) for found in magnitudes)
    return tf.reduce_all([tf.reduce_all(_ordinary(found, top)) for found in magnitudes])


def balanced(a: Tensor, b: Tensor, top: int) -> tuple[Tensor, Tensor, Tensor]:
    """Exponents for the left operand, the right one and the result; ``top`` is the headroom t.

    From the largest magnitudes ``a`` (groups, s, l) and ``b`` (groups, s, r) of the two; the result is (groups, l, r).
    They are 0 where nothing need be scaled.
    """
    as_it_is = tf.reduce_all(_ordinary(b, top), (1, 2), keepdims=True)
    untouched = as_it_is & tf.reduce_all(_ordinary(a, top), 1, keepdims=True)
    shared = tf.reduce_max(_exponents(b, top), 2, keepdims=True)
    less = tf.reduce_max(_exponents(b, top) - shared, 1, keepdims=True)
    less = tf.where(as_it_is, tf.cast(top, less.dtype), less)
    none = tf.zeros((), less.dtype)
    shared = tf.where(as_it_is & (tf.reduce_max(b, 2, keepdims=True) > 0), none, shared)
    sums = tf.reduce_max(_exponents(a, top) + shared, 1, keepdims=True)
    back = tf.transpose(sums, (0, 2, 1)) + less - 2 * top
    return (
        tf.where(untouched, none, top + shared - sums),
        tf.where(as_it_is, none, top - shared - less),
        tf.where(tf.transpose(untouched, (0, 2, 1)), none, back),
    )


def _ordinary(magnitudes: Any, top: int) -> Any:
    """Of which magnitudes numbers can be transformed as they are."""
    low, high = unscaled(top)
    return ((magnitudes >= low) & (magnitudes < high)) | (magnitudes == 0)


def _exponents(magnitudes: Tensor, top: int) -> Tensor:
    """Exponents of magnitudes; of tiny ones as if they were as large as can be scaled up to the headroom."""
    exponent_bias, fraction = FLOATS[magnitudes.dtype.name]
    bits = tf.bitcast(magnitudes, tf.int32 if magnitudes.dtype == tf.float32 else tf.int64)
    found = tf.bitwise.bitwise_and(tf.bitwise.right_shift(bits, fraction), 2 * exponent_bias + 1) - exponent_bias
    return tf.maximum(found, top + 1 - exponent_bias)


def scaled(x: Tensor, exponent: Tensor | None, needed: Tensor | None) -> Tensor:
    """``x * 2^exponent``, in two steps, for there is not a power for every exponent."""
    if exponent is None:
        return x
    half = exponent // 2
    return tf.cond(needed, lambda: x * _power(half, x.dtype) * _power(exponent - half, x.dtype), lambda: x)


def _power(exponent: Tensor, dtype: tf.DType) -> Tensor:
    exponent_bias, fraction = FLOATS[dtype.name]
    return tf.bitcast(tf.bitwise.left_shift(tf.maximum(exponent + exponent_bias, 0), fraction), dtype)

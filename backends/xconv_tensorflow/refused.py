"""What TensorFlow makes that cannot be convolved: what each is, and what to do with it."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

_INSTEAD = {
    tf.RaggedTensor: "make it dense: x.to_tensor()",
    tf.SparseTensor: "make it dense: tf.sparse.to_dense(x)",
    tf.IndexedSlices: "make it dense: tf.convert_to_tensor(x)",
    tf.TypeSpec: "pass a tensor: what is known of one has no numbers",
}


def refused(array: Any) -> tuple[str, str] | None:
    """Why it cannot be convolved and what to try, or None.

    >>> refused(tf.TensorSpec((2, 9, 3)))
    ('a TensorSpec', 'pass a tensor: what is known of one has no numbers')
    """
    if not isinstance(array, tf.__internal__.types.Tensor):  # an eager or symbolic tensor, or a variable
        hints = (hint for kind, hint in _INSTEAD.items() if isinstance(array, kind))
        kind = type(array).__name__
        return f"{'an' if kind[0] in 'AEIO' else 'a'} {kind}", next(hints, "pass a tensor")
    rank_is_known = getattr(array.shape, "rank", 0) is not None
    if rank_is_known or (isinstance(array, tf.Variable) and tf.executing_eagerly()):  # whose value has one
        return None
    return "a tensor of unknown rank", "set its shape: x = tf.ensure_shape(x, (None, None, channels))"

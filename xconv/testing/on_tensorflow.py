"""TensorFlow functions, and Keras layers and models that it computes, on NumPy arrays."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from xconv.testing.frameworks import Array, Change, FrameworkAdapter, UnsupportedCallableError, leaves
from xconv.testing.on_keras import called, rebuilt


class TensorFlow(FrameworkAdapter):
    """Functions of tensors, compiled or not, and Keras layers and models."""

    name = "tensorflow"
    differentiates = True

    def __init__(self) -> None:
        self._copies: dict[tuple[int, bool], Any] = {}
        self._shapes: dict[int, list[tuple[int, ...]]] = {}

    def owns(self, value: object) -> bool:
        """Whether it is a tensor, a variable or a layer."""
        return isinstance(value, (tf.Tensor, tf.Variable, keras.Variable, keras.Layer))

    def run(self, f: Any, inputs: Sequence[Array], training: bool) -> list[tuple[str, Array]]:
        """The named results of a function, layer or model."""
        return _named(leaves(called(f, [tf.constant(array) for array in inputs], training)))

    def run_with_gradients(
        self, f: Any, inputs: Sequence[Array], cotangents: Mapping[str, Array], training: bool
    ) -> tuple[list[tuple[str, Array]], list[Array | None]]:
        """By a ``GradientTape``."""
        tensors = [tf.constant(array) for array in inputs]
        wanted = [tensor for tensor in tensors if tensor.dtype.is_floating]
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(wanted)
            found = list(leaves(called(f, tensors, training)))
        given = [(leaf, tf.cast(cotangents[name], leaf.dtype)) for name, leaf in found if name in cotangents]
        pulled = tape.gradient([leaf for leaf, _ in given], wanted, [above for _, above in given])
        if all(gradient is None for gradient in pulled):
            raise UnsupportedCallableError("its result has no gradient (is it computed outside TensorFlow?)")
        gradients = iter(pulled)
        by_input: list[Array | None] = []
        for tensor in tensors:
            if not tensor.dtype.is_floating:
                by_input.append(None)
                continue
            gradient = next(gradients)
            chosen = tf.zeros_like(tensor) if gradient is None else tf.convert_to_tensor(gradient)
            by_input.append(np.array(chosen))
        return _named(found), by_input

    def converted(self, value: Any, change: Change, wide: bool) -> Any:
        """A layer that is built again from its configuration, or a constant."""
        if isinstance(value, keras.Layer):
            copy = self._copies.get((id(value), wide))
            if copy is None:
                copy = self._copies[id(value), wide] = rebuilt(value, wide)
            for old, new in zip(value.variables, copy.variables, strict=True):
                new.assign(change(_array(old)) if "float" in str(old.dtype) else _array(old))
            return copy
        return tf.constant(change(_array(value))) if "float" in str(value.dtype) else value

    def compiled(self, value: Any) -> tuple[Callable[..., Any], Callable[[Any], Any]] | None:
        """The function in a ``tf.function``."""
        if isinstance(value, tf.types.experimental.PolymorphicFunction):
            by_xla = getattr(value, "_jit_compile", None)
            return value.python_function, lambda f: tf.function(f, jit_compile=by_xla)
        return None

    @contextmanager
    def kept_state(self) -> Iterator[None]:
        """Of the global generator, and the seeds that operations take in order."""
        from tensorflow.python.eager import context  # there is no public way to read them

        random = getattr(context.context(), "_rng", None)
        before = random.getstate() if random is not None else None
        if random is not None:
            random.seed(0)  # other seeds than the user's next ones, whose kernels would keep what they have drawn
        generator = tf.random.get_global_generator()
        state = tf.identity(generator.state)
        try:
            yield
        finally:
            generator.state.assign(state)
            if random is not None:
                random.setstate(before)

    def versions(self) -> dict[str, str]:
        """TensorFlow's and Keras's."""
        return {"tensorflow": tf.__version__, "keras": keras.__version__}

    def flags(self) -> dict[str, str]:
        """What it may round to on its own account."""
        return {
            "tensorflow TF32": str(tf.config.experimental.tensor_float_32_execution_enabled()),
            "TF_ENABLE_ONEDNN_OPTS": os.environ.get("TF_ENABLE_ONEDNN_OPTS", "not set"),
        }


def _named(found: Any) -> list[tuple[str, Array]]:
    return [(name, _array(leaf)) for name, leaf in found]


def _array(leaf: Any) -> Array:
    value = leaf.value if isinstance(leaf, keras.Variable) else leaf
    return np.array(value.numpy() if hasattr(value, "numpy") else value)

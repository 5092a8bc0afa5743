"""Keras layers and models on NumPy arrays, whichever framework computes them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import keras
import numpy as np

from xconv.testing.frameworks import Array, Change, FrameworkAdapter, UnsupportedCallableError, leaves


class Keras(FrameworkAdapter):
    """Layers and models that another framework than TensorFlow computes: their results, and no gradients."""

    name = "keras"

    def __init__(self) -> None:
        self._copies: dict[tuple[int, bool], Any] = {}

    def owns(self, value: object) -> bool:
        """Whether it is a variable or a layer."""
        return isinstance(value, (keras.Variable, keras.Layer))

    def run(self, f: Any, inputs: Sequence[Array], training: bool) -> list[tuple[str, Array]]:
        """The named results of a layer or model."""
        result = called(f, [keras.ops.convert_to_tensor(np.array(array)) for array in inputs], training)
        return [(name, np.array(keras.ops.convert_to_numpy(leaf))) for name, leaf in leaves(result)]

    def converted(self, value: Any, change: Change, wide: bool) -> Any:
        """A layer that is built again from its configuration, or another tensor."""
        if not isinstance(value, keras.Layer):
            return keras.ops.convert_to_tensor(change(keras.ops.convert_to_numpy(value)))
        copy = self._copies.get((id(value), wide))
        if copy is None:
            copy = self._copies[id(value), wide] = rebuilt(value, wide)
        for old, new in zip(value.variables, copy.variables, strict=True):
            numbers = keras.ops.convert_to_numpy(old)
            new.assign(change(numbers) if "float" in str(old.dtype) else numbers)
        return copy

    def precision(self, wide: bool) -> AbstractContextManager[Any]:
        """JAX has float64 in a scope alone."""
        if keras.backend.backend() != "jax":
            return nullcontext()
        from xconv.testing.on_jax import Jax

        return Jax().precision(wide)

    def versions(self) -> dict[str, str]:
        """Keras's; and which framework computes."""
        return {"keras": keras.__version__, "keras computes by": str(keras.backend.backend())}


def called(f: Any, tensors: Sequence[Any], training: bool) -> Any:
    """A layer or function on tensors; a model with several inputs takes them as a list."""
    if not isinstance(f, keras.Layer):
        return f(*tensors)
    options = {"training": training} if f._call_has_training_arg else {}
    if len(tensors) > 1 and isinstance(f, keras.Model) and len(getattr(f, "inputs", None) or ()) == len(tensors):
        return f(list(tensors), **options)
    return f(*tensors, **options)


def rebuilt(layer: Any, wide: bool) -> Any:
    """A layer of the same configuration, in float64 if it is to be wide, with variables of its own."""
    if not layer.built:
        raise UnsupportedCallableError(f"the layer {layer.name!r} has not been built; call it once before")
    try:
        kinds = {type(one).__name__: type(one) for one in layer._flatten_layers()}
        with keras.saving.custom_object_scope(kinds):
            config = layer.get_config()
            copy = type(layer).from_config(_in_float64(config) if wide else config)
            if not copy.built:
                copy.build_from_config(layer.get_build_config() or {})
    except Exception as error:  # a layer of the user's may need anything
        why = (str(error).splitlines() or [""])[0][:160]
        raise UnsupportedCallableError(
            f"{type(layer).__name__} cannot be built again from its configuration: {why}"
        ) from error
    shapes = [[tuple(variable.shape) for variable in one.variables] for one in (layer, copy)]
    if shapes[0] != shapes[1]:
        raise UnsupportedCallableError(
            f"{type(layer).__name__}, built again from its configuration, has other variables"
        )
    return copy


def _in_float64(config: Any, key: str = "") -> Any:
    """A configuration whose dtypes and dtype policies say float64."""
    if isinstance(config, Mapping):
        if config.get("class_name") == "DTypePolicy":
            return {**config, "config": {**config["config"], "name": "float64"}}
        return {name: _in_float64(value, name) for name, value in config.items()}
    if isinstance(config, (list, tuple)):
        return type(config)(_in_float64(value, key) for value in config)
    return "float64" if key == "dtype" and config in ("float32", "float16", "bfloat16") else config

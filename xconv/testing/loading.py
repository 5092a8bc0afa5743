"""The frameworks by their names; each is imported when it is asked for."""

from __future__ import annotations

from xconv.testing.frameworks import FrameworkAdapter, NumPy


def get_framework(name: str) -> FrameworkAdapter:
    """The framework of a name; it is imported now."""
    if name == "torch":
        from xconv.testing.on_torch import Torch

        return Torch()
    if name == "tensorflow":
        from xconv.testing.on_tensorflow import TensorFlow

        return TensorFlow()
    if name == "keras":
        from xconv.testing.on_keras import Keras

        return Keras()
    if name == "jax":
        from xconv.testing.on_jax import Jax

        return Jax()
    if name == "onnx":
        from xconv.testing.on_onnx import Onnx

        return Onnx()
    return NumPy()

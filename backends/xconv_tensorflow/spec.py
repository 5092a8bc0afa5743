"""What is known of xconv's TensorFlow backend before its framework is imported."""

from __future__ import annotations

from xconv.core.backend import Backend
from xconv.core.registry import BackendSpec


def _load() -> Backend:
    from xconv_tensorflow.backend import BACKEND

    return BACKEND


SPEC = BackendSpec(
    name="tensorflow",
    array_modules=("tensorflow",),
    requires="tensorflow",
    install="pip install 'xconv[tensorflow]'",
    load=_load,
    model_modules=("keras", "tf_keras"),
)

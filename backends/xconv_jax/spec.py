"""What is known of xconv's JAX backend before its framework is imported."""

from __future__ import annotations

from xconv.core.backend import Backend
from xconv.core.registry import BackendSpec


def _load() -> Backend:
    from xconv_jax.backend import BACKEND

    return BACKEND


SPEC = BackendSpec(
    name="jax",
    array_modules=("jax", "jaxlib"),
    requires="jax",
    install="pip install 'xconv[jax]'",
    load=_load,
)

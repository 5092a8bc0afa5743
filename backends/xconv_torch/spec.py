"""What is known of xconv's PyTorch backend before its framework is imported."""

from __future__ import annotations

from xconv.core.backend import Backend
from xconv.core.registry import BackendSpec


def _load() -> Backend:
    from xconv_torch.backend import BACKEND

    return BACKEND


SPEC = BackendSpec(
    name="torch",
    array_modules=("torch",),
    requires="torch",
    install="pip install 'xconv[torch]'",
    load=_load,
    model_modules=("torch",),
)

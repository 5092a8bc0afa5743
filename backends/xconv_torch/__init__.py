"""xconv's PyTorch backend. Importing this module imports no framework."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from xconv.core.registry import BackendSpec

    SPEC: BackendSpec
else:

    def __getattr__(name: str) -> object:
        # read when asked for: xconv asks while it is imported, perhaps by a module of this package
        if name == "SPEC":
            from xconv_torch.spec import SPEC

            return SPEC
        raise AttributeError(f"module 'xconv_torch' has no attribute {name!r}")

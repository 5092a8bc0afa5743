"""Every error that a user can meet."""

from xconv.system.errors import (
    ArgumentError,
    BackendError,
    UnsupportedError,
    WisdomError,
    XconvError,
)

__all__ = [
    "ArgumentError",
    "BackendError",
    "UnsupportedError",
    "WisdomError",
    "XconvError",
]

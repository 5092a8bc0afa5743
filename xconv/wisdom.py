"""What was measured on this machine, in memory and in a file."""

from xconv.planning.wisdom import (
    Entry,
    Key,
    default_file,
    entries,
    find,
    forget,
    knows,
    load,
    remember,
    save,
    version,
)

__all__ = [
    "Entry",
    "Key",
    "default_file",
    "entries",
    "find",
    "forget",
    "knows",
    "load",
    "remember",
    "save",
    "version",
]

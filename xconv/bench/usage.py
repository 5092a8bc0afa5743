"""What the system counts of a process: page faults and context switches."""

from __future__ import annotations

from typing import NamedTuple

try:
    import resource
except ImportError:  # Windows
    resource = None  # type: ignore[assignment]


class Usage(NamedTuple):
    """Minor page faults, and involuntary context switches."""

    faults: int
    switches: int


def usage() -> Usage:
    """Of this process until now; zeros where the system does not tell.

    >>> usage().faults >= 0
    True
    """
    if resource is None:
        return Usage(0, 0)
    said = resource.getrusage(resource.RUSAGE_SELF)
    return Usage(said.ru_minflt, said.ru_nivcsw)

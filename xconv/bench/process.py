"""The worker processes, seen from the arena."""

from __future__ import annotations

from xconv.bench.peers import thread_settings
from xconv.child import Child

LIMIT_S = 300.0
"""Seconds that a worker may take for one answer: to check a layer and to compile it are part of the first."""


class Worker(Child):
    """A process that computes with one framework, with so many threads from its start."""

    def __init__(self, framework: str, threads: int, device: str, limit_s: float = LIMIT_S) -> None:
        settings = thread_settings(framework, threads)
        arguments = (framework, str(threads), device)
        super().__init__(framework, "xconv.bench.worker", *arguments, limit_s=limit_s, env=settings)

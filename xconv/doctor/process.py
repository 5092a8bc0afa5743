"""The worker process, seen from the doctor: it may crash or hang, and then that is its answer."""

from __future__ import annotations

import os
from typing import Any

from xconv.system.child import Child

START_S = 180.0
"""Seconds that a framework may take to load: many from a cold disk."""
LIMIT_S = 60.0
"""Seconds that one answer may take: enough to compile in."""

SMALL = {"XLA_PYTHON_CLIENT_PREALLOCATE": "false", "TF_FORCE_GPU_ALLOW_GROWTH": "true"}
"""So that several frameworks share a GPU; they change no result."""


class Process(Child):
    """A worker of one backend; it starts at once, and loads its framework while others do."""

    def __init__(self, name: str, module: str, limit_s: float = LIMIT_S) -> None:
        small = {variable: value for variable, value in SMALL.items() if variable not in os.environ}
        self.module, worker = module, "xconv.doctor.worker"
        super().__init__(name, worker, name, module, limit_s=limit_s, start_s=START_S, env=small)

    def verdict(self, **request: str) -> dict[str, str]:
        """The verdict on one square of the matrix: also "aborts" and "no answer"."""
        return _judged(self.ask(**request))

    def last(self, answer: dict[str, str]) -> dict[str, str]:
        """The verdict, if the process then ends as it should; else how it ends."""
        return _judged(self.finish(answer))


def _judged(answer: dict[str, Any]) -> dict[str, str]:
    return {"verdict": answer["lost"], "detail": answer["detail"]} if "lost" in answer else answer

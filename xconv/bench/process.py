"""The worker processes, seen from the arena: start one, ask it, end it when it does not answer."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
from typing import Any

from xconv.bench.peers import thread_settings

LIMIT_S = 300.0
"""Seconds that a worker may take for one answer: to check a layer and to compile it are part of the first."""


class Worker:
    """A process that computes with one framework and answers one JSON line for each it is sent."""

    def __init__(self, framework: str, threads: int, device: str, limit_s: float = LIMIT_S) -> None:
        self.framework, self.limit_s = framework, limit_s
        self._said = tempfile.TemporaryFile("w+")  # noqa: SIM115 - it lives as long as the worker
        self._process = subprocess.Popen(
            [sys.executable, "-m", "xconv.bench.worker", framework, str(threads), device],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._said,
            text=True,
            env={**os.environ, **thread_settings(framework, threads)},
        )
        self.about = self._answer()

    def ask(self, **request: Any) -> dict[str, Any]:
        """Send a request and wait for the answer; a worker that takes too long is ended."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            return self._ended()
        return self._answer()

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.wait()

    def is_running(self) -> bool:
        """Whether it can be asked."""
        return self._process.poll() is None

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        late = threading.Event()

        def give_up() -> None:
            late.set()
            self._process.kill()  # which ends the wait for its line

        clock = threading.Timer(self.limit_s, give_up)
        clock.daemon = True
        clock.start()
        try:
            line = self._process.stdout.readline()
        finally:
            clock.cancel()
        if late.is_set():
            self._process.wait()
            return {"error": f"the {self.framework} worker gave no answer in {self.limit_s:g} s and was ended"}
        if not line:
            return self._ended()
        answer: dict[str, Any] = json.loads(line)
        return answer

    def _ended(self) -> dict[str, Any]:
        status = self._process.wait()
        self._said.seek(0)
        said = [line for line in self._said.read().splitlines() if line.strip()]
        return {"error": f"the {self.framework} worker ended with exit status {status}: {said[-1] if said else ''}"}

"""The worker process, seen from the doctor: it may crash or hang, and then that is its answer."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from typing import Any

START_S = 180.0
"""Seconds that a framework may take to load: many from a cold disk."""
LIMIT_S = 60.0
"""Seconds that one answer may take: enough to compile in."""

SMALL = {"XLA_PYTHON_CLIENT_PREALLOCATE": "false", "TF_FORCE_GPU_ALLOW_GROWTH": "true"}
"""So that several frameworks share a GPU; they change no result."""


class Process:
    """A worker of one backend; it starts at once, and loads its framework while others do."""

    def __init__(self, name: str, module: str, limit_s: float = LIMIT_S) -> None:
        self.name, self.module, self.limit_s = name, module, limit_s
        self._said = tempfile.TemporaryFile("w+", errors="replace")  # noqa: SIM115 - it lives as long as the worker
        self._process = subprocess.Popen(
            [sys.executable, "-m", "xconv.doctor.worker", name, module],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._said,
            text=True,
            env={**SMALL, **os.environ},
        )
        self._about: dict[str, Any] | None = None

    @property
    def about(self) -> dict[str, Any]:
        """What the worker says of itself, or why it has nothing to say, under "error"."""
        if self._about is None:
            answer = self._answer(START_S)
            self._about = answer if "verdict" not in answer else {"error": f"{answer['verdict']}: {answer['detail']}"}
        return self._about

    def ask(self, **request: str) -> dict[str, str]:
        """The verdict on one square of the matrix: also "aborts" and "no answer"."""
        if "error" in self.about:
            return {"verdict": "aborts", "detail": str(self.about["error"])}
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            return self._ended()
        return self._answer(self.limit_s)

    def finish(self, answer: dict[str, str]) -> dict[str, str]:
        """The answer, if the process then ends as it should; else how it ends."""
        assert self._process.stdin is not None
        if self.is_running():
            self._process.stdin.close()
            last = self._answer(self.limit_s)
            return answer if self._process.wait() == 0 else last
        return answer

    def is_running(self) -> bool:
        """Whether it can be asked."""
        return self._process.poll() is None

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout, self._said):
            if stream is not None:
                try:
                    stream.close()
                except BrokenPipeError:
                    continue  # it was asked something when it ended

    def _answer(self, limit_s: float) -> dict[str, Any]:
        assert self._process.stdout is not None
        late = threading.Event()

        def give_up() -> None:
            late.set()
            self._process.kill()  # which ends the wait for its line

        clock = threading.Timer(limit_s, give_up)
        clock.daemon = True
        clock.start()
        try:
            line = self._process.stdout.readline()
        finally:
            clock.cancel()
        if late.is_set():
            self._process.wait()
            return {"verdict": "no answer", "detail": f"in {limit_s:g} s"}
        if not line:
            return self._ended()
        answer: dict[str, Any] = json.loads(line)
        return answer

    def _ended(self) -> dict[str, str]:
        status = self._process.wait()
        how = f"exit status {status}"
        if status < 0:
            how = signal.Signals(-status).name
        self._said.seek(0)
        said = [line.strip() for line in self._said.read().splitlines() if line.strip()]
        return {"verdict": "aborts", "detail": f"{how}: {said[-1][:200]}" if said else how}

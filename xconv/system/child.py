"""Processes that compute for another one: a JSON line in, a JSON line out.

A framework that raises answers with the error; one that aborts or hangs ends its process, and that is an answer too.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import cached_property
from typing import Any


class Child:
    """A process that answers one JSON line for each it is sent, and one when it has started.

    Answers are dictionaries. Where the process is gone the answer has "lost" ("aborts" or "no answer"), "detail" (how
    it ended) and "error" (all of it in words).
    """

    def __init__(
        self,
        name: str,
        module: str,
        *arguments: str,
        limit_s: float,
        start_s: float | None = None,
        env: Mapping[str, str] | None = None,
    ) -> None:
        self.name, self.limit_s, self._start_s = name, limit_s, start_s or limit_s
        self._said = tempfile.TemporaryFile("w+", errors="replace")  # noqa: SIM115 - it lives as long as the process
        self._process = subprocess.Popen(
            [sys.executable, "-m", module, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._said,
            text=True,
            env={**os.environ, **(env or {})},
        )

    @cached_property
    def about(self) -> dict[str, Any]:
        """What the process says of itself, once it has started."""
        return self._answer(self._start_s)

    def ask(self, **request: Any) -> dict[str, Any]:
        """Send a request and wait for the answer; a process that takes too long is ended."""
        if "error" in self.about:
            return {"lost": "aborts", "detail": self.about["error"], **self.about}
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            return self._ended()
        return self._answer(self.limit_s)

    def finish(self, answer: dict[str, Any]) -> dict[str, Any]:
        """The answer, if the process then ends as it should; else how it ends."""
        assert self._process.stdin is not None
        if not self.is_running():
            return answer
        self._process.stdin.close()
        last = self._answer(self.limit_s)
        return answer if self._process.wait() == 0 else last

    def kill(self) -> None:
        """End the process; who waits for its answer learns that it was."""
        self._process.kill()

    def close(self) -> None:
        """End the process, and let go of what it needed."""
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout, self._said):
            if stream is not None:
                with suppress(BrokenPipeError):  # it was asked something when it ended
                    stream.close()

    def is_running(self) -> bool:
        """Whether it can be asked."""
        return self._process.poll() is None

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
            error = f"the {self.name} worker gave no answer in {limit_s:g} s and was ended"
            return {"error": error, "lost": "no answer", "detail": f"in {limit_s:g} s"}
        if not line:
            return self._ended()
        try:
            answer: dict[str, Any] = json.loads(line)
        except json.JSONDecodeError:  # it ended in the middle of its answer
            self._process.kill()
            return self._ended()
        return answer

    def _ended(self) -> dict[str, Any]:
        status = self._process.wait()
        how = f"exit status {status}" if status >= 0 else signal.Signals(-status).name
        self._said.seek(0)
        said = [line.strip() for line in self._said.read().splitlines() if line.strip()]
        detail = f"{how}: {said[-1][:200]}" if said else how
        return {"error": f"the {self.name} worker ended with {detail}", "lost": "aborts", "detail": detail}


def serve(about: Mapping[str, Any], answer: Callable[[dict[str, Any]], Mapping[str, Any]]) -> None:
    """Answer requests until the standard input ends; whatever ``answer`` raises is its own to turn into an answer."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # who asks decides when it is over
    with os.fdopen(os.dup(1), "w", buffering=1) as answers:
        os.dup2(2, 1)  # whatever a framework prints must not be taken for an answer
        print(json.dumps(about), file=answers)
        for line in sys.stdin:
            print(json.dumps(answer(json.loads(line))), file=answers)


def as_tuples(value: Any) -> Any:
    """What JSON made lists of as tuples again, at any depth.

    >>> as_tuples({"padding": [1, [2, 0]]})
    {'padding': (1, (2, 0))}
    """
    if isinstance(value, dict):
        return {key: as_tuples(part) for key, part in value.items()}
    return tuple(map(as_tuples, value)) if isinstance(value, (list, tuple)) else value

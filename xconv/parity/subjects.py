"""What is checked: a backend in a process of its own, where it may abort or hang, or one in this process."""

from __future__ import annotations

from typing import Protocol

import xconv
from xconv.core.backend import Backend
from xconv.parity.comparison import Finding
from xconv.parity.task import INFINITE, Row, Task, from_finite, perform, row
from xconv.system.child import Child
from xconv.system.errors import BackendError

START_S = 300.0
"""Seconds that a framework may take to be imported."""

MOST_TASKS = 3000
"""Tasks after which a process is replaced: what a compiler keeps of each shape has no end (JAX: 5 GB after 11,000)."""


class CheckedBackend(Protocol):
    """A backend that performs tasks."""

    name: str
    version: str
    devices: list[str]
    modes: list[str]
    formulations: list[str]

    def perform(self, task: Task) -> list[Row]:
        """The rows of a task, whatever happens."""

    def close(self) -> None:
        """End what was started."""


class BackendInThisProcess:
    """A backend of this process. What it raises is a row; what aborts it ends everything."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self.name, self.version = backend.name, backend.version()
        self.devices, self.modes = backend.devices(), list(backend.modes)
        self.formulations = [form.name for form in backend.formulations]

    def perform(self, task: Task) -> list[Row]:
        """The rows of a task."""
        return perform(self._backend, task)

    def close(self) -> None:
        """Nothing was started."""


class BackendInChildProcess:
    """A backend in a process of its own, which is started again when it was lost.

    Raises:
        BackendError: it does not load.
    """

    def __init__(self, name: str, limit_s: float) -> None:
        xconv.core.registry.known(name)  # a misspelt name needs no process to be found out
        self.name, self._limit_s = name, limit_s
        self._child, self._done = self._start(), 0
        about = self._child.about
        if "error" in about:
            raise BackendError(f"backend {name!r} does not load: {about['error']}")
        self.version, self.devices = str(about["version"]), list(about["devices"])
        self.modes, self.formulations = list(about["modes"]), list(about["formulations"])

    def perform(self, task: Task) -> list[Row]:
        """The rows of a task; one with the reason where the process was lost."""
        if self._done == MOST_TASKS:
            self._child.close()
        if not self._child.is_running():
            self._child, self._done = self._start(), 0
        self._done += 1
        answer = self._child.ask(**task.to_json())
        if "rows" in answer:
            return [from_finite(said) for said in answer["rows"]]
        return [row(task, "-", Finding("-", "error", INFINITE, INFINITE, (), str(answer["error"])))]

    def close(self) -> None:
        """End the process."""
        self._child.close()

    def _start(self) -> Child:
        return Child(self.name, "xconv.parity.worker", self.name, limit_s=self._limit_s, start_s=START_S)

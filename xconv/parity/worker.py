"""The process in which a backend is checked: ``python -m xconv.parity.worker BACKEND``."""

from __future__ import annotations

import sys
from typing import Any

import xconv
from xconv.parity.task import Task, finite, perform
from xconv.system.child import serve


def main() -> None:
    """Load the backend, and perform tasks until the standard input ends."""
    backend = xconv.get_backend(sys.argv[1])

    def answer(request: dict[str, Any]) -> dict[str, Any]:
        return {"rows": finite(perform(backend, Task.from_json(request)))}

    about = {"version": backend.version(), "devices": backend.devices(), "modes": list(backend.modes)}
    serve({**about, "formulations": [form.name for form in backend.formulations]}, answer)


if __name__ == "__main__":
    main()

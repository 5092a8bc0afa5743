"""The matrix of capabilities: what is asked of each worker, and its answers as cells."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from xconv.core.operations import OPERATIONS
from xconv.core.problem import DTYPES
from xconv.doctor.features import FEATURES
from xconv.doctor.found import Cell, Subject
from xconv.doctor.process import Process


@dataclass(frozen=True)
class Probe:
    """One square of the matrix that is to be tried; ``own_process``: in a process of its own."""

    backend: str
    device: str
    subject: Subject
    name: str
    dtype: str
    mode: str
    own_process: bool = False


def probes(backend: str, about: dict[str, Any], has_own: bool) -> Iterator[Probe]:
    """All squares of a backend, from what its worker says of itself."""
    for device in about["devices"]:
        for operation in OPERATIONS:
            for dtype in DTYPES:
                for mode in ("forward", "gradient", *about["modes"]):
                    yield Probe(backend, device, "operation", operation, dtype, mode)
        if not has_own:
            continue
        for feature in FEATURES.values():
            yield Probe(backend, device, "feature", feature.name, feature.dtype, "gradient")
            for mode in ("forward", "gradient"):
                yield Probe(backend, device, "own op", feature.name, feature.dtype, mode, feature.own_process)


def attempt(
    worker: Process, plan: Sequence[Probe], done: Callable[[], None], start: Callable[[], Process]
) -> list[Cell]:
    """Try everything, each square in the worker that is there, or in a new one where it ended or must be alone.

    ``done`` is called after each, ``start`` makes a new worker. Whichever worker is left is closed.
    """
    cells = []
    try:
        for probe in plan:
            if probe.own_process or not worker.is_running():
                worker.close()
                worker = start()
            how = {"device": probe.device, "subject": probe.subject, "name": probe.name}
            answer: dict[str, Any] = worker.verdict(**how, dtype=probe.dtype, mode=probe.mode)
            if probe.own_process:
                # what it may have spoiled shows at the latest when the process frees its memory
                answer = worker.last(answer)
            cells.append(
                Cell(
                    probe.backend,
                    probe.device,
                    probe.subject,
                    probe.name,
                    probe.dtype,
                    probe.mode,
                    answer["verdict"],
                    answer["detail"],
                )
            )
            done()
    finally:
        worker.close()
    return cells

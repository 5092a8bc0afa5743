"""The doctor's visit: everything in order."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from xconv.core import registry
from xconv.doctor import frameworks, machine
from xconv.doctor.advice import advice
from xconv.doctor.capabilities import Probe, attempt, probes
from xconv.doctor.found import VERSION, Cell, DoctorReport, Framework, Wisdom
from xconv.doctor.process import LIMIT_S, Process
from xconv.planning import wisdom, wisdomfile
from xconv.system.errors import BackendError, nearest


def examine(
    backends: Sequence[str] | None = None,
    *,
    capabilities: bool = True,
    limit_s: float = LIMIT_S,
    progress: Callable[[int, int], None] | None = None,
) -> DoctorReport:
    """What is installed here, how it is set, and what each framework can do.

    Nothing is set, and no framework is imported into this process: one that was imported already is asked here, so
    that its settings are this process's; any other is asked in a fresh process. Capabilities are always tried in
    processes apart, since some frameworks abort.

    Args:
        backends: names; by default all that are registered, installed or not.
        capabilities: also try every operation, dtype and direction, compiled too, and the framework's own ops.
        limit_s: seconds that one such trial may take.
        progress: called with the number of trials that are done, and of all.

    Raises:
        BackendError: a backend that was asked for is not known, or not installed.

    >>> import xconv.doctor
    >>> report = xconv.doctor.examine(["torch"], capabilities=False)
    >>> [framework.state for framework in report.frameworks], len(report.cells)
    (['ready'], 0)
    """
    names = frameworks.known() if backends is None else list(dict.fromkeys(backends))
    for name in names if backends is not None else ():
        _expect(name)
    found = {name: frameworks.absent(name) for name in names}
    modules = {name: frameworks.module_of(name) for name in names}
    wanted = [name for name in names if found[name] is None and (capabilities or not frameworks.is_loaded(name))]
    workers = {name: Process(name, modules[name], limit_s) for name in wanted}
    cells: tuple[Cell, ...] = ()
    try:
        for name in [name for name in names if found[name] is None]:
            found[name] = _state(name, modules[name], workers)
        if capabilities:
            ready = {name: worker for name, worker in workers.items() if "error" not in worker.about}
            cells = _matrix(ready, progress)
    finally:
        for worker in workers.values():
            worker.close()
    described = tuple(framework for framework in found.values() if framework is not None)
    memory, compiler = machine.allocator(), machine.compiler()
    here = machine.machine(), described, memory, compiler, _wisdom(described), machine.environment()
    return DoctorReport(VERSION, *here, cells, advice(*here, cells))


def _expect(name: str) -> None:
    """Refuse the name of what cannot be examined: as :func:`xconv.get_backend`, but nothing is imported."""
    if name not in frameworks.known():
        hint = nearest(name, frameworks.known())
        known = ", ".join(frameworks.known())
        raise BackendError(f"no backend is called {name!r}; known: {known}." + (f" Hint: {hint}" if hint else ""))
    absent = frameworks.absent(name)
    if absent is not None and absent.state == "not installed":
        needed = registry._SPECS[name].requires
        raise BackendError(f"backend {name!r} needs {needed}, which is not installed: {absent.detail}")


def _state(name: str, module: str, workers: dict[str, Process]) -> Framework:
    if not frameworks.is_loaded(name):
        return frameworks.described(name, workers[name].about, "fresh")
    try:
        return frameworks.described(name, frameworks.look(name, module), "this")
    except Exception as error:  # noqa: BLE001 - a framework that does not answer is what is looked for
        return frameworks.described(name, {"error": frameworks.reason(error)}, "this")


def _matrix(workers: dict[str, Process], progress: Callable[[int, int], None] | None) -> tuple[Cell, ...]:
    plans: dict[str, list[Probe]] = {
        name: list(probes(name, worker.about, bool(worker.module))) for name, worker in workers.items()
    }
    total, done, lock = sum(len(plan) for plan in plans.values()), 0, threading.Lock()

    def one_done() -> None:
        nonlocal done
        with lock:
            done += 1
            if progress:
                progress(done, total)

    def of(name: str) -> list[Cell]:
        def start() -> Process:
            workers[name] = Process(name, workers[name].module, workers[name].limit_s)
            return workers[name]

        return attempt(workers[name], plans[name], one_done, start)

    with ThreadPoolExecutor(max(1, len(workers))) as pool:  # they only wait for their workers
        return tuple(cell for cells in pool.map(of, workers) for cell in cells)


def _wisdom(found: Sequence[Framework]) -> Wisdom:
    file = wisdom.default_file()
    try:
        entries, wrong = wisdomfile.read(file)
    except OSError as error:
        entries, wrong = {}, f"it cannot be read: {error}"
    versions = {framework.backend: framework.version for framework in found if framework.state == "ready"}
    stale = sum(key.version != versions.get(key.backend, key.version) for key in entries)
    return Wisdom(str(file), file.exists(), len(entries), stale, wrong, len(wisdom.entries()))

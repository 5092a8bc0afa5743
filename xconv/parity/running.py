"""Run cases over backends, devices, dtypes, modes and formulations."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import xconv
from xconv.core.backend import Backend
from xconv.core.problem import DTYPES
from xconv.parity.cases import Case
from xconv.parity.cases import cases as cases_of
from xconv.parity.counter import Counter
from xconv.parity.fuzz import check_available, fuzzed
from xconv.parity.report import ParityReport
from xconv.parity.subjects import BackendInChildProcess, BackendInThisProcess, CheckedBackend
from xconv.parity.task import Row, Task
from xconv.system.errors import ArgumentError
from xconv.system.waiting import results

MODES = ("eager", "compiled")
DIRECTIONS = ("forward", "gradient")
FORMULATIONS = ("auto", "all")
COMPILED_EVERY = {"smoke": 6, "default": 4}
"""Of each tier's cases one in this number is compiled: a compiler takes seconds for each."""

LIMIT_S = 120.0
"""Seconds that a case may take under one setting: to compile it is part of them."""


def run(
    backends: Sequence[str | Backend] | None = None,
    devices: Sequence[str] | None = None,
    dtypes: Sequence[str] | None = None,
    modes: Sequence[str] = MODES,
    directions: Sequence[str] = DIRECTIONS,
    cases: str | Sequence[Case] = "smoke",
    fuzz: int = 0,
    seed: int = 0,
    *,
    formulations: str = "all",
    limit_s: float = LIMIT_S,
    progress: Callable[[int, int], None] | None = None,
) -> ParityReport:
    """Compare backends with the reference, and so with each other.

    Each case runs on small integers, where every bit must agree, and on random data, against the derived bound. Every
    formulation is checked eagerly in every dtype; the framework's compilers see what "auto" takes, in float32, of the
    smaller tiers one case in six and in four. Each backend computes in a process of its own: one that aborts or hangs
    becomes a row. An interrupt (Ctrl-C) ends the run, and the report says what was checked until then.

    Args:
        backends: names, by default of all that are installed; a :class:`xconv.core.backend.Backend` is checked in this
            process.
        devices: "cpu", "cuda:0", ...; by default every one that each backend has.
        dtypes: by default all four.
        modes: "eager", and "compiled" for each of the framework's compilers.
        directions: "forward", and "gradient" with respect to x, the weights and the bias.
        cases: a tier, "smoke", "default" or "full", or cases of your own.
        fuzz: how many cases more are drawn at random on each backend: geometry, dtype, layout, memory, formulation. The
            first that fails is shrunk to the smallest that does. Needs hypothesis.
        seed: of the inputs and of what is drawn; the same seed gives the same report.
        formulations: "all", or "auto" for what a user gets who names none.
        limit_s: seconds for one case under one setting.
        progress: called with the number of checks that are done, and of all.

    Returns:
        The rows of all backends.

    Raises:
        BackendError: a backend that was asked for is not there.
        ArgumentError: an unknown mode, direction, dtype or device.

    >>> from xconv.parity import cases, run
    >>> report = run(backends=["torch"], dtypes=["float32"], modes=["eager"], cases=cases("smoke")[:2])
    >>> report.ok, sorted({row.formulation for row in report.rows if row.ok})[:3]
    (True, ['auto', 'conv1d', 'conv2d'])
    """
    dtypes = _among("dtypes", dtypes or DTYPES, DTYPES)
    modes, directions = _among("modes", modes, MODES), _among("directions", directions, DIRECTIONS)
    _among("formulations", [formulations], FORMULATIONS)
    if fuzz:
        check_available()
    tier = cases if isinstance(cases, str) else ""
    chosen = cases_of(cases) if isinstance(cases, str) else list(cases)
    names = _in_order(xconv.backends()) if backends is None else list(backends)
    subjects = _start(names, limit_s)
    try:
        report = ParityReport({subject.name: subject.version for subject in subjects}, seed)
        plans = [
            list(_tasks(subject, chosen, devices, dtypes, modes, directions, formulations, seed, tier))
            for subject in subjects
        ]
        total = sum(map(len, plans)) + fuzz * len(subjects)
        counter = Counter(total, progress)
        parts: list[list[Row]] = [[] for _ in subjects]

        def work(number: int) -> None:
            for task in plans[number]:
                if counter.stopped:
                    return
                rows = subjects[number].perform(task)
                if counter.stopped:
                    return  # ended in the middle of it
                parts[number] += rows
                counter.add(1)
            if fuzz:
                parts[number] += fuzzed(subjects[number], fuzz, seed, dtypes, directions, counter)

        with ThreadPoolExecutor(len(subjects)) as pool:
            try:
                results([pool.submit(work, number) for number in range(len(subjects))])
            except KeyboardInterrupt:
                counter.stopped = report.interrupted = True
                for subject in subjects:
                    subject.close()  # so that nobody waits for an answer
        report.rows = [row for part in parts for row in part]
        return report
    finally:
        for subject in subjects:
            subject.close()


def _start(names: Sequence[str | Backend], limit_s: float) -> list[CheckedBackend]:
    """All backends, started at the same time; if one fails, the others are ended."""

    def start(name: str | Backend) -> CheckedBackend:
        return BackendInThisProcess(name) if isinstance(name, Backend) else BackendInChildProcess(name, limit_s)

    subjects: list[CheckedBackend] = []
    with ThreadPoolExecutor(max(len(names), 1)) as pool:
        started = [pool.submit(start, name) for name in names]
    try:
        for future in started:
            subjects.append(future.result())
    except BaseException:  # an interrupt too: no process is left behind
        for future in started:
            if future.exception() is None:
                future.result().close()
        raise
    return subjects


def _tasks(
    subject: CheckedBackend,
    cases: Sequence[Case],
    devices: Sequence[str] | None,
    dtypes: Sequence[str],
    modes: Sequence[str],
    directions: Sequence[str],
    formulations: str,
    seed: int,
    tier: str,
) -> Iterator[Task]:
    gradients = "gradient" in directions
    for device in _among("devices", devices or subject.devices, subject.devices):
        for mode in modes:
            for own in subject.modes if mode == "compiled" else ("eager",):
                for dtype in dtypes:
                    if mode == "compiled" and dtype != "float32":
                        continue
                    for case in cases[:: COMPILED_EVERY.get(tier, 1)] if mode == "compiled" else cases:
                        all_of_them = formulations == "all" and mode == "eager" and case.row.takes_formulation
                        for form in ("auto", *(subject.formulations if all_of_them else ())):
                            yield Task(case, subject.name, device, dtype, own, form, gradients, seed)


def _in_order(names: list[str]) -> list[str]:
    # torch before TensorFlow: the other way round has crashed in one process (pytorch#93884)
    return sorted(names, key=lambda name: name != "torch")


def _among(argument: str, given: Sequence[Any], known: Sequence[str]) -> list[str]:
    for value in given:
        if value not in known:
            raise ArgumentError("parity.run", argument, repr(value), "one of " + ", ".join(map(repr, known)))
    return list(given)

"""The run over backends: nothing that a backend does ends it, one seed gives one report, and an interrupt keeps it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import xconv
from xconv.core.backend import Backend
from xconv.parity import Case, Row, Task, cases, run, subjects
from xconv.parity.trust import distrust

STRANGER = Path(__file__).parent / "stranger"
FAULTS = {
    11: ("error", "ended with SIGABRT"),
    12: ("error", "gave no answer in 15 s"),
    13: ("error", "RuntimeError: out of memory"),
    14: ("error", "y came back as float64, not float32"),
    15: ("MISMATCH", "shape (1, 13, 1) instead of (1, 14, 1)"),
    16: ("error", "AttributeError"),
    17: ("MISMATCH", "expected"),
    18: ("exact", ""),
}

SCRIPT = """
import json
from xconv.parity import Case, run
from xconv.parity.formats import to_json
cases = [Case(f"length {n}", "conv1d", (1, n, 1), ((2, 1, 1),), {}, False) for n in range(11, 19)]
if __name__ == "__main__":
    how = dict(dtypes=["float32"], modes=["eager"], directions=["forward"], formulations="auto", limit_s=15)
    print(to_json(run(["stranger"], ["cpu"], cases=cases, **how)))
"""


def in_strange_company(*command: str, **also: str) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join([str(STRANGER), *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = {**os.environ, "PYTHONPATH": path, **also}
    return subprocess.run([sys.executable, *command], text=True, capture_output=True, env=environment, check=False)


def test_nothing_that_a_backend_does_ends_the_run(loaded: dict[str, Backend]) -> None:
    if "torch" not in loaded:
        return
    done = in_strange_company("-c", SCRIPT)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    found = {int(row["case"].split()[1]): row for row in reversed(report["rows"])}
    assert found.keys() == FAULTS.keys()
    for length, (verdict, words) in FAULTS.items():
        row = found[length]
        assert (row["verdict"], words in row["detail"]) == (verdict, True), row
        assert bool(row["script"]) == (verdict != "exact")
        assert "\n" not in row["detail"]
    assert not report["ok"]


def test_a_stranger_is_found_out_by_the_command(loaded: dict[str, Backend], tmp_path: Path) -> None:
    if "torch" not in loaded:
        return
    files = [f"--{name}={tmp_path / name}" for name in ("json", "junit", "markdown", "html")]
    how = ["--backend", "stranger", "--dtype", "float32", "--mode", "eager", "--device", "cpu", "--fuzz", "100"]
    done = in_strange_company("-m", "xconv.cli", "parity", *how, "--formulations", "auto", *files, STRANGER_IS_MILD="1")
    assert done.returncode == 1, done.stderr
    assert "shrunk" in done.stdout
    shrunk = done.stdout[done.stdout.index("case = Case(") :].splitlines()[0]
    assert "weight_shapes=((2, 1, 1),)" in shrunk  # the smallest that fails
    assert sorted(path.name for path in tmp_path.iterdir()) == ["html", "json", "junit", "markdown"]


@pytest.mark.usefixtures("looked_at_in_full")
def test_a_backend_that_raises_is_a_row(backend: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("out of memory")

    monkeypatch.setattr(backend, "compute", broken)
    report = run([backend], ["cpu"], ["float32"], modes=["eager"], cases=cases("smoke")[:2], formulations="auto")
    assert not report.ok
    assert {(row.verdict, row.detail) for row in report.rows} == {("error", "RuntimeError: out of memory")}
    assert "RuntimeError: out of memory" in str(report)


def test_a_backend_that_does_not_load_is_told_before_anything_is_checked() -> None:
    with pytest.raises(xconv.BackendError, match="did you mean 'torch'"):
        run(["troch"])


def test_one_seed_gives_one_report(backend: Backend) -> None:
    def rows(seed: int) -> list[Row]:
        return run([backend], ["cpu"], modes=["eager"], cases=cases("smoke")[:9], fuzz=20, seed=seed).rows

    first = rows(1)
    assert first == rows(1)
    assert first != rows(2)
    assert {row.view for row in first} > {"contiguous"}
    assert len({row.dtype for row in first}) == 4


def test_all_formulations_and_what_auto_takes_are_told(backend: Backend) -> None:
    report = run([backend], ["cpu"], ["float32"], modes=["eager"], cases=cases("smoke")[:20])
    assert report.ok
    assert {row.formulation for row in report.rows} == {"auto", *(form.name for form in backend.formulations)}
    assert all(row.detail for row in report.rows if row.verdict == "unsupported")
    took = {row.took for row in report.rows if row.formulation == "auto" and row.ok}
    assert took & {form.name for form in backend.formulations}
    assert {row.direction for row in report.rows if row.ok} == {"forward", "gradient"}


def test_a_process_is_replaced_before_it_has_grown_too_large(
    loaded: dict[str, Backend], monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[str] = []
    start = subjects.BackendInChildProcess._start
    monkeypatch.setattr(subjects, "MOST_TASKS", 4)

    def counted(self: subjects.BackendInChildProcess) -> Any:
        started.append(self.name)
        return start(self)

    monkeypatch.setattr(subjects.BackendInChildProcess, "_start", counted)
    for name in list(loaded)[:1]:
        report = run([name], ["cpu"], ["float32"], modes=["eager"], cases=cases("smoke")[:9], formulations="auto")
        assert report.ok
        assert len({row.case for row in report.rows}) == 9
        assert started == [name] * 3


def test_compiled_modes(backend: Backend) -> None:
    report = run([backend], ["cpu"], modes=["compiled"], cases=cases("smoke")[:2])
    assert report.ok
    assert {row.mode for row in report.rows} == set(backend.modes)
    assert {row.dtype for row in report.rows} == {"float32"}


def test_agreement_that_proves_nothing(backend: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = Case.inputs

    def zeros(self: Case, kind: str, dtype: str, seed: int = 0) -> list[Any]:
        return [0 * array for array in whole(self, kind, dtype, seed)]

    monkeypatch.setattr(Case, "inputs", zeros)
    case = Case("zeros", "conv1d", (2, 17, 3), ((3, 3, 5),))
    report = run([backend], ["cpu"], ["float32"], modes=["eager"], cases=[case], formulations="auto")
    mistrusted = [row for row in report.rows if row.verdict == "mistrusted"]
    assert {row.array for row in mistrusted} >= {"y", "dx", "dweight"}
    assert {row.detail for row in mistrusted} == {"100% of the elements are zero"}
    assert not report.ok


def test_nothing_to_check_is_not_agreement(backend: Backend) -> None:
    assert not run([backend], ["cpu"], cases=[]).ok


def test_distrust() -> None:
    import numpy as np

    assert distrust(np.full(20, 3.0)) == "all elements are 3"
    assert distrust(np.full(20, np.nan)) == "all elements are NaN"
    assert not distrust(np.zeros(15))


def interrupt_after(checks: int) -> Callable[[int, int], None]:
    """A progress that raises Ctrl-C once."""
    stop = threading.Event()

    def progress(done: int, total: int) -> None:
        del total
        if done == checks and not stop.is_set():
            stop.set()
            signal.raise_signal(signal.SIGINT) if threading.current_thread() is threading.main_thread() else (
                os.kill(os.getpid(), signal.SIGINT)
            )

    return progress


@pytest.mark.usefixtures("interruptible")
def test_an_interrupt_keeps_what_was_checked(backend: Backend) -> None:
    stop = interrupt_after(5)
    report = run([backend], ["cpu"], ["float32"], modes=["eager"], cases=cases("default"), progress=stop)
    assert report.interrupted
    assert not report.ok
    names = list(dict.fromkeys(row.case for row in report.rows))
    assert 0 < len(names) < len(cases("default"))
    assert "interrupted" in str(report)


@pytest.mark.usefixtures("interruptible")
def test_an_interrupt_keeps_what_was_drawn(loaded: dict[str, Backend]) -> None:
    """Of a process of its own too, which is ended then: that is no finding."""
    for name in list(loaded)[:1]:
        report = run([name], ["cpu"], ["float32"], cases=[], fuzz=1000, progress=interrupt_after(20))
        assert report.interrupted
        drawn = {row.case for row in report.rows}
        assert 10 <= len(drawn) < 1000  # a draw of nothing but equal values leaves no row
        assert not any(row.is_wrong for row in report.rows)


def test_what_fails_once_and_not_again_is_a_finding(backend: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    right, calls = backend.compute, iter(range(1 << 30))

    def fails_once(*arguments: Any) -> Any:
        if next(calls) in (50, 51):  # what a prepared call raises is looked at in full, which computes again
            raise RuntimeError("out of luck")
        return right(*arguments)

    monkeypatch.setattr(backend, "compute", fails_once)
    report = run([backend], ["cpu"], ["float32"], modes=["eager"], cases=[], fuzz=100)
    assert not report.ok
    wrong = [row for row in report.rows if row.is_wrong]
    assert wrong
    assert {(row.verdict, row.detail) for row in wrong} == {("error", "RuntimeError: out of luck")}
    assert all(row.case.endswith("shrunk") for row in wrong)
    assert {row.case for row in report.rows} > {row.case for row in wrong}


def test_a_script_repeats_its_task(backend: Backend) -> None:
    case = Case("odd", "conv1d", (1, 9, 3), ((2, 3, 2),), {"padding": (1, 0)})
    task = Task(case, backend.name, dtype="float64", view="sliced", seed=3, formulation="taps")
    script = task.script("integers")
    done = subprocess.run([sys.executable, "-c", script], text=True, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("exact") == 4
    assert Task.from_json(json.loads(json.dumps(task.to_json()))) == replace(task)


@pytest.mark.usefixtures("looked_at_in_full")
def test_a_mismatch_says_what_would_explain_it(backend: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    right = backend.compute

    def other_side(form: Any, direction: str, problem: Any, *rest: Any) -> Any:
        return right(form, direction, replace(problem, padding=problem.padding[::-1]), *rest)

    monkeypatch.setattr(backend, "compute", other_side)
    case = Case("uneven", "conv1d", (2, 17, 3), ((2, 3, 5),), {"padding": (1, 0)})
    report = run([backend], ["cpu"], ["float32"], modes=["eager"], cases=[case], formulations="auto")
    [(row, _)] = report.findings
    assert row.diagnosis == "matches exactly if padding is (0, 1) instead of (1, 0)"
    assert row.diagnosis in str(report)

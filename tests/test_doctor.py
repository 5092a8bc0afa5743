"""`xconv doctor`: the report, its JSON and its text, the advice, the command."""

from __future__ import annotations

import dataclasses
import json
import os
import platform
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import xconv
from xconv.cli import main
from xconv.core import registry
from xconv.core.backend import Backend
from xconv.core.operations import OPERATIONS
from xconv.doctor import Cell, DoctorAdvice, DoctorReport, Framework, examine, read
from xconv.doctor import capabilities as matrix
from xconv.doctor import process as processes
from xconv.doctor.advice import advice
from xconv.doctor.capabilities import Probe
from xconv.doctor.features import FEATURES
from xconv.doctor.found import VERSION, Allocator, Compiler, Machine, Wisdom
from xconv.doctor.text import WIDTH, shown
from xconv.planning import wisdom
from xconv.planning.wisdomfile import to_text


def a_machine(**other: Any) -> Machine:
    found = Machine("Linux", "3.12", "2.0", "0.1", "CPU", ("AVX2",), 2.0, 64, 1 << 30)
    return dataclasses.replace(found, **other)


def a_framework(name: str = "torch", **other: Any) -> Framework:
    found = Framework(name, "ready", "99.0", process="fresh", devices=("cpu",), threads=2, settings={"onednn": True})
    return dataclasses.replace(found, **other)


def a_report(
    *cells: Cell,
    frameworks: tuple[Framework, ...] = (),
    environment: dict[str, str] | None = None,
    without: str | None = None,
) -> DoctorReport:
    compiler = Compiler(without, None if without else "0.50.0", "znver4", 64)
    here = a_machine(), frameworks, Allocator(None, "madvise"), compiler, Wisdom("w.json", False, 0, 0, None, 0)
    variables = environment or {}
    return DoctorReport(VERSION, *here, variables, cells, advice(*here, variables, cells))


def a_cell(verdict: Any = "yes", **other: Any) -> Cell:
    found = Cell("torch", "cpu", "operation", "conv1d", "float32", "forward", verdict)
    return dataclasses.replace(found, **other)


# --- the report ---


def test_the_report_knows_what_the_process_knows(loaded: dict[str, Backend]) -> None:
    report = examine(list(loaded), capabilities=False)
    assert report.machine.python == platform.python_version()
    assert report.machine.numpy == np.__version__
    assert report.machine.xconv == xconv.__version__
    assert 0 < report.machine.cores <= report.machine.cores_present == os.cpu_count()
    for framework, backend in zip(report.frameworks, loaded.values(), strict=True):
        assert (framework.backend, framework.state, framework.process) == (backend.name, "ready", "this")
        assert framework.version == backend.version()
        assert list(framework.devices) == backend.devices()
        assert framework.settings
        assert "tf32" in framework.settings
    assert report.cells == ()


def test_without_the_compiler_it_says_what_to_install() -> None:
    without = a_report(frameworks=(a_framework(),), without="ModuleNotFoundError: no llvmlite")
    [said] = [one for one in without.advice if "direct" in one.what]
    assert (said.kind, said.do) == ("warning", "pip install llvmlite")
    assert "no: ModuleNotFoundError" in shown(without)
    assert not a_report(frameworks=(a_framework(),)).advice
    assert "for znver4, vectors of 64 bytes" in shown(a_report())
    assert examine([], capabilities=False).compiler.unavailable is None


def test_json_comes_back_as_it_was() -> None:
    cells = a_cell(), a_cell("WRONG", detail="y: got 1, expected 2")
    report = a_report(*cells, frameworks=(a_framework(openmp=("/lib/libgomp.so.1",)),), environment={"OMP_X": "1"})
    text = report.to_json()
    assert read(text) == report
    assert json.loads(text)["version"] == VERSION
    assert json.loads(text)["ok"] is False


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda found: found.update(version=2), "version 2"),
        (lambda found: found.pop("machine"), "missing required field `machine`"),
        (lambda found: found["cells"][0].pop("detail"), r"missing field `detail` - at `\$.cells\[0\]`"),
        (lambda found: found.update(more=1), r"unknown field `more` - at `\$`"),
        (lambda found: found["machine"].update(cores="2"), r"`float`, got `str` - at `\$.machine.cores`"),
        (lambda found: found["machine"].update(cores_present=True), r"got `bool` - at `\$.machine.cores_present`"),
        (lambda found: found["cells"][0].update(verdict="maybe"), r"'maybe' - at `\$.cells\[0\].verdict`"),
        (lambda found: found.update(ok=False), "report.ok is False"),
    ],
)
def test_what_is_no_report_is_refused(change: Any, words: str) -> None:
    found = json.loads(a_report(a_cell()).to_json())
    change(found)
    with pytest.raises(ValueError, match=words):
        read(json.dumps(found))


def test_the_text_is_readable() -> None:
    long = "x" * 40 + " " + "word " * 60
    features = [
        a_cell("refuses", subject="own op", name=name, mode=mode, detail=long)
        if name == "dense"
        else a_cell(subject="own op", name=name, mode=mode)
        for name in FEATURES
        for mode in ("forward", "gradient")
    ]
    features += [a_cell(subject="feature", name=name, mode="gradient") for name in FEATURES]
    operations = [
        a_cell("aborts" if (name, dtype) == ("conv1d", "float16") else "yes", name=name, dtype=dtype, mode=mode)
        for name in OPERATIONS
        for dtype in ("float32", "float16")
        for mode in ("forward", "gradient")
    ]
    operations[1] = dataclasses.replace(operations[1], verdict="no answer", detail="in 60 s")
    absent = Framework("jax", "not installed", detail="pip install 'xconv[jax]'")
    text = shown(a_report(*operations, *features, frameworks=(a_framework(), absent), environment={"OMP_X": "1"}))
    assert max(map(len, text.splitlines())) <= WIDTH
    assert "pip install 'xconv[jax]'" in text
    first = text.splitlines()[0]
    assert "25 of 28 checks of its operations give the right bits" in first
    assert "1 problem" in first
    assert "float16: aborts" in text
    assert "refuses [1]" in text
    assert "All yes also for: padding" in text
    assert text.index("Problems and warnings") > text.index("All yes")


# --- advice ---


@pytest.mark.parametrize(
    ("framework", "environment", "words"),
    [
        (a_framework(threads=8), {"OMP_NUM_THREADS": "8"}, "8 threads, and this process may use 2 cores (OMP_NUM_TH"),
        (a_framework(devices=("cpu", "cuda:0"), settings={"tf32": True}), {}, "TF32 is on"),
        (a_framework("tensorflow", settings={"onednn": False}), {}, "TF_ENABLE_ONEDNN_OPTS=1"),
        (a_framework(settings={"onednn": False}), {}, "torch.backends.mkldnn.enabled = True"),
        (a_framework(version="2.8.1+cpu"), {}, "older than 2.9"),
        (a_framework(openmp=("/a/libgomp-ab.so.1", "/b/libiomp5.so")), {}, "libgomp and libiomp5"),
        (a_framework(settings={"fp32_precision mkldnn.matmul": "bf16"}), {}, "mkldnn.matmul.fp32_precision"),
        (a_framework(settings={"cuda": "13.0"}), {"CUDA_VISIBLE_DEVICES": ""}, "CUDA_VISIBLE_DEVICES hides"),
        (a_framework(devices=("cpu", "cuda:0"), settings={"autotune": True}), {}, "cuDNN times"),
        (a_framework(devices=("cpu", "cuda:0"), settings={"deterministic": True}), {}, "CUBLAS_WORKSPACE_CONFIG"),
    ],
)
def test_warnings_say_what_to_do(framework: Framework, environment: dict[str, str], words: str) -> None:
    report = a_report(frameworks=(framework,), environment=environment)
    [one] = report.advice
    assert one.kind == "warning"
    assert words in f"{one.what}: {one.do}"
    assert report.ok


def test_nothing_is_warned_of_without_reason() -> None:
    quiet = [
        a_framework(settings={"tf32": True, "autotune": True, "onednn": True}),  # without a GPU
        a_framework(threads=2),
        a_framework(openmp=("/a/libgomp.so.1", "/b/libgomp-0.so.1")),
        Framework("jax", "not installed", detail="pip install"),
    ]
    assert a_report(frameworks=tuple(quiet)).advice == ()
    gpu = a_framework(devices=("cpu", "cuda:0"), settings={"tf32": True})
    assert a_report(frameworks=(gpu,), environment={"NVIDIA_TF32_OVERRIDE": "0"}).advice == ()


@pytest.mark.parametrize(
    ("cell", "kind"),
    [
        (a_cell("WRONG"), "problem"),
        (a_cell("error", mode="gradient"), "problem"),
        (a_cell("aborts", mode="inductor"), "problem"),
        (a_cell("no answer", subject="feature", mode="gradient"), "problem"),
        (a_cell("error", mode="inductor", detail="InvalidCxxCompiler"), "warning"),
        (a_cell("WRONG", subject="own op"), None),
        (a_cell("aborts", subject="own op"), None),
        (a_cell("yes"), None),
    ],
)
def test_what_is_a_problem(cell: Cell, kind: str | None) -> None:
    report = a_report(cell)
    assert [one.kind for one in report.advice] == ([] if kind is None else [kind])
    assert report.ok == (kind != "problem")


def test_stale_and_broken_wisdom(loaded: dict[str, Backend], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "wisdom.json"
    monkeypatch.setenv("XCONV_WISDOM", str(file))
    name, backend = next(iter(loaded.items()))
    problem = xconv.ConvProblem(outer=8, length=100, inner=1, in_channels=6, out_channels=3, kernel=9)
    entry = wisdom.Entry("taps", 0.001, 0.002, "2026-11-21")
    entries = {
        wisdom.Key(name, version, "cpu", 1, "NWC", "forward", problem): entry
        for version in ("0.0", "0.1", backend.version())
    }
    file.write_text(to_text(entries))
    report = examine([name], capabilities=False)
    assert (report.wisdom.file, report.wisdom.entries, report.wisdom.stale) == (str(file), 3, 2)
    assert any("2 of 3 entries of wisdom" in one.what for one in report.advice)
    file.write_text("[]")
    report = examine([name], capabilities=False)
    assert any("it is not a file of wisdom" in one.what for one in report.advice)
    assert file.read_text() == "[]"


# --- the command ---


def never_loaded() -> Backend:
    raise AssertionError("it is not installed")


@pytest.fixture
def no_probes(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[object]]:
    """Every probe and every worker that is asked for, none of which runs."""
    asked: list[object] = []

    def fail(*given: object, **named: object) -> Any:
        asked.append((given, named))
        raise AssertionError("a probe ran")

    monkeypatch.setattr(processes.Process, "__init__", fail)
    monkeypatch.setattr(processes.Process, "ask", fail)
    yield asked
    assert asked == []


@pytest.mark.usefixtures("no_probes")
def test_quick_tries_nothing(loaded: dict[str, Backend], capsys: pytest.CaptureFixture[str]) -> None:
    """The frameworks are loaded in this process, so that not even a process is needed."""
    names = [word for name in loaded for word in ("--backend", name)]
    assert main(["doctor", "--quick", "--json", *names]) == 0
    said = capsys.readouterr()
    report = read(said.out)
    assert said.out.count("\n") == 1
    assert report.cells == ()
    assert [framework.backend for framework in report.frameworks] == list(loaded)
    assert main(["doctor", "--quick", *names]) == 0
    assert "nothing was tried" in capsys.readouterr().out.splitlines()[0]


def test_the_whole_command(
    backend: Backend, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Through a worker, on a few squares of each kind."""
    everything = matrix.probes

    def few(*given: Any, **named: Any) -> Iterator[Probe]:
        return (p for p in everything(*given, **named) if p.name in ("conv1d", "dense") and p.dtype == "float32")

    monkeypatch.setattr("xconv.doctor.examination.probes", few)
    assert main(["doctor", "--backend", backend.name, "--json"]) == 0
    report = read(capsys.readouterr().out)
    assert {cell.verdict for cell in report.cells} == {"yes"}
    modes = {cell.mode for cell in report.cells if cell.subject == "operation"}
    assert modes == {"forward", "gradient", *backend.modes}
    assert {cell.subject for cell in report.cells} == {"operation", "feature", "own op"}


def test_exit_codes(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--backend", "troch"]) == 2
    assert "did you mean 'torch'" in capsys.readouterr().err
    monkeypatch.setitem(registry._BROKEN, "worse", "SyntaxError: invalid syntax")
    assert main(["doctor", "--backend", "worse"]) == 1
    said = capsys.readouterr().out
    assert "SyntaxError: invalid syntax" in said
    assert "PROBLEM" in said
    absent = registry.BackendSpec("gone", ("gone",), "gone_framework", "pip install gone", never_loaded)
    monkeypatch.setitem(registry._SPECS, "gone", absent)
    assert main(["doctor", "--backend", "gone"]) == 2
    assert "pip install gone" in capsys.readouterr().err
    monkeypatch.setattr("xconv.doctor.frameworks.known", lambda: ["gone"])
    assert main(["doctor", "--quick"]) == 0
    assert "pip install gone" in capsys.readouterr().out
    with pytest.raises(SystemExit) as done:
        main(["doctor", "--fast"])
    assert done.value.code == 2


def test_a_backend_that_does_not_load_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    def load() -> Backend:
        raise ImportError("libcuda.so: not found")

    monkeypatch.setitem(registry._SPECS, "broken", registry.BackendSpec("broken", (), "json", "pip install it", load))
    [framework] = examine(["broken"], capabilities=False).frameworks
    assert (framework.state, framework.detail) == ("broken", "ImportError: libcuda.so: not found")


def test_advice_comes_with_problems_first() -> None:
    report = a_report(a_cell("WRONG"), frameworks=(a_framework(threads=9),))
    assert [one.kind for one in report.advice] == ["problem", "warning"]
    assert all(isinstance(one, DoctorAdvice) and one.do for one in report.advice)

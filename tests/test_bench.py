"""The harness itself: what it refuses to time, what becomes a row, and what the catalogue holds."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import xconv
from xconv.bench import Arena, Contender, Layer, catalogue
from xconv.bench.own_layer import own_layer, question
from xconv.bench.peers import PEERS
from xconv.bench.run_files import read
from xconv.bench.running import Session, Settings, chosen
from xconv.bench.suites import CATALOGUE, SUITES
from xconv.bench.verify import WrongResultError, is_exact, shortened, verify
from xconv.bench.worker import Bench, smallest
from xconv.cli import main
from xconv.core.backend import Backend
from xconv.system.errors import ArgumentError

pytestmark = pytest.mark.usefixtures("patient")
TINY = Layer("t", "latency", "a test", "conv1d", (2, 40, 3), ((3, 3, 4),), {"padding": [1, 1]}, "smoke")


@pytest.mark.parametrize("layer", catalogue("full"), ids=lambda layer: layer.name)
def test_every_layer_resolves(layer: Layer) -> None:
    calls = layer.calls
    assert all(call.problem.macs > 0 for call in calls)
    assert Contender("", "torch", layer).cost().macs == sum(call.problem.macs for call in calls)
    assert layer.source
    short = shortened(layer)
    assert short.calls


def test_layers_keep_the_lengths_of_their_models() -> None:
    """Output lengths that the models' papers or code state."""
    known = {"seed_long": 7996, "wav2vec2_fe0": 31999, "whisper_conv1": 3000, "whisper_conv2": 1500, "mamba_dw": 2048}
    lengths = {layer.name: layer.calls[0].problem for layer in catalogue("full")}
    assert {name: lengths[name].output_length for name in known} == known
    assert len({layer.name for layer in catalogue("full")}) == len(catalogue("full"))


def test_right_results_pass(backend: Backend) -> None:
    verify(backend, TINY, "cpu")


@pytest.mark.usefixtures("looked_at_in_full")
def test_a_wrong_result_is_not_timed(backend: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    right = backend.compute
    monkeypatch.setattr(backend, "compute", lambda *a, **k: right(*a, **k) + 1)
    with pytest.raises(WrongResultError, match="shortened"):
        verify(backend, TINY, "cpu")


@pytest.mark.usefixtures("looked_at_in_full")
def test_a_fault_of_the_full_size_alone_is_seen(backend: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    right = backend.compute
    whole = Layer(**{**vars(TINY), "x_shape": (2, 400, 3)})

    def wrong(*given: Any, **named: Any) -> Any:
        y = right(*given, **named)
        length = given[2].length
        return y if length < 400 else backend.concatenate([backend.narrow(y, 1, 1, 399), backend.narrow(y, 1, 0, 1)], 1)

    monkeypatch.setattr(backend, "compute", wrong)
    with pytest.raises(WrongResultError, match="outputs"):
        verify(backend, whole, "cpu")


FORMS: list[dict[str, Any]] = [
    {},
    {"direction": "forward+backward"},
    {"channels": "first"},
    {"channels": "first", "direction": "forward+backward"},
    {"mode": "compiled"},
    {"activation": "relu"},
    {"formulation": "conv2d"},
]


def test_contenders_are_measured_in_workers(loaded: dict[str, Backend]) -> None:
    contenders = [Contender(f"{name} {form}", name, TINY, **form) for name in loaded for form in FORMS]
    with Arena(rounds=2) as arena:
        found = arena.measure(contenders, twin_of=0)
        first = contenders[0]
        dispatch = arena.ask(first, do="dispatch", use_cpu_time=True, **first.request())
        formulations = arena.ask(first, do="formulations", layer=first.request()["layer"])
    assert [m.subject for m in found] == [*contenders, contenders[0]]
    for m in found:
        assert not m.error, m.subject.label
        assert len(m.kept) == 2
        assert m.facts["first_call"] > 0
        assert ("chosen" in m.facts) == (m.subject.mode == "eager")
    assert {name.partition(" ")[0] for name in arena.about()} == set(loaded)
    assert all(about["threads"] == 1 for about in arena.about().values())
    assert 0 < dispatch["dispatch"] < 0.1
    assert "conv2d" in formulations["formulations"]


@pytest.mark.usefixtures("looked_at_in_full")
def test_a_fault_of_channels_first_alone_is_seen(backend: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    operation = xconv.conv1d

    def wrong(*arrays: Any, layout: str = "NWC", **options: Any) -> Any:
        y = operation(*arrays, layout=layout, **options)
        return y + 1 if layout == "NCW" else y

    monkeypatch.setattr(xconv, "conv1d", wrong)
    verify(backend, TINY, "cpu")
    with pytest.raises(WrongResultError):
        verify(backend, TINY, "cpu", channels="first")


def test_compiled_gradients_are_checked(backend: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backend, "set_threads", lambda count: None)
    bench = Bench(backend.name, backend.threads(), "cpu")
    tensors = [backend.from_numpy(np.ones(s, "float32"), "cpu") for s in ((1, 9, 2), (3, 2, 4))]
    above = backend.from_numpy(np.ones((1, 7, 4), "float32"), "cpu")
    monkeypatch.setattr(backend, "compiled", lambda function, mode: function)
    bench._compiled(backend.modes[-1], xconv.conv1d, tensors, True, above)
    right = backend.gradients

    def compiled(x: Any, w: Any) -> Any:
        return xconv.conv1d(x, w)

    monkeypatch.setattr(backend, "compiled", lambda function, mode: compiled)
    monkeypatch.setattr(
        backend,
        "gradients",
        lambda f, inputs, dy: [g * (0 if f is compiled else 1) for g in right(f, inputs, dy)],
    )
    with pytest.raises(WrongResultError, match="differs from what it gives eagerly"):
        bench._compiled(backend.modes[-1], xconv.conv1d, tensors, True, above)


def test_transforms_are_compiled_within_their_bound(backend: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    """They need not give the same bits as eagerly; what is wrong is still seen."""
    if "fft" not in {form.name for form in backend.formulations}:
        return
    layer = Layer(**{**vars(TINY), "x_shape": (2, 300, 3), "weight_shapes": ((65, 3, 4),)})
    long: dict[str, Any] = {
        "layer": layer,
        "device": "cpu",
        "formulation": "fft",
        "mode": backend.modes[0],
        "gradients": False,
    }
    assert not is_exact(backend, layer, "cpu", "fft", "last")
    assert is_exact(backend, layer, "cpu", "conv2d", "last")
    verify(backend, **long)
    right = backend.compiled
    monkeypatch.setattr(backend, "compiled", lambda f, mode: lambda *arrays: 1.001 * right(f, mode)(*arrays))
    with pytest.raises(WrongResultError):
        verify(backend, **long)


def test_what_changes_the_process_has_one_of_its_own() -> None:
    plain = Contender("a", "torch", TINY)
    others = [replace(plain, **change) for change in ({"opt_ins": True}, {"mode": "compiled"}, {"way": "own"})]
    assert len({each.place(1, "cpu") for each in (plain, *others)}) == 4
    assert replace(plain, formulation="fft").place(1, "cpu") == plain.place(1, "cpu")


def test_what_cannot_be_measured_is_a_row(loaded: dict[str, Backend]) -> None:
    name = next(iter(loaded))
    impossible = Layer(**{**vars(TINY), "options": {"groups": 2}})
    with Arena(rounds=2) as arena:
        found = arena.measure(
            [
                Contender("good", name, TINY),
                Contender("impossible", name, impossible),
                Contender("absent", "absent", TINY),
                Contender("no such signal", name, TINY, signal="sonar"),
            ]
        )
    assert [bool(m.error) for m in found] == [False, True, True, True]
    assert "ArgumentError" in found[1].error
    assert "absent xconv worker" in found[2].error


def test_the_smallest_layer_is_of_the_same_kind() -> None:
    for layer in catalogue("full"):
        small = smallest(layer)
        assert small.operation == layer.operation
        assert all(call.problem.output_length >= 1 for call in small.calls)
        assert sum(call.problem.macs for call in small.calls) <= 5_000


def test_a_layer_of_ones_own(loaded: dict[str, Backend]) -> None:
    layer = own_layer("conv1d", (1, 40, 3), (3, 3, 4), {"stride": 2, "dilation": 1, "groups": 1, "padding": "same"})
    assert layer.options == {"stride": 2, "padding": "same"}
    with Session(Settings(), list(loaded)) as session:
        asked = question(layer, "forward", [], session)
    assert {contender.backend for contender in asked.contenders} == set(loaded)
    for name in loaded:
        forms = [c.formulation for c in asked.contenders if c.backend == name]
        assert len(set(forms)) > 2
        assert forms[0] == "auto"
    assert asked.twin == 0
    with pytest.raises(ArgumentError, match="in/groups"):
        own_layer("conv1d", (1, 40, 3), (3, 2, 4), {"stride": 1, "dilation": 1, "groups": 1, "padding": "valid"})


def test_every_suite_has_questions() -> None:
    peers = list(PEERS)
    for name, suite in SUITES.items():
        questions = suite("smoke", ["torch", "tensorflow"], peers)
        assert questions
        assert all(q.suite == name and q.contenders for q in questions)
        assert len({q.name for q in questions}) == len(questions)
        for asked in questions:
            assert len({c.label for c in asked.contenders}) == len(asked.contenders)
    [one] = chosen(SUITES[CATALOGUE]("smoke", ["torch"], peers), "tiny", "forward")
    assert {c.peer for c in one.contenders} >= {"", "torch own", "torch recipe", "jax jit"}


def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "xconv.cli", "bench", *arguments], capture_output=True, text=True, check=False
    )


def test_the_command(tmp_path: Path, loaded: dict[str, Backend]) -> None:
    name = next(iter(loaded))
    layer = ("--op", "conv1d", "--input", "1,40,3", "--kernel", "3,3,4", "--backend", name, "--peers", f"{name} own")
    files = [f"--{kind}={tmp_path / kind}" for kind in ("json", "markdown", "html")]
    done = command(*layer, "--rounds", "4", *files)
    assert done.returncode == 0, done.stderr
    assert f"xconv on {name}, channels first" in done.stdout
    assert f"A/A, xconv on {name} in two processes" in done.stdout
    assert read(tmp_path / "json").settings["rounds"] == 4
    again = command(*layer, "--rounds", "4", "--compare", str(tmp_path / "json"))
    assert "xconv's results: " in again.stdout
    assert again.returncode == int(" 0 slower" not in again.stdout)
    merged = command("--merge", str(tmp_path / "json"), str(tmp_path / "json"))
    assert (merged.returncode, "the fastest on each machine" in merged.stdout) == (0, True)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--op", "conv1d", "--input", "1,40,3"], "--kernel: got nothing"),
        (["--input", "1,40,3"], "--op: got nothing"),
        (["--op", "conv1d", "--input", "1,40,3", "--kernel", "3,2,4"], "in/groups"),
        (["--op", "conv1d", "--input", "1,40,3", "--kernel", "3,3,4", "--case", "x"], "there is one layer, yours"),
        (["--case", "nosuch"], "a part of a group's name"),
        (["--rounds", "0"], "--rounds: got 0"),
        (["--peers", "jaxx"], "no peer is called 'jaxx'"),
        (["--backend", "torhc"], "did you mean 'torch'"),
        (["--json", "/no/such/folder/x.json"], "a folder that exists"),
        (["--compare", "/no/such/run.json"], "a file that can be read"),
        (["--merge", "/no/such/run.json"], "a file that can be read"),
    ],
)
def test_wrong_use_is_told_at_once(arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", *arguments]) == 2
    assert said in capsys.readouterr().err

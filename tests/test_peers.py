"""What xconv is compared with: peers are right or have no number, and ratios say what was measured."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from xconv import reference
from xconv.backend import Backend
from xconv.bench import Arena, Contender, Layer, Measurement, limits
from xconv.bench.limits import Limits
from xconv.bench.peers import PEERS, Peer, choose, thread_settings
from xconv.bench.peers.task import Built, Task
from xconv.bench.peers.verify import fourier_error, verify_peer
from xconv.bench.ratio_table import ratio_table
from xconv.bench.ratios import compare, paired
from xconv.bench.table import table
from xconv.bench.verify import WrongResultError
from xconv.call import resolve_all
from xconv.cost import Cost


def layer(operation: str, x: tuple[int, ...], *weights: tuple[int, ...], **options: object) -> Layer:
    return Layer(f"{operation} {options}", "latency", "a test", operation, x, weights, options, "smoke")


DENSE = layer("conv1d", (2, 60, 3), (3, 3, 4), padding=[2, 0])
FILTER = layer("conv1d", (2, 90, 1), (16, 1, 1), padding="causal")
LAYERS = [
    DENSE,
    FILTER,
    layer("conv1d", (1, 61, 3), (4, 3, 5), stride=2, padding="same"),
    layer("conv1d", (2, 70, 4), (3, 1, 8), dilation=2, groups=4, padding="causal"),
    layer("conv1d_rows", (2, 5, 30, 4), (3, 2, 6), groups=2, padding=1),
    layer("conv1d_columns", (2, 31, 4, 3), (4, 3, 5), stride=2, padding="same"),
    layer("conv1d_columns", (2, 31, 4, 3), (3, 1, 3), groups=3, padding="same"),
    layer("conv2d", (1, 12, 13, 3), (3, 2, 3, 4), padding="same"),
    layer("spatially_separable_conv2d", (1, 12, 13, 1), (5, 1, 1), (5, 1, 1), padding="same"),
    layer("conv1d_transpose", (2, 30, 4), (4, 3, 4), stride=2, padding=1),
    layer("conv1d_transpose", (2, 30, 4), (5, 3, 4), stride=2, padding=1, output_padding=1),
]
DIRECTIONS = ("forward", "forward+backward")
COMPILED = ("function", "XLA")
"""The same code as TensorFlow's own way, but each layer is compiled four times."""


@pytest.fixture(scope="module")
def arena() -> Iterator[Arena]:
    with Arena(rounds=1) as arena:
        yield arena


@pytest.mark.parametrize("framework", sorted({peer.framework for peer in PEERS}))
def test_peers_are_right(arena: Arena, framework: str) -> None:
    peers = [peer for peer in PEERS if peer.framework == framework]
    if not all(peer.is_installed() for peer in peers):
        pytest.skip(f"{framework} is not installed (pip install 'xconv[peers]')")
    contenders = [
        Contender(f"{peer.name} {one.name} {direction}", framework, one, direction, way=peer.way)
        for peer in peers
        for one in (LAYERS[::3] if peer.way in COMPILED else LAYERS)
        for direction in DIRECTIONS
        if peer.takes(one, direction)
    ]
    assert {contender.way for contender in contenders} == {peer.way for peer in peers}
    found = arena.measure(contenders)
    assert [f"{m.contender.label}: {m.error}" for m in found if m.error] == []
    assert all(len(m.wall) == 1 for m in found)


def build(change: Callable[[Task, list[np.ndarray]], None]) -> Callable[[Task], Built]:
    """A peer that computes by the reference, and then changes something."""

    def by_reference(task: Task) -> Built:
        [call] = resolve_all(task.layer.operation, task.x.shape, task.layer.weight_shapes, **options(task.layer))
        [weight] = task.weights
        arrays = [reference.apply(call, task.x, weight)]
        if task.above is not None:
            arrays += [
                reference.input_adjoint(call, task.above, weight),
                reference.weight_adjoint(call, task.x, task.above),
            ]
        change(task, arrays)
        return Built(lambda: arrays, lambda arrays: arrays)

    return by_reference


def options(of: Layer) -> dict[str, Any]:
    return {name: tuple(value) if isinstance(value, list) else value for name, value in of.options.items()}


def add(index: int, amount: float, when: Callable[[Task], bool]) -> Callable[[Task, list[np.ndarray]], None]:
    def change(task: Task, arrays: list[np.ndarray]) -> None:
        if when(task):
            arrays[index][-1] += amount

    return change


def test_a_wrong_peer_is_seen() -> None:
    verify_peer(build(add(0, 0.0, lambda _: True)), DENSE, gradients=True)
    wrongs = {
        "y": add(0, 1.0, lambda task: task.x.shape[1] < 60),
        "dx": add(1, 1.0, lambda task: task.above is not None),
        "dweight": add(2, 1.0, lambda task: task.above is not None),
        "outputs": add(0, 1.0, lambda task: task.x.shape[1] == 60),
    }
    for said, wrong in wrongs.items():
        with pytest.raises(WrongResultError, match=said):
            verify_peer(build(wrong), DENSE, gradients=True)


def test_a_fourier_peer_may_be_off_by_its_bound() -> None:
    def off(times: float) -> Callable[[Task], Built]:
        def change(task: Task, arrays: list[np.ndarray]) -> None:
            arrays[0] += times * fourier_error(task)

        return build(change)

    verify_peer(off(0.9), FILTER, method="fourier")
    for wrong, method in ((off(1.1), "fourier"), (off(0.9), "direct")):
        with pytest.raises(WrongResultError):
            verify_peer(wrong, FILTER, method=method)


def test_what_a_peer_cannot_do_is_a_row(arena: Arena, loaded: dict[str, Backend]) -> None:
    name = next(iter(loaded))
    border = layer("conv1d", (2, 40, 3), (3, 3, 4), padding=1, padding_mode="reflect")
    found = arena.measure(
        [
            Contender("good", name, DENSE, way="own"),
            Contender("border", name, border, way="own"),
            Contender("relu", name, DENSE, activation="relu", way="own"),
            Contender("no gradients", "scipy", FILTER, "forward+backward", way="fftconvolve"),
            Contender("no backend", "scipy", FILTER),
        ]
    )
    assert [m.cannot for m in found] == [False, True, True, True, False]
    assert found[1].error == "peers pad with zeros only"
    assert "is no backend of xconv" in found[4].error
    assert table(found).count("cannot: ") == 3


def test_a_worker_that_hangs_is_ended(loaded: dict[str, Backend]) -> None:
    name = next(iter(loaded))
    with Arena(rounds=2) as arena:

        def stop(label: str) -> None:
            if label == "first":
                arena._workers[name].limit_s = 0.5
                os.kill(arena._workers[name]._process.pid, signal.SIGSTOP)

        found = arena.measure([Contender("first", name, DENSE), Contender("second", name, DENSE)], progress=stop)
    assert "gave no answer in 0.5 s" in found[1].error
    # what the ended worker had prepared is prepared again by its successor
    assert not found[0].error
    assert len(found[0].wall) == 2


def measurement(samples: list[float], backend: str = "torch", way: str = "", error: str = "") -> Measurement:
    label = " ".join(filter(None, (backend, way)))
    return Measurement(
        Contender(label, backend, DENSE, way=way),
        wall=samples,
        cpu=samples,
        error=error,
        chosen="" if way else "conv2d",
    )


def test_ratios_see_through_a_slow_spell() -> None:
    rng = random.Random(0)
    spell = [1.0, 1.0, 1.7, 2.5, 1.2, 1.0, 1.0, 3.0, 1.0, 1.1]
    ours = [s * rng.gauss(1.0, 0.005) for s in spell]
    theirs = [1.10 * s * rng.gauss(1.0, 0.005) for s in spell]
    ratio = paired(ours, theirs)
    assert ratio.value == pytest.approx(1.10, abs=0.01)
    assert ratio.spread < 0.02
    same = paired(ours, [s * rng.gauss(1.0, 0.005) for s in spell])
    assert same.value == pytest.approx(1.0, abs=0.01)


def test_the_own_is_the_faster_way_and_the_best_anyone() -> None:
    group = [
        measurement([2.0, 2.0]),
        measurement([3.0, 3.0], way="own"),
        measurement([5.0, 5.0], way="recipe"),
        measurement([1.0, 1.0], "jax", "jit"),
        measurement([], "onnxruntime", "session", error="wrong"),
        measurement([4.0, 4.0], "tensorflow"),
    ]
    of_torch, of_tensorflow = compare(group, Limits(1e4, 1e9))
    assert of_torch.own is not None
    assert of_torch.best is not None
    assert (of_torch.own.against, of_torch.own.value) == ("torch own", 1.5)
    assert (of_torch.best.against, of_torch.best.value) == ("jax jit", 0.5)
    assert of_torch.is_loss
    assert of_tensorflow.own is None
    assert of_torch.fraction == pytest.approx(group[0].contender.cost().flops / 1e4 / 2)
    assert of_torch.binds == "compute"
    text = ratio_table([of_torch, of_tensorflow], Limits(1e4, 1e9))
    assert "losses" in text
    assert "conv2d" in text
    [mean] = [line for line in text.splitlines() if line.startswith("torch") and " all " in line]
    assert mean.split()[-2:] == ["1.50", "0.50"]


def test_limits_are_measured_and_bind(monkeypatch: pytest.MonkeyPatch, loaded: dict[str, Backend]) -> None:
    monkeypatch.setattr(limits, "SHAPES", ((128, 128, 128),))
    monkeypatch.setattr(limits, "COPIED_BYTES", 2**20)
    for name in loaded:
        measured = limits.measure(name, use_cpu_time=False)
        assert measured.flops > 1e8
        assert measured.bytes > 1e8
    assert Limits(2e9, 1e9).fraction(Cost(0, 10**6, 10**7), 0.02) == (0.5, "memory")
    assert Limits(0, 0).fraction(Cost(0, 1, 1), 1.0) == (0.0, "")


def test_peers_are_chosen_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Peer, "is_installed", lambda peer: peer.framework != "jax")
    there, absent = choose("installed")
    assert [peer.name for peer in absent] == ["jax jit"]
    assert not any(peer.opt_in for peer in there)
    assert choose("none") == ([], [])
    assert [peer.name for peer in choose("onnxruntime bound, torch")[0]] == [
        "onnxruntime bound",
        "torch own",
        "torch recipe",
    ]
    for asked in ("jax", "all"):
        with pytest.raises(ValueError, match="not installed: jax jit"):
            choose(asked)
    with pytest.raises(ValueError, match="did you mean 'torch'"):
        choose("torhc")


def test_threads_are_set_before_a_framework_is_imported() -> None:
    assert thread_settings("torch", 2)["OMP_NUM_THREADS"] == "2"
    assert "XLA_FLAGS" not in thread_settings("tensorflow", 1)
    assert "--xla_cpu_multi_thread_eigen=false" in thread_settings("jax", 1)["XLA_FLAGS"]


def test_a_suite_refuses_an_unknown_peer() -> None:
    command = [sys.executable, "-m", "pytest", "benchmarks", "-q", "--co", "-p", "no:cacheprovider", "--peers", "jaxx"]
    root = Path(__file__).parent.parent
    done = subprocess.run(command, capture_output=True, text=True, cwd=root, check=False)
    assert done.returncode == 4
    assert "--peers: no peer is called 'jaxx'" in done.stderr


def test_kinds_of_layers_that_nobody_would_use_a_peer_for() -> None:
    named = {peer.name: peer for peer in PEERS}
    fourier, depthwise = named["scipy fftconvolve"], named["tensorflow depthwise"]
    assert fourier.takes(FILTER, "forward")
    assert not fourier.takes(FILTER, "forward+backward")
    assert not fourier.takes(DENSE, "forward")
    assert not fourier.takes(replace(FILTER, options={"stride": 2}), "forward")
    assert [depthwise.takes(one, "forward") for one in (DENSE, LAYERS[3])] == [False, True]

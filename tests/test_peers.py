"""What xconv is compared with: peers are right or have no number, and ratios say what was measured."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from xconv.bench import Arena, Contender, Layer, limits
from xconv.bench.limits import Limits
from xconv.bench.peers import PEERS, Peer, choose, thread_settings
from xconv.bench.peers.task import Built, PeerTask
from xconv.bench.peers.verify import fourier_error, verify_peer
from xconv.bench.verify import WrongResultError
from xconv.core import reference
from xconv.core.backend import Backend
from xconv.core.call import resolve_all
from xconv.core.cost import Cost


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
pytestmark = pytest.mark.usefixtures("patient")
COMPILED = ("function", "XLA")
"""The same code as TensorFlow's own way, but each layer is compiled four times."""


@pytest.fixture(scope="module")
def arena() -> Iterator[Arena]:
    with Arena(rounds=1) as arena:
        yield arena


@pytest.mark.extended
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
    assert [f"{m.subject.label}: {m.error}" for m in found if m.error] == []
    assert all(len(m.rounds) == 1 for m in found)


def build(change: Callable[[PeerTask, list[np.ndarray]], None]) -> Callable[[PeerTask], Built]:
    """A peer that computes by the reference, and then changes something."""

    def by_reference(task: PeerTask) -> Built:
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


def add(index: int, amount: float, when: Callable[[PeerTask], bool]) -> Callable[[PeerTask, list[np.ndarray]], None]:
    def change(task: PeerTask, arrays: list[np.ndarray]) -> None:
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
    def off(times: float) -> Callable[[PeerTask], Built]:
        def change(task: PeerTask, arrays: list[np.ndarray]) -> None:
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


def test_limits_are_measured_and_bind(monkeypatch: pytest.MonkeyPatch, loaded: dict[str, Backend]) -> None:
    monkeypatch.setattr(limits, "SHAPES", ((128, 128, 128),))
    monkeypatch.setattr(limits, "COPIED_BYTES", 2**20)
    monkeypatch.setattr(limits, "TRANSPOSED", (4, 256, 256))
    for name in loaded:
        measured = limits.measure(name, use_cpu_time=False)
        assert measured.flops > 1e8
        assert measured.bytes > 1e8
        assert measured.transposed > 1e7
        assert 1e-8 < measured.fault < 1e-3
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

"""The harness itself: what it refuses to time, what becomes a row, and what the catalogue holds."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from xconv.backend import Backend
from xconv.bench import Arena, Contender, Layer, Measurement, catalogue
from xconv.bench.table import table
from xconv.bench.verify import WrongResultError, shortened, verify

TINY = Layer("t", "latency", "a test", "conv1d", (2, 40, 3), ((3, 3, 4),), {"padding": [1, 1]}, "smoke")


@pytest.fixture(scope="module")
def arena() -> Iterator[Arena]:
    with Arena(rounds=4) as arena:
        yield arena


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


def test_contenders_are_measured_in_workers(arena: Arena, loaded: dict[str, Backend]) -> None:
    contenders = [Contender(name, name, TINY, d) for name in loaded for d in ("forward", "forward+backward")]
    found = arena.measure(contenders)
    assert [m.contender for m in found] == contenders
    for m in found:
        assert not m.error
        assert len(m.wall) == len(m.cpu) == 4
        assert min(m.wall) > 0
        assert m.first_call > 0
    assert set(arena.about()) == set(loaded)
    assert all(about["threads"] == 1 for about in arena.about().values())


def test_what_cannot_be_measured_is_a_row(arena: Arena, loaded: dict[str, Backend]) -> None:
    name = next(iter(loaded))
    impossible = Layer(**{**vars(TINY), "options": {"groups": 2}})
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
    assert "absent worker" in found[2].error
    text = table(found)
    assert text.splitlines()[2].startswith("good")
    assert text.count("no number:") == 3


def test_a_worker_that_dies_is_a_row(loaded: dict[str, Backend]) -> None:
    name = next(iter(loaded))
    with Arena(rounds=4) as arena:
        arena.measure([Contender("first", name, TINY)])
        arena._workers[name]._process.kill()
        [measurement] = arena.measure([Contender("after", name, TINY)])
    assert "worker" in measurement.error


def test_what_workers_said_of_themselves_outlives_them(loaded: dict[str, Backend]) -> None:
    name = next(iter(loaded))
    with Arena(rounds=1) as arena:
        arena.measure([Contender("any", name, TINY)])
    assert arena.about()[name]["version"]


def test_one_thread_is_told_by_cpu_time() -> None:
    m = Measurement(Contender("", "torch", TINY), wall=[2.0], cpu=[1.0])
    assert m.seconds == 1.0
    m.use_cpu_time = False
    assert m.seconds == 2.0


def test_slow_contenders_get_fewer_samples() -> None:
    m = Measurement(Contender("", "torch", TINY), wall=[3.0] * 3)
    assert not m.is_enough()
    m.wall.append(3.0)
    assert m.is_enough()

"""The harness itself, on subjects whose truth is known: what it must see, and what must not deceive it."""

from __future__ import annotations

import math
import os
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest

from tests.bench_worker import Spin
from xconv.bench.arena import DISTURBED, MOST_REPEATS, Arena, Measurement, TimedBlock
from xconv.bench.statistics import Ratio, floor, interval, paired
from xconv.bench.stopwatch import WARMING_CALLS, PreparedCall, Stopwatch, held


@pytest.fixture(scope="module")
def arena() -> Iterator[Arena]:
    with Arena(rounds=24) as arena:
        yield arena


def ratio(found: Sequence[Measurement], ours: int, other: int) -> Ratio:
    made = paired(found[ours].times, found[other].times)
    assert made is not None
    return made


def test_an_injected_slowdown_is_seen_and_twins_tie(arena: Arena) -> None:
    found = arena.measure([Spin("a", 40), Spin("b", 44, process="two")], twin_of=0)
    assert [m.twin for m in found] == [False, False, True]
    seen, twins = ratio(found, 0, 1), ratio(found, 0, 2)
    noise = floor([twins])
    if noise > math.log(1.05):  # the arm tells so; then nothing may be claimed that is not true
        assert seen.verdict(noise) in ("win", "tie", "undecided")
        return
    assert twins.verdict(noise) == "tie"
    assert abs(math.log(seen.value / 1.10)) < 0.04
    assert seen.verdict(noise) == "win"
    assert ratio(found, 1, 0).verdict(noise) == "loss"


def test_an_asynchronous_subject_is_not_called_fast(arena: Arena) -> None:
    found = arena.measure([Spin("a", 400), Spin("b", 400, "asynchronous", process="two")])
    assert ratio(found, 0, 1).value > 0.8


def test_waiting_is_no_computing() -> None:
    with Arena(rounds=4, threads=2) as arena:
        [found] = arena.measure([Spin("a", 5, "sleeps")])
    assert not found.use_cpu_time
    assert found.seconds > 0.005
    assert all(sample.cpu < 0.004 for sample in found.kept)


def test_a_wrong_result_gets_no_number(arena: Arena) -> None:
    found = arena.measure([Spin("a"), Spin("b", what="wrong")])
    assert not found[0].error
    assert found[1].error == "a wrong result"
    assert found[1].rounds == []


def test_a_worker_that_dies_becomes_a_row(arena: Arena) -> None:
    before, timed, well = arena.measure(
        [
            Spin("before", what="dies", process="mortal"),
            Spin("timed", what="dies when it is timed", process="weak"),
            Spin("well"),
        ]
    )
    assert "exit status 7" in before.error
    assert "exit status 8" in timed.error
    assert len(well.kept) == 24


def test_what_is_disturbed_is_measured_again_and_has_no_number() -> None:
    with Arena(rounds=2) as arena:
        found, well = arena.measure([Spin("a", what="on two cores"), Spin("b")])
    assert found.rejected == {"more threads than it was given": 2 * (1 + MOST_REPEATS)}
    assert found.error == f"{DISTURBED} (more threads than it was given)"
    assert found.rounds == [None, None]
    assert len(well.kept) == 2


@pytest.mark.parametrize(
    ("sample", "threads", "cause"),
    [
        (TimedBlock(1.0, 1.0), 1, ""),
        (TimedBlock(1.0, 0.5, switches=9), 1, ""),
        (TimedBlock(1.0, 0.1, switches=9), 1, "preempted"),
        (TimedBlock(1.0, 0.1, switches=0), 1, ""),
        (TimedBlock(1.0, 1.5), 1, "more threads than it was given"),
        (TimedBlock(1.0, 1.5, switches=1), 2, ""),
        (TimedBlock(1.0, 0.8, switches=1), 2, "preempted"),
    ],
)
def test_samples_are_rejected_by_cause(sample: TimedBlock, threads: int, cause: str) -> None:
    assert Arena(threads=threads)._judged(sample).disturbed == cause


@pytest.mark.usefixtures("interruptible")
def test_ctrl_c_keeps_what_was_measured() -> None:
    with Arena(rounds=10) as arena:

        def interrupt(text: str) -> None:
            if text == "round 5 of 10":
                os.kill(os.getpid(), signal.SIGINT)

        found = arena.measure([Spin("a"), Spin("b", what="wrong"), Spin("c")], interrupt)
        assert arena.interrupted
        assert [len(m.kept) >= 3 for m in found] == [True, False, True]
        assert not found[0].error


@pytest.mark.usefixtures("interruptible")
def test_ctrl_c_while_it_is_prepared() -> None:
    with Arena(rounds=10) as arena:

        def interrupt(text: str) -> None:
            if text == "slow":
                threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT)).start()

        start = time.perf_counter()
        found = arena.measure([Spin("quick"), Spin("slow", 60_000, "sleeps", process="two")], interrupt)
    assert time.perf_counter() - start < 30  # a call of it alone takes a minute
    assert arena.interrupted
    assert [m.error for m in found] == ["interrupted before it was measured"] * 2


@pytest.mark.usefixtures("interruptible")
def test_ctrl_c_before_any_number() -> None:
    with Arena(rounds=10) as arena:

        def interrupt(text: str) -> None:
            if text == "round 1 of 10":
                os.kill(os.getpid(), signal.SIGINT)

        [found] = arena.measure([Spin("a")], interrupt)
    assert found.error == "interrupted before it was measured"


def test_a_worker_that_hangs_is_ended() -> None:
    with Arena(rounds=2) as arena:

        def stop(label: str) -> None:
            if label == "second":
                [worker] = [w for place, w in arena._workers.items() if place.name == "stuck"]
                assert "error" not in worker.about
                worker.limit_s = 0.5
                os.kill(worker._process.pid, signal.SIGSTOP)

        found = arena.measure([Spin("first"), Spin("second", process="stuck"), Spin("third", process="stuck")], stop)
    assert "gave no answer in 0.5 s" in found[1].error
    assert not found[0].error
    assert not found[2].error  # by the successor of the worker that was ended


def test_what_workers_said_of_themselves_outlives_them() -> None:
    with Arena(rounds=1) as arena:
        arena.measure([Spin("a")])
    assert arena.about()["one"]["arguments"] == ["1", "cpu"]


def test_memory_at_the_peak_is_of_the_call() -> None:
    with Arena(rounds=1) as arena:
        hungry, frugal = arena.measure([Spin("a", what="hungry", process="h"), Spin("b")])
    if "peak_bytes" not in hungry.facts:
        pytest.skip("the kernel does not forget a peak of memory")
    assert hungry.facts["peak_bytes"] >= 60 * 2**20
    assert frugal.facts["peak_bytes"] < 30 * 2**20


def test_hopeless_subjects_get_two_samples_or_a_long_one() -> None:
    found = Measurement(Spin("a"), rounds=[TimedBlock(1.0, 1.0)])
    assert not found.is_hopeless(0.5)
    assert found.is_hopeless(0.05)
    short = Measurement(Spin("a"), rounds=[TimedBlock(0.1, 0.1)])
    assert not short.is_hopeless(0.001)
    short.rounds.append(TimedBlock(0.1, 0.1))
    assert short.is_hopeless(0.001)
    quick = Measurement(Spin("a"), rounds=[TimedBlock(0.001, 0.001)] * 2)
    assert not quick.is_hopeless(0.00001)


def test_a_call_of_many_blocks_is_a_block_alone() -> None:
    """It is not called again to find out how many calls fill one."""
    calls: list[float] = []

    def slow() -> None:
        calls.append(time.perf_counter())
        time.sleep(0.02)

    watch = Stopwatch(lambda: PreparedCall(slow), lambda: None)
    watch.prepare(0, block=0.001)
    assert len(calls) == 2
    watch.time(0)
    assert len(calls) == 4  # one to warm up, one that is timed


def test_memory_that_is_kept_is_there_before_a_block_is_timed() -> None:
    calls: list[bool] = []
    inside: list[bool] = []

    @contextmanager
    def scope() -> Iterator[None]:
        inside.append(True)
        yield
        inside.pop()

    def slow() -> None:
        calls.append(bool(inside))
        time.sleep(0.02)

    watch = Stopwatch(lambda: PreparedCall(slow, scope=scope), lambda: None)
    watch.prepare(0, block=0.001)
    watch.time(0)
    assert calls == [True] * (2 + WARMING_CALLS + 1)


def test_a_process_that_holds_too_much_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    with Arena(rounds=2) as arena:

        def process() -> int:
            return int(arena.measure([Spin("a")])[0].facts["process"])

        first = process()
        monkeypatch.setattr("xconv.bench.arena.MOST_HELD_BYTES", 2**20)
        assert process() == first
        assert (process() != first) == bool(held())


def test_samples_of_a_round_stay_together() -> None:
    """Whoever is left out of one is left out of all that follow."""
    with Arena(rounds=6) as arena:
        slow, fast = arena.measure([Spin("a", products=4000), Spin("b", products=1)])
    assert len(slow.rounds) < len(fast.rounds) == 6


def test_who_was_left_out_stays_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Even if what left it out no longer holds: its next sample would be paired with another round's."""
    left_out: list[Measurement] = []

    def once(self: Measurement, fastest: float) -> bool:
        if left_out or len(self.rounds) < 2:
            return False
        left_out.append(self)
        return True

    monkeypatch.setattr(Measurement, "is_hopeless", once)
    with Arena(rounds=6) as arena:
        found = arena.measure([Spin("a"), Spin("b")])
    assert [len(m.rounds) for m in found if m is left_out[0]] == [2]
    assert [len(m.rounds) for m in found if m is not left_out[0]] == [6]


def test_slow_subjects_get_fewer_samples() -> None:
    found = Measurement(Spin("a"), rounds=[TimedBlock(1.0, 1.0)] * 9)
    assert not found.is_enough
    found.rounds.append(TimedBlock(1.0, 1.0))
    assert found.is_enough


def test_one_thread_is_told_by_cpu_time() -> None:
    found = Measurement(Spin("a"), rounds=[TimedBlock(wall=2.0, cpu=1.0), None])
    assert (found.seconds, found.times) == (1.0, [1.0, None])
    found.use_cpu_time = False
    assert found.seconds == 2.0


def noisy(rng: Any, level: float, count: int) -> list[float | None]:
    return [float(level * math.exp(rng.normal(0, 0.02))) for _ in range(count)]


def test_a_slow_spell_cancels_and_the_interval_covers() -> None:
    import numpy as np

    rng = np.random.default_rng(0)
    covered, runs = 0, 200
    for _ in range(runs):
        spell = np.exp(rng.choice([0.0, 0.0, 0.5, 1.0], 16))
        ours = [float(s * math.exp(rng.normal(0, 0.02))) for s in spell]
        theirs = [float(1.1 * s * math.exp(rng.normal(0, 0.02))) for s in spell]
        found = paired(ours, theirs)
        assert found is not None
        assert found.pairs == 8
        covered += found.low <= 1.1 <= found.high
    # of 95 % asked for, the percentile bootstrap of a median of 8 has about 93 %: 3 standard errors below that
    assert covered / runs >= 0.93 - 3 * math.sqrt(0.93 * 0.07 / runs)


def test_rounds_that_either_lacks_are_left_out() -> None:
    assert paired([1.0, None, 1.0], [2.0, 2.0, None]) == Ratio(2.0, 2.0, 2.0, 1)
    assert paired([None], [1.0]) is None
    assert interval([1.0, 1.0, 1.0]) == (1.0, 1.0)

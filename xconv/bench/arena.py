"""The arena: subjects timed against each other, each in a process of its own. It knows nothing of what they compute.

Two thread pools in one process spin against each other, and one framework's memory is another's page faults: so every
way of computing has its own worker process, with its environment set before anything is imported, and one worker is
active at a time. Subjects of a group are timed in short blocks, in a random order that is then reversed: the two make a
pair, in which a slow spell of the machine hits all alike. One subject of each group is timed twice, in two processes
(the A/A arm): how far the two are apart is what this run cannot tell from nothing.
"""

from __future__ import annotations

import os
import random
import statistics
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from types import TracebackType
from typing import Any, Protocol

from xconv.system.child import Child
from xconv.system.waiting import results

BLOCK_S = 0.01
"""Seconds that a block of calls is meant to take; a longer call is a block alone."""

ENOUGH_S, FEWEST_BLOCKS = 2.0, 10
"""A subject that has been timed for this long, in at least this many blocks, gets no more of them."""

HOPELESS_RATIO = 10.0
"""A subject that is this many times as slow as the fastest gets two blocks, or one if that is long: it tells enough."""

LONG_S = 0.2
"""Seconds that make a block long: it is not measured again, whatever disturbed it."""

LIMIT_S = 300.0
"""Seconds that a worker may take for one answer: to check a layer and to compile it are part of the first."""

MOST_REPEATS = 2
"""How often a block that was disturbed is measured again."""

MOST_HELD_BYTES = 3 * 2**29
"""Bytes that a process may hold between two groups; one that holds more is replaced, as memory that is short disturbs.

Frameworks keep compiled functions and constants of every layer: nine processes of TensorFlow held 10 GB in the end.
"""

DISTURBED, INTERRUPTED = "every block was disturbed", "interrupted before it was measured"
"""How the error begins of what has no number for no fault of its own."""

LEAST_SHARE = {"cpu": 0.2, "wall": 0.9}
"""A block that was preempted, and whose process had less than this of a core, was disturbed.

By the clock that counts. CPU time stands a lot: with 0.2 to 0.6 of a core its median moved by under 1 % (10 ms a call)
or 2 % (70 us), below 0.2 by up to 2 % more (docs/benchmarking.md). Wall time stands nothing.
"""

MOST_SHARE = 1.15
"""A block that used more than this many cores for each of its threads has threads that it was not given."""


@dataclass(frozen=True)
class Place:
    """A worker process: the module that is run, its arguments, and its environment. ``copy`` tells twins apart."""

    name: str
    module: str
    arguments: tuple[str, ...] = ()
    environment: tuple[tuple[str, str], ...] = ()
    copy: int = 0


class TimedSubject(Protocol):
    """What is timed: a label, where it runs, and what its worker is asked to prepare."""

    @property
    def label(self) -> str:
        """Its name within the group."""

    def place(self, threads: int, device: str) -> Place:
        """The process that it runs in."""

    def request(self) -> dict[str, Any]:
        """What the worker needs to prepare it, as JSON."""


@dataclass(frozen=True)
class TimedBlock:
    """One block: seconds per call, and what happened to the process meanwhile.

    ``faults`` are minor page faults per call; ``switches`` involuntary context switches in the block; ``disturbed``
    the cause for which it must not count, or nothing.
    """

    wall: float
    cpu: float
    faults: float = 0.0
    switches: int = 0
    disturbed: str = ""


@dataclass
class Measurement:
    """What a subject took, or why it has no number.

    Attributes:
        subject: what was measured.
        rounds: sample i is of round i, for each subject of a group; None where every attempt was disturbed.
        facts: whatever else the worker told.
        rejected: how many blocks were left out, by cause.
        error: the reason that there is no number.
        cannot: whether that reason is a limitation, and no failure.
        twin: whether it is the second arm of A/A.
        use_cpu_time: whether times are CPU time, not wall time.
    """

    subject: Any
    rounds: list[TimedBlock | None] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)
    rejected: Counter[str] = field(default_factory=Counter)
    error: str = ""
    cannot: bool = False
    twin: bool = False
    use_cpu_time: bool = True

    @property
    def kept(self) -> list[TimedBlock]:
        """The samples that count."""
        return [sample for sample in self.rounds if sample is not None]

    @property
    def times(self) -> list[float | None]:
        """Seconds per call in each round: CPU time at one thread, which repeats under load; wall time otherwise."""
        return [None if s is None else s.cpu if self.use_cpu_time else s.wall for s in self.rounds]

    @property
    def samples(self) -> list[float]:
        """Those that count."""
        return [time for time in self.times if time is not None]

    @property
    def seconds(self) -> float:
        """The median sample."""
        return statistics.median(self.samples)

    @property
    def is_enough(self) -> bool:
        """Whether more samples of a slow subject would take too long."""
        return len(self.kept) >= FEWEST_BLOCKS and sum(sample.wall for sample in self.kept) > ENOUGH_S

    def is_hopeless(self, fastest: float) -> bool:
        """Whether it is known to be far slower than the fastest, and more samples would take time.

        Args:
            fastest: seconds of the fastest subject of its group; 0 if there is none yet.

        Returns:
            Whether to measure it no more.
        """
        if not fastest or not self.kept or self.seconds <= HOPELESS_RATIO * fastest:
            return False
        taken = sum(sample.wall for sample in self.kept)
        return taken > LONG_S or (len(self.kept) >= 2 and taken > HOPELESS_RATIO * BLOCK_S)


class Arena:
    """Worker processes, and the measuring of groups of subjects. Use it as a context manager.

    A worker that takes longer than ``limit_s`` seconds for one answer is ended, and started again for the next.
    Ctrl-C ends the group that is being measured, with the samples that it has: ``interrupted`` is then true.

    Args:
        threads: that each worker computes with.
        device: on which it computes: "cpu", "cuda:0".
        rounds: how many samples each subject gets at most.
        seed: of the order in each round.
        limit_s: seconds for one answer of a worker.
    """

    def __init__(
        self, *, threads: int = 1, device: str = "cpu", rounds: int = 16, seed: int = 0, limit_s: float = LIMIT_S
    ) -> None:
        self.threads, self.device, self.rounds, self.limit_s = threads, device, rounds, limit_s
        self.interrupted = False
        self._random = random.Random(seed)
        self._workers: dict[Place, Child] = {}
        self._about: dict[str, dict[str, Any]] = {}
        self._is_over = threading.Event()

    def __enter__(self) -> Arena:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for worker in self._workers.values():
            worker.close()
        self._workers.clear()

    @property
    def use_cpu_time(self) -> bool:
        """Whether CPU time counts: at more threads it counts spinning as work, and on a GPU it is not the work."""
        return self.threads == 1 and self.device == "cpu"

    def about(self) -> dict[str, Any]:
        """What the workers that have run say of themselves: versions, threads; also after they were closed.

        Returns:
            What each worker said, by its name.
        """
        return dict(self._about)

    def ask(self, subject: TimedSubject, **request: Any) -> dict[str, Any]:
        """Ask the worker of a subject for something else than a time.

        Args:
            subject: whose worker is asked.
            request: what its worker understands.

        Returns:
            The worker's answer.
        """
        return self._worker(subject.place(self.threads, self.device)).ask(**request)

    def measure(
        self,
        subjects: Sequence[TimedSubject],
        progress: Callable[[str], None] | None = None,
        twin_of: int | None = None,
    ) -> list[Measurement]:
        """Prepare all subjects, then time them interleaved; one measurement each, in the order given.

        With ``twin_of``, that subject is measured in a second process too; its measurement comes last.

        Args:
            subjects: that are compared with each other.
            progress: is called with a text at each step.
            twin_of: the index of the subject that is measured twice, or None.

        Returns:
            A measurement for each subject, and behind them that of the twin.
        """
        found = [Measurement(subject, use_cpu_time=self.use_cpu_time) for subject in subjects]
        if twin_of is not None:
            found.append(Measurement(subjects[twin_of], use_cpu_time=self.use_cpu_time, twin=True))
        with self._until_interrupted():
            self._measure(found, progress or (lambda _: None))
            for worker in self._workers.values():
                if worker.is_running() and worker.ask(do="forget").get("held", 0) > MOST_HELD_BYTES:
                    worker.close()  # the next group has a new one
        for measurement in found:
            if self.interrupted and not measurement.error and not measurement.kept:
                measurement.error = INTERRUPTED
        return found

    @contextmanager
    def _until_interrupted(self) -> Iterator[None]:
        try:
            yield
        except KeyboardInterrupt:
            self.interrupted = True
            for worker in self._workers.values():
                worker.close()  # an answer to the last question may still be on its way
            self._workers.clear()

    def _measure(self, found: Sequence[Measurement], progress: Callable[[str], None]) -> None:
        prepared_by = self._prepare_all(found, progress)
        running = [(number, measurement) for number, measurement in enumerate(found) if not measurement.error]
        order: list[tuple[int, Measurement]] = []
        for turn in range(self.rounds):
            progress(f"round {turn + 1} of {self.rounds}")
            # a random order, then the same one reversed
            order = self._random.sample(running, len(running)) if turn % 2 == 0 else order[::-1]
            fastest = min((measurement.seconds for _, measurement in running if measurement.kept), default=0.0)
            for number, measurement in order:
                if measurement.error or len(measurement.rounds) < turn:
                    continue  # the second: it was left out before
                if measurement.is_hopeless(fastest) or (turn % 2 == 0 and measurement.is_enough):
                    continue
                if not prepared_by[number].is_running():
                    # it ended over another subject, and what it had prepared is gone
                    prepared_by[number] = self._prepare(number, measurement)
                if not measurement.error:
                    self._time(number, measurement)
        for _, measurement in running:
            if not measurement.error and not measurement.kept:
                measurement.error = f"{DISTURBED} ({', '.join(measurement.rejected)})"

    def _prepare_all(self, found: Sequence[Measurement], progress: Callable[[str], None]) -> dict[int, Child]:
        """Start, check and build everything: as many workers at a time as there are cores, for nothing is timed yet."""
        waiting: dict[Place, list[int]] = {}
        for number, measurement in enumerate(found):
            waiting.setdefault(self._place(measurement), []).append(number)
            self._worker(self._place(measurement))
        prepared_by: dict[int, Child] = {}

        def prepare(numbers: Sequence[int]) -> None:
            for number in numbers:
                if self._is_over.is_set():
                    return
                progress(found[number].subject.label)
                prepared_by[number] = self._prepare(number, found[number])

        self._is_over.clear()
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            try:
                results([pool.submit(prepare, numbers) for numbers in waiting.values()])
            except BaseException:
                self._is_over.set()
                for worker in list(self._workers.values()):
                    worker.kill()  # so that nobody waits for an answer
                raise
        return prepared_by

    def _prepare(self, number: int, measurement: Measurement) -> Child:
        worker = self._worker(self._place(measurement))
        answer = worker.ask(do="prepare", key=number, block=BLOCK_S, **measurement.subject.request())
        if self._is_over.is_set():
            return worker  # it was ended, and that says nothing of the subject
        if "error" not in worker.about:
            self._about[self._place(measurement).name] = worker.about
        if not self._failed(measurement, answer):
            measurement.facts = answer | measurement.facts
        return worker

    def _time(self, number: int, measurement: Measurement) -> None:
        worker = self._worker(self._place(measurement))
        for _ in range(1 + MOST_REPEATS):
            answer = worker.ask(do="time", key=number)
            if self._failed(measurement, answer):
                return
            sample = self._judged(TimedBlock(**answer))
            if not sample.disturbed:
                measurement.rounds.append(sample)
                return
            measurement.rejected[sample.disturbed] += 1
            if sample.wall > LONG_S:
                break
        measurement.rounds.append(None)

    def _judged(self, sample: TimedBlock) -> TimedBlock:
        """The sample, with the cause for which it must not count."""
        if self.device != "cpu" or sample.wall <= 0:
            return sample
        share = sample.cpu / sample.wall
        if share > MOST_SHARE * self.threads:
            return replace(sample, disturbed="more threads than it was given")
        if sample.switches and share < LEAST_SHARE["cpu" if self.use_cpu_time else "wall"]:
            return replace(sample, disturbed="preempted")
        return sample

    def _failed(self, measurement: Measurement, answer: dict[str, Any]) -> bool:
        measurement.error = answer.get("error", "")
        measurement.cannot = bool(answer.get("cannot"))
        if "lost" in answer:
            measurement.facts["lost"] = answer["lost"]
        return bool(measurement.error)

    def _worker(self, place: Place) -> Child:
        if place not in self._workers or not self._workers[place].is_running():
            self._workers[place] = Child(
                place.name, place.module, *place.arguments, limit_s=self.limit_s, env=dict(place.environment)
            )
        return self._workers[place]

    def _place(self, measurement: Measurement) -> Place:
        place: Place = measurement.subject.place(self.threads, self.device)
        return replace(place, copy=1) if measurement.twin else place

"""Measure contenders against each other: the one interface behind which all timing happens.

Each framework computes in a worker process of its own, because two thread pools in one process spin against each other.
One worker is active at a time; xconv on a framework and that framework's peers share one. Contenders of a group are
timed in short blocks, in a random order that is then reversed, so that a slow spell of the machine hits all of them. A
contender whose result is wrong gets no number.
"""

from __future__ import annotations

import random
import statistics
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from types import TracebackType
from typing import Any

from xconv.bench.catalogue import Layer
from xconv.bench.limits import Limits
from xconv.bench.process import LIMIT_S, Worker
from xconv.cost import Cost, cost

BLOCK_S = 0.02
"""Seconds that a block of calls is meant to take; a longer call is a block alone."""

ENOUGH_S, FEWEST = 10.0, 4
"""A contender that has been timed for this long, in at least this many blocks, gets no more of them."""


@dataclass(frozen=True)
class Contender:
    """A layer, who computes it, and how.

    ``direction`` is "forward" or "forward+backward"; ``activation`` is "" or "relu", applied to the result; ``signal``
    names a real input instead of random numbers (:mod:`xconv.bench.signals`). ``opt_ins`` gives it what a user must ask
    for: kept memory, and where the weight is constant a plan with a packed weight. ``backend`` names an xconv backend,
    or with a ``way`` the framework of a peer, and then xconv takes no part (:mod:`xconv.bench.peers`).
    """

    label: str
    backend: str
    layer: Layer
    direction: str = "forward"
    activation: str = ""
    signal: str = ""
    formulation: str = "auto"
    way: str = ""
    opt_ins: bool = False

    @property
    def peer(self) -> str:
        """The peer's name, or nothing for xconv itself."""
        return f"{self.backend} {self.way}" if self.way else ""

    def cost(self) -> Cost:
        """Operations and bytes of one call: a backward pass is two more convolutions."""
        layer = self.layer
        once = Cost(0, 0, 0)
        for call in layer.calls:
            once += cost(call)
        if self.direction == "forward":
            return once
        return Cost(once.parameters, 3 * once.macs, 3 * once.bytes)


@dataclass
class Measurement:
    """What one contender took: seconds per call, one sample a round; or why it has no number.

    ``error`` is the reason; with ``cannot`` it is a peer's limitation, which is no failure. ``chosen`` is the
    formulation that xconv took. Sample i of each contender of a group is from round i.
    """

    contender: Contender
    wall: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    first_call: float = 0.0
    error: str = ""
    cannot: bool = False
    chosen: str = ""
    use_cpu_time: bool = True

    def is_enough(self) -> bool:
        """Whether more samples of a slow contender would take too long."""
        return len(self.wall) >= FEWEST and sum(self.wall) > ENOUGH_S

    @property
    def samples(self) -> list[float]:
        """CPU time at one thread, which repeats under load; wall time otherwise."""
        return self.cpu if self.use_cpu_time else self.wall

    @property
    def seconds(self) -> float:
        """The median sample."""
        return statistics.median(self.samples)


class Arena:
    """Workers, one a framework, and the measuring of groups of contenders. Use it as a context manager.

    A worker that takes longer than ``limit_s`` seconds for one answer is ended, and started again for the next.
    """

    def __init__(
        self, *, threads: int = 1, device: str = "cpu", rounds: int = 10, seed: int = 0, limit_s: float = LIMIT_S
    ) -> None:
        self.threads, self.device, self.rounds, self.limit_s = threads, device, rounds, limit_s
        self._random = random.Random(seed)
        self._workers: dict[str, Worker] = {}
        self._about: dict[str, dict[str, Any]] = {}
        self._limits: dict[str, Limits] = {}

    def __enter__(self) -> Arena:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for worker in self._workers.values():
            worker.close()
        self._workers.clear()

    def about(self) -> dict[str, Any]:
        """Versions, threads and devices of the workers that have run; also after they were closed."""
        return dict(self._about)

    def measure(
        self, contenders: Sequence[Contender], progress: Callable[[str], None] | None = None
    ) -> list[Measurement]:
        """Verify all contenders, then time them interleaved; one measurement each, in the order given."""
        found = [Measurement(contender, use_cpu_time=self._use_cpu_time) for contender in contenders]
        prepared_by: dict[int, Worker] = {}
        for number, measurement in enumerate(found):
            prepared_by[number] = self._prepare(number, measurement)
            if progress:
                progress(measurement.contender.label)
        running = [(number, measurement) for number, measurement in enumerate(found) if not measurement.error]
        order: list[tuple[int, Measurement]] = []
        for turn in range(self.rounds):
            # a random order, then the same one reversed
            order = self._random.sample(running, len(running)) if turn % 2 == 0 else order[::-1]
            for number, measurement in order:
                if measurement.error or measurement.is_enough():
                    continue
                if self._worker(measurement.contender.backend) is not prepared_by[number]:
                    # it ended over another contender, and what it had prepared is gone
                    prepared_by[number] = self._prepare(number, measurement)
                if not measurement.error:
                    self._time(number, measurement)
            if progress:
                progress("")
        for worker in self._workers.values():
            if worker.is_running():
                worker.ask(do="forget")
        return found

    def limits(self, frameworks: Sequence[str]) -> Limits:
        """The most that this machine has shown in this run: the better of what each framework's worker reaches.

        Each is asked once, and computes in its own way (:mod:`xconv.bench.limits`). Not known on other devices.
        """
        if self.device != "cpu":
            return Limits(0.0, 0.0)
        for name in frameworks:
            if name not in self._limits:
                answer = self._worker(name).ask(do="limits", use_cpu_time=self._use_cpu_time)
                self._limits[name] = Limits(answer.get("flops", 0.0), answer.get("bytes", 0.0))
        return Limits.best([self._limits[name] for name in frameworks])

    @property
    def _use_cpu_time(self) -> bool:
        return self.threads == 1 and self.device == "cpu"

    def _prepare(self, number: int, measurement: Measurement) -> Worker:
        worker = self._worker(measurement.contender.backend)
        self._take(
            measurement, worker.ask(do="prepare", key=number, block=BLOCK_S, **_described(measurement.contender))
        )
        return worker

    def _time(self, number: int, measurement: Measurement) -> None:
        answer = self._worker(measurement.contender.backend).ask(do="time", key=number)
        self._take(measurement, answer)
        if not measurement.error:
            measurement.wall.append(answer["wall"])
            measurement.cpu.append(answer["cpu"])

    def _take(self, measurement: Measurement, answer: dict[str, Any]) -> None:
        measurement.error = answer.get("error", "")
        # only a wrong result is a failure of a peer: the rest is what it cannot do
        measurement.cannot = bool(measurement.error and measurement.contender.way and not answer.get("wrong"))
        if not measurement.error and "first_call" in answer:
            measurement.first_call = measurement.first_call or answer["first_call"]
            measurement.chosen = answer["chosen"]

    def _worker(self, framework: str) -> Worker:
        if framework not in self._workers or not self._workers[framework].is_running():
            worker = self._workers[framework] = Worker(framework, self.threads, self.device, self.limit_s)
            if "error" not in worker.about:
                self._about[framework] = worker.about
        return self._workers[framework]


def _described(contender: Contender) -> dict[str, Any]:
    layer = asdict(contender.layer)
    return {
        "layer": layer,
        "direction": contender.direction,
        "activation": contender.activation,
        "signal": contender.signal,
        "formulation": contender.formulation,
        "way": contender.way,
        "opt_ins": contender.opt_ins,
    }

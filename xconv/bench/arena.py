"""Measure contenders against each other: the one interface behind which all timing happens.

Each backend computes in a worker process of its own, because two thread pools in one process spin against each other.
One worker is active at a time. Contenders of a group are timed in short blocks, in a random order that is then
reversed, so that a slow spell of the machine hits all of them. A contender whose result is wrong gets no number.
"""

from __future__ import annotations

import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from types import TracebackType
from typing import Any

from xconv.bench.catalogue import Layer
from xconv.call import resolve_all
from xconv.cost import Cost, cost

BLOCK_S = 0.02
"""Seconds that a block of calls is meant to take; a longer call is a block alone."""

ENOUGH_S, FEWEST = 10.0, 4
"""A contender that has been timed for this long, in at least this many blocks, gets no more of them."""


@dataclass(frozen=True)
class Contender:
    """A layer, who computes it, and how.

    ``direction`` is "forward" or "forward+backward"; ``activation`` is "" or "relu", applied to the result; ``signal``
    names a real input instead of random numbers (:mod:`xconv.bench.signals`).
    """

    label: str
    backend: str
    layer: Layer
    direction: str = "forward"
    activation: str = ""
    signal: str = ""
    formulation: str = "auto"

    def cost(self) -> Cost:
        """Operations and bytes of one call: a backward pass is two more convolutions."""
        layer = self.layer
        once = Cost(0, 0, 0)
        for call in resolve_all(layer.operation, layer.x_shape, layer.weight_shapes, **layer.options):
            once += cost(call)
        if self.direction == "forward":
            return once
        return Cost(once.parameters, 3 * once.macs, 3 * once.bytes)


@dataclass
class Measurement:
    """What one contender took: seconds per call, one sample a block; or why it has no number."""

    contender: Contender
    wall: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    first_call: float = 0.0
    error: str = ""
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


class Worker:
    """A process that computes with one backend and answers one JSON line for each it is sent."""

    def __init__(self, backend: str, threads: int, device: str) -> None:
        count = str(threads)
        environment = {
            **os.environ,
            "OMP_NUM_THREADS": count,
            "MKL_NUM_THREADS": count,
            "TF_NUM_INTRAOP_THREADS": count,
            "TF_NUM_INTEROP_THREADS": count,
            "TF_CPP_MIN_LOG_LEVEL": "3",
        }
        command = [sys.executable, "-m", "xconv.bench.worker", backend, count, device]
        self.backend = backend
        self._said = tempfile.TemporaryFile("w+")  # noqa: SIM115 - it lives as long as the worker
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._said,
            text=True,
            env=environment,
        )
        self.about = self._answer()

    def ask(self, **request: Any) -> dict[str, Any]:
        """Send a request and wait for the answer."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            return self._ended()
        return self._answer()

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.wait()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            return self._ended()
        answer: dict[str, Any] = json.loads(line)
        return answer

    def is_running(self) -> bool:
        """Whether it can be asked."""
        return self._process.poll() is None

    def _ended(self) -> dict[str, Any]:
        status = self._process.wait()
        self._said.seek(0)
        said = [line for line in self._said.read().splitlines() if line.strip()]
        return {"error": f"the {self.backend} worker ended with exit status {status}: {said[-1] if said else ''}"}


class Arena:
    """Workers, one a backend, and the measuring of groups of contenders. Use it as a context manager."""

    def __init__(self, *, threads: int = 1, device: str = "cpu", rounds: int = 10, seed: int = 0) -> None:
        self.threads, self.device, self.rounds = threads, device, rounds
        self._random = random.Random(seed)
        self._workers: dict[str, Worker] = {}

    def __enter__(self) -> Arena:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for worker in self._workers.values():
            worker.close()
        self._workers.clear()

    def about(self) -> dict[str, Any]:
        """Versions, threads and devices of the workers that have run."""
        return {name: worker.about for name, worker in self._workers.items()}

    def measure(
        self, contenders: Sequence[Contender], progress: Callable[[str], None] | None = None
    ) -> list[Measurement]:
        """Verify all contenders, then time them interleaved; one measurement each, in the order given."""
        use_cpu = self.threads == 1 and self.device == "cpu"
        found = [Measurement(contender, use_cpu_time=use_cpu) for contender in contenders]
        for number, measurement in enumerate(found):
            contender = _described(measurement.contender)
            answer = self._worker(measurement).ask(do="prepare", key=number, block=BLOCK_S, **contender)
            measurement.error = answer.get("error", "")
            measurement.first_call = answer.get("first_call", 0.0)
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
                answer = self._worker(measurement).ask(do="time", key=number)
                if "error" in answer:
                    measurement.error = answer["error"]
                else:
                    measurement.wall.append(answer["wall"])
                    measurement.cpu.append(answer["cpu"])
            if progress:
                progress("")
        for worker in self._workers.values():
            if worker.is_running():
                worker.ask(do="forget")
        return found

    def _worker(self, measurement: Measurement) -> Worker:
        name = measurement.contender.backend
        if name not in self._workers or not self._workers[name].is_running():
            self._workers[name] = Worker(name, self.threads, self.device)
        return self._workers[name]


def _described(contender: Contender) -> dict[str, Any]:
    layer = asdict(contender.layer)
    return {
        "layer": layer,
        "direction": contender.direction,
        "activation": contender.activation,
        "signal": contender.signal,
        "formulation": contender.formulation,
    }

"""A run: groups measured one after the other under the same limits, and kept also when it is interrupted."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import partial
from types import TracebackType
from typing import Annotated, Any

from msgspec import Meta

import xconv
from xconv.bench.arena import LIMIT_S, Arena, Measurement
from xconv.bench.contender import Contender
from xconv.bench.limits import Limits
from xconv.bench.results import Group, Result, Run
from xconv.bench.suites import Question
from xconv.system.validated import MOST


@dataclass(frozen=True)
class Settings:
    """Under which circumstances a run is measured. ``case`` and ``tier`` only say what was asked for."""

    tier: str = "smoke"
    case: str = ""
    threads: Annotated[int, Meta(ge=1, le=MOST)] = 1
    device: str = "cpu"
    rounds: Annotated[int, Meta(ge=1, le=MOST)] = 16
    seed: Annotated[int, Meta(le=MOST)] = 0


class Session:
    """One run while it is measured. Use it as a context manager."""

    def __init__(self, settings: Settings, backends: Sequence[str], limit_s: float = LIMIT_S) -> None:
        self.settings, self.backends = settings, list(backends)
        self.arena = Arena(
            threads=settings.threads,
            device=settings.device,
            rounds=settings.rounds,
            seed=settings.seed,
            limit_s=limit_s,
        )
        self.groups: list[Group] = []
        self._limits: Limits | None = None
        self._taken = datetime.now(UTC)

    def __enter__(self) -> Session:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.arena.__exit__(kind, error, trace)

    def measure(self, question: Question, progress: Callable[[str], None] | None = None) -> Group:
        """Verify and time a group, with its A/A arm, and measure what a call of each contender costs at the least."""
        found = self.arena.measure(question.contenders, progress, twin_of=question.twin)
        dispatches: list[float | None] = []
        try:
            dispatches += map(self._dispatch, found)
        except KeyboardInterrupt:
            self.arena.interrupted = True
        dispatches += [None] * (len(found) - len(dispatches))
        group = Group(question.name, question.suite, tuple(map(Result.of, found, dispatches)))
        self.groups.append(group)
        return group

    def limits(self, subject: Contender | None = None) -> Limits:
        """The most that this machine has shown in this run: the best of what each backend's worker reaches.

        Measured when it is first asked for. Not known on other devices than the CPU. ``subject`` is any contender.
        """
        if self._limits is None and subject is not None:
            measured = []
            for backend in self.backends if self.settings.device == "cpu" else ():
                on = Contender("", backend, subject.layer)
                answer = self.arena.ask(on, do="limits", use_cpu_time=self.arena.use_cpu_time)
                measured.append(Limits() if "error" in answer else Limits(**answer))
            self._limits = Limits.best(measured)
        return self._limits or Limits()

    def record(self) -> Run:
        """What has been measured until now."""
        return Run(
            taken=self._taken.isoformat(timespec="seconds"),
            xconv=xconv.__version__,
            settings=asdict(self.settings),
            machine=described_machine(),
            workers=self.arena.about(),
            limits=self.limits(),
            groups=list(self.groups),
            interrupted=self.arena.interrupted,
        )

    def _dispatch(self, measurement: Measurement) -> float | None:
        if measurement.error or measurement.twin or self.arena.interrupted:
            return None
        asked = measurement.subject.request()
        answer = self.arena.ask(measurement.subject, do="dispatch", use_cpu_time=measurement.use_cpu_time, **asked)
        seconds: float | None = answer.get("dispatch")
        return seconds


def run(
    questions: Callable[[Session], Sequence[Question]],
    settings: Settings,
    backends: Sequence[str],
    progress: Callable[[int, int, str], None] | None = None,
) -> Run:
    """Measure all groups; which ones may depend on what the session's workers say of themselves.

    ``progress`` is told the number of the group, how many there are, and what is done. Ctrl-C ends it early, with what
    was measured until then.
    """

    def said(number: int, count: int, text: str) -> None:
        if progress:
            progress(number, count, text)

    with Session(settings, backends) as session:
        try:
            said(0, 0, "starting workers")
            asked = questions(session)
            for number, question in enumerate(asked):
                said(number, len(asked), question.name)
                session.limits(question.contenders[0])
                session.measure(question, partial(_named, said, number, len(asked), question.name))
                if session.arena.interrupted:
                    break
        except KeyboardInterrupt:
            session.arena.interrupted = True
        return session.record()


def _named(said: Callable[[int, int, str], None], number: int, count: int, name: str, text: str) -> None:
    said(number, count, f"{name}: {text}")


def chosen(questions: Sequence[Question], case: str = "", direction: str = "both") -> list[Question]:
    """Those whose name contains a text, in one direction or both; without those that nobody is left in."""
    found = [question.of(direction) for question in questions if case in question.name]
    return [question for question in found if question.contenders]


def described_machine() -> dict[str, Any]:
    """What ``xconv doctor`` says of this machine, as JSON has it."""
    from xconv.doctor.machine import machine

    described: dict[str, Any] = json.loads(json.dumps(asdict(machine())))
    return described

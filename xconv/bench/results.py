"""A run of benchmarks as values: the samples of each contender, and what follows from them."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Annotated, Any, TypeAlias

from msgspec import Meta

from xconv.bench import statistics as stats
from xconv.bench.arena import DISTURBED, INTERRUPTED, Measurement
from xconv.bench.contender import Contender
from xconv.bench.limits import Limits
from xconv.bench.statistics import Ratio
from xconv.system.validated import MOST, Quantity, Size

Seconds: TypeAlias = Annotated[float, Meta(gt=0, le=MOST)]


@dataclass(frozen=True)
class Result:
    """What a contender took, or why it has no number.

    Times are seconds per call, one of each round, None where a round was disturbed. ``first_call`` has what is done
    once, compiling among it; ``dispatch`` is a call with next to nothing to compute; ``faults`` are page faults of a
    call, ``peak_bytes`` the memory that it takes beyond its arguments, both None where unknown.
    """

    contender: Contender
    wall: Annotated[
        tuple[Seconds | None, ...],
        Meta(description="wall time, seconds per call, one of each round; null where the round was disturbed"),
    ] = ()
    cpu: Annotated[tuple[Quantity | None, ...], Meta(description="CPU time, likewise")] = ()
    use_cpu_time: Annotated[bool, Meta(description="which of the two counts")] = True
    chosen: Annotated[str, Meta(description="the formulation that xconv took")] = ""
    first_call: Seconds | None = None
    dispatch: Seconds | None = None
    faults: Annotated[Quantity | None, Meta(description="minor page faults of a call, median")] = None
    peak_bytes: Annotated[Size | None, Meta(description="memory of a call beyond its arguments")] = None
    rejected: Annotated[
        Mapping[str, Annotated[int, Meta(ge=1, le=MOST)]], Meta(description="disturbed blocks by cause")
    ] = field(default_factory=dict)
    error: Annotated[str, Meta(description="why there is no number")] = ""
    cannot: Annotated[bool, Meta(description="the error is a limitation, not a failure")] = False
    twin: Annotated[bool, Meta(description="the second arm of A/A")] = False

    @staticmethod
    def of(measurement: Measurement, dispatch: float | None = None) -> Result:
        """The result of a measurement of a :class:`Contender`."""
        facts, kept = measurement.facts, measurement.kept
        return Result(
            contender=measurement.subject,
            wall=tuple(None if s is None else s.wall for s in measurement.rounds),
            cpu=tuple(None if s is None else s.cpu for s in measurement.rounds),
            use_cpu_time=measurement.use_cpu_time,
            chosen=facts.get("chosen", ""),
            first_call=facts.get("first_call"),
            dispatch=dispatch,
            faults=statistics.median(s.faults for s in kept) if kept else None,
            peak_bytes=facts.get("peak_bytes"),
            rejected=dict(measurement.rejected),
            error=measurement.error,
            # a peer that ends or hangs is a peer that cannot; only a wrong result is a failure of its own
            cannot=measurement.cannot or bool(measurement.subject.way and facts.get("lost")),
            twin=measurement.twin,
        )

    @property
    def times(self) -> tuple[float | None, ...]:
        """By the clock that counts: CPU time at one thread, else wall time."""
        return self.cpu if self.use_cpu_time else self.wall

    @property
    def samples(self) -> list[float]:
        """The rounds that count."""
        return [] if self.error else [time for time in self.times if time is not None]

    @property
    def has_number(self) -> bool:
        """Whether it was right, and measured."""
        return bool(self.samples)

    @property
    def is_wrong(self) -> bool:
        """Whether it has no number for a fault of its own: not a limitation, and not for a busy machine."""
        return bool(self.error) and not self.cannot and not self.error.startswith((DISTURBED, INTERRUPTED))

    @property
    def seconds(self) -> float:
        """The median sample."""
        return statistics.median(self.samples)

    @property
    def label(self) -> str:
        """The contender's label, with what it took."""
        took = self.chosen if self.chosen not in self.contender.label else ""
        return self.contender.label + (f": {took}" if took else "")

    @property
    def how(self) -> str:
        """Who computes it and how, in words.

        >>> from xconv.bench import Layer
        >>> layer = Layer("a", "b", "c", "conv1d", (1, 9, 1), ((3, 1, 1),), {}, "smoke")
        >>> Result(Contender("", "torch", layer, channels="first", opt_ins=True), chosen="taps").how
        'xconv on torch, channels first, opt-ins: taps'
        """
        contender = self.contender
        if contender.way:
            return contender.peer
        words = [f"xconv on {contender.backend}"]
        words += [contender.mode] if contender.mode != "eager" else []
        words += ["channels first"] if contender.channels == "first" else []
        words += ["opt-ins"] if contender.opt_ins else []
        return ", ".join(words) + (f": {self.chosen}" if self.chosen else "")


@dataclass(frozen=True)
class Group:
    """Contenders that were measured against each other. Those of one direction compare; ``suite`` is the question."""

    name: str
    suite: str
    results: tuple[Result, ...]

    @property
    def contenders(self) -> list[Result]:
        """All but the second arm of A/A."""
        return [result for result in self.results if not result.twin]

    def timed(self, direction: str) -> list[Result]:
        """Those of one direction that have a number, the fastest first."""
        measured = [r for r in self.contenders if r.contender.direction == direction and r.has_number]
        return sorted(measured, key=lambda result: result.seconds)

    @property
    def directions(self) -> list[str]:
        """In the order in which they first come."""
        return list(dict.fromkeys(result.contender.direction for result in self.contenders))

    @cached_property
    def twins(self) -> Ratio | None:
        """How far apart the two arms of A/A are."""
        for twin in self.results:
            if twin.twin and twin.has_number:
                first = [r for r in self.contenders if r.contender == twin.contender and r.has_number]
                return stats.paired(first[0].times, twin.times) if first else None
        return None


@dataclass
class Run:
    """Groups, and the circumstances under which they were measured."""

    taken: str
    xconv: str
    settings: dict[str, Any]
    machine: dict[str, Any]
    workers: dict[str, dict[str, Any]]
    limits: Limits
    groups: list[Group]
    interrupted: bool = False

    @cached_property
    def floor(self) -> float:
        """The log ratio that this run cannot tell from nothing (:func:`xconv.bench.statistics.floor`)."""
        return stats.floor(group.twins for group in self.groups)

    def floor_of(self, group: Group) -> float:
        """A group's: the run's, or how far apart its own two arms of A/A were if that is more."""
        return max(self.floor, abs(math.log(group.twins.value)) if group.twins else 0.0)

    @property
    def rejection(self) -> tuple[int, int]:
        """Blocks that were rejected, and all blocks."""
        results = [result for group in self.groups for result in group.results]
        rejected = sum(sum(result.rejected.values()) for result in results)
        return rejected, rejected + sum(len([t for t in result.wall if t is not None]) for result in results)

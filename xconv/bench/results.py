"""A run of benchmarks as values, and as the JSON that machines read and later runs are compared with.

The schema is ``run.schema.json`` beside this file. What is derived (medians, ratios, verdicts) is written for readers,
and computed again when a file is read: only samples are believed.
"""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cache, cached_property
from importlib.resources import files
from pathlib import Path
from typing import Any

from xconv.bench import statistics as stats
from xconv.bench.arena import DISTURBED, INTERRUPTED, Measurement
from xconv.bench.catalogue import Layer
from xconv.bench.contender import Contender
from xconv.bench.limits import Limits
from xconv.bench.statistics import Ratio
from xconv.errors import ArgumentError, XconvError

FORMAT, VERSION = "xconv bench", 2
"""The version is a new one whenever a field goes or changes its meaning."""


@dataclass(frozen=True)
class Result:
    """What a contender took, or why it has no number.

    Times are seconds per call, one of each round, None where a round was disturbed. ``first_call`` has what is done
    once, compiling among it; ``dispatch`` is a call with next to nothing to compute; ``faults`` are page faults of a
    call, ``peak_bytes`` the memory that it takes beyond its arguments, both None where unknown.
    """

    contender: Contender
    wall: tuple[float | None, ...] = ()
    cpu: tuple[float | None, ...] = ()
    use_cpu_time: bool = True
    chosen: str = ""
    first_call: float | None = None
    dispatch: float | None = None
    faults: float | None = None
    peak_bytes: int | None = None
    rejected: Mapping[str, int] = field(default_factory=dict)
    error: str = ""
    cannot: bool = False
    twin: bool = False

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
        there = [r for r in self.contenders if r.contender.direction == direction and r.has_number]
        return sorted(there, key=lambda result: result.seconds)

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

    def to_json(self) -> dict[str, Any]:
        """As JSON, with what is derived."""
        from xconv.bench.comparisons import compare

        described = json.loads(json.dumps(asdict(self)))
        for group, mine in zip(self.groups, described["groups"], strict=True):
            for result, one in zip(group.results, mine["results"], strict=True):
                one["seconds"] = result.seconds if result.has_number else None
        derived = {
            "floor": None if self.floor == float("inf") else self.floor,
            "comparisons": [found.to_json() for found in compare(self)],
        }
        return {"format": FORMAT, "version": VERSION, **described, **derived}


def read(path: Path) -> Run:
    """A run from a file: what ``xconv bench --json`` wrote, or pytest-benchmark's JSON with its ``xconv`` block.

    Raises:
        ArgumentError: there is no such file, it is no JSON, or not of this format; the text says where.
    """
    try:
        data = json.loads(path.read_text("utf-8"), parse_constant=_refused)
    except OSError as error:
        raise ArgumentError("bench", "run", str(path), "a file that can be read", str(error)) from None
    except (ValueError, RecursionError) as error:  # what is no UTF-8 and no JSON are both
        raise ArgumentError("bench", "run", str(path), "a JSON file", f"it is none: {error}") from None
    if isinstance(data, dict) and "format" not in data and isinstance(data.get("xconv"), dict):
        data = data["xconv"]
    return from_json(data, str(path))


def from_json(data: Any, name: str = "a run") -> Run:
    """A run from its JSON, which is validated first.

    Raises:
        ArgumentError: it is not of this format and version; the text says where.
    """
    wanted = f"a run of xconv bench, version {VERSION}"
    if isinstance(data, dict) and data.get("format") == FORMAT and data.get("version") != VERSION:
        hint = f"it has version {data.get('version')!r}; measure it again with this version of xconv"
        raise ArgumentError("bench", "run", name, wanted, hint)
    problem = next(iter(sorted(_validator().iter_errors(data), key=lambda e: list(map(str, e.path)))), None)
    if problem is not None:
        at = "/".join(map(str, problem.path)) or "the whole"
        raise ArgumentError("bench", "run", name, wanted, f"at {at}: {problem.message[:200]}")
    return Run(
        taken=data["taken"],
        xconv=data["xconv"],
        settings=data["settings"],
        machine=data["machine"],
        workers=data["workers"],
        limits=Limits(**data["limits"]),
        groups=[
            Group(group["name"], group["suite"], tuple(_result(result) for result in group["results"]))
            for group in data["groups"]
        ],
        interrupted=data["interrupted"],
    )


def _result(data: Mapping[str, Any]) -> Result:
    contender = {**data["contender"], "layer": Layer(**data["contender"]["layer"])}
    try:
        list(contender["layer"].calls)  # it must be a layer that can be computed
    except (XconvError, TypeError, AttributeError, ValueError) as error:
        raise ArgumentError("bench", "run", f"layer {contender['layer'].name!r}", "a layer", str(error)) from None
    counted = data["cpu"] if data["use_cpu_time"] else data["wall"]
    if any(time is not None and time <= 0 for time in counted):
        raise ArgumentError("bench", "run", f"a time of {min(t for t in counted if t is not None)}", "times above 0")
    fields = {name: value for name, value in data.items() if name not in ("contender", "seconds")}
    fields |= {"wall": tuple(data["wall"]), "cpu": tuple(data["cpu"])}
    return Result(contender=Contender(**contender), **fields)


def _refused(constant: str) -> None:
    raise ValueError(f"{constant} is no number in JSON")


@cache
def _validator() -> Any:
    from jsonschema import Draft202012Validator

    schema = json.loads(files("xconv.bench").joinpath("run.schema.json").read_text("utf-8"))
    return Draft202012Validator(schema)

"""Runs with known numbers, for tests of what is made of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import xconv
from xconv.bench.catalogue import Layer
from xconv.bench.contender import Contender
from xconv.bench.limits import Limits
from xconv.bench.results import Group, Result, Run

LAYER = Layer("mine", "audio", "a test", "conv1d", (2, 60, 3), ((3, 3, 4),), {"padding": (1, 1)}, "smoke")
MACHINE = {"platform": "a test", "cpu": "a CPU <b>", "cores": 2.0, "memory": None}


def result(seconds: float | Sequence[float], backend: str = "torch", way: str = "", **what: object) -> Result:
    """A result whose rounds took so long; ``what`` is of the contender where that has such a field."""
    times = tuple(seconds) if isinstance(seconds, Sequence) else (seconds, seconds * 1.001) * 6
    fields = {name: value for name, value in what.items() if name in Contender.__dataclass_fields__}
    rest = {name: value for name, value in what.items() if name not in fields}
    label = " ".join([backend, way, *map(str, fields.values())]).strip()
    contender = replace(Contender(label, backend, LAYER, way=way), **fields)  # type: ignore[arg-type]
    made = Result(contender, times, times, chosen="" if way else "conv2d", first_call=0.5, faults=0.0, peak_bytes=0)
    return replace(made, **rest)  # type: ignore[arg-type]


def run(*groups: Sequence[Result], **what: object) -> Run:
    """Groups of results, each with an A/A arm that is 0.5 % off."""
    made = []
    for number, results in enumerate(groups):
        first = next((r for r in results if not r.contender.way and r.has_number), None)
        twins = [replace(first, wall=_off(first.wall), cpu=_off(first.cpu), twin=True)] if first else []
        made.append(Group(f"group {number}", "catalogue", (*results, *twins)))
    settings = {"tier": "smoke", "case": "", "threads": 1, "device": "cpu", "rounds": 12, "seed": 0}
    workers = {name: {"backend": name.split()[0], "version": "1.0", "threads": 1} for name in ("torch own", "jax jit")}
    limits = Limits(1e9, 1e9, 1e9, 1e-6)
    found = Run("2026-01-01T00:00:00+00:00", xconv.__version__, settings, dict(MACHINE), workers, limits, made)
    return replace(found, **what)  # type: ignore[arg-type]


def _off(times: Sequence[float | None]) -> tuple[float | None, ...]:
    return tuple(None if time is None else time * 1.005 for time in times)

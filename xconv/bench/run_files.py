"""A run of benchmarks as the JSON that machines read and later runs are compared with.

The schema is ``run.schema.json`` beside this file. What is derived (medians, ratios, verdicts) is written for readers,
and computed again when a file is read: only samples are believed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from xconv.bench.catalogue import Layer
from xconv.bench.comparisons import compare
from xconv.bench.contender import Contender
from xconv.bench.limits import Limits
from xconv.bench.results import Group, Result, Run
from xconv.system.errors import ArgumentError, XconvError

FORMAT, VERSION = "xconv bench", 2
"""The version is a new one whenever a field goes or changes its meaning."""


def to_json(run: Run) -> dict[str, Any]:
    """A run as JSON, with what is derived: the floor of its noise, and the comparisons."""
    described = json.loads(json.dumps(asdict(run)))
    for group, mine in zip(run.groups, described["groups"], strict=True):
        for result, one in zip(group.results, mine["results"], strict=True):
            one["seconds"] = result.seconds if result.has_number else None
    derived = {
        "floor": None if run.floor == float("inf") else run.floor,
        "comparisons": [found.to_json() for found in compare(run)],
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

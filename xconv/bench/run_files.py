"""A run of benchmarks as the JSON that machines read and later runs are compared with.

:class:`File` says what is in it, and :func:`schema` says it as a JSON schema. What is derived (medians, ratios,
verdicts) is written for readers, and computed again when a file is read: only samples are believed.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Annotated, Any, Literal, TypedDict

from msgspec import Meta
from msgspec.json import schema_components

from xconv.bench.comparisons import compare
from xconv.bench.limits import Limits
from xconv.bench.results import Group, Result, Run
from xconv.bench.running import Settings
from xconv.system.errors import ArgumentError, XconvError
from xconv.system.validated import Quantity, parsed, validated

FORMAT, VERSION = "xconv bench", 2
"""The version is a new one whenever a field goes or changes its meaning."""


class MachineFacts(TypedDict):
    """What is needed of what ``xconv doctor --json`` tells of the machine; all of it may be there."""

    platform: str
    cpu: str
    cores: Quantity


class WorkerFacts(TypedDict, total=False):
    """What a process said of itself, its threads and device too."""

    backend: str
    version: str


@dataclass(frozen=True)
class File:
    """What ``xconv bench --json`` writes, and the ``xconv`` block in pytest-benchmark's JSON.

    Times are in seconds, sizes in bytes. What is derived is ignored by readers of xconv.
    """

    format: Literal["xconv bench"]
    version: Literal[2]
    taken: Annotated[str, Meta(description="when, in UTC, ISO 8601")]
    xconv: str
    settings: Settings
    machine: Annotated[MachineFacts, Meta(description="as ``xconv doctor --json`` tells it")]
    workers: Annotated[dict[str, WorkerFacts], Meta(description="what each process said of itself: versions, threads")]
    limits: Annotated[
        Limits,
        Meta(
            description="the most FLOP/s, bytes/s of a copy, bytes/s of a transposition, and the seconds of a page "
            "fault that were seen in this run"
        ),
    ]
    groups: list[Group]
    interrupted: bool
    floor: Annotated[float | None, Meta(description="derived: the log ratio that the run cannot tell from nothing")]
    comparisons: Annotated[list[dict[str, Any]], Meta(description="derived: ratios and verdicts")]


def schema() -> dict[str, Any]:
    """The JSON schema of a file: every field is there, and of dataclasses no other."""
    [_], parts = schema_components([File], ref_template="#/$defs/{name}")
    parts["Result"]["properties"]["seconds"] = {"type": ["number", "null"], "description": "derived: the median sample"}
    for name, part in parts.items():
        if name not in ("MachineFacts", "WorkerFacts"):
            part |= {"required": list(part["properties"]), "additionalProperties": False}
        for field in part["properties"].values():
            field.pop("default", None)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **parts.pop("File"), "$defs": parts}


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
        data = parsed(path.read_bytes())
    except OSError as error:
        raise ArgumentError("bench", "run", str(path), "a file that can be read", str(error)) from None
    except ValueError as error:
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
    try:
        found = validated(File, data, ignored=["seconds"])
    except ValueError as error:
        raise ArgumentError("bench", "run", name, wanted, str(error)) from None
    for group in found.groups:
        for result in group.results:
            _check(result)
    as_told = {part: data[part] for part in ("settings", "machine", "workers")}
    return Run(**{**{field.name: getattr(found, field.name) for field in fields(Run)}, **as_told})


def _check(result: Result) -> None:
    """Refuse what has the right types and cannot have been measured."""
    layer = result.contender.layer
    try:
        list(layer.calls)  # it must be a layer that can be computed
    except (XconvError, TypeError, AttributeError, ValueError) as error:
        raise ArgumentError("bench", "run", f"layer {layer.name!r}", "a layer", str(error)) from None
    if any(time == 0 for time in result.times):
        raise ArgumentError("bench", "run", "a time of 0", "times above 0")

"""What the doctor found, as values, and as the JSON that machines read."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Literal, TypeAlias

VERSION = 1
"""Of the JSON: a new one whenever a field goes or changes its meaning."""

Setting: TypeAlias = bool | int | float | str | None
State: TypeAlias = Literal["ready", "not installed", "broken"]
Verdict: TypeAlias = Literal["yes", "WRONG", "error", "refuses", "aborts", "no answer"]
Subject: TypeAlias = Literal["operation", "feature", "own op"]


@dataclass(frozen=True)
class Machine:
    """What computes. ``cores`` and ``memory`` (bytes) are what this process may use, not what is there."""

    platform: str
    python: str
    numpy: str
    xconv: str
    cpu: str
    instructions: tuple[str, ...]
    cores: float
    cores_present: int
    memory: int | None


@dataclass(frozen=True)
class Framework:
    """A backend and its framework.

    ``detail`` is how to install what is not there, or why it does not load; ``process`` says whether the settings are
    those of the process that asked or of a fresh one; ``openmp`` are the OpenMP runtimes that are loaded there.
    """

    backend: str
    state: State
    version: str | None = None
    detail: str = ""
    process: Literal["this", "fresh", ""] = ""
    devices: tuple[str, ...] = ()
    threads: int | None = None
    openmp: tuple[str, ...] = ()
    settings: dict[str, Setting] | None = None


@dataclass(frozen=True)
class Allocator:
    """Why freed memory cannot be kept (``xconv.keep_freed_memory``), or None; the kernel's large pages."""

    unavailable: str | None
    large_pages: str | None


@dataclass(frozen=True)
class Compiler:
    """What makes the code of the formulation "direct": why it cannot, or None; and for what it makes it.

    ``vector`` counts the bytes of a vector register; ``files`` says where the code is kept for other processes.
    """

    unavailable: str | None
    llvmlite: str | None
    processor: str | None
    vector: int | None
    files: str = ""


@dataclass(frozen=True)
class Wisdom:
    """The file of wisdom; ``stale`` are its entries for other versions of the frameworks than are ready here."""

    file: str
    exists: bool
    entries: int
    stale: int
    wrong: str | None
    in_memory: int


@dataclass(frozen=True)
class Cell:
    """One square of the matrix of capabilities.

    ``subject`` is "operation" (an operation of xconv), "feature" (a kind of convolution, by xconv) or "own op" (the
    same, by the framework's own op); ``mode`` is "forward", "gradient", or the name of a tracing compiler.
    """

    backend: str
    device: str
    subject: Subject
    name: str
    dtype: str
    mode: str
    verdict: Verdict
    detail: str = ""


@dataclass(frozen=True)
class DoctorAdvice:
    """Something to know, and what to do about it. A problem makes the exit code 1, a warning does not."""

    kind: Literal["problem", "warning"]
    what: str
    do: str


@dataclass(frozen=True)
class DoctorReport:
    """All of it. ``cells`` is empty if the capabilities were not asked for."""

    version: int
    machine: Machine
    frameworks: tuple[Framework, ...]
    allocator: Allocator
    compiler: Compiler
    wisdom: Wisdom
    environment: dict[str, str]
    cells: tuple[Cell, ...]
    advice: tuple[DoctorAdvice, ...]

    @property
    def ok(self) -> bool:
        """Whether there is no problem; warnings are none."""
        return all(advice.kind != "problem" for advice in self.advice)

    def to_json(self) -> str:
        """The report for machines, checked by reading it back."""
        text = json.dumps({**asdict(self), "ok": self.ok}, allow_nan=False)
        if read(text) != self:
            raise ValueError("the report does not come back from its JSON as it was")
        return text


def read(text: str) -> DoctorReport:
    """The report that :meth:`DoctorReport.to_json` wrote: every field is there, of its type, and there is no other.

    Raises:
        ValueError: it is no such report; the text says where.

    >>> read('{"version": 2}')
    Traceback (most recent call last):
    ValueError: the report has version 2, not 1
    """
    from xconv.system.validated import parsed, validated

    found = parsed(text)
    if not isinstance(found, dict):
        raise ValueError("the report is no object")
    if found.get("version") != VERSION:
        raise ValueError(f"the report has version {found.get('version')!r}, not {VERSION}")
    ok = found.pop("ok", None)
    report = validated(DoctorReport, found)
    if ok is not report.ok:
        raise ValueError(f"report.ok is {ok!r}, which its advice contradicts")
    return report

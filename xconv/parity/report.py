"""Run cases over backends, devices, dtypes and modes, and tell what agreed."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from tabulate import tabulate

import xconv
from xconv.backend import Backend
from xconv.errors import ArgumentError
from xconv.parity.cases import Case
from xconv.parity.cases import cases as cases_of
from xconv.parity.check import Finding, check
from xconv.problem import DTYPES

MODES = ("eager", "compiled")
DIRECTIONS = ("forward", "gradient")


@dataclass(frozen=True)
class Row:
    """One array of a case on a backend: how far it is from the reference, over how far it may be."""

    case: str
    backend: str
    device: str
    dtype: str
    mode: str
    inputs: str
    array: str
    verdict: str
    error: float
    ratio: float
    place: tuple[int, ...] = ()
    detail: str = ""

    @property
    def ok(self) -> bool:
        """Whether it agrees."""
        return self.verdict in ("exact", "within bound")


@dataclass
class ParityReport:
    """All rows, in the order they were checked. Prints as a summary, the worst first."""

    versions: dict[str, str]
    seed: int
    rows: list[Row] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether every row agrees, and there is one."""
        return bool(self.rows) and all(row.ok for row in self.rows)

    def to_json(self) -> str:
        """The report for machines."""
        return json.dumps(
            {
                "version": 1,
                "xconv": xconv.__version__,
                "backends": self.versions,
                "seed": self.seed,
                "ok": self.ok,
                "rows": [_finite(asdict(row)) for row in self.rows],
            },
            allow_nan=False,
        )

    def __str__(self) -> str:
        groups: dict[tuple[str, ...], list[Row]] = {}
        for row in self.rows:
            groups.setdefault((row.backend, row.device, row.dtype, row.mode, row.inputs), []).append(row)
        lines = []
        for group, rows in groups.items():
            count = Counter(row.verdict for row in rows)
            worst = max(rows, key=lambda row: row.ratio)
            wrong = len(rows) - count["exact"] - count["within bound"]
            name = f"{worst.case} {worst.array}" if worst.ratio else ""
            lines.append([*group, count["exact"], count["within bound"], wrong, f"{worst.ratio:.3f}", name])
        lines.sort(key=lambda line: (-int(str(line[7])), -float(str(line[8]))))
        headers = ["backend", "device", "dtype", "mode", "inputs", "exact", "in bound", "WRONG", "worst", "of case"]
        text = tabulate(lines, headers, tablefmt="simple", disable_numparse=True)
        for row in [row for row in self.rows if not row.ok][:20]:
            text += f"\n{row.verdict}: {row.case} {row.array} on {row.backend} {row.dtype} {row.mode}: {row.detail}"
        return text


def _finite(row: dict[str, Any]) -> dict[str, Any]:
    """JSON has no infinity: it is written as the text "inf"."""
    return {k: str(v) if isinstance(v, float) and not math.isfinite(v) else v for k, v in row.items()}


def run(
    backends: Sequence[str] | None = None,
    devices: Sequence[str] | None = None,
    dtypes: Sequence[str] | None = None,
    modes: Sequence[str] = ("eager",),
    directions: Sequence[str] = DIRECTIONS,
    cases: str | Sequence[Case] = "smoke",
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> ParityReport:
    """Compare backends with the reference, and so with each other.

    Each case runs on small integers, where every bit must agree, and on random data, against the derived bound.

    Args:
        backends: names; by default all that are installed.
        devices: "cpu", "cuda:0", ...; by default every one that each backend has.
        dtypes: by default all four.
        modes: "eager", and "compiled" for each of the framework's compilers.
        directions: "forward", and "gradient" with respect to x, the weights and the bias.
        cases: a tier, "smoke" or "default", or cases of your own.
        seed: of the inputs; the same seed gives the same report.
        progress: called with the number of checks that are done, and of all.

    Raises:
        BackendError: a backend that was asked for is not there.
        ArgumentError: an unknown mode, direction, dtype or device.

    >>> from xconv.parity import cases, run
    >>> run(backends=["torch"], dtypes=["float32"], cases=cases("smoke")[:3]).ok
    True
    """
    dtypes = _known("dtypes", dtypes or DTYPES, DTYPES)
    modes, directions = _known("modes", modes, MODES), _known("directions", directions, DIRECTIONS)
    loaded = [xconv.get_backend(name) for name in (backends or _in_order(xconv.backends()))]
    chosen = cases_of(cases) if isinstance(cases, str) else list(cases)
    plan = [
        (backend, device, dtype, mode, kind)
        for backend in loaded
        for device in _known("devices", devices or backend.devices(), backend.devices())
        for dtype in dtypes
        for mode in _modes_of(backend, modes)
        for kind in ("integers", "normal")
    ]
    report = ParityReport({backend.name: backend.version() for backend in loaded}, seed)
    for i, (backend, device, dtype, mode, kind) in enumerate(plan):
        for j, case in enumerate(chosen):
            for finding in _findings(backend, case, kind, dtype, device, mode, "gradient" in directions, seed):
                report.rows.append(Row(case.name, backend.name, device, dtype, mode, kind, **vars(finding)))
            if progress:
                progress(i * len(chosen) + j + 1, len(plan) * len(chosen))
    return report


def _findings(
    backend: Backend, case: Case, kind: str, dtype: str, device: str, mode: str, gradients: bool, seed: int
) -> list[Finding]:
    try:
        return check(backend, case, kind=kind, dtype=dtype, device=device, mode=mode, gradients=gradients, seed=seed)
    except Exception as error:  # noqa: BLE001 - a backend that raises is a row, not a crash
        return [Finding("-", "error", float("inf"), float("inf"), (), f"{type(error).__name__}: {error}"[:200])]


def _modes_of(backend: Backend, modes: Sequence[str]) -> list[str]:
    return [own for mode in modes for own in (backend.modes if mode == "compiled" else ("eager",))]


def _in_order(names: list[str]) -> list[str]:
    # torch before TensorFlow: the other way round has crashed (pytorch#93884)
    return sorted(names, key=lambda name: name != "torch")


def _known(argument: str, given: Sequence[Any], known: Sequence[str]) -> list[str]:
    for value in given:
        if value not in known:
            raise ArgumentError("parity.run", argument, repr(value), "one of " + ", ".join(map(repr, known)))
    return list(given)

"""One case under one setting: what is checked at a time, and the rows that come of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from xconv.parity.cases import Case
from xconv.parity.check import check, function
from xconv.parity.comparison import Finding
from xconv.planning.planner import plan
from xconv.system.child import as_tuples
from xconv.system.errors import UnsupportedError

if TYPE_CHECKING:
    from xconv.core.backend import Backend

KINDS = ("integers", "normal")
INFINITE = float("inf")


@dataclass(frozen=True)
class Task:
    """A case, and how it is to be computed. ``label`` is its name in the report.

    Attributes:
        case: operation, shapes and options.
        backend: its name.
        device: "cpu", "cuda:0", ...
        dtype: in which it is computed.
        mode: "eager", or the name of one of the framework's compilers.
        formulation: a name, "auto" or "local".
        gradients: whether they are checked too.
        seed: of the inputs.
        view: how the arrays lie in memory.
        kinds: of inputs: "integers", "normal".
    """

    case: Case
    backend: str
    device: str = "cpu"
    dtype: str = "float32"
    mode: str = "eager"
    formulation: str = "auto"
    gradients: bool = True
    seed: int = 0
    view: str = "contiguous"
    kinds: tuple[str, ...] = KINDS

    def to_json(self) -> dict[str, Any]:
        """For another process.

        Returns:
            What can be written as JSON.
        """
        return asdict(self)

    @staticmethod
    def from_json(said: dict[str, Any]) -> Task:
        """The way back.

        Args:
            said: what :meth:`to_json` returned, after JSON made lists of tuples.

        Returns:
            The same task.
        """
        return Task(**{**said, "case": Case(**said["case"]), "kinds": as_tuples(said["kinds"])})

    def script(self, kind: str) -> str:
        """A few lines that check this alone.

        Args:
            kind: "integers" or "normal".

        Returns:
            A Python program.
        """
        settings = {
            "kind": kind,
            "dtype": self.dtype,
            "device": self.device,
            "mode": self.mode,
            "formulation": self.formulation,
            "seed": self.seed,
            "view": self.view,
        }
        usual = {"dtype": "float32", "device": "cpu", "mode": "eager", "formulation": "auto", "view": "contiguous"}
        given = ", ".join(f"{name}={value!r}" for name, value in settings.items() if usual.get(name) != value)
        return "\n".join(
            [
                "import xconv",
                "from xconv.parity import Case, check",
                f"case = {self.case!r}",
                f"print(*check(xconv.get_backend({self.backend!r}), case, {given}), sep='\\n')",
            ]
        )


@dataclass(frozen=True)
class Row:
    """One array of a task: how far it is from the reference, over how far it may be.

    Attributes:
        case: its name.
        backend, device, dtype, mode, formulation, view: how it was computed, as in :class:`Task`.
        inputs: "integers" or "normal".
        array: "y", "dx", "dweight", "dbias", ...
        verdict: "exact" (every bit), "within bound", "MISMATCH", "error" (the backend raised, hung or aborted),
            "unsupported" (a named formulation cannot do it) or "mistrusted" (it agrees, and that proves nothing).
        error: the largest distance from the reference.
        ratio: the largest distance over its own bound.
        place: the index of the worst element.
        detail: what is to be told beside.
        took: the formulation that "auto" took.
        diagnosis: what would explain a mismatch.
        script: a program that shows it alone.
    """

    case: str
    backend: str
    device: str
    dtype: str
    mode: str
    formulation: str
    inputs: str
    array: str
    verdict: str
    error: float
    ratio: float
    place: tuple[int, ...] = ()
    detail: str = ""
    took: str = ""
    view: str = "contiguous"
    diagnosis: str = ""
    script: str = ""

    @property
    def ok(self) -> bool:
        """Whether it agrees."""
        return self.verdict in ("exact", "within bound")

    @property
    def is_wrong(self) -> bool:
        """Whether it is a finding: a mismatch, an error, or an agreement that proves nothing."""
        return not self.ok and self.verdict != "unsupported"

    @property
    def direction(self) -> str:
        """ "forward" or "gradient"."""
        return "gradient" if self.array.startswith("d") else "forward"


def perform(backend: Backend, task: Task) -> list[Row]:
    """Check a task in this process. Whatever the backend raises is a row."""
    rows: list[Row] = []
    run = None
    for kind in task.kinds:
        try:
            took = taken(backend, task)
            run = function(backend, task.case, task.mode, task.formulation) if run is None else run
            findings = check(
                backend,
                task.case,
                kind=kind,
                dtype=task.dtype,
                device=task.device,
                mode=task.mode,
                formulation=task.formulation,
                gradients=task.gradients,
                seed=task.seed,
                view=task.view,
                run=run,
            )
        except UnsupportedError as error:
            return [*rows, row(task, "-", Finding("-", "unsupported", 0.0, 0.0, (), first_line(error)))]
        except Exception as error:  # noqa: BLE001 - a backend that raises is a row, not a crash
            detail = f"{type(error).__name__}: {first_line(error)}"
            rows.append(row(task, kind, Finding("-", "error", INFINITE, INFINITE, (), detail)))
            continue
        rows += [row(task, kind, finding, took) for finding in findings]
    return rows


def taken(backend: Backend, task: Task) -> str:
    """The formulations that "auto" takes for the calls of a task, before borders are put in."""
    if task.formulation != "auto" or task.mode != "eager":
        return ""
    names = []
    for call in task.case.calls():
        if call.vertical is not None or call.problem.is_empty:
            return ""
        names.append(plan(call, backend=backend.name, device=task.device).chosen.formulation)
    return ", ".join(dict.fromkeys(names))


def row(task: Task, kind: str, finding: Finding, took: str = "") -> Row:
    """A finding with what it was found of; with the script that repeats it where it is wrong."""
    found = Row(
        task.case.name,
        task.backend,
        task.device,
        task.dtype,
        task.mode,
        task.formulation,
        kind,
        finding.array,
        finding.verdict,
        finding.error,
        finding.ratio,
        finding.place,
        finding.detail,
        took,
        task.view,
        finding.diagnosis,
    )
    return found if not found.is_wrong else Row(**{**vars(found), "script": task.script(kind)})


def first_line(error: BaseException, most: int = 300) -> str:
    """What an error says, short enough for a table."""
    return (str(error).strip().splitlines() or [""])[0][:most]


def finite(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Rows for JSON, which has no infinity: it is written as the text "inf"."""
    return [
        {k: str(v) if isinstance(v, float) and not np.isfinite(v) else v for k, v in asdict(one).items()}
        for one in rows
    ]


def from_finite(said: dict[str, Any]) -> Row:
    """A row from JSON.

    Raises:
        ValueError: it is none; the text says where in it.
    """
    from xconv.system.validated import validated

    return validated(Row, {**said, "error": float(said["error"]), "ratio": float(said["ratio"])})

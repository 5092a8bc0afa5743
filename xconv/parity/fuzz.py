"""Cases that are drawn at random, and the smallest that fails."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from xconv.parity.subjects import CheckedBackend
from xconv.parity.task import Row, Task
from xconv.system.errors import ArgumentError

if TYPE_CHECKING:
    from xconv.parity.counter import Counter


class _TaskFailedError(Exception):
    """A drawn task has a finding."""


def check_available() -> None:
    """Refuse to draw without hypothesis.

    Raises:
        ArgumentError: it is not installed.
    """
    if find_spec("hypothesis") is None:
        raise ArgumentError(
            "parity.run", "fuzz", "a number of cases to draw", "hypothesis to draw them", "pip install 'xconv[testing]'"
        )


def fuzzed(
    subject: CheckedBackend, many: int, seed: int, dtypes: Sequence[str], directions: Sequence[str], counter: Counter
) -> list[Row]:
    """The rows of as many drawn tasks as were asked for; after one with a finding, those of the smallest that has one.

    The same seed draws the same tasks. What was drawn until an interrupt is kept.
    """
    import hypothesis
    from hypothesis import HealthCheck, Phase, given
    from hypothesis.errors import Flaky

    from xconv.parity.geometries import geometries, settings

    rows: list[Row] = []
    smallest: list[Row] = []
    drawn = 0

    @hypothesis.seed(seed)
    @hypothesis.settings(
        max_examples=many,
        deadline=None,
        database=None,
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
        report_multiple_bugs=False,
    )
    @given(case=geometries(), how=settings(dtypes, subject.formulations))
    def agrees(case: Any, how: dict[str, Any]) -> None:
        nonlocal drawn, smallest
        if counter.stopped:
            return
        named = how if case.row.takes_formulation else {**how, "formulation": "auto"}
        case = replace(case, name=f"drawn-{seed}-{drawn}")
        task = Task(case, subject.name, gradients="gradient" in directions, **named)
        found = subject.perform(task)
        if found[-1].verdict == "unsupported" and not any(row.is_wrong for row in found):
            found = subject.perform(replace(task, formulation="auto"))
        if counter.stopped:
            return  # ended in the middle of it: what it says is not the backend's doing
        # values that were drawn all alike prove nothing, and are nobody's fault
        found = [row for row in found if row.verdict != "mistrusted"]
        if not smallest:
            drawn += 1
            rows.extend(found)
            counter.add(1)
        if any(row.is_wrong for row in found):
            smallest = found
            raise _TaskFailedError

    try:
        agrees()
    except (_TaskFailedError, Flaky):  # the second: what failed did not fail again, which is a finding too
        name = f"{rows[-1].case}, shrunk"
        kept = [row for row in rows if row.case != rows[-1].case]  # told as the smallest instead
        return [*kept, *(replace(row, case=name) for row in smallest)]
    return rows

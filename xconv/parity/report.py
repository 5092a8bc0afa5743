"""What agreed, as text: a summary with the worst first, and every mismatch with what explains it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from tabulate import tabulate

from xconv.parity.task import Row

HEADERS = ["backend", "device", "dtype", "mode", "formulation", "exact", "in bound", "WRONG", "worst", "of case"]
SHOWN_FINDINGS = 20
"""Findings that are told in full."""


@dataclass
class ParityReport:
    """All rows, backend by backend, in the order of the cases. Prints as a summary, the worst first.

    Attributes:
        versions: of the frameworks, by backend.
        seed: of the inputs.
        rows: one an array of a task.
        interrupted: whether the run was ended before its end.
    """

    versions: dict[str, str]
    seed: int
    rows: list[Row] = field(default_factory=list)
    interrupted: bool = False

    @property
    def ok(self) -> bool:
        """Whether every row agrees or cannot be had, there is one that agrees, and the run was not interrupted."""
        return not self.interrupted and not self.wrong and any(row.ok for row in self.rows)

    @property
    def wrong(self) -> list[Row]:
        """The findings: mismatches, errors, and agreement that proves nothing."""
        return [row for row in self.rows if row.is_wrong]

    @property
    def findings(self) -> list[tuple[Row, int]]:
        """One row of each case and backend that has a finding, and how many others it has; what was shrunk first.

        Integers are told before random data, and results before gradients: what explains them is sharper.
        """
        groups: dict[tuple[str, str], list[Row]] = {}
        for row in self.wrong:
            groups.setdefault((row.backend, row.case), []).append(row)
        told = [
            (min(rows, key=lambda row: (not row.diagnosis, row.inputs != "integers", row.array != "y")), len(rows) - 1)
            for rows in groups.values()
        ]
        return sorted(told, key=lambda one: "shrunk" not in one[0].case)

    @property
    def counts(self) -> dict[str, int]:
        """How many rows have each verdict."""
        return dict(Counter(row.verdict for row in self.rows))

    def worst(self) -> dict[tuple[str, str, str], float]:
        """The largest ratio to the bound of each backend, formulation and dtype, among the rows that agree.

        Returns:
            A ratio for each (backend, formulation, dtype).
        """
        found: dict[tuple[str, str, str], float] = {}
        for row in self.rows:
            if row.ok:
                key = row.backend, row.took or row.formulation, row.dtype
                found[key] = max(found.get(key, 0.0), row.ratio)
        return found

    def summary(self) -> list[list[Any]]:
        """A line of cells for each backend, device, dtype, mode and formulation; see ``HEADERS``.

        Returns:
            Lines, those with most mismatches first, and then those nearest to their bounds.
        """
        groups: dict[tuple[str, ...], list[Row]] = {}
        for row in self.rows:
            if row.verdict != "unsupported":
                groups.setdefault((row.backend, row.device, row.dtype, row.mode, row.formulation), []).append(row)
        lines = []
        for group, rows in groups.items():
            count = Counter(row.verdict for row in rows)
            worst = max(rows, key=lambda row: row.ratio)
            wrong = sum(row.is_wrong for row in rows)
            name = f"{worst.case} {worst.array}" if worst.ratio else ""
            lines.append(
                (wrong, worst.ratio, [*group, count["exact"], count["within bound"], wrong, worst.ratio, name])
            )
        return [cells for _, _, cells in sorted(lines, key=lambda line: (-line[0], -line[1]))]

    def conclusion(self) -> str:
        """One sentence.

        Returns:
            A text in one line.
        """
        count, agreed = self.counts, sum(row.ok for row in self.rows)
        checked = len(self.rows) - count.get("unsupported", 0)
        versions = ", ".join(f"{name} {version}" for name, version in self.versions.items())
        text = f"{agreed} of {checked} results agree with the reference ({versions}; seed {self.seed})"
        others = [f"{many} {name}" for name, many in count.items() if name not in ("exact", "within bound")]
        text += f"; {', '.join(others)}." if others else "."
        return text + " The run was interrupted: the rest was not checked." * self.interrupted

    def __str__(self) -> str:
        cells = [[*line[:8], f"{line[8]:.3f}", line[9]] for line in self.summary()]
        text = tabulate(cells, HEADERS, tablefmt="simple", disable_numparse=True)
        found = self.findings
        for row, others in found[:SHOWN_FINDINGS]:
            text += f"\n\n{sentence(row, others)}"
            text += f"\n  {row.diagnosis}" if row.diagnosis else ""
        if len(found) > SHOWN_FINDINGS:
            text += f"\n\n{len(found) - SHOWN_FINDINGS} more cases have findings."
        if found and found[0][0].script:
            script = "\n".join("    " + line for line in found[0][0].script.splitlines())
            text += f"\n\nThe first of them alone:\n\n{script}"
        return text + "\n\n" + self.conclusion()


def sentence(row: Row, others: int) -> str:
    """A finding without its diagnosis, and how many rows of the case it stands for."""
    text = f"{row.verdict}: {row.case} {row.array} on {where(row)}: {row.detail}"
    return f"{text} (and {others} rows more of this case)" if others else text


def where(row: Row) -> str:
    """The setting of a row, in one line."""
    how = [row.backend, row.device, row.dtype, row.mode, row.formulation, row.inputs]
    return ", ".join([*how, *([row.view] if row.view != "contiguous" else [])])

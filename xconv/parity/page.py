"""The report as one HTML page that opens offline: the matrix at a glance, and what is behind each cell."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files

import xconv
from xconv.parity.report import SHOWN_FINDINGS, ParityReport, where
from xconv.parity.task import Row

STEPS = (0.25, 0.5, 0.75, 1.0)
"""Ratios to the bound at which the colour of a cell changes."""


@dataclass(frozen=True)
class PageCell:
    """A case under one setting: the worst of its rows, and the worst of each formulation."""

    css: str
    text: str
    rows: Sequence[Row]

    @property
    def said(self) -> list[list[str]]:
        """The rows as a table of texts."""
        return [
            [
                row.formulation + (f" ({row.took})" if row.took else ""),
                row.inputs,
                row.array,
                row.verdict,
                _number(row.error),
                _number(row.ratio),
                " ".join(filter(None, [row.detail, row.diagnosis])),
            ]
            for row in self.rows
        ]


def to_html(report: ParityReport) -> str:
    """The page. Whatever a backend said is escaped; nothing is fetched from anywhere."""
    from jinja2 import Environment

    columns = list(dict.fromkeys((row.backend, row.device, row.dtype, row.mode) for row in report.rows))
    cells: dict[str, dict[tuple[str, ...], list[Row]]] = {}
    for row in report.rows:
        cells.setdefault(row.case, {}).setdefault((row.backend, row.device, row.dtype, row.mode), []).append(row)
    matrix = [
        (case, [cell(found[column]) if column in found else None for column in columns])
        for case, found in sorted(cells.items(), key=_worst_first)
    ]
    template = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True).from_string(
        files("xconv.parity").joinpath("page.html.jinja").read_text("utf-8")
    )
    return template.render(
        report=report,
        columns=columns,
        matrix=matrix,
        findings=[(row, others, where(row)) for row, others in report.findings[:SHOWN_FINDINGS]],
        more=max(len(report.findings) - SHOWN_FINDINGS, 0),
        worst=[(*key, ratio) for key, ratio in sorted(report.worst().items(), key=lambda item: -item[1])],
        details=[[None if one is None else one.said for one in line] for _, line in matrix],
        steps=STEPS,
        version=xconv.__version__,
    )


def cell(rows: Sequence[Row]) -> PageCell:
    """What a cell shows: the worst verdict, or the largest ratio to the bound.

    >>> row = Row("a", "torch", "cpu", "float32", "eager", "auto", "normal", "y", "within bound", 1e-7, 0.4)
    >>> cell([row]).css, cell([row]).text
    ('r1', '0.40')
    """
    # of each formulation the worst row, findings first
    ranked = sorted(rows, key=lambda row: (not row.is_wrong, row.verdict == "unsupported", -row.ratio))
    kept = list({(row.formulation, row.is_wrong): row for row in reversed(ranked)}.values())[::-1]
    worst = ranked[0]
    if worst.is_wrong:
        css, text = ("mistrusted", "?") if worst.verdict == "mistrusted" else ("wrong", _number(worst.ratio))
        return PageCell(css, "error" if worst.verdict == "error" else text, kept)
    if not worst.ok:
        return PageCell("unsupported", "-", kept)
    if worst.ratio == 0:
        return PageCell("exact", "=", kept)
    step = next((number for number, limit in enumerate(STEPS) if worst.ratio <= limit), len(STEPS) - 1)
    return PageCell(f"r{step}", f"{worst.ratio:.2f}", kept)


def _worst_first(found: tuple[str, dict[tuple[str, ...], list[Row]]]) -> tuple[bool, float, str]:
    rows = [row for some in found[1].values() for row in some]
    return not any(row.is_wrong for row in rows), -max(row.ratio for row in rows), found[0]


def _number(value: float) -> str:
    return "∞" if math.isinf(value) else f"{value:.3g}"

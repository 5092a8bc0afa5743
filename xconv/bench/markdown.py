"""A run, or two, as Markdown that fits the summary of a CI service."""

from __future__ import annotations

from collections.abc import Sequence

from tabulate import tabulate

from xconv.bench.results import Run
from xconv.bench.text import Table, article_answer, credibility, geometric_means, of_catalogue, own_answer, summary

SHOWN_ROWS = 15
"""Rows of a table; the rest is counted."""


def to_markdown(run: Run) -> str:
    """Geometric means first, then the losses, and how much it is to be believed."""
    comparisons = of_catalogue(run)
    tables = [geometric_means(comparisons)] if comparisons else []
    tables += [found for found in summary(run) if found[0].endswith(": losses")]
    parts = ["## xconv bench", *map(table, tables)]
    parts += [part for part in (own_answer(run), article_answer(run), credibility(run)) if part]
    return "\n\n".join(parts) + "\n"


def table(found: Table) -> str:
    """One table under its title."""
    title, headers, rows = found
    text = tabulate([_escaped(row) for row in rows[:SHOWN_ROWS]], _escaped(headers), "github", disable_numparse=True)
    more = f"\n\nand {len(rows) - SHOWN_ROWS} more" if len(rows) > SHOWN_ROWS else ""
    return f"### {title}\n\n{text}{more}"


def _escaped(cells: Sequence[str]) -> list[str]:
    return [cell.replace("|", "\\|") for cell in cells]

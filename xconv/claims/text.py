"""Findings for people: on a screen, and as a page of Markdown."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import TypeAlias

from tabulate import tabulate

from xconv.claims.result import Claim, ClaimOutcome

Found: TypeAlias = Sequence[tuple[Claim, ClaimOutcome]]

HEADERS = ("setting", "what the claim says", "what was found", "holds")

INTRODUCTION = """\
# What is said of Conv1D against Conv2D, and what of it holds

Articles say much about 1-D and 2-D convolutions. `xconv claims` tries each claim on your machine, and its verdict is
what that finds: **true** if the claim holds in every setting that is tried, **false** if in none, **depends**
otherwise. `xconv claims --only ID` tries one and shows the evidence; `--measure` also measures speed, which takes some
minutes. This page is what `xconv claims --markdown docs/claims.md` wrote; the tests compare its verdicts with what is
found anew.
"""


def overview(found: Found, width: int = 60) -> str:
    """A row for each claim.

    >>> from xconv.claims import CLAIMS, Asked, check
    >>> claim = CLAIMS["separable-cost"]
    >>> overview([(claim, check(claim, Asked()))]).splitlines()[2].split()[:5]
    ['separable-cost', 'depends', '1', 'of', '5']
    """
    rows = [
        (claim.id, finding.verdict, finding.count, textwrap.fill(finding.error or finding.sentence, width))
        for claim, finding in found
    ]
    return tabulate(rows, ["claim", "verdict", "holds in", "because"], disable_numparse=True)


def in_full(claim: Claim, finding: ClaimOutcome) -> str:
    """A claim with its evidence."""
    rows = [[textwrap.fill(cell, 60) for cell in row] for row in _rows(finding)]
    evidence = "\n" + tabulate(rows, HEADERS, disable_numparse=True) + "\n" if rows else ""
    return (
        f"{claim.id}: {claim.statement}\n({claim.source})\n{evidence}\n"
        f"{finding.verdict}: {finding.error or finding.sentence}\nAgain: {claim.command}"
    )


def page(found: Found, where: str = "") -> str:
    """All of it as Markdown: the table, and the evidence of each claim; ``where`` says on what it was tried."""
    rows = [
        (_cell(claim.statement), finding.verdict, _cell(finding.error or finding.sentence), f"`{claim.command}`")
        for claim, finding in found
    ]
    parts = [
        INTRODUCTION,
        *([f"{where}\n"] if where else []),
        tabulate(rows, ["claim", "verdict", "because", "again"], tablefmt="pipe"),
        "",
    ]
    for claim, finding in found:
        parts += [f"## {claim.id}\n", f"{claim.statement} ({claim.source[0].upper()}{claim.source[1:]}.)\n"]
        if finding.trials:
            held = f"It holds in {finding.count} settings: {finding.verdict}." if finding.count else ""
            cells = [[_cell(cell) for cell in row] for row in _rows(finding)]
            parts += [f"{held}\n", tabulate(cells, HEADERS, tablefmt="pipe", disable_numparse=True), ""]
        parts += [f"{finding.error or finding.sentence[0].upper() + finding.sentence[1:]}\n"]
    return "\n".join(parts).rstrip() + "\n"


def _rows(finding: ClaimOutcome) -> list[tuple[str, str, str, str]]:
    words = {True: "yes", False: "no", None: "undecided"}
    return [(trial.setting, trial.claimed, trial.found, words[trial.holds]) for trial in finding.trials]


def _cell(text: str) -> str:
    # a bar would end a cell, and two stars or underscores would be read as emphasis
    return text.replace("|", "\\|").replace("*", "\\*").replace("_", "\\_")

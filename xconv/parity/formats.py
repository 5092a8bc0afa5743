"""The report for others: JSON for machines, JUnit for CI, Markdown for a summary."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Sequence

from tabulate import tabulate

import xconv
from xconv.parity.report import HEADERS, SHOWN_FINDINGS, ParityReport, sentence
from xconv.parity.task import Row, finite, from_finite
from xconv.system.errors import ArgumentError

VERSION = 2


def to_json(report: ParityReport) -> str:
    """All of the report; infinity is written as the text "inf"."""
    said = {
        "version": VERSION,
        "xconv": xconv.__version__,
        "backends": report.versions,
        "seed": report.seed,
        "ok": report.ok,
        "interrupted": report.interrupted,
        "counts": report.counts,
        "rows": finite(report.rows),
    }
    return json.dumps(said, allow_nan=False)


def from_json(text: str) -> ParityReport:
    """A report from its JSON, which is not trusted.

    Raises:
        ArgumentError: it is no report of this version.
    """
    try:
        said = json.loads(text)
        if said["version"] != VERSION:
            raise ValueError(f"version {said['version']!r}")
        rows = [from_finite(row) for row in said["rows"]]
        versions = {str(name): str(version) for name, version in said["backends"].items()}
        return ParityReport(versions, int(said["seed"]), rows, bool(said["interrupted"]))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        wanted = f"what `xconv parity --json` of version {VERSION} writes"
        raise ArgumentError("parity", "report", f"{type(error).__name__}: {error}", wanted) from None


def to_junit(report: ParityReport) -> str:
    """A test suite for each backend, device, dtype and mode, and a test for each case in it.

    Its properties carry the largest ratio to the bound, the versions and the seed.
    """
    root = ET.Element("testsuites", name="xconv parity")
    suites: dict[tuple[str, ...], dict[str, list[Row]]] = {}
    for row in report.rows:
        suite = suites.setdefault((row.backend, row.device, row.dtype, row.mode), {})
        suite.setdefault(row.case, []).append(row)
    for key, cases in suites.items():
        rows = [row for some in cases.values() for row in some]
        judged = {name: _judged(some) for name, some in cases.items()}
        count = Counter(judged.values())
        suite_node = ET.SubElement(
            root,
            "testsuite",
            name=" ".join(key),
            tests=str(len(cases)),
            failures=str(count["failure"]),
            errors=str(count["error"]),
            skipped=str(count["skipped"]),
        )
        properties = ET.SubElement(suite_node, "properties")
        known = {
            "xconv": xconv.__version__,
            key[0]: report.versions.get(key[0], ""),
            "seed": str(report.seed),
            "largest ratio to the bound": f"{max((row.ratio for row in rows if row.ok), default=0.0):.4g}",
        }
        for name, value in known.items():
            ET.SubElement(properties, "property", name=name, value=value)
        for name, some in cases.items():
            node = ET.SubElement(suite_node, "testcase", classname=".".join(("xconv", *key)), name=_printable(name))
            if judged[name] == "passed":
                continue
            told = ET.SubElement(node, judged[name])
            wrong = [row for row in some if row.is_wrong] or some
            told.set("message", _printable(f"{wrong[0].verdict}: {wrong[0].detail} {wrong[0].diagnosis}".strip()))
            told.text = _printable(
                "\n".join(
                    [*(f"{sentence(row, 0)} {row.diagnosis}" for row in wrong[:SHOWN_FINDINGS]), "", wrong[0].script]
                )
            )
    ET.indent(root)
    return '<?xml version="1.0" encoding="utf-8"?>\n' + ET.tostring(root, encoding="unicode") + "\n"


def to_markdown(report: ParityReport) -> str:
    """A summary that fits a CI job's page: one verdict, the findings, the table folded away."""
    lines = [f"### xconv parity: {'agrees' if report.ok else '**does not agree**'}", "", report.conclusion(), ""]
    found = report.findings
    lines += [
        f"- {sentence(row, others)} **{row.diagnosis}**".replace(" ****", "") for row, others in found[:SHOWN_FINDINGS]
    ]
    if len(found) > SHOWN_FINDINGS:
        lines.append(f"- and {len(found) - SHOWN_FINDINGS} cases more")
    if found and found[0][0].script:
        lines += ["", "The first of them alone:", "", "```python", found[0][0].script, "```"]
    cells = [[*line[:8], f"{line[8]:.3f}", line[9]] for line in report.summary()]
    table = tabulate(cells, HEADERS, tablefmt="github", disable_numparse=True)
    lines += ["", "<details><summary>Every backend, dtype, mode and formulation</summary>", "", table, "", "</details>"]
    return "\n".join(lines) + "\n"


def _judged(rows: Sequence[Row]) -> str:
    if any(row.verdict == "error" for row in rows):
        return "error"
    if any(row.is_wrong for row in rows):
        return "failure"
    return "passed" if any(row.ok for row in rows) else "skipped"


def _printable(text: str) -> str:
    """XML has no control characters."""
    return "".join(letter if letter.isprintable() or letter in "\n\t" else "?" for letter in text)

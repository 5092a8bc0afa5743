"""The report in every format: what is wrong is told, what was said is escaped, and what is read is not trusted."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path

import pytest

import xconv
from tests import browser
from xconv.parity import ParityReport, Row
from xconv.parity.formats import from_json, to_json, to_junit, to_markdown
from xconv.parity.page import cell, to_html

GOOD = Row("case", "torch", "cpu", "float32", "eager", "auto", "normal", "y", "within bound", 1e-7, 0.4, took="taps")
EXACT = replace(GOOD, formulation="conv2d", verdict="exact", error=0.0, ratio=0.0, took="")
UNABLE = replace(EXACT, formulation="fft", verdict="unsupported", detail="it is short")
EVIL = "</script><script>document.title = 'owned'</script>\x00 & <b>"
WRONG = replace(
    GOOD, case=f"bad {EVIL}", verdict="MISMATCH", error=float("inf"), ratio=float("inf"), detail=f"got {EVIL}",
    diagnosis="matches exactly if padding is (0, 1) instead of (1, 0)", script="import xconv",
)  # fmt: skip
LOST = replace(WRONG, case="lost", verdict="error", detail="SIGABRT", diagnosis="", backend="jax")
AGREES = ParityReport({"torch": "2"}, 0, [GOOD, EXACT, UNABLE])
DIFFERS = ParityReport({"torch": "2", "jax": "1"}, 7, [GOOD, EXACT, UNABLE, WRONG, LOST])


def test_json_comes_back() -> None:
    for report in (AGREES, DIFFERS, replace(DIFFERS, interrupted=True)):
        back = from_json(to_json(report))
        assert back == report
        assert str(back) == str(report)
    said = json.loads(to_json(DIFFERS))
    assert (said["ok"], said["counts"]["MISMATCH"], said["version"]) == (False, 1, 2)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "3",
        "{}",
        '{"version": 1}',
        '{"version": 2, "rows": [{}], "backends": {}, "seed": 0}',
        '{"version": 2}',
        to_json(DIFFERS).replace('"verdict": "exact"', '"verdict": 1'),
        to_json(DIFFERS).replace('"place": [', '"place": ["0", '),
        to_json(DIFFERS).replace('"took": ', '"taken": '),
        to_json(DIFFERS).replace('"took": "", ', ""),
    ],
)
def test_what_is_no_report_is_refused(text: str) -> None:
    with pytest.raises(xconv.ArgumentError, match=r"parity: report: .*xconv parity --json"):
        from_json(text)


def test_junit() -> None:
    root = ET.fromstring(to_junit(DIFFERS))
    suites = {suite.get("name"): suite for suite in root.iter("testsuite")}
    torch, jax = suites["torch cpu float32 eager"], suites["jax cpu float32 eager"]
    assert (torch.get("tests"), torch.get("failures"), torch.get("errors")) == ("2", "1", "0")
    assert (jax.get("tests"), jax.get("failures"), jax.get("errors")) == ("1", "0", "1")
    properties = {p.get("name"): p.get("value") for p in torch.iter("property")}
    assert properties == {
        "xconv": xconv.__version__, "torch": "2", "seed": "7", "largest ratio to the bound": "0.4",
    }  # fmt: skip
    [failure] = torch.iter("failure")
    assert WRONG.diagnosis in str(failure.get("message"))
    assert "import xconv" in str(failure.text)
    only_unable = ParityReport({"torch": "2"}, 0, [UNABLE])
    assert len(list(ET.fromstring(to_junit(only_unable)).iter("skipped"))) == 1


def test_markdown() -> None:
    said = to_markdown(DIFFERS)
    assert said.startswith("### xconv parity: **does not agree**")
    assert f"**{WRONG.diagnosis}**" in said
    assert "****" not in said
    assert "```python\nimport xconv\n```" in said
    assert to_markdown(AGREES).startswith("### xconv parity: agrees")
    many = ParityReport({"torch": "2"}, 0, [replace(WRONG, case=f"case {n}") for n in range(5000)])
    assert len(to_markdown(many)) < 1 << 20  # what GitHub takes
    assert "and 4980 cases more" in to_markdown(many)


def test_a_cell_is_its_worst_row() -> None:
    assert (cell([EXACT]).css, cell([EXACT]).text) == ("exact", "=")
    assert (cell([EXACT, GOOD]).css, cell([EXACT, GOOD]).text) == ("r1", "0.40")
    assert (cell([GOOD, UNABLE]).css, len(cell([GOOD, UNABLE]).rows)) == ("r1", 2)
    assert cell([UNABLE]).css == "unsupported"
    assert (cell([GOOD, WRONG]).css, cell([GOOD, LOST]).text) == ("wrong", "error")
    assert cell([replace(GOOD, verdict="mistrusted")]).css == "mistrusted"


def test_page_is_whole_and_escaped(tmp_path: Path) -> None:
    page = to_html(DIFFERS)
    assert "not all agree" in page
    assert WRONG.diagnosis in page
    assert EVIL not in page
    assert not re.search(r"(src|href)=[\"'](?!data:)", page)  # nothing is fetched
    scripts = re.findall(r'<script id="(\w+)" type="application/json">(.*?)</script>', page, re.S)
    assert {name for name, _ in scripts} == {"details", "columns"}
    assert all(json.loads(text) for _, text in scripts)


@browser.needed
def test_page_in_a_browser(tmp_path: Path) -> None:
    """It runs without an error, what was said does not become a part of it, and it fits a phone."""
    script = (
        "document.querySelector('#matrix button').click();"
        "return [document.title, document.getElementById('behind').rows.length,"
        "document.getElementById('count').textContent, document.documentElement.scrollWidth <= innerWidth].join('|')"
    )
    assert browser.asked(to_html(DIFFERS), script, tmp_path) == "xconv parity: does not agree|1|3 of 3 cases|true"

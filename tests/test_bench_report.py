"""What is made of a run: verdicts, reasons, the formats, comparisons of runs, and what is believed of a file."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests import browser
from tests.bench_runs import result, run
from xconv.bench import machines, regressions, run_files
from xconv.bench.comparisons import compare
from xconv.bench.limits import Limits
from xconv.bench.markdown import to_markdown
from xconv.bench.page import to_html
from xconv.bench.reasons import parts, why
from xconv.bench.results import Result, Run
from xconv.bench.statistics import Ratio
from xconv.bench.suites import ARTICLE
from xconv.bench.text import article_answer, counts, geometric_means, to_text
from xconv.system.errors import ArgumentError

MIXED = run(
    [
        result(2.0),
        result(3.0, way="own"),
        result(5.0, way="recipe"),
        result(1.0, "jax", "jit"),
        result((), "onnxruntime", "session", error="not built for\nthis <machine>", cannot=True),
        result(4.0, "tensorflow"),
    ],
    [result(1.0), result(1.004, way="own")],
)


def test_the_own_is_the_faster_way_and_the_best_anyone() -> None:
    of_torch, of_tensorflow, second = compare(MIXED)
    assert of_torch.own is not None
    assert of_torch.best is not None
    assert (of_torch.own.against, round(of_torch.own.value, 3)) == ("torch own", 1.5)
    assert (of_torch.best.against, round(of_torch.best.value, 3)) == ("jax jit", 0.5)
    assert (of_torch.own_verdict, of_torch.best_verdict, second.own_verdict) == ("win", "loss", "tie")
    assert of_torch.is_loss
    assert of_tensorflow.own is None
    assert not second.is_loss


def test_the_floor_is_of_the_twins() -> None:
    assert round(MIXED.floor, 4) == 0.005
    none = run([replace(result(1.0), twin=True), result(2.0, way="own")])
    assert none.floor == float("inf")
    assert Ratio(100.0, 99.0, 101.0, 8).verdict(none.floor) == "undecided"


def test_little_is_claimed_from_little() -> None:
    assert Ratio(1.3, 1.3, 1.3, 2).verdict(0.01) == "undecided"
    assert Ratio(1.01, 0.5, 2.0, 8).verdict(0.02) == "undecided"
    few = regressions.compare(run([result((1.0,))]), run([result((1.5,))]))
    assert [row.change for row in few.rows] == ["undecided"]
    assert few.ok


def test_without_a_floor_nothing_is_the_same() -> None:
    def alone(seconds: float) -> Run:
        return run([replace(result(seconds), twin=True), result(seconds, mode="compiled"), result(1.0, way="own")])

    before, now = alone(1.0), alone(10.0)
    for one in (before, now):
        one.groups = [replace(group, results=group.results[:3]) for group in one.groups]
    found = regressions.compare(before, now)
    assert {row.change for row in found.rows} == {"undecided"}


def test_a_noisy_group_is_no_regression() -> None:
    quiet = [[result(1.0), result(1.2, way="own")] for _ in range(6)]
    before, now = run(*quiet), run(*quiet)
    noisy = now.groups[0]
    slow = [replace(r, cpu=tuple(1.2 * t for t in r.cpu if t)) for r in noisy.results[:1]]
    twin = replace(noisy.results[-1], cpu=tuple(1.8 * t for t in noisy.results[0].cpu if t))
    now.groups[0] = replace(noisy, results=(*slow, *noisy.results[1:-1], twin))
    assert regressions.compare(before, now).ok
    now.groups[0] = replace(noisy, results=(*slow, *noisy.results[1:]))
    assert not regressions.compare(before, now).ok


def test_a_noisy_group_has_a_floor_of_its_own() -> None:
    groups = [[result(1.0), result(1.2, way="own")] for _ in range(6)]
    found = run(*groups)
    noisy = found.groups[0]
    far = replace(noisy.results[-1], cpu=tuple(1.4 * t for t in noisy.results[0].cpu if t))
    found.groups[0] = replace(noisy, results=(*noisy.results[:-1], far))
    assert found.floor < 0.02
    assert [c.own_verdict for c in compare(found)] == ["undecided", *["win"] * 5]


def test_losses_come_first_and_means_are_geometric() -> None:
    text = to_text(MIXED)
    assert text.index("losses") < text.index("no losses")
    _, _, rows = geometric_means([c for c in compare(MIXED) if c.key[0] == "torch"])
    assert rows[-1][1:] == [
        "all",
        "2",
        f"{(1.5 * 1.004) ** 0.5:.2f}",
        "0 0 1 1",
        f"{(0.5 * 1.004) ** 0.5:.2f}",
        "1 0 1 0",
    ]
    assert counts(["tie", None, "loss"]) == [1, 0, 1, 0]
    assert "cannot: not built for" in text


def test_reasons_name_the_largest_part() -> None:
    limits = Limits(1e9, 1e9, 1e9, 1e-3)
    fast = result(1.0, dispatch=0.1, faults=0.0)
    found = parts(result((1.0,), dispatch=0.25, faults=500.0), limits)
    assert (found.dispatch, found.pages, found.rest) == (0.25, 0.5, 0.25)
    assert "page faults of fresh memory (800 against 0 a call)" in why(fast, result(2.0, faults=800.0), limits)
    assert "are the call itself" in why(fast, result(2.0, dispatch=1.0, faults=0.0), limits)
    assert "in the kernels: conv2d reaches" in why(fast, result(2.0, dispatch=0.1, faults=0.0, way="own"), limits)
    assert why(fast, fast, limits) == "there is no difference"
    assert "in the kernels (conv2d against torch own)" in why(fast, result(2.0, way="own"), Limits())


def test_the_article_is_answered_with_numbers() -> None:
    def trial(ratio: float) -> list[Result]:
        one, two = result(1.0), result(ratio)
        other = replace(two.contender, layer=replace(two.contender.layer, operation="conv2d_as_1d"))
        return [one, replace(two, contender=other)]

    found = run(trial(1.1), trial(1.2), trial(1.1))
    found.groups = [replace(group, suite=ARTICLE) for group in found.groups]
    assert "torch at (2, 60, 3) 1.10" in article_answer(found)
    assert "(Conv1D is faster)" in article_answer(found)
    assert article_answer(MIXED) == ""


def test_a_run_survives_its_file(tmp_path: Path) -> None:
    file = tmp_path / "run.json"
    file.write_text(json.dumps(run_files.to_json(MIXED)))
    assert run_files.to_json(run_files.read(file)) == json.loads(file.read_text())
    # pytest-benchmark's file has it in a block
    file.write_text(json.dumps({"benchmarks": [], "xconv": run_files.to_json(MIXED)}))
    assert len(run_files.read(file).groups) == 2


def test_the_schema_is_of_what_is_written() -> None:
    schema = run_files.schema()
    parts = schema["$defs"]

    def check(written: Any, described: dict[str, Any]) -> int:
        """Every field is described, and of what is described nothing lacks; the number of fields that were seen."""
        described = parts[described["$ref"].rpartition("/")[2]] if "$ref" in described else described
        if isinstance(written, list):
            return sum(check(one, described["items"]) for one in written) if "items" in described else 0
        if "properties" not in described:
            return 0
        known = described["properties"]
        assert described["required"] == list(known) or described.get("additionalProperties") is not False
        assert set(written) == set(known) or "additionalProperties" not in described
        return len(known) + sum(check(written[name], known[name]) for name in known if name in written)

    assert check(json.loads(json.dumps(run_files.to_json(MIXED))), schema) > 100
    assert parts["Result"]["properties"]["wall"]["items"]["anyOf"][0]["exclusiveMinimum"] == 0


def spoil(*path: Any, value: Any) -> Callable[[Any], Any]:
    def change(data: Any) -> Any:
        *most, last = path
        inner = data
        for step in most:
            inner = inner[step]
        inner[last] = value
        return data

    return change


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda data: [], "Expected `object`, got `array`"),
        (lambda data: {**data, "version": 1}, "it has version 1"),
        (lambda data: {**data, "surprise": 1}, "unknown field `surprise` - at"),
        (spoil("groups", 0, "results", 0, "cpu", 0, value=-1.0), r"at `\$.groups\[0\].results\[0\].cpu\[0\]`"),
        (spoil("groups", 0, "results", 0, "cpu", 0, value="1"), r"at `\$.groups\[0\].results\[0\].cpu\[0\]`"),
        (spoil("groups", 0, "results", 0, "contender", "layer", "x_shape", value=[1]), "x_shape"),
        (spoil("settings", "threads", value=0), r"`int` >= 1 - at `\$.settings.threads`"),
        (spoil("limits", value={}), r"missing field `bytes` - at `\$.limits`"),
        (spoil("groups", 0, "results", 0, "cpu", 0, value=10**400), r"at `\$.groups\[0\].results\[0\].cpu\[0\]`"),
        (spoil("groups", 0, "results", 0, "cpu", 0, value=float("inf")), r"at `\$.groups\[0\].results\[0\].cpu\[0\]`"),
        (spoil("groups", 0, "results", 0, "cpu", 0, value=0), "times above 0"),
        (spoil("groups", 0, "results", 0, "contender", "layer", "options", value={"foo": 1}), "a layer"),
        (spoil("settings", "surprise", value=1), r"unknown field `surprise` - at `\$.settings`"),
        (spoil("machine", value={}), r"missing required field `platform` - at `\$.machine`"),
        (spoil("groups", 0, "results", 0, "twin", value=None), r"`bool`, got `null` - at .*twin`"),
        (spoil("groups", 0, "results", 0, "contender", "channels", value="middle"), "channels`"),
        (spoil("groups", 0, "results", 0, "wall", 0, value=0), r"`float` > 0.0 - at .*wall\[0\]`"),
        (spoil("workers", "torch own", "backend", value=[1]), r"at `\$.workers\[...\].backend`"),
    ],
)
def test_files_are_not_trusted(change: Callable[[Any], Any], said: str) -> None:
    with pytest.raises(ArgumentError, match=said):
        run_files.from_json(change(copy.deepcopy(run_files.to_json(MIXED))))


def test_files_that_are_none(tmp_path: Path) -> None:
    for text, said in (
        ("NaN", "it is none: JSON is malformed"),
        ("[" * 100_000, "a JSON file"),
        ("{", "a JSON file"),
        (b"\xff\xfe", "a JSON file"),
        (None, "a file that can be read"),
    ):
        file = tmp_path / f"{said[-4:]}.json"
        if isinstance(text, str):
            file.write_text(text)
        elif text is not None:
            file.write_bytes(text)
        with pytest.raises(ArgumentError, match=said):
            run_files.read(file)


PEERS = [result(1.0 + number / 10, way="own", signal=str(number)) for number in range(6)]


def scaled(found: Result, factor: float) -> Result:
    return replace(
        found, wall=tuple(t * factor for t in found.wall if t), cpu=tuple(t * factor for t in found.cpu if t)
    )


def test_a_regression_is_told_from_drift() -> None:
    before = run([result(1.0), result(1.0, mode="compiled"), *PEERS])
    drifted = run(
        [scaled(result(1.0), 1.3), scaled(result(1.0, mode="compiled"), 1.5), *[scaled(p, 1.3) for p in PEERS]]
    )
    found = regressions.compare(before, drifted)
    assert (round(found.drift, 3), found.controls) == (1.3, 6)
    assert [(row.now.contender.mode, row.change) for row in found.rows] == [("compiled", "slower"), ("eager", "same")]
    assert not found.ok
    assert "1 slower, 0 faster, 1 the same" in regressions.to_text(found)
    assert regressions.compare(before, before).ok
    assert regressions.compare(drifted, before).rows[-1].change == "faster"


def test_without_peers_there_is_no_control() -> None:
    found = regressions.compare(run([result(1.0)]), run([result(1.3)]))
    assert (found.drift, found.controls, found.ok) == (1.0, 0, False)
    assert "no peers to tell the machine's drift by" in regressions.to_text(found)


def test_a_peer_of_another_version_is_no_control() -> None:
    before, now = run([result(1.0), *PEERS]), run([result(1.0), *PEERS])
    now.workers = {"torch own": {"version": "2.0"}}
    assert regressions.compare(before, now).controls == 0


def test_what_lost_its_number_is_a_regression() -> None:
    wrong, compiled = result((), error="WrongResultError: differs"), result(1.0, mode="compiled")
    found = regressions.compare(run([result(1.0), compiled]), run([wrong, compiled]))
    assert not found.ok
    assert "WrongResultError" in regressions.to_text(found)
    disturbed = result((), error="every block was disturbed (preempted): too busy")
    assert regressions.compare(run([result(1.0), compiled]), run([disturbed, compiled])).ok


def test_runs_that_cannot_be_compared() -> None:
    one = run([result(1.0)])
    with pytest.raises(ArgumentError, match="threads 2"):
        regressions.compare(replace(one, settings={**one.settings, "threads": 2}), one)
    with pytest.raises(ArgumentError, match="--merge"):
        regressions.compare(replace(one, machine={**one.machine, "cpu": "another"}), one)
    with pytest.raises(ArgumentError, match="no contender in common"):
        regressions.compare(run([result(1.0, mode="compiled")]), one)


def test_machines_side_by_side() -> None:
    other = replace(MIXED, machine={**MIXED.machine, "cpu": "another"})
    about, means, fastest = machines.side_by_side([MIXED, other, other])
    assert about[1] == ["", "a CPU <b>, 1 thread(s)", "another, 1 thread(s) (1)", "another, 1 thread(s) (2)"]
    assert means[2][0][1] == "1.23 of 2"
    assert fastest[2][0][1] == "1 s jax jit"
    with pytest.raises(ArgumentError, match="two or more"):
        machines.side_by_side([MIXED])


def test_markdown_fits_a_summary() -> None:
    text = to_markdown(MIXED)
    assert text.startswith("## xconv bench")
    assert "| torch, forward" in text
    assert "no losses" not in text


def test_the_page_is_whole_and_escaped() -> None:
    page = to_html(MIXED)
    head, _, tail = page.partition("</script>")
    for part in (head.partition("<script>")[0], tail):
        assert "http://" not in part
        assert "https://" not in part
    assert "a CPU &lt;b&gt;" in tail
    hostile = "</script><img src=x onerror=alert(1)>"
    spoiled = [result((), way="own", error=hostile), result(1.0, label=hostile, mode=hostile)]
    attacked = run(spoiled)
    attacked.groups = [replace(group, name=hostile) for group in attacked.groups]
    assert "<img" not in to_html(attacked).partition("</script>")[2]
    assert tail.count('class="plot"') == 3  # the roofline, and ratios of torch and of tensorflow
    assert "Interrupted" not in tail
    assert "Interrupted" in to_html(replace(MIXED, interrupted=True))
    assert to_html(run([result((), error="all wrong")]))


@browser.needed
def test_the_page_in_a_browser(tmp_path: Path) -> None:
    """Its plots are drawn, with a point for each result, its filter works, and it fits a phone."""
    script = (
        "const box = document.getElementById('filter'); box.value = 'group 1'; box.dispatchEvent(new Event('input'));"
        "const shown = [...document.querySelectorAll('#cases details')].filter(one => !one.hidden).length;"
        "const drawn = document.querySelectorAll('.js-plotly-plot .main-svg .scatterlayer').length;"
        "const points = document.querySelector('.js-plotly-plot').querySelectorAll('.point').length;"
        "return [shown, drawn, points, document.documentElement.scrollWidth <= innerWidth].join('|')"
    )
    assert browser.asked(to_html(MIXED), script, tmp_path) == "1|3|7|true"

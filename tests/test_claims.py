"""What is said of Conv1D against Conv2D: a verdict is what is found, so that another setting gives another one."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import xconv
from tests.bench_runs import LAYER, result
from tests.bench_runs import run as made_run
from xconv import claims
from xconv.bench.results import Result, Run
from xconv.claims import (
    CLAIMS,
    Asked,
    Claim,
    ClaimOutcome,
    Trial,
    differing,
    fields,
    flattening,
    height_one,
    judged,
    maps,
    separable,
    speed,
)
from xconv.claims.flattening import VGG16
from xconv.claims.height_one import Signal
from xconv.claims.separable import Kernel
from xconv.cli import main
from xconv.models import Conv1D, Conv2D, Dense, Flatten, MaxPool, Network

BOTH = Asked(("torch", "tensorflow"))
PAGE = Path(__file__).parent.parent / "docs/claims.md"


@pytest.fixture(scope="module")
def found() -> dict[str, ClaimOutcome]:
    return {name: claims.check(claim, BOTH) for name, claim in CLAIMS.items()}


def test_what_is_found(found: dict[str, ClaimOutcome]) -> None:
    """What was checked by hand before there was a command for it."""
    assert {name: finding.verdict for name, finding in found.items()} == {
        "height-one": "false",
        "faster": "not measured",
        "three-by-three": "false",
        "rows": "true",
        "separable-cost": "depends",
        "separable-approximates": "depends",
        "flattening": "false",
        "vgg16": "false",
        "folding": "true",
        "receptive-field": "true",
        "fewer-parameters": "depends",
        "translation": "depends",
    }


def test_the_page_says_what_is_found(found: dict[str, ClaimOutcome]) -> None:
    rows = re.findall(
        r"\| (.+?) +\| (true|false|depends|not measured) +\| (.+?) +\| `(.+?)` +\|", PAGE.read_text("utf-8")
    )
    said = {row[3].split()[3]: row for row in rows}
    assert list(said) == list(CLAIMS)
    for name, (statement, verdict, _, command) in said.items():
        claim = CLAIMS[name]
        assert statement.replace("\\", "") == claim.statement
        assert command == claim.command
        if not claim.measured:
            assert verdict == found[name].verdict, name
            assert f"It holds in {found[name].count} settings" in PAGE.read_text("utf-8")


def test_a_verdict_is_what_trials_say() -> None:
    yes, no, noise = (Trial("", "", "", holds) for holds in (True, False, None))
    assert [judged(t) for t in ([yes, yes], [no, no], [yes, no], [yes, noise], [noise], [])] == [
        "true", "false", "depends", "true", "not measured", "not measured",
    ]  # fmt: skip
    assert ClaimOutcome((yes, no, noise), "").count == "1 of 2"


def test_bits() -> None:
    x = np.arange(6.0).reshape(2, 3)
    assert differing(x, x.copy(order="F")) == 0
    assert differing(x, np.nextafter(x, 9)) == 6
    assert differing(np.array([np.nan]), np.array([np.nan])) == 0
    assert differing(x, x.T) is None
    assert differing(x, x.astype("float32")) is None


def test_a_higher_kernel_does_cost_more() -> None:
    high = [Signal((2, 50, 3), (5, 3, 4), height=3)]
    costly = height_one.height_one(BOTH, high)
    assert costly.verdict == "true"
    assert "192" not in costly.sentence
    assert height_one.height_one(BOTH, [*height_one.SIGNALS[1:2], *high]).verdict == "depends"


def test_three_by_three_runs_where_it_fits() -> None:
    wide = (1, 100, 3, 1), (3, 3)
    runs = height_one.three_by_three(BOTH, [wide])
    assert runs.verdict == "true"
    assert "(1, 98, 1, 32)" in runs.trials[0].found
    assert runs.sentence.startswith("0 of 2 refuse")
    assert height_one.three_by_three(BOTH, [wide, *height_one.MAPS]).verdict == "depends"


def test_the_error_is_the_framework_s_own(found: dict[str, ClaimOutcome]) -> None:
    torch, keras = (trial.found for trial in found["three-by-three"].trials)
    assert "RuntimeError: Calculated padded input size per channel: (100 x 1)" in torch
    assert "ValueError: Computed output size would be zero or negative" in keras
    torch, _, keras, _ = (trial.found for trial in found["vgg16"].trials)
    assert "RuntimeError: Expected 2D (unbatched) or 3D (batched) input to conv1d" in torch
    assert "ValueError: Kernel shape must have the same length as input" in keras


def test_frameworks_run_a_conv1d_as_a_conv2d(found: dict[str, ClaimOutcome]) -> None:
    torch, tensorflow = (trial.found for trial in found["height-one"].trials[-2:])
    assert re.search(r"0 of [\d,]+ .*_conv\w+ of \(2, 64, 1, 1000\)", torch)
    assert re.search(r"0 of [\d,]+ .* Conv2D of \(2, 1, 1000, 64\)", tensorflow)


def test_rows_that_exchange_something() -> None:
    def three_lines(x: Any, weight: Any, backend: str) -> Any:
        kernel = np.concatenate([np.zeros_like(weight[None]), weight[None], weight[None]])
        return xconv.conv2d(x, kernel, padding=((1, 1), (0, 0)), backend=backend)

    def another_kernel_for_each_row(x: Any, weight: Any, backend: str) -> Any:
        scale = np.arange(1, 7, dtype="float32")[:, None, None]
        return xconv.conv1d_rows(x, weight, backend=backend) * scale

    assert maps.rows(BOTH, three_lines).verdict == "false"
    assert [trial.holds for trial in maps.rows(Asked(("torch",)), another_kernel_for_each_row).trials] == [
        False,
        True,
        False,
    ]


def test_folding_in_another_order() -> None:
    def channels_outside(x: Any, weight: Any, backend: str) -> Any:
        n, t, f, c = x.shape
        turned = np.ascontiguousarray(x.transpose(0, 1, 3, 2)).reshape(n, t, c * f)
        return xconv.conv1d(turned, weight.reshape(-1, f * c, weight.shape[-1]), backend=backend)

    # with one channel there is but one order
    assert maps.folding(BOTH, channels_outside).verdict == "depends"
    assert maps.folding(BOTH, lambda x, w, b: maps.folded(x, w, b) + 1).count == "2 of 6"


def test_where_the_rule_of_thumb_holds() -> None:
    # M = 2 Cin Cout / (Cin + Cout)
    assert separable.cost(BOTH, [(3, 64, 64, 64), (5, 16, 48, 24)]).verdict == "true"
    assert separable.cost(BOTH, [(3, 64, 64, 65)]).verdict == "false"
    assert "21.7 times" in separable.cost(BOTH).sentence


def test_rank_decides_what_is_exact() -> None:
    rng = np.random.default_rng(3)
    low = np.einsum("jcm,imo->ijco", rng.standard_normal((3, 2, 2)), rng.standard_normal((3, 2, 5)))
    exact = [Kernel("rank 2", low, 2), Kernel("rank 2", low, 4)]
    assert separable.approximates(BOTH, exact).verdict == "false"
    assert separable.approximates(BOTH, [Kernel("rank 2", low, 1)]).verdict == "true"
    noisy = Kernel("not quite rank 2", low + 1e-12 * rng.standard_normal(low.shape), 2)
    assert separable.approximates(BOTH, [noisy]).verdict == "true"
    assert separable.approximates(BOTH, [*exact, noisy]).count == "1 of 3"


def test_flattening_loses_no_kernel_of_height_one() -> None:
    flat = flattening.flattening(BOTH, (12,), (1, 3))
    assert flat.verdict == "depends"
    assert [trial.holds for trial in flat.trials] == [False, True, False]
    high = flattening.flattening(BOTH, (12,), (3, 1))
    assert high.trials[1].holds is False


def test_vgg16_if_it_carried_its_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    def carried(network: Network, weights: Any, shape: Any) -> Any:
        del network, shape
        kernels = [array for name, array in weights.items() if array.ndim == 4]
        ways = [lambda k: k[1], lambda k: k.sum(0), lambda k: k.mean(1)]
        return (1, 32, 32), [(kernel, ways[i % 3](kernel)) for i, kernel in enumerate(kernels)]

    module = ModuleType("claims")
    module.swapped = carried  # type: ignore[attr-defined]
    monkeypatch.setattr(xconv.get_backend("torch"), "module", lambda name: module, raising=False)
    torch = Asked(("torch",))
    assert flattening.vgg16(torch).verdict == "true"
    module.swapped = lambda *a: (None, [(k, k[1] + 1e-3) for k, _ in carried(*a)[1]])  # type: ignore[attr-defined]
    assert flattening.vgg16(torch).count == "1 of 2"
    assert sum(isinstance(layer, Conv2D) for layer in VGG16.layers) == 13


def test_the_swap_itself_is_the_article_s() -> None:
    small = Network("small", (8, 8, 2), (Conv2D(3, 3, "relu", padding="same"), MaxPool(2), Flatten(), Dense(4)))
    weights = xconv.models.initial_weights(small)
    for name in BOTH.backends:
        shape, [(old, new)] = xconv.get_backend(name).module("models.claims").swapped(small, weights, (20, 2))
        assert shape[1:] == (10, 3)
        assert np.array_equal(old, weights["conv2d_1.kernel"])
        assert new.shape == (3, 2, 3)


def test_a_field_that_is_not_the_formula_s(monkeypatch: pytest.MonkeyPatch) -> None:
    one = fields.STACKS[3]
    assert fields.growing(BOTH, [one]).verdict == "true"
    real = fields._seen
    monkeypatch.setattr(fields, "_seen", lambda *a: real(*a) + 1)
    assert fields.growing(BOTH, [one]).verdict == "depends"
    monkeypatch.undo()
    same = Network("a", (20, 1), (Conv1D(1, 3),))
    assert fields.growing(Asked(), [], [(same, same)]).count == "1 of 2"


def test_parameters_are_counted() -> None:
    wide = Network("wide", (100, 1), (Flatten(), Dense(1000)))
    narrow = Network("narrow", (100, 1), (Conv1D(2, 3),))
    assert fields.fewer_parameters(BOTH, [(narrow, wide)]).verdict == "true"
    assert fields.fewer_parameters(BOTH, [(wide, narrow)]).verdict == "false"


def test_what_moves_along() -> None:
    torch = Asked(("torch",))
    assert fields.translation(torch, [(Conv1D(2, 5, stride=3), 9)]).verdict == "true"
    assert fields.translation(torch, [(Conv1D(2, 5, stride=3), 10)]).verdict == "false"
    assert "does not" not in fields.translation(torch, [(Conv1D(2, 5), 7)]).sentence


def against(one: float, other: float, wide: bool = False) -> Run:
    """A run in which Conv1D and Conv2D took so long; wide: from round to round another one is the faster."""
    two = replace(LAYER, operation="conv2d_as_1d")
    times = [(one, one * 4, one, one / 4) * 2, (other, other, other, other) * 2] if wide else [one, other]

    def timed(seconds: Any, **what: Any) -> Result:
        return result(seconds, **what)

    return made_run([timed(times[0], layer=LAYER), timed(times[1], layer=two)])


def test_faster_only_beyond_what_the_run_can_tell() -> None:
    assert speed.faster(BOTH, against(1.0, 2.0)).verdict == "true"
    assert speed.faster(BOTH, against(2.0, 1.0)).verdict == "false"
    assert speed.faster(BOTH, against(1.0, 1.001)).verdict == "false"  # as fast
    both = against(1.0, 2.0)
    both.groups += against(2.0, 1.0).groups
    assert speed.faster(BOTH, both).verdict == "depends"
    noisy = speed.faster(BOTH, against(1.0, 1.1, wide=True))
    assert noisy.verdict == "not measured"
    assert "undecided" in noisy.trials[0].found
    blind = against(1.0, 1.001)
    [group] = blind.groups
    slow_twin = replace(group.results[-1], cpu=tuple(1.3 * (t or 0) for t in group.results[0].cpu))
    blind.groups = [replace(group, results=(*group.results[:-1], slow_twin))]
    assert speed.faster(BOTH, blind).trials[0].holds is None  # it could not tell a fifth from nothing
    lost = against(1.0, 2.0)
    lost.groups = [replace(g, results=(replace(g.results[0], error="wrong"), *g.results[1:])) for g in lost.groups]
    assert "no number: wrong" in speed.faster(BOTH, lost).trials[0].found


def test_speed_is_asked_in_both_settings_and_both_orientations() -> None:
    questions = speed.questions(BOTH.backends)
    assert len(questions) == 6
    for question in questions:
        assert len(question.contenders) == len({c.label for c in question.contenders}) == 6
        assert {c.direction for c in question.contenders} == {"forward"}
        shapes = {c.layer.operation: c.layer.calls[0].result_shape(c.layer.x_shape) for c in question.contenders}
        n, length, filters = shapes["conv1d"]
        assert shapes == {
            "conv1d": (n, length, filters),
            "conv2d_as_1d": (n, length, filters),
            "conv2d": (n, length, 1, filters),
        }


def test_it_is_measured(patient: None, monkeypatch: pytest.MonkeyPatch) -> None:
    def short(backends: Any) -> list[Any]:
        question = speed_questions(backends)[-1]
        small = [replace(c, layer=replace(c.layer, x_shape=(2, *c.layer.x_shape[1:]))) for c in question.contenders]
        return [replace(question, contenders=tuple(small))]

    speed_questions = speed.questions
    monkeypatch.setattr(speed, "questions", short)
    monkeypatch.setattr(speed, "ROUNDS", 4)
    said: list[str] = []
    measured = speed.faster(Asked(("torch",), measure=True, progress=said.append))
    assert [trial.setting.partition(": ")[2] for trial in measured.trials] == [
        "torch conv1d forward against conv2d_as_1d forward",
        "torch conv1d forward against conv2d of width one forward",
    ]
    assert all(re.search(r"\d\.\d\d \(\d", trial.found) for trial in measured.trials)
    assert any("round 4 of 4" in text for text in said)


def test_the_command(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["claims", "--only", "separable-cost", "--only", "three-by-three", "--backend", "torch"]) == 0
    said = capsys.readouterr().out
    assert "3 x 3, 1 to 64 channels, 64 in between" in said
    assert "Again: xconv claims --only three-by-three" in said
    assert "tensorflow" not in said
    file = tmp_path / "page.md"
    command = ["claims", "--only", "rows", "--backend", "torch", "--json", "--markdown", str(file)]
    assert main(command) == 0
    [told] = json.loads(capsys.readouterr().out)
    assert told["verdict"] == "true"
    assert told["evidence"][0]["holds"] is True
    assert told["command"] == "xconv claims --only rows"
    assert "## rows" in file.read_text("utf-8")
    assert main(["claims", "--only", "faster"]) == 0
    assert "run with --measure" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--only", "row"], "did you mean 'rows'"),
        (["--backend", "troch"], "did you mean 'torch'"),
        (["--backend", "jax"], "has no 'claims'"),
        (["--markdown", "no/such/folder/page.md"], "a file in a folder that exists"),
    ],
)
def test_wrong_use(arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    if "jax" in arguments:
        pytest.importorskip("jax", reason="jax is not installed (pip install jax)")
    assert main(["claims", *arguments]) == 2
    assert words in capsys.readouterr().err


def test_what_cannot_be_tried_is_told(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def broken(asked: Asked) -> ClaimOutcome:
        raise RuntimeError("no memory")

    monkeypatch.setitem(CLAIMS, "broken", Claim("broken", "It works.", broken))
    monkeypatch.setitem(CLAIMS, "open", Claim("open", "It is open.", lambda asked: ClaimOutcome((), "too busy")))
    assert main(["claims", "--only", "broken", "--only", "rows", "--backend", "torch"]) == 1
    said = capsys.readouterr().out
    assert "failed: RuntimeError: no memory" in said
    assert "rows: " in said
    assert main(["claims", "--only", "open"]) == 0
    assert main(["claims", "--only", "open", "--measure"]) == 1

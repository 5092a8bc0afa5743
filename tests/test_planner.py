"""Plans: who chooses, what is kept, and what happens to a call that was made before."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import xconv
from xconv.bench import catalogue
from xconv.calls import dispatch
from xconv.core.backend import Backend
from xconv.core.call import resolve_all
from xconv.core.problem import DIRECTIONS, ConvProblem
from xconv.core.target import Target
from xconv.planning import wisdom
from xconv.planning.choices import decide, workspace_limit
from xconv.planning.tuning import is_right, tune

RNG = np.random.default_rng(3)
PROBLEM = ConvProblem(2, 200, 1, 8, 12, kernel=5, padding=(2, 2))
LONG = ConvProblem(4, 80_000, 1, 1, 1, kernel=8192, padding=(8191, 0))


@pytest.fixture(autouse=True)
def nothing_known() -> Iterator[None]:
    wisdom.forget()
    dispatch.forget()
    yield
    wisdom.forget()
    dispatch.forget()


def arrays(backend: Backend, *shapes: tuple[int, ...]) -> list[Any]:
    return [backend.from_numpy(RNG.integers(-3, 4, shape).astype("float32"), "cpu") for shape in shapes]


def target(backend: Backend) -> Target:
    return Target(backend.name, threads=backend.threads())


def remember(backend: Backend, problem: ConvProblem, formulation: str, direction: str = "forward") -> None:
    key = wisdom.Key(*backend.here("cpu"), "NWC", direction, problem)
    wisdom.remember(key, wisdom.Entry(formulation, 1e-3, 2e-3, "2026-11-21"))


def test_a_long_kernel_goes_through_fourier(backend: Backend) -> None:
    plan = xconv.plan(LONG, backend=backend.name)
    assert plan.choices["forward"].formulation == "fft"
    assert plan.choices["forward"].source == "estimate"
    said = str(plan)
    assert "fft" in said
    assert "conv2d" in said  # an alternative, with its time
    assert f"{LONG.macs:,}" in said


def test_plans_are_the_same_every_time(backend: Backend) -> None:
    for layer in catalogue("default"):
        if layer.operation != "conv2d":
            options = {k: tuple(v) if isinstance(v, list) else v for k, v in layer.options.items()}
            for call in resolve_all(layer.operation, layer.x_shape, layer.weight_shapes, **options):
                first, second = (xconv.plan(call, backend=backend.name) for _ in range(2))
                assert first == second


def test_every_formulation_is_estimated(backend: Backend) -> None:
    """One that is never expected to be anything could never be chosen."""
    estimated: set[str] = set()
    for problem in (
        PROBLEM,
        LONG,
        ConvProblem(1, 4000, 1, 64, 64, kernel=3, dilation=4, groups=64, padding=(4, 4)),
        ConvProblem(1, 4000, 8, 16, 16, kernel=3, groups=16),
        ConvProblem(1, 4000, 1, 64, 64, kernel=3, groups=4),
        ConvProblem(1, 4000, 1, 64, 64, kernel=4, stride=2),
        ConvProblem(64, 8000, 1, 1, 64, kernel=5),
        ConvProblem(1, 100_000, 1, 64, 256, kernel=5),
    ):
        for direction in DIRECTIONS:
            estimated |= set(decide(backend, direction, problem, "NWC", target(backend)).seconds)
    assert estimated == {form.name for form in backend.formulations}


def test_workspace_is_bounded(backend: Backend) -> None:
    for direction in DIRECTIONS:
        limit = workspace_limit(LONG)
        forms = {form.name: form for form in backend.formulations}
        wide = decide(backend, direction, LONG, "NWC", target(backend))
        assert forms[wide.formulation].workspace(direction, LONG) <= limit
        tight = decide(backend, direction, LONG, "NWC", target(backend), max_workspace=0)
        assert forms[tight.formulation].workspace(direction, LONG) == 0 or not tight.seconds


def test_a_plan_is_called_and_packed(backend: Backend) -> None:
    for name, value in (("padding", 1), ("padding", "causal"), ("layout", "NCW"), ("groups", 2)):
        options: dict[str, Any] = {name: value, "dilation": 2 if value == "causal" else 1}
        shapes = ((2, 30, 6), (3, 6 // options.get("groups", 1), 8))
        if options.get("layout") == "NCW":
            shapes = ((2, 6, 30), (8, 6, 3))
        x, w, b = arrays(backend, *shapes, (8,))
        plan = xconv.plan(xconv.resolve("conv1d", *shapes, **options), backend=backend.name)
        wanted = backend.to_numpy(xconv.conv1d(x, w, b, **options))
        assert np.array_equal(backend.to_numpy(plan(x, w, b)), wanted)
        assert np.array_equal(backend.to_numpy(plan.pack(w)(x, b)), wanted)


def test_wisdom_decides_and_can_be_forgotten(backend: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    x, w = arrays(backend, (2, 200, 8), (5, 8, 12))
    before = backend.to_numpy(xconv.conv1d(x, w, padding=2))
    remember(backend, PROBLEM, "taps")
    choice = xconv.plan(PROBLEM, backend=backend.name).choices["forward"]
    assert (choice.formulation, choice.source) == ("taps", "wisdom")
    assert "2.00 times as fast" in choice.why
    ran: list[str] = []
    taps = next(form for form in backend.formulations if form.name == "taps")
    right = taps.forward

    def forward(*arguments: Any) -> Any:
        ran.append("taps")
        return right(*arguments)

    monkeypatch.setattr(taps, "forward", forward)
    assert np.array_equal(backend.to_numpy(xconv.conv1d(x, w, padding=2)), before)
    assert ran == ["taps"]
    wisdom.forget()
    xconv.conv1d(x, w, padding=2)
    assert ran == ["taps"]


def test_wisdom_of_what_is_not_there_is_ignored(backend: Backend) -> None:
    remember(backend, PROBLEM, "telepathy")
    assert xconv.plan(PROBLEM, backend=backend.name).choices["forward"].source == "estimate"


def test_tune_measures_checks_and_remembers(backend: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    found = tune(PROBLEM, backend=backend.name, progress=False)
    assert [tuned.direction for tuned in found] == list(DIRECTIONS)
    for tuned in found:
        assert not tuned.wrong
        assert tuned.own in tuned.seconds
        assert tuned.formulation == tuned.own or tuned.gain > 1
        assert xconv.plan(PROBLEM, backend=backend.name).choices[tuned.direction].formulation == tuned.formulation
    wisdom.forget()
    # a formulation that computes something else is neither timed nor remembered
    rival = next(name for name in found[0].seconds if name != found[0].own)
    form = next(form for form in backend.formulations if form.name == rival)
    right = form.forward
    monkeypatch.setattr(form, "forward", lambda *a: right(*a) + 1)
    [tuned] = tune(PROBLEM, backend=backend.name, directions=["forward"], progress=False)
    assert tuned.wrong == (rival,)
    assert rival not in tuned.seconds


@pytest.mark.parametrize(
    ("layout", "inner", "ranks"),
    [("NWC", 1, {3}), ("NCW", 1, {3}), ("NCHW", 1, {4}), ("NHWC", 1, {4}), ("NCHW", 5, {4}), ("NWC", 5, {4})],
)
def test_tuning_computes_on_arrays_as_the_caller_has_them(
    backend: Backend, monkeypatch: pytest.MonkeyPatch, layout: str, inner: int, ranks: set[int]
) -> None:
    """A row of a map lies in memory otherwise than a signal of a batch, with channels first."""
    problem = ConvProblem(3, 40, inner, 8, 8, kernel=3)
    seen: set[int] = set()
    run = backend.run

    def watched(form: Any, direction: str, problem: ConvProblem, axis: int, *operands: Any) -> Any:
        if problem.outer == 3:  # not the short piece that is checked
            seen.add(len(backend.shape(operands[0])))
        return run(form, direction, problem, axis, *operands)

    monkeypatch.setattr(backend, "run", watched)
    found = tune(problem, backend=backend.name, layout=layout, progress=False)
    assert seen == ranks
    assert not any(tuned.wrong for tuned in found)


@pytest.mark.extended
def test_every_formulation_is_right_on_a_short_piece(backend: Backend) -> None:
    for problem in (PROBLEM, LONG, ConvProblem(4, 60, 3, 6, 6, kernel=5, dilation=3, groups=6, padding=(12, 0))):
        for direction in DIRECTIONS:
            for form in backend.formulations:
                if form.unsupported(direction, problem) is None:
                    assert is_right(backend, form, direction, problem, "cpu"), (form.name, direction)


def test_a_call_that_was_made_before_is_the_same(backend: Backend) -> None:
    x, w, b = arrays(backend, (2, 30, 6), (3, 6, 8), (8,))
    for options in (
        {},
        {"stride": 2, "padding": "same"},
        {"padding": (2, 0)},
        {"padding": 1, "padding_mode": "reflect"},
    ):
        first = backend.to_numpy(xconv.conv1d(x, w, b, **options))
        assert dispatch._kept
        again = backend.to_numpy(xconv.conv1d(x, w, b, **options))
        assert np.array_equal(first, again)


def test_mistakes_are_found_after_a_call_that_fitted(backend: Backend) -> None:
    x, w, b = arrays(backend, (2, 30, 6), (3, 6, 8), (8,))
    xconv.conv1d(x, w, b)
    for wrong in ({"stride": True}, {"stride": 1.0}, {"padding": [0.0, 0]}, {"groups": "1"}, {"dilation": 0}):
        with pytest.raises(xconv.ArgumentError):
            xconv.conv1d(x, w, b, **wrong)
    with pytest.raises(xconv.ArgumentError, match="weight: got dtype float64"):
        xconv.conv1d(x, backend.cast(w, "float64"), b)
    with pytest.raises(xconv.ArgumentError, match="bias: got length 7"):
        xconv.conv1d(x, w, backend.narrow(b, 0, 0, 7))
    with pytest.raises(xconv.ArgumentError, match="5 channels"):
        xconv.conv1d(backend.narrow(x, 2, 0, 5), w, b)


def test_what_is_kept_is_bounded(backend: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dispatch, "MOST_CALLS", 3)
    [w] = arrays(backend, (3, 2, 2))
    for length in range(10, 20):
        xconv.conv1d(arrays(backend, (1, length, 2))[0], w)
    assert len(dispatch._kept) == 3


def test_threads_may_call_at_once(backend: Backend) -> None:
    [w] = arrays(backend, (3, 2, 4))
    signals = [arrays(backend, (1, length, 2))[0] for length in range(10, 30)]
    wanted = [backend.to_numpy(xconv.conv1d(x, w)) for x in signals]
    dispatch.forget()
    wrong: list[int] = []

    def work() -> None:
        for number, x in enumerate(signals * 3):
            if not np.array_equal(backend.to_numpy(xconv.conv1d(x, w)), wanted[number % len(signals)]):
                wrong.append(number)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_a_form_that_is_wrong_in_full_only_is_not_timed(backend: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    taps = next(form for form in backend.formulations if form.name == "taps")
    right = taps.forward

    def forward(problem: ConvProblem, *arguments: Any) -> Any:
        y = right(problem, *arguments)
        return y + 1 if problem.length == PROBLEM.length else y

    monkeypatch.setattr(taps, "forward", forward)
    monkeypatch.setattr("xconv.planning.tuning.MOST_CANDIDATES", len(backend.formulations))
    [found] = tune(PROBLEM, backend=backend.name, directions=["forward"], progress=False)
    assert found.wrong == ("taps",)
    assert "taps" not in found.seconds

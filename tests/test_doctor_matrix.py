"""The doctor's matrix: every square is tried, and what aborts, hangs, raises or is wrong is told as such."""

from __future__ import annotations

import pytest

from xconv.core.backend import Backend
from xconv.core.operations import OPERATIONS
from xconv.doctor import Cell
from xconv.doctor import capabilities as matrix
from xconv.doctor import frameworks as adapters
from xconv.doctor.capabilities import Probe, attempt
from xconv.doctor.features import FEATURES, operation_case
from xconv.doctor.process import Process

FAKE = "tests.doctor_probes"


# --- what misbehaves is a square of the matrix ---


@pytest.fixture(scope="module")
def misbehaved(loaded: dict[str, Backend]) -> dict[tuple[str, str], Cell]:
    """The squares of the fake own ops, by name and mode."""
    name = next(iter(loaded))
    plan = [
        Probe(name, "cpu", "own op", feature, "float32", mode, FEATURES[feature].own_process)
        for feature in ("dense", "strided", "dilated", "grouped", "depthwise", "one output channel")
        for mode in ("forward", "gradient")
        if feature not in ("dense", "strided") or mode == "forward"
    ]
    plan.append(
        Probe(name, "cpu", "own op", "long kernel, strided, many outputs", "float32", "forward", own_process=True)
    )
    done: list[int] = []

    started: list[Process] = []

    def start() -> Process:
        started.append(Process(name, FAKE, limit_s=15))
        return started[-1]

    cells = attempt(start(), plan, lambda: done.append(1), start)
    # the first, one after each of the two that ended, and one for what must be alone
    assert len(started) == 4
    assert not any(worker.is_running() for worker in started)
    assert len(cells) == len(done) == len(plan)
    return {(cell.name, cell.mode): cell for cell in cells}


@pytest.mark.parametrize(
    ("name", "mode", "verdict", "detail"),
    [
        ("dense", "forward", "aborts", "SIGABRT: Check failed: it is not aligned"),
        ("strided", "forward", "no answer", "in 15 s"),
        ("dilated", "forward", "refuses", "RuntimeError: dilation is not supported"),
        ("dilated", "gradient", "refuses", "RuntimeError: dilation is not supported"),
        ("grouped", "forward", "WRONG", "y: got "),
        ("grouped", "gradient", "yes", ""),  # a constant has no gradient
        ("depthwise", "forward", "WRONG", "y: shape (2, 14, 12) instead of (2, 15, 12)"),
        ("one output channel", "gradient", "yes", ""),
        ("long kernel, strided, many outputs", "forward", "aborts", "SIGABRT"),
    ],
)
def test_what_misbehaves(
    misbehaved: dict[tuple[str, str], Cell], name: str, mode: str, verdict: str, detail: str
) -> None:
    cell = misbehaved[name, mode]
    assert cell.verdict == verdict
    assert cell.detail.startswith(detail)
    assert bool(cell.detail) == bool(detail)


def test_a_worker_that_does_not_load_says_why(loaded: dict[str, Backend]) -> None:
    worker = Process(next(iter(loaded)), "tests.no_such_module")
    try:
        assert "no_such_module" in worker.about["error"]
        assert worker.verdict(device="cpu", subject="own op", name="dense", dtype="float32", mode="forward") == {
            "verdict": "aborts",
            "detail": worker.about["error"],
        }
    finally:
        worker.close()
    assert not worker.is_running()


# --- what is asked ---


def test_every_square_is_asked_for() -> None:
    about = {"devices": ["cpu", "cuda:0"], "modes": ["xla"]}
    plan = list(matrix.probes("torch", about, has_own=True))
    assert len(set(plan)) == len(plan) == 2 * (len(OPERATIONS) * 4 * 3 + len(FEATURES) * 3)
    assert {probe.mode for probe in plan if probe.subject == "operation"} == {"forward", "gradient", "xla"}
    assert {probe.subject for probe in matrix.probes("torch", about, has_own=False)} == {"operation"}


def test_every_operation_has_a_telling_case() -> None:
    for operation in OPERATIONS:
        case = operation_case(operation)
        assert case.operation == operation
        assert case.options["groups"] > 1


def test_features_are_exact_and_xconv_computes_them(backend: Backend) -> None:
    """In this process: the ones that an own op would spoil memory with are xconv's own detours here."""
    from xconv.doctor.worker import attempt as one

    module = adapters.module_of(backend.name)
    for feature in FEATURES.values():
        how = {"device": "cpu", "subject": "feature", "name": feature.name, "dtype": feature.dtype}
        assert one(backend.name, module, **how, mode="gradient") == ("yes", ""), feature.name


def test_own_ops_that_cannot_fail_are_right(backend: Backend) -> None:
    """What a framework does on every setting and CPU: if it is not "yes", it is the doctor's call that is wrong."""
    from xconv.doctor.worker import attempt as one

    module = adapters.module_of(backend.name)
    for name in ("dense", 'padding "same"', "strided", "depthwise", "transposed", "channels last", "bfloat16"):
        for mode in ("forward", "gradient"):
            how = {"device": "cpu", "subject": "own op", "name": name, "dtype": FEATURES[name].dtype}
            assert one(backend.name, module, **how, mode=mode) == ("yes", ""), (name, mode)

"""What a window holds: in a local formulation an element reaches the results that it is in, and no other."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import xconv
from xconv.core import reference
from xconv.core.backend import Backend
from xconv.core.problem import DIRECTIONS, ConvProblem
from xconv.core.target import EAGER
from xconv.parity import Case
from xconv.parity.check import check
from xconv.planning.one_formulation import by_formulation
from xconv.planning.wisdom import Entry, Key, forget, remember

PROBLEMS = {
    "plain": ConvProblem(2, 40, 1, 3, 4, kernel=5),
    "causal": ConvProblem(1, 40, 1, 2, 3, kernel=9, padding=(8, 0)),
    "strided": ConvProblem(2, 41, 1, 3, 4, kernel=4, stride=2, padding=(1, 2)),
    "dilated": ConvProblem(1, 41, 1, 4, 4, kernel=3, dilation=4, padding=(4, 4)),
    "grouped": ConvProblem(1, 30, 1, 6, 4, kernel=3, groups=2, padding=(1, 1)),
    "depthwise": ConvProblem(1, 40, 1, 6, 6, kernel=7, groups=6, padding=(3, 3)),
    "dilated depthwise": ConvProblem(1, 43, 1, 6, 6, kernel=3, dilation=5, groups=6),
    "columns": ConvProblem(1, 20, 3, 2, 2, kernel=3, padding=(1, 1)),
    "one channel": ConvProblem(1, 64, 1, 1, 1, kernel=17, padding=(8, 8)),
}


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("name", PROBLEMS)
def test_an_element_reaches_its_windows_alone(backend: Backend, name: str, direction: str) -> None:
    """A NaN, for what it touches cannot be missed; ``is_local`` says which formulations keep it there."""
    problem, rng = PROBLEMS[name], np.random.default_rng(2)
    inner = (problem.inner,) if problem.inner > 1 else ()

    def signal(length: int, channels: int) -> np.ndarray:
        return rng.integers(1, 4, (problem.outer, length, *inner, channels)).astype("float32")

    x, dy = signal(problem.length, problem.in_channels), signal(problem.output_length, problem.out_channels)
    weight = rng.integers(1, 4, problem.weight_shape).astype("float32")
    ran = []
    for back in {1, 2, problem.extent // 2, problem.extent - 1, problem.extent, problem.output_length}:
        a, b = {"forward": (x, weight), "input_gradient": (dy, weight), "weight_gradient": (x, dy)}[direction]
        a = a.copy()
        a[0, -back, ..., -1] = np.nan
        wanted = getattr(reference, direction)(problem, 1, a, b)
        for form in backend.formulations:
            if form.unsupported(direction, problem) is None:
                tensors = [backend.from_numpy(array, "cpu") for array in (a, b)]
                got = backend.to_numpy(backend.run(by_formulation(backend, form), direction, problem, 1, *tensors))
                if form.is_local:
                    assert np.array_equal(got, wanted, equal_nan=True), form.name
                else:
                    assert np.isnan(got[np.isnan(wanted)]).all(), form.name
                ran.append(form.name)
    assert ran


def test_transforms_alone_are_not_local(backend: Backend) -> None:
    for form in backend.formulations:
        assert form.is_local == (form.name != "fft")


LONG: list[tuple[str, tuple[int, ...], tuple[int, ...], dict[str, Any]]] = [
    ("conv1d", (1, 40_000, 1), (8001, 1, 1), {"padding": "causal"}),
    ("conv1d_rows", (1, 2, 20_000, 1), (8001, 1, 1), {"padding": "causal"}),
    ("conv1d_columns", (1, 20_000, 2, 1), (8001, 1, 1), {"padding": "causal"}),
    ("conv1d_transpose", (1, 80_000, 1), (8001, 1, 1), {}),
]
SHORTER: list[tuple[str, tuple[int, ...], tuple[int, ...], dict[str, Any]]] = [
    ("conv1d", (1, 10_000, 1), (2001, 1, 1), {"padding": "causal"}),
    ("conv1d_rows", (1, 2, 5_000, 1), (2001, 1, 1), {"padding": "causal"}),
    ("conv1d_columns", (1, 5_000, 2, 1), (2001, 1, 1), {"padding": "causal"}),
    ("conv1d_transpose", (1, 20_000, 1), (2001, 1, 1), {}),
]
"""Graphs take transforms of these already."""


@pytest.mark.parametrize(
    ("compiled", "operation", "x_shape", "weight_shape", "options"),
    [*((False, *layer) for layer in LONG), *((True, *layer) for layer in SHORTER)],
    ids=str,
)
def test_nothing_before_an_impulse(
    backend: Backend,
    compiled: bool,
    operation: str,
    x_shape: tuple[int, ...],
    weight_shape: tuple[int, ...],
    options: dict[str, Any],
) -> None:
    """Exact zeros before it, in the result and in the gradients, where "auto" takes transforms."""
    axis = 2 if operation == "conv1d_rows" else 1
    x = np.zeros(x_shape, "float32")
    at = x_shape[axis] // 2
    np.moveaxis(x, axis, 0)[at] = 1
    weight = np.random.default_rng(0).standard_normal(weight_shape).astype("float32")

    def run(*arrays: Any) -> Any:
        return getattr(xconv, operation)(*arrays, formulation="local", **options)

    function = backend.compiled(run, backend.modes[0]) if compiled else run
    tensors = [backend.from_numpy(array, "cpu") for array in (x, weight)]
    y = np.moveaxis(backend.to_numpy(function(*tensors)), axis, 0)
    assert not y[:at].any()
    assert y[at].all()
    above = np.zeros(np.moveaxis(y, 0, axis).shape, "float32")
    np.moveaxis(above, axis, 0)[at] = 1
    dx, _ = backend.gradients(function, tensors, backend.from_numpy(above, "cpu"))
    after = np.moveaxis(backend.to_numpy(dx), axis, 0)[at + 1 :]
    assert not after.any()


def test_small_integers_are_exact(backend: Backend) -> None:
    case = Case("long", "conv1d", (1, 20_000, 1), ((2001, 1, 1),), {"padding": "causal"})
    assert all(finding.ok for finding in check(backend, case, kind="integers", formulation="local"))


def test_wisdom_of_transforms_is_not_followed(backend: Backend, nothing_known: None) -> None:
    if "fft" not in {form.name for form in backend.formulations}:
        return  # it has none
    call = xconv.resolve("conv1d", (1, 300, 1), (9, 1, 1), padding="causal")
    for direction in DIRECTIONS:
        key = Key(*backend.here("cpu"), "NWC", direction, call.problem)
        remember(key, Entry("fft", 1e-9, 1.0, "2026-01-01"))
    try:
        assert xconv.plan(call, backend=backend.name).choices["forward"].formulation == "fft"
        local = xconv.plan(call, backend=backend.name, formulation="local")
        assert "fft" not in {choice.formulation for choice in local.choices.values()}
    finally:
        forget()


def test_auto_takes_transforms_there(backend: Backend) -> None:
    """Else the tests above would say nothing."""
    if "fft" in {form.name for form in backend.formulations}:
        for execution, layers in ((EAGER, LONG), (backend.mode_execution[backend.modes[0]], SHORTER)):
            for operation, x_shape, weight_shape, options in layers:
                call = xconv.resolve(operation, x_shape, weight_shape, **options)
                plan = xconv.plan(call, backend=backend.name, execution=execution)
                assert plan.choices[call.direction].formulation == "fft", (execution, operation)

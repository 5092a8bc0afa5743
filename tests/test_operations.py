"""The table of operations: a new row is all that an operation needs, and no other file lists or compares names."""

from __future__ import annotations

import argparse
import ast
import inspect
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import hypothesis
import numpy as np
import pytest

import xconv
from tests.every_call import every_call, operands, ways
from xconv import ops
from xconv.bench.catalogue import Layer
from xconv.bench.own_layer import own_layer
from xconv.bench.verify import verify
from xconv.bench.worker import chosen, formulations, smallest
from xconv.calls.run import run, run_steps
from xconv.commands import bench as bench_command
from xconv.commands import explain as explain_command
from xconv.commands import tune as tuning_command
from xconv.core import operations
from xconv.core.backend import Backend
from xconv.core.call import resolve_all
from xconv.core.operations import MAPS, OPERATIONS, SIGNALS, Operation
from xconv.doctor import capabilities
from xconv.doctor.features import operation_case
from xconv.models.layers import LayerOptions
from xconv.parity import cases, check
from xconv.parity.geometries import geometries

ROOT = Path(__file__).parent.parent

MADE_UP = (
    Operation("conv1d_again", SIGNALS, "W", layer="Conv1DAgain"),
    Operation("conv1d_columns_transpose", MAPS, "H", direction="input_gradient", layer="Conv1DColumnsTranspose"),
    Operation("conv1d_rows_by_conv2d", MAPS, "W", formulation="conv2d"),
    Operation(
        "columns_then_rows",
        MAPS,
        "HW",
        steps=("conv1d_columns", "conv1d_rows"),
        weights=("weight_columns", "weight_rows"),
        layer="ColumnsThenRows",
    ),
)


def function_of(row: Operation) -> Callable[..., Any]:
    """The function that somebody who adds the row writes in ``ops.py``; it is for all rows here."""
    defaults = {"stride": 1, "padding": "valid", "padding_mode": "zeros", "dilation": 1, "groups": 1}
    defaults |= {"layout": row.layouts[0], "output_padding": 0}

    def function(
        x: Any,
        *arrays: Any,
        formulation: str = "auto",
        backend: str | None = None,
        device: str | None = None,
        **own: Any,
    ) -> Any:
        *weights, bias = (*arrays, None) if len(arrays) == len(row.weights) else arrays
        options = tuple({**{name: defaults[name] for name in row.options}, **own}.values())
        how = row.formulation or formulation, backend, device, options
        if row.is_separable:
            return run_steps(row.name, x, tuple(weights), bias, *how)
        [weight] = weights
        return run(row.name, x, weight, bias, *how)

    return function


@pytest.fixture(params=MADE_UP, ids=lambda row: row.name)
def made_up(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Operation:
    """A row more in the table, and its function."""
    row: Operation = request.param
    monkeypatch.setitem(OPERATIONS, row.name, row)
    monkeypatch.setattr(xconv, row.name, function_of(row), raising=False)
    return row


# --- an operation that is only a row ---


def test_it_has_parity_cases_and_they_are_right(made_up: Operation, backend: Backend) -> None:
    """With gradients, in both layouts, by every formulation; among them a small case with all options."""
    mine = [case for case in cases() if case.operation == made_up.name]
    assert {case.layout for case in mine} == {*made_up.layouts}
    assert len({str(case.options.get("padding")) for case in mine}) > 4
    small = every_call([made_up])
    named = [(case, how) for case in small for how in ways(backend, case)]
    for case, how in [*named, *((case, {}) for case in mine[::23])]:
        findings = check(backend, case, kind="integers", gradients=True, **how)
        assert findings
        assert all(finding.ok for finding in findings), (case, findings)


def test_it_is_drawn(made_up: Operation) -> None:
    case = hypothesis.find(
        geometries(),
        lambda case: case.operation == made_up.name,
        settings=hypothesis.settings(database=None, max_examples=2000, deadline=None),
    )
    assert case.calls()


def test_it_is_planned(made_up: Operation, backend: Backend) -> None:
    """The plan that is printed is that of the operation, and called it gives what the operation gives."""
    for case in every_call([made_up]):
        x, *weights, bias = (backend.cast(backend.from_numpy(array, "cpu"), "float32") for array in operands(case))
        plans = [xconv.plan(call, backend=backend.name) for call in case.calls()]
        names = made_up.steps or (made_up.name,)
        assert all(str(plan).startswith(f"{name} (") for plan, name in zip(plans, names, strict=True))
        if made_up.formulation:
            assert {plan.chosen.formulation for plan in plans} == {made_up.formulation}
        y = x
        for plan, weight in zip(plans, weights, strict=True):
            y = plan(y, weight, bias) if plan is plans[-1] else plan(y, weight)
        assert np.array_equal(backend.to_numpy(y), backend.to_numpy(case.run(x, *weights, bias)))


def test_it_is_explained(made_up: Operation) -> None:
    for case in every_call([made_up]):
        x_shape, *weights = case.passed_shapes()
        found = xconv.explain(case.operation, x_shape, *weights, **case.options, layout=case.layout)
        assert str(found).startswith(f"{made_up.name} of ")
        assert sorted(window.axis for window in found.windows) == sorted(made_up.axes)
        *_, result = case.inputs("integers", "float32")
        assert found.output_shape == result.shape
        assert {window.transposed for window in found.windows} == {made_up.is_transposed}
        wanted = "one for|that does not upsample" if made_up.rank == 3 or made_up.is_transposed else None
        image = xconv.explain("conv2d", (1, 9, 8, 4), (3, 5, 4, 6))
        if wanted:
            with pytest.raises(xconv.ArgumentError, match=wanted):
                image.as_operation(made_up.name)
        else:
            assert image.as_operation(made_up.name).operation == made_up.name


def test_it_is_refused_in_its_own_name(made_up: Operation, backend: Backend) -> None:
    """Each mistake names the argument; what explains and what computes say the same."""
    [last, _] = every_call([made_up])
    x, *weights, bias = operands(last)
    first, other = made_up.weights[0], next(row for row in OPERATIONS.values() if row.rank != made_up.rank)
    wide = np.concatenate([x, x], -1)
    mistakes: list[tuple[str, Sequence[Any], dict[str, Any]]] = [
        ("x", [x[0], *weights], {}),
        ("x", [wide, *weights], {}),
        (first, [x, weights[0][0], *weights[1:]], {}),
        ("bias", [x, *weights, bias[1:]], {}),
        ("layout", [x, *weights], {"layout": other.layouts[0]}),
        ("stride", [x, *weights], {"stride": 0}),
        ("dilation", [x, *weights], {"dilation": (1, 2, 3)}),
        ("padding", [x, *weights], {"padding": "casual"}),
        ("padding_mode", [x, *weights], {"padding_mode": "reflekt"}),
        ("groups", [x, *weights], {"groups": 0}),
    ]
    function = getattr(xconv, made_up.name)
    for argument, arrays, options in mistakes:
        with pytest.raises(xconv.ArgumentError) as told:
            function(*(array.astype("float32") for array in arrays), backend=backend.name, **options)
        assert (told.value.operation, told.value.argument) == (made_up.name, argument)
        kernels = [array.shape for array in arrays[1 : 1 + len(weights)]]
        bias_shape = arrays[-1].shape if len(arrays) > 1 + len(weights) else None
        with pytest.raises(xconv.ArgumentError) as resolved:
            resolve_all(made_up.name, arrays[0].shape, kernels, bias_shape, **options)
        assert str(resolved.value) == str(told.value)


def test_a_hint_shows_its_own_kernel(made_up: Operation) -> None:
    """Data in the other layout is recognised, and the kernel that it takes is told."""
    [last, first] = every_call([made_up])
    shape, kernels = last.x_shape, first.passed_shapes()[1:]
    with pytest.raises(xconv.ArgumentError) as told:
        resolve_all(made_up.name, shape, kernels, layout=first.layout)
    kernel = made_up.parts[0].kernel(channels_last=True)
    assert f"layout={last.layout!r}, with the weight as {kernel}" in str(told.value)


def test_it_is_benchmarked(made_up: Operation, backend: Backend) -> None:
    """A case can be made of it, which is verified, made small, and told by what it is computed."""
    [last, _] = every_call([made_up])
    options = {name: value for name, value in last.options.items() if name != "output_padding"}
    layer = Layer("mine", "", "", made_up.name, last.x_shape, last.weight_shapes, options, "smoke")
    verify(backend, layer, "cpu")
    verify(backend, layer, "cpu", channels="first")
    assert smallest(layer).operation == made_up.name
    assert bool(formulations(backend, layer)) == made_up.takes_formulation
    if made_up.formulation:
        assert chosen(backend, layer, "cpu", "forward", "auto", "last") == made_up.formulation
    if not made_up.is_separable:
        given = {"stride": 2, "dilation": 1, "groups": 1, "padding": "valid"}
        assert own_layer(made_up.name, last.x_shape, last.weight_shapes[0], given).operation == made_up.name


def test_the_commands_take_it(made_up: Operation, capsys: pytest.CaptureFixture[str]) -> None:
    """Where one kernel is all that the command line can say, and where there is a choice to measure."""

    def takes(command: Any, *arguments: str) -> bool:
        parser = argparse.ArgumentParser()
        command.add(parser.add_subparsers())
        try:
            parser.parse_args(arguments)
        except SystemExit:
            assert "invalid choice" in capsys.readouterr().err
            return False
        return True

    name = made_up.name
    assert takes(explain_command, "explain", name, "--input", "1,9", "--kernel", "1,1")
    assert takes(bench_command, "bench", "--op", name) == (not made_up.is_separable)
    measured = made_up.takes_formulation and not made_up.is_separable
    assert takes(tuning_command, "tune", "--op", name) == measured


def test_the_doctor_tries_it(made_up: Operation) -> None:
    assert operation_case(made_up.name).options["groups"] > 1
    about = {"devices": ["cpu"], "modes": []}
    assert made_up.name in {probe.name for probe in capabilities.probes("torch", about, has_own=False)}


def test_it_may_be_a_layer(made_up: Operation) -> None:
    """What a layer of it would be: its shapes, its options, and the operation that it computes."""
    if not made_up.layer:
        return
    options = LayerOptions(made_up.layer, 4, 6, 3, made_up.layouts[1], stride=2, padding="same", groups=2)
    assert options.operation == made_up.name
    assert tuple(options.arguments) == made_up.options
    assert tuple(options.weight_shapes(channels_last=True)) == made_up.weights
    x_shape = (2, 4, *([12, 10][: made_up.rank - 2]))
    found, calls = x_shape, options.calls(x_shape)
    for call in calls:
        found = call.result_shape(found)
    assert options.output_shape(x_shape) == found
    assert [call.operation for call in calls] == [*(made_up.steps or (made_up.name,))]


@pytest.mark.parametrize(
    "wrong",
    [
        {"axes": "H"},
        {"layouts": ("NCW", "NWC")},
        {"steps": ("conv1d_rows", "conv1d_columns")},
        {"direction": "weight_gradient"},
        {"layouts": MAPS, "axes": "HW", "direction": "input_gradient"},
    ],
    ids=str,
)
def test_a_row_that_contradicts_itself_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="conv1d_again"):
        replace(MADE_UP[0], **wrong)


def test_there_is_no_such_operation() -> None:
    """Where a name is looked up, it is told what there is, and what it may be a slip of."""
    for asked in (operations.find, lambda name: xconv.resolve(name, (1, 9, 1), (3, 1, 1))):
        with pytest.raises(xconv.ArgumentError, match=r"'conv1d', .*did you mean 'conv1d_rows'\?"):
            asked("conv1d_row")
    with pytest.raises(xconv.ArgumentError, match="resolve_all takes it"):
        xconv.resolve("spatially_separable_conv2d", (1, 9, 9, 1), (3, 1, 1))


# --- the functions ---


@pytest.mark.parametrize("row", OPERATIONS.values(), ids=lambda row: row.name)
def test_a_function_has_the_arguments_of_its_row(row: Operation, monkeypatch: pytest.MonkeyPatch) -> None:
    """And hands each of them on in its place."""
    passed: list[Any] = []
    monkeypatch.setattr(ops, "run", lambda *given: passed.extend(given))
    monkeypatch.setattr(ops, "run_steps", lambda *given: passed.extend(given))
    function = getattr(ops, row.name)
    parameters = inspect.signature(function).parameters
    how = [*(["formulation"] if row.takes_formulation else []), "backend", "device"]
    assert list(parameters)[: 2 + len(row.weights)] == ["x", *row.weights, "bias"]
    assert {*parameters} == {"x", *row.weights, "bias", *row.options, *how}
    assert parameters["layout"].default == row.layouts[0]
    given = {name: f"the {name}" for name in parameters}
    function(**given)
    name, x, weights, bias, *rest, options = passed
    kernels = weights if row.is_separable else (weights,)
    assert (name, x, bias) == (row.name, "the x", "the bias")
    assert kernels == tuple(f"the {weight}" for weight in row.weights)
    assert dict(zip(row.options, options, strict=True)) == {name: f"the {name}" for name in row.options}
    assert rest[-2:] == ["the backend", "the device"]
    assert rest[0] in ("the formulation", row.formulation, "auto")


@pytest.mark.parametrize("row", OPERATIONS.values(), ids=lambda row: row.name)
def test_the_pages_know_it(row: Operation) -> None:
    """README, the reference and the pages on layouts and on layers each have the row of an operation."""
    assert f"| `{row.name}` | {' '.join(row.layouts[0])} |" in (ROOT / "README.md").read_text("utf-8")
    assert f".. autofunction:: xconv.{row.name}\n" in (ROOT / "docs/reference/operations.rst").read_text("utf-8")
    lines = (ROOT / "docs/concepts/layouts.md").read_text("utf-8").splitlines()
    [line] = [line for line in lines if line.startswith(f'| `"{row.layouts[0]}"`')]
    assert f"`{row.name}`" in line
    assert not row.layer or f"| `{row.layer}` | `{row.name}` |" in (ROOT / "docs/layers.md").read_text("utf-8")
    assert row.name in xconv.__all__
    assert f"`{row.name}`" in (ROOT / "docs/concepts/sliding.md").read_text("utf-8")


# --- nobody else lists them ---

NAMED_ELSEWHERE = {
    "xconv/__init__.py": "the public names",
    "xconv/ops.py": "each function names its row",
    "xconv/advice": "recommendations have names of their own, some of which are an operation's",
    "xconv/core/planning_facts.py": "a formulation has this name",
    "xconv/bench/suites.py": "questions about particular operations",
    "xconv/claims": "claims about particular operations",
    "xconv/doctor/features.py": "features of a framework's own ops, each of a particular operation",
    "xconv/planning/one_formulation.py": "a problem that no operation was called for",
    "xconv/reference.py": "a function has this name",
    "xconv/models/spec.py": "kinds of layers of a network, and what a dense layer costs",
    "xconv/parity/cases.py": "sizes at which a framework was once wrong, each of a particular operation",
    "xconv/planning/planner.py": "a problem that no operation was called for, and a formulation",
    "xconv/testing/suite": "samples of particular operations",
    "backends": "formulations, the frameworks' own functions, and the operation of each of their layers",
}
"""The files that may write the name of an operation as a text, and why."""


def _python_files() -> list[Path]:
    return sorted(path for folder in ("xconv", "backends") for path in (ROOT / folder).rglob("*.py"))


def test_names_stand_in_the_table_alone() -> None:
    found = set()
    for path in _python_files():
        file = str(path.relative_to(ROOT))
        texts = [node.value for node in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(node, ast.Constant)]
        if file != "xconv/core/operations.py" and OPERATIONS.keys() & {text for text in texts if isinstance(text, str)}:
            found.add(next((known for known in NAMED_ELSEWHERE if file.startswith(known)), file))
    assert found == {*NAMED_ELSEWHERE}


def test_no_operation_is_told_apart_by_its_name() -> None:
    """Nothing compares an operation with a name: what tells it from others is a property of its row."""
    for path in _python_files():
        text = path.read_text("utf-8")
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Compare) and "operation" in ast.unparse(node):
                texts = {each.value for each in ast.walk(node) if isinstance(each, ast.Constant)}
                assert not texts & OPERATIONS.keys(), f"{path}:{node.lineno}: {ast.unparse(node)}"

"""Explanations: shapes and counts against what is computed, the picture against the definition, the command line."""

from __future__ import annotations

import json
import re
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import xconv
from xconv.bench.limits import Limits
from xconv.cli import main
from xconv.core.problem import ConvProblem
from xconv.explanation.explained import Explanation
from xconv.explanation.windows import Window
from xconv.parity.cases import Case, cases

PAGE = Path(__file__).parent.parent / "docs" / "explain.md"
CASES = [case for case in cases() if case.layout[-1] == "C"]


def explained(case: Case) -> Explanation:
    x_shape, *weights = case.passed_shapes()
    return xconv.explain(case.operation, x_shape, *weights, bias=case.bias, **case.options, layout=case.layout)


def by_counting(window: Window) -> tuple[int, int, int]:
    """(pairs inside, elements unseen, widest view) from the definition: output o and tap j meet o * s + j * d - low."""
    problem = window.problem
    low, length = problem.padding[0], problem.length
    pairs = {
        (o, at)
        for o in range(problem.output_length)
        for j in range(problem.kernel)
        if 0 <= (at := o * problem.stride + j * problem.dilation - low) < length
    }
    views: dict[int, list[int]] = {}
    for o, at in pairs:
        seer, seen = (at, o) if window.transposed else (o, at)
        views.setdefault(seer, []).append(seen)
    widest = max((max(seen) - min(seen) + 1 for seen in views.values()), default=0)
    return len(pairs), length - len({at for _, at in pairs}), widest


@pytest.mark.parametrize("case", CASES[::3], ids=lambda case: case.name)
def test_windows_are_as_the_definition_counts(case: Case) -> None:
    found = explained(case)
    for window in found.windows:
        inside, unseen, widest = by_counting(window)
        if window.problem.padding_mode == "zeros":
            assert (window.inside, window.unseen) == (inside, unseen)
        # a window that the padding cuts everywhere is never seen whole
        assert widest <= window.receptive_field
        if window.problem.output_length > 4 and window.problem.extent <= min(8, window.problem.length):
            assert widest == window.receptive_field


def test_every_case_is_told() -> None:
    for case in cases("smoke"):
        found = explained(case)
        *arrays, _ = case.inputs("integers", "float32")
        assert found.parameters == sum(array.size for array in arrays[1:])
        assert found.bytes >= 4 * (arrays[0].size + prod(found.output_shape) + found.parameters)
        told = str(found)
        assert f"output           {found.output_shape}" in told
        assert f"{found.macs:,} =" in told
        assert json.loads(found.to_json())["output_shape"] == list(found.output_shape)


@pytest.mark.parametrize(
    ("options", "length", "kernel", "lines"),
    [
        (
            {"stride": 2, "padding": "same"},
            16,
            3,
            [
                "3 taps span 3 of 16 elements",
                "padding 'same' is (0, 1): ceil(16 / 2) = 8 outputs take (8 - 1) * 2 + 3 - 16 = 1, the odd one on the "
                "high side",
                "output floor((16 + 0 + 1 - 3) / 2) + 1 = 8",
            ],
        ),
        (
            {"padding": "causal", "dilation": 4},
            16,
            3,
            [
                "3 taps, 4 apart, span (3 - 1) * 4 + 1 = 9 of 16 elements",
                "padding 'causal' is (8, 0): all of 9 - 1 on the low side, so that no output sees a later element",
                "output 16 + 8 + 0 - 9 + 1 = 16",
            ],
        ),
        ({"padding": "full", "padding_mode": "replicate"}, 5, 2, ["", "(1, 1)", "output 5 + 1 + 1 - 2 + 1 = 6"]),
        ({"stride": 5, "padding": "same_lower"}, 17, 2, ["", "= 0, half on the low side", "= 4"]),
        ({"stride": 5, "padding": "same_lower"}, 16, 2, ["", "(1, 0)", "= 4"]),
    ],
)
def test_the_formula_has_the_numbers_in(options: dict[str, Any], length: int, kernel: int, lines: list[str]) -> None:
    [window] = xconv.explain("conv1d", (1, length, 1), (kernel, 1, 1), **options).windows
    for line, wanted in zip(window.lines(), lines, strict=True):
        assert wanted in line


@pytest.mark.parametrize("case", [case for case in cases("smoke") if case.operation == "conv1d"], ids=lambda c: c.name)
def test_the_formula_is_right(case: Case) -> None:
    """What stands left of the last "=" of the output's line is worth what stands right of it."""
    for window in explained(case).windows:
        line = window.lines()[-1].removeprefix("output ")
        left, _, right = line.rpartition(" = ")
        worth = eval(left.replace("floor((", "((").replace(" / ", " // "))
        assert worth == int(right) == (window.problem.length if window.transposed else window.problem.output_length)


def test_the_picture_is_the_definition() -> None:
    """Every tap of the picture stands under the element that the definition says, every element is there."""
    for kernel, stride, dilation, padding in (
        (3, 1, 1, (0, 0)),
        (3, 2, 2, (2, 1)),
        (2, 4, 1, (0, 3)),
        (1, 1, 1, (0, 0)),
    ):
        problem = ConvProblem(1, 12, 1, 1, 1, kernel, stride, dilation, padding=padding)
        first, *rows = Window("W", problem, padding).picture().splitlines()
        assert first[8::2] == "0" * padding[0] + "x" * 12 + "0" * padding[1]
        for row in rows:
            if row == "...":
                continue
            number = int(row[2 : row.index("]")])
            taps = [at for at, sign in enumerate(row[8::2]) if sign == "#"]
            assert taps == [number * stride + j * dilation for j in range(kernel)]
        assert rows[-1].startswith(f"y[{problem.output_length - 1}]")


def test_a_long_signal_is_drawn_at_both_ends() -> None:
    lines = (
        xconv.explain("conv1d", (1, 16000, 1), (3, 1, 1), stride=2, padding="same").windows[0].picture().splitlines()
    )
    assert " ... " in lines[0]
    assert lines[-2:][0] == "..."
    assert lines[-1].startswith("y[7999]")
    assert len({len(line) for line in (lines[0], lines[-1])}) == 1
    assert max(map(len, lines)) < 100


def test_a_kernel_that_is_too_long_is_not_drawn() -> None:
    found = xconv.explain("conv1d", (1, 8000, 1), (400, 1, 1))
    assert found.windows[0].picture() == ""
    assert "tap," not in str(found)


@pytest.mark.parametrize(
    ("operation", "shapes", "options", "words"),
    [
        ("conv2d", ((1, 100, 1, 1), (3, 3, 1, 4)), {"padding": "same"}, "67% of the multiply-adds meet only the zeros"),
        ("conv1d", ((1, 100, 1), (9, 1, 4)), {"stride": 2}, "1 of 100 elements along W are seen by no output"),
        ("conv1d", ((1, 100, 1), (2, 1, 4)), {"stride": 5}, "60 of 100 elements along W are seen by no output"),
        ("conv1d_transpose", ((1, 9, 1), (3, 1, 1)), {"stride": 2}, "3 taps are no multiple of stride 2"),
    ],
)
def test_notes(operation: str, shapes: tuple[tuple[int, ...], ...], options: dict[str, Any], words: str) -> None:
    found = xconv.explain(operation, *shapes, **options)
    assert any(words in note for note in found.notes)
    assert words in str(found)
    assert xconv.explain("conv1d", (1, 100, 1), (3, 1, 4), padding="same").notes == []


def test_limits_are_taken_and_not_measured_unless_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    from xconv.bench import limits

    def measured(framework: str, use_cpu_time: bool) -> Limits:
        assert (framework, use_cpu_time) == ("numpy", False)
        return Limits(100e9, 10e9)

    shapes = (128, 8000, 1), (5, 1, 32)
    assert xconv.explain("conv1d", *shapes).least_seconds is None
    found = xconv.explain("conv1d", *shapes, limits=Limits(100e9, 10e9))
    assert found.least_seconds == max(found.flops / 100e9, found.bytes / 10e9)
    assert found.binds == "memory"
    assert "memory binds (100.0 GFLOP/s" in str(found)
    monkeypatch.setattr(limits, "measure", measured)
    assert xconv.explain("conv1d", *shapes, limits=True).least_seconds == found.least_seconds
    with pytest.raises(xconv.ArgumentError, match="only a CPU's are measured"):
        xconv.explain("conv1d", *shapes, limits=True, device="cuda:0")
    separable = xconv.explain(
        "spatially_separable_conv2d", (1, 9, 9, 8), (3, 8, 8), (3, 8, 8), limits=Limits(44e9, 10e9)
    )
    assert separable.binds == "compute and memory"
    assert separable.least_seconds == pytest.approx(
        sum(max(2 * m / 44e9, b / 10e9) for m, b in ((9 * 7 * 8 * 8 * 3, 4 * 1344), (7 * 7 * 8 * 8 * 3, 4 * 1096)))
    )


def test_numpy_measures_the_limits() -> None:
    found = xconv.explain("conv1d", (1, 9, 1), (3, 1, 1), limits=True)
    assert found.limits
    assert found.limits.flops > 1e8
    assert found.limits.bytes > 1e8


def test_no_framework_is_imported() -> None:
    import subprocess
    import sys

    code = "import sys, xconv; print(xconv.explain('conv1d', (8, 100, 3), (5, 3, 8), limits=True)); "
    code += "print([m for m in ('torch', 'tensorflow', 'jax') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize(
    ("arguments", "options", "words"),
    [
        (("conv3d", (1, 9, 1), (3, 1, 1)), {}, "did you mean 'conv2d'"),
        (("conv1d", (None, 9, 1), (3, 1, 1)), {}, "put 1 for a batch"),
        (("conv1d", (1, 9, 1)), {}, "0 shapes, expected the shape of one kernel"),
        (("spatially_separable_conv2d", (1, 9, 9, 1), (3, 1, 1)), {}, "the rows' kernel and of the columns'"),
        (("conv1d", (1, 9, 1), (3, 1, 1)), {"strides": 2}, "strides"),
        (("conv1d", (1, 2, 1), (3, 1, 1)), {}, "spans 3 elements on axis W of length 2"),
    ],
)
def test_wrong_use(arguments: tuple[Any, ...], options: dict[str, Any], words: str) -> None:
    with pytest.raises(xconv.ArgumentError) as caught:
        xconv.explain(*arguments, **options)
    assert words in str(caught.value)


def image(**options: Any) -> Explanation:
    return xconv.explain("conv2d", (2, 13, 14, 6), (3, 5, 6, 8), padding=("same", (1, 2)), stride=(1, 2), **options)


def test_the_same_setting_as_another_operation() -> None:
    found = image()
    assert found.as_operation("conv2d") is found
    rows, columns = found.as_operation("conv1d_rows"), found.as_operation("conv1d_columns")
    assert (rows.weight_shapes, rows.output_shape) == (((5, 6, 8),), (2, 13, found.output_shape[2], 8))
    assert (columns.weight_shapes, columns.output_shape) == (((3, 6, 8),), (2, found.output_shape[1], 14, 8))
    separable = found.as_operation("spatially_separable_conv2d", middle=4)
    assert separable.output_shape == found.output_shape
    assert separable.weight_shapes == ((5, 6, 4), (3, 4, 8))
    assert separable.as_operation("conv2d").weight_shapes == found.weight_shapes
    assert rows.as_operation("conv2d").weight_shapes == ((5, 5, 6, 8),)


@pytest.mark.parametrize("last", [True, False])
def test_a_signal_as_an_image(last: bool) -> None:
    shapes = ((2, 20, 6), (5, 3, 8)) if last else ((2, 6, 20), (8, 3, 5))
    options: dict[str, Any] = {
        "padding": (3, 1),
        "stride": 2,
        "dilation": 3,
        "groups": 2,
        "layout": "NWC" if last else "NCW",
    }
    found = xconv.explain("conv1d", *shapes, **options)
    other = found.as_operation("conv2d")
    assert other.input_shape == ((2, 1, 20, 6) if last else (2, 6, 1, 20))
    assert other.output_shape == ((2, 1, 6, 8) if last else (2, 8, 1, 6))
    assert (other.cost, other.useful_macs) == (found.cost, found.useful_macs)
    assert found.as_operation("conv2d_as_1d").cost == found.cost
    assert found.as_operation("conv1d_rows").output_shape == other.output_shape


@pytest.mark.parametrize(
    ("found", "operation", "words"),
    [
        (xconv.explain("conv1d", (1, 9, 1), (3, 1, 1)), "spatially_separable_conv2d", "a signal has no other axis"),
        (xconv.explain("conv2d", (1, 9, 9, 1), (3, 3, 1, 1)), "conv1d", "folded into the channels"),
        (xconv.explain("conv1d", (1, 9, 1), (3, 1, 1)), "conv1d_transpose", "does not upsample"),
        (xconv.explain("conv1d", (1, 9, 1), (3, 1, 1)), "conv4d", "expected one of"),
    ],
)
def test_what_is_no_variant(found: Explanation, operation: str, words: str) -> None:
    with pytest.raises(xconv.ArgumentError, match=words):
        found.as_operation(operation)


def test_side_by_side() -> None:
    found = image(limits=Limits(1e9, 1e9))
    separable = found.as_operation("spatially_separable_conv2d", middle=4)
    told = str(xconv.side_by_side(found, separable))
    assert f"{separable.macs:,} ({separable.macs / found.macs:.2f})" in told
    assert "at best" in told
    assert "what binds" in told
    assert "at best" not in str(xconv.side_by_side(image()))
    with pytest.raises(xconv.ArgumentError, match="got none"):
        xconv.side_by_side()
    with pytest.raises(xconv.ArgumentError, match="got str"):
        xconv.side_by_side(found, "conv1d")  # type: ignore[arg-type]


@pytest.mark.parametrize(("k", "inputs", "outputs", "middle"), [(3, 1, 64, 64), (3, 64, 64, 16), (7, 5, 3, 2)])
def test_the_cost_calculator(k: int, inputs: int, outputs: int, middle: int) -> None:
    """k*k*Cin*Cout, 2*k*Cin*Cout and k*M*(Cin + Cout); the true ones are those of kernels of these shapes."""
    found = xconv.separable_cost(k, inputs, outputs, middle)
    assert found.square == k * k * inputs * outputs
    assert found.rule_of_thumb == 2 * k * inputs * outputs
    assert found.true == k * middle * (inputs + outputs)
    square = xconv.explain("conv2d", (1, 9, 9, inputs), (k, k, inputs, outputs), padding="same", bias=False)
    separable = square.as_operation("spatially_separable_conv2d", middle)
    assert (square.parameters, separable.parameters) == (found.square, found.true)
    assert (square.macs, separable.macs) == (81 * found.square, 81 * found.true)
    kernel = np.random.default_rng(0).standard_normal((k * outputs, k * inputs))
    assert np.linalg.matrix_rank(kernel) == found.exact_from
    assert (found.break_even > middle) == (found.true < found.square)
    assert f"below a middle width of {found.break_even:.1f}" in str(found)


def test_the_calculators_rule_of_thumb_holds_at_the_harmonic_mean() -> None:
    found = xconv.separable_cost(5, 30, 60, middle=40)
    assert found.true == found.rule_of_thumb
    tall = xconv.separable_cost((3, 7), 4, 6, middle=2)
    assert (tall.true, tall.exact_from) == (2 * (7 * 4 + 3 * 6), min(3 * 6, 7 * 4))
    with pytest.raises(xconv.ArgumentError, match=r"separable_cost: middle: got 0"):
        xconv.separable_cost(3, 4, 4, 0)


def test_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    command = "explain conv1d --input 8,16000,64 --kernel 9,64,64 --stride 2 --padding same"
    assert main(command.split()) == 0
    same = xconv.explain("conv1d", (8, 16000, 64), (9, 64, 64), stride=2, padding="same")
    assert capsys.readouterr().out == f"{same}\n"
    assert main([*command.split(), "--json", "--no-bias"]) == 0
    assert json.loads(capsys.readouterr().out)["parameters"] == same.parameters - 64


def test_the_command_compares(capsys: pytest.CaptureFixture[str]) -> None:
    command = "explain conv2d --input 1,32,32,64 --kernel 3,3,64,64 --padding same,valid --stride 1,2"
    assert main([*command.split(), "--against", "spatially_separable_conv2d", "--middle", "16", "--json"]) == 0
    first, second = json.loads(capsys.readouterr().out)
    assert first["output_shape"] == second["output_shape"] == [1, 32, 15, 64]
    assert second["weight_shapes"] == [[3, 64, 16], [3, 16, 64]]
    separable = "explain spatially_separable_conv2d --input 1,9,9,4 --kernel 3,4,2 --kernel 5,2,8 --against conv1d_rows"
    assert main(separable.split()) == 0
    assert "conv1d_rows" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("conv1d --input 1,2,3 --kernel 5,3,8", "spans 5 elements"),
        ("conv1d --input 1,9,3 --kernel 5,3,8 --middle 4", "--against spatially_separable_conv2d"),
        ("conv1d --input 1,9,3 --kernel 5,3,8 --backend troch", "did you mean 'torch'"),
        ("conv1d --input 1,9,3 --kernel 5,3,8 --stride 1,2", "stride: got (1, 2)"),
    ],
)
def test_the_command_refuses(arguments: str, words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", *arguments.split()]) == 2
    assert words in capsys.readouterr().err


def test_the_plan_is_the_one_that_would_run(backend: Any) -> None:
    shapes = (2, 300, 6), (3, 1, 6)
    found = xconv.explain("conv1d", *shapes, groups=6, dilation=4, backend=backend.name)
    planned = xconv.plan(xconv.resolve("conv1d", *shapes, groups=6, dilation=4), backend=backend.name)
    assert found.plans[0].formulation == planned.choices["forward"].formulation
    assert planned.choices["forward"].why in str(found)
    assert image(backend=backend.name).plans[0].formulation == "conv2d"
    separable = image(backend=backend.name).as_operation("spatially_separable_conv2d")
    assert [plan.operation for plan in separable.plans] == ["conv1d_rows", "conv1d_columns"]
    assert "conv1d_columns: " in str(separable)


COMMANDS = re.findall(r"```console\n\$ xconv (.+)\n((?:.*\n)+?)```", PAGE.read_text("utf-8"))


@pytest.mark.parametrize(("command", "output"), COMMANDS)
def test_the_page_shows_what_is_printed(command: str, output: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(command.split()) == 0
    assert capsys.readouterr().out == output


def test_the_page_has_commands() -> None:
    assert len(COMMANDS) == PAGE.read_text("utf-8").count("```console") == 3

"""Multiply-adds inside the signal, as XLA counts them: it leaves out those with the zeros of the padding."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import pytest
from jax import lax

import xconv
from xconv.explanation.explained import Explanation
from xconv.parity.cases import Case, cases

CASES = [
    case
    for case in cases()
    if case.layout[-1] == "C"
    and case.operation in ("conv1d", "conv2d")
    and case.options.get("padding_mode", "zeros") == "zeros"
    and 0 not in case.x_shape
]


def xla_flops(found: Explanation) -> float:
    [call] = found.calls
    problems = [problem for problem in (call.vertical, call.problem) if problem is not None]
    names = ("NWC", "WIO", "NWC") if call.vertical is None else ("NHWC", "HWIO", "NHWC")

    def run(x: jax.Array, weight: jax.Array) -> jax.Array:
        return lax.conv_general_dilated(
            x,
            weight,
            [problem.stride for problem in problems],
            [problem.padding for problem in problems],
            rhs_dilation=[problem.dilation for problem in problems],
            dimension_numbers=names,
            feature_group_count=call.problem.groups,
        )

    shapes = (found.input_shape, found.weight_shapes[0])
    analysis = jax.jit(run).lower(*(jax.ShapeDtypeStruct(shape, jnp.float32) for shape in shapes)).cost_analysis()
    return float(analysis["flops"])


@pytest.mark.parametrize("operation", ["conv1d", "conv2d"])
def test_xla_counts_what_meets_the_signal(operation: str) -> None:
    padded = 0
    for case in (case for case in CASES if case.operation == operation):
        x_shape, *weights = case.passed_shapes()
        found = xconv.explain(case.operation, x_shape, *weights, **case.options, layout=case.layout)
        assert xla_flops(found) == 2 * found.useful_macs, case.name
        padded += found.useful_macs < found.macs
    assert padded >= 3


def test_a_3x3_on_a_width_of_one() -> None:
    found = xconv.explain("conv2d", (1, 100, 1, 1), (3, 3, 1, 4), padding="same")
    assert xla_flops(found) == 2 * found.useful_macs
    assert found.useful_macs < found.macs / 2


def test_cases_are_there() -> None:
    assert isinstance(CASES[0], Case)
    assert len(CASES) > 60

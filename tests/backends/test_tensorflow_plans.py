"""What TensorFlow's graphs are planned for: their device, the caller's layout, and what has no memory."""

from __future__ import annotations

import contextlib
import importlib
import traceback
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import xconv
from tests.every_call import EVERY
from xconv.core.lowering import lower
from xconv.core.plan import Plan
from xconv.parity import Case

with contextlib.suppress(ImportError):
    importlib.import_module("torch")  # before TensorFlow, which has crashed otherwise (pytorch#93884)
tf: Any = importlib.import_module("tensorflow")

LONG = (4, 20000, 1), (2001, 1, 1)


def planned_in(function: Callable[..., Any], *arrays: Any) -> list[Plan]:
    """The plans of the calls that a function makes while TensorFlow traces it."""
    found: list[Plan] = []

    def watched(plan: Plan) -> Any:
        found.append(plan)
        return lower(plan)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("xconv.calls.run.lower", watched)
        tf.function(function).get_concrete_function(*arrays)
    return found


def test_a_graph_is_planned_for_where_it_is_placed() -> None:
    """As the eager call is, but for what needs memory: the tensors of a graph name no device."""
    x, w = (tf.random.normal(shape) for shape in LONG)
    [plan] = planned_in(xconv.conv1d, x, w)
    eager = xconv.plan(xconv.resolve("conv1d", *LONG), backend="tensorflow")
    assert plan.target == replace(eager.target, execution="graph")
    assert plan.chosen.formulation == eager.chosen.formulation == "fft"
    assert {choice.source for choice in plan.choices.values()} == {"estimate"}
    assert {choice.formulation for choice in plan.choices.values()} == {"fft"}

    def elsewhere(x: Any, w: Any) -> Any:
        with tf.device("/GPU:1"):
            return xconv.conv1d(x, w)

    [plan] = planned_in(elsewhere, x, w)
    assert plan.target.device == "cuda:1"
    assert {choice.source for choice in plan.choices.values()} <= {"rule", "framework"}


def test_a_graph_is_planned_for_the_callers_layout() -> None:
    x, w = tf.zeros((2, 16, 400)), tf.zeros((24, 16, 3))
    [plan] = planned_in(partial(xconv.conv1d, layout="NCW"), x, w)
    assert plan.target.memory_format == "channels_first"
    assert plan == xconv.plan(
        xconv.resolve("conv1d", x.shape, w.shape, layout="NCW"), backend="tensorflow", execution="graph"
    )


def test_what_direct_computes_eagerly_has_its_best_in_a_graph() -> None:
    """The fastest of what can live there, not what a rule says of unknown times."""
    call = xconv.resolve("conv1d", (1, 4000, 256), (4, 1, 256), groups=256, padding="causal")
    eager, graph = (xconv.plan(call, backend="tensorflow", execution=how) for how in ("eager", "graph"))
    assert eager.chosen.formulation == "direct"
    seconds = {name: time for name, time in eager.chosen.seconds.items() if name != "direct"}
    assert graph.chosen.seconds == seconds
    assert graph.chosen.formulation == min(seconds, key=seconds.__getitem__)


def test_gradients_of_an_eager_call_may_be_vectorized() -> None:
    """``GradientTape.jacobian`` traces the gradients: they go by the plan for graphs."""
    x, w = tf.random.normal((1, 12, 8)), tf.random.normal((3, 8, 8))
    found = []
    for formulation in ("direct", "conv2d"):
        with tf.GradientTape(persistent=True) as tape:
            tape.watch([x, w])
            y = xconv.conv1d(x, w, formulation=formulation)[:, :2, :2]
        found.append(tape.jacobian(y, [x, w]))
    for mine, own in zip(*found, strict=True):
        np.testing.assert_array_equal(mine, own)  # each element is a number of the other operand


@pytest.mark.parametrize("case", EVERY, ids=lambda case: case.name)
def test_autograph_calls_operations_as_they_are(case: Case) -> None:
    """It would rewrite all of xconv, which takes seconds in the first ``tf.function`` of a process."""
    backend = xconv.get_backend("tensorflow")
    seen: list[str] = []

    def lowered(plan: Plan) -> Any:
        seen.extend(frame.filename for frame in traceback.extract_stack())
        return lower(plan)

    arrays = [backend.from_numpy(array, "cpu") for array in case.inputs("integers", "float32")[:-1]]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("xconv.calls.run.lower", lowered)
        tf.function(case.run).get_concrete_function(*arrays)
    own = [Path(file).as_posix() for file in seen if file.endswith(".py")]
    assert any(file.endswith("xconv/ops.py") for file in own)
    assert any(file.endswith("xconv/calls/run.py") for file in own)


def test_autograph_calls_plans_as_they_are() -> None:
    assert hasattr(Plan.__call__, "autograph_info__")

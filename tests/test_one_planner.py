"""One planner, one lowering: who chooses, who asks, and what a key of kept calls holds. Read from the source."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import xconv
from xconv.calls import dispatch
from xconv.core.backend import Backend
from xconv.core.problem import DIRECTIONS
from xconv.core.target import EXECUTIONS, Target
from xconv.planning import wisdom

ROOT = Path(xconv.__file__).parent.parent
SOURCES = sorted(
    path for folder in ("xconv", "backends") for path in (ROOT / folder).rglob("*.py") if "suite" not in path.parts
)

CHOOSING = {"decide", "candidates", "preferred"}
"""The functions of xconv/planning/choices.py that choose."""

MAY_CHOOSE = {"xconv/planning/choices.py", "xconv/planning/planner.py", "xconv/planning/tuning.py"}
"""The last measures what the first proposes."""

MAY_PLAN = {"xconv/planning/planner.py", "xconv/calls/run.py", "backends/xconv_torch/node.py"}
"""Calls; nodes whose sizes were open until their graph ran.

Who wants to read a plan asks ``xconv.plan``.
"""


def named(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def called(path: Path) -> Iterator[tuple[str, str]]:
    """The module (where it is plain) and the name of everything that a file calls."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Call):
            if isinstance(node.func, ast.Name):
                yield "", node.func.id
            elif isinstance(node.func, ast.Attribute):
                owner = node.func.value
                yield owner.id if isinstance(owner, ast.Name) else "?", node.func.attr


def imported(path: Path) -> Iterator[tuple[str, str]]:
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom):
            yield from ((node.module or "", alias.name) for alias in node.names)


def test_only_the_planner_chooses() -> None:
    choosers = {named(path) for path in SOURCES if CHOOSING & {name for owner, name in called(path) if owner == ""}} - {
        "xconv/commands/bench.py"
    }
    assert choosers <= MAY_CHOOSE
    asked = {"estimates", "rule", "own", "is_trap"}
    owners = ("backend", "owner", "self._backend")
    askers = {named(path) for path in SOURCES if any(name in asked and owner in owners for owner, name in called(path))}
    assert askers <= MAY_CHOOSE, "what a backend says of its formulations is for the planner"


def test_backends_lower_plans_and_choose_nothing() -> None:
    planners = {named(path) for path in SOURCES if ("xconv.planning.planner", "plan_call") in set(imported(path))}
    assert planners == MAY_PLAN - {"xconv/planning/planner.py"}
    for path in SOURCES:
        if path.is_relative_to(ROOT / "backends"):
            assert not any(module == "xconv.planning.choices" for module, _ in imported(path)), named(path)


def test_a_bias_is_added_in_one_place() -> None:
    def is_bias(node: ast.expr) -> bool:
        return isinstance(node, ast.Name) and node.id == "bias"

    adders = set()
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            added: list[ast.expr] = []
            if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
                added = [node.left, node.right]
            elif isinstance(node, ast.AugAssign):
                added = [node.value]
            if any(map(is_bias, added)):
                adders.add(named(path))
    # the reference is another computation, and models hold layers of their own
    assert {name for name in adders if "/models/" not in name} <= {"xconv/core/epilogue.py", "xconv/core/reference.py"}


def test_a_plan_travels_to_a_fresh_process(tmp_path: Path, backend: Backend) -> None:
    """By pickle, with the layer that holds it, and there it computes the same bits."""
    script = """
import pickle, sys
import numpy as np
import xconv
backend = xconv.get_backend(sys.argv[1])
plan, arrays, wanted, said = pickle.load(open(sys.argv[2], "rb"))
y = backend.to_numpy(plan(*(backend.from_numpy(array, "cpu") for array in arrays)))
assert np.array_equal(y, wanted), np.abs(y - wanted).max()
assert str(plan) == said
assert plan == xconv.plan(plan.call, backend=sys.argv[1])
assert hash(plan) == hash(xconv.plan(plan.call, backend=sys.argv[1]))
print("right")
"""
    import pickle

    rng = np.random.default_rng(0)
    arrays = [rng.standard_normal(shape, "float32") for shape in ((2, 40, 16), (5, 16, 24), (24,))]
    plan = xconv.plan(xconv.resolve("conv1d", (2, 40, 16), (5, 16, 24), padding="same"), backend=backend.name)
    y = backend.to_numpy(plan(*(backend.from_numpy(array, "cpu") for array in arrays)))
    file = tmp_path / "plan.pickle"
    file.write_bytes(pickle.dumps((plan, arrays, y, str(plan))))
    said = subprocess.run(
        [sys.executable, "-c", script, backend.name, str(file)], capture_output=True, text=True, check=False
    )
    assert said.stdout.strip() == "right", said.stderr


def test_a_model_that_holds_a_plan_is_copied_and_pickled(backend: Backend) -> None:
    """Before and after it has computed: what a plan is lowered to is made anew by each copy."""
    if backend.name != "torch":
        return
    import copy
    import pickle

    import torch

    from tests.holding import Holding

    model = Holding(xconv.resolve("conv1d", (2, 40, 16), (5, 16, 24)))
    x = torch.randn(2, 40, 16)
    for _ in range(2):
        for again in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
            assert again.plan == model.plan
            assert torch.equal(again(x), model(x))
            assert again.convolution.weight is not model.convolution.weight
            assert again(x).sum().backward() is None
            assert again.convolution.weight.grad is not None


def test_a_plan_says_where_it_runs(backend: Backend) -> None:
    call = xconv.resolve("conv1d", (2, 64, 300), (64, 64, 5), layout="NCW")
    for execution in EXECUTIONS:
        plan = xconv.plan(call, backend=backend.name, execution=execution)
        assert plan.target == Target(backend.name, "cpu", "channels_first", backend.threads(), execution)
        said = str(plan)
        assert f"{backend.name} on cpu, {execution}, channels first" in said
        assert "bias" in said
        assert all(direction in said for direction in DIRECTIONS)
        if execution != "eager" and execution != "inductor":
            assert "direct" not in {choice.formulation for choice in plan.choices.values()}
    with pytest.raises(xconv.ArgumentError, match=r"execution: got .eagre., expected one of .eager."):
        xconv.plan(call, backend=backend.name, execution="eagre")


def test_wisdom_of_one_count_of_threads_is_not_that_of_another(
    backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    if backend.name != "torch":
        return  # the others fix their threads before the first call
    import torch

    call = xconv.resolve("conv1d", (2, 200, 8), (5, 8, 12))
    threads = torch.get_num_threads()
    ran: list[str] = []
    taps = backend.by_name["taps"]
    compute = taps.compute

    def watched(*arguments: Any) -> Any:
        ran.append("taps")
        return compute(*arguments)

    monkeypatch.setattr(taps, "compute", watched)
    x, w = torch.ones(2, 200, 8), torch.ones(5, 8, 12)
    try:
        torch.set_num_threads(1)
        key = wisdom.Key(*backend.here("cpu"), "NWC", "forward", call.problem)
        wisdom.remember(key, wisdom.Entry("taps", 1e-3, 2e-3, "2026-11-21"))
        xconv.conv1d(x, w)
        assert ran == ["taps"]
        torch.set_num_threads(2)
        xconv.conv1d(x, w)
        assert ran == ["taps"]
        torch.set_num_threads(1)
        xconv.conv1d(x, w)
        assert ran == ["taps"] * 2
    finally:
        torch.set_num_threads(threads)
        wisdom.forget()


def test_an_exception_of_a_kept_call_arrives_once_and_unchanged(
    backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A call that was validated is not looked at again: what goes wrong in it is the caller's to see."""
    dispatch.forget()
    x, w = (backend.from_numpy(np.ones(shape, "float32"), "cpu") for shape in ((2, 30, 6), (3, 6, 8)))
    lowered: list[int] = []
    error = MemoryError("none is left")

    def failing(*_: Any) -> Any:
        lowered.append(1)
        raise error

    monkeypatch.setattr("xconv.calls.run.lower", lambda _: failing)
    for _ in range(3):
        with pytest.raises(MemoryError) as found:
            xconv.conv1d(x, w)
        assert found.value is error
    assert lowered == [1] * 3
    dispatch.forget()

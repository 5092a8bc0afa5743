"""Every way of execution runs what ``xconv.plan`` says of it: in graphs, under compilers, in exports."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

import xconv
from xconv.calls import run
from xconv.core.backend import Backend
from xconv.core.lowering import lower
from xconv.core.plan import Plan
from xconv.core.target import EXPORT, GRAPH, INDUCTOR, XLA
from xconv.parity import Case, cases
from xconv.testing.suite.extended import first_of

ALL, SMOKE = cases("full"), cases("smoke")
OPERATIONS = sorted({case.operation for case in ALL})


def tensors(backend: Backend, case: Case) -> list[Any]:
    *inputs, _ = case.inputs("integers", "float32")
    return [backend.from_numpy(np.asarray(array, "float32"), "cpu") for array in inputs]


def planned(backend: Backend, case: Case, execution: str) -> list[Plan]:
    return [xconv.plan(call, backend=backend.name, execution=execution) for call in case.calls()]


def watching(monkeypatch: pytest.MonkeyPatch, *, computes: bool) -> list[Plan]:
    """The plans that calls are lowered from."""
    found: list[Plan] = []

    def watched(plan: Plan) -> Any:
        found.append(plan)
        return lower(plan) if computes else lambda x, *_: x

    monkeypatch.setattr(run, "lower", watched)
    return found


def traced(backend: Backend) -> dict[str, Callable[[Sequence[Case]], None]]:
    """What traces cases by each way of execution of a backend, by their Python code."""
    if backend.name == "torch":
        import torch

        def together(cases: Sequence[Case]) -> None:
            for case in cases:
                torch.func.vmap(case.run)(*(array[None] for array in tensors(backend, case)))

        return {GRAPH: together}
    if backend.name == "jax":
        import jax

        def jaxpr(cases: Sequence[Case]) -> None:
            for case in cases:
                jax.make_jaxpr(case.run)(*tensors(backend, case))

        return {XLA: jaxpr}
    import tensorflow as tf

    def graph(jit: bool) -> Callable[[Sequence[Case]], None]:
        def trace(cases: Sequence[Case]) -> None:
            def body() -> Any:  # one graph for all: each takes a tenth of a second to be made
                return [case.run(*tensors(backend, case)) for case in cases][-1]

            tf.function(body, jit_compile=jit, autograph=False).get_concrete_function()

        return trace

    return {GRAPH: graph(False), XLA: graph(True)}


@pytest.mark.parametrize("operation", OPERATIONS)
def test_what_is_traced_is_what_a_plan_says(backend: Backend, operation: str, monkeypatch: pytest.MonkeyPatch) -> None:
    ran = watching(monkeypatch, computes=False)
    some = [case for case in ALL if case.operation == operation]
    for execution, trace in traced(backend).items():
        del ran[:]
        trace(some)
        assert ran == [plan for case in some for plan in planned(backend, case, execution)], execution


@pytest.mark.parametrize("part", first_of(range(3), 3))  # each graph takes half a second
@pytest.mark.parametrize("operation", OPERATIONS)
def test_what_is_compiled_is_what_a_plan_says(backend: Backend, operation: str, part: int) -> None:
    """By the graph: a node has the names of its formulations, and torch's own op is one."""
    if backend.name != "torch":
        return  # the graphs of the others are traced by their Python code
    import torch

    graphs: list[Any] = []

    def keep(graph: Any, _: Any) -> Any:
        graphs.append(graph)
        return graph.forward

    for case in [case for case in SMOKE if case.operation == operation][part::3]:
        torch.compiler.reset()
        del graphs[:]
        torch.compile(case.run, fullgraph=True, backend=keep)(*tensors(backend, case))
        held = []
        for node in graphs[0].graph.nodes:
            if node.target is torch.ops.xconv.convolution:
                held.append(list(node.args[4]))
            elif node.target in (torch.conv1d, torch.conv2d, torch.conv_transpose1d, torch.conv_transpose2d):
                held.append([{"conv_transpose": "conv"}.get(node.target.__name__, node.target.__name__)])
        wanted = []
        for plan in planned(backend, case, INDUCTOR):
            names = [choice.formulation for choice in plan.choices.values()]
            if plan.call.direction == "input_gradient" and plan.by_framework:
                names = [plan.chosen.formulation.replace("conv", "conv_transpose")]
            wanted.append(names[:1] if plan.by_framework else names)
        if not any(call.problem.is_empty for call in case.calls()):
            assert held == wanted, case


@pytest.mark.parametrize("operation", OPERATIONS)
def test_what_is_exported_is_what_a_plan_says(
    backend: Backend, operation: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if backend.name != "torch":
        return
    import torch

    class Module(torch.nn.Module):
        def __init__(self, case: Case) -> None:
            super().__init__()
            self.case = case

        def forward(self, *arrays: Any) -> Any:
            return self.case.run(*arrays)

    trace: Any = torch.jit.trace
    ran = watching(monkeypatch, computes=True)
    for case in SMOKE[::3]:
        if case.operation == operation:
            arrays, wanted = tuple(tensors(backend, case)), planned(backend, case, EXPORT)
            del ran[:]
            torch.export.export(Module(case), arrays)
            names = [plan.chosen.formulation for plan in wanted]
            assert [plan.chosen.formulation for plan in ran[: len(names)]] == names, case
            assert {plan.target.execution for plan in ran} == {EXPORT}
            del ran[:]
            trace(case.run, arrays, check_trace=False)
            assert [plan.chosen.formulation for plan in ran] == names, case
            assert {plan.target.execution for plan in ran} == {EXPORT}

"""torch.compile: what its graphs hold, of torch's own ops and of xconv's."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import pytest
import torch
from torch._dynamo.testing import CompileCounterWithBackend

import xconv
from xconv.core.call import Call
from xconv.core.layouts import LAYOUTS
from xconv.core.plan import DirectionPlan, Plan
from xconv.core.problem import DIRECTIONS, ConvProblem
from xconv.core.target import Target
from xconv.planning import wisdom
from xconv.planning.planner import plan_call, problem_of, values_of
from xconv_torch.formulations import FORMULATIONS
from xconv_torch.node import node

NODE = torch.ops.xconv.convolution
GENERATOR = torch.Generator().manual_seed(0)


def integers(*shape: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.randint(-3, 4, shape, generator=GENERATOR).to(dtype)


def work(graph: Any) -> list[Any]:
    """The ops of a graph that are no views."""
    views = ("permute", "transpose", "squeeze", "getitem")
    targets = [node.target for node in graph.nodes if node.op.startswith("call")]
    return [target for target in targets if not any(view in str(target) for view in views)]


def graph_of(function: Callable[..., Any], *arrays: Any, dynamic: bool | None = None) -> tuple[Any, Any]:
    """The one graph that ``torch.compile`` makes of a function, and what it computes."""
    seen: list[Any] = []

    def backend(graph: Any, _: Any) -> Any:
        seen.append(graph)
        return graph.forward

    torch.compiler.reset()
    result = torch.compile(function, fullgraph=True, dynamic=dynamic, backend=backend)(*arrays)
    [graph] = seen
    return graph.graph, result


def by_name(problem: ConvProblem, name: str) -> Plan:
    choice = DirectionPlan(name, "named")
    call = Call("conv1d", LAYOUTS["NWC"], problem, 1)
    return Plan(call, Target("torch", execution="inductor"), choice, choice, choice, by_framework=False)


def depthwise(x: Any, weight: Any) -> Any:
    return xconv.conv1d(x, weight, groups=64, padding="same")


DEPTHWISE = (2, 500, 64), (5, 1, 64)


def test_where_torch_s_own_op_is_kept_it_is_all_there_is() -> None:
    x, w = torch.randn(2, 3, 20), torch.randn(5, 3, 4).requires_grad_()
    problem, backend = xconv.resolve("conv1d", x.shape, w.shape, layout="NCW").problem, xconv.get_backend("torch")
    for direction in DIRECTIONS:
        key = wisdom.Key(*backend.here("cpu"), "NCW", direction, problem)
        wisdom.remember(key, wisdom.Entry("conv1d", 1e-6, 1e-6, "2026-11-29"))
    try:
        graph, _ = graph_of(lambda x, w: xconv.conv1d(x, w, layout="NCW"), x, w)
    finally:
        wisdom.forget()
    assert work(graph) == [torch.conv1d]


@pytest.mark.parametrize("trained", [False, True])
def test_where_another_is_faster_a_node_is_all_there_is(trained: bool) -> None:
    x, weight = (integers(*shape).requires_grad_(trained) for shape in DEPTHWISE)
    graph, y = graph_of(depthwise, x, weight)
    assert work(graph) == [NODE]
    assert torch.equal(y, depthwise(x, weight))


class Depthwise(torch.nn.Module):
    def forward(self, x: Any, weight: Any) -> Any:
        return depthwise(x, weight)


@pytest.mark.parametrize("strict", [False, True])
def test_what_is_exported_holds_torch_s_own_ops(strict: bool) -> None:
    exported = torch.export.export(Depthwise(), tuple(integers(*shape) for shape in DEPTHWISE), strict=strict)
    assert [str(target).split(".")[1] for target in work(exported.graph)] == ["conv2d"]


def by_compiler(calls: Iterable[Any], compilers: list[str]) -> list[Any]:
    """All calls under the first of the compilers, and the first call under all; the rest are extended tests."""
    return [
        pytest.param(call, compiler, marks=[pytest.mark.extended] if i and compiler != compilers[0] else [])
        for i, call in enumerate(calls)
        for compiler in compilers
    ]


OPEN_CALLS: list[dict[str, Any]] = [
    {"padding": "same"},
    {"stride": 2, "padding": "same"},
    {"stride": 3, "dilation": 2, "padding": "causal"},
    {"padding": 2, "padding_mode": "circular"},
    {"layout": "NCW", "padding": (2, 1)},
]


@pytest.mark.parametrize(("options", "compiler"), by_compiler(OPEN_CALLS, ["aot_eager", "eager", "inductor"]), ids=str)
def test_what_has_open_sizes_is_planned_when_it_runs(options: dict[str, Any], compiler: str) -> None:
    """One program for all sizes, its gradients too: bit for bit what the reference gives of small integers."""
    torch.compiler.reset()
    first = "layout" in options
    weight, bias = integers(*((64, 16, 5) if first else (5, 16, 64))).requires_grad_(), integers(64).requires_grad_()

    def function(x: Any, weight: Any, bias: Any) -> Any:
        return xconv.conv1d(x, weight, bias, groups=4, **options)

    xconv.conv1d(integers(1, 9, 1), integers(3, 1, 1))  # the first eager call of a process has all traced again
    counter = CompileCounterWithBackend(compiler)
    compiled = torch.compile(function, fullgraph=True, dynamic=True, backend=counter)
    for samples, length in ((2, 500), (3, 500), (3, 77), (5, 300)):
        x = integers(*((samples, 64, length) if first else (samples, length, 64))).requires_grad_()
        y, wanted = compiled(x, weight, bias), xconv.conv1d(x, weight, bias, groups=4, formulation="conv2d", **options)
        assert torch.equal(y, wanted)
        above = integers(*y.shape)
        mine, others = (torch.autograd.grad(result, (x, weight, bias), above) for result in (y, wanted))
        assert all(map(torch.equal, mine, others))
    assert counter.frame_count == 1
    torch.compiler.reset()
    graph, _ = graph_of(lambda x: xconv.conv1d(x, weight, bias, groups=4, **options), x, dynamic=True)
    assert NODE in work(graph)


@pytest.mark.parametrize("layout", ["NWC", "NCW", "NHWC", "NCHW"])
def test_what_has_open_sizes_is_planned_for_the_caller_s_layout(layout: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of its result and of its gradients, for which wisdom and estimates are others."""
    seen: set[str] = set()

    def spy(call: Call, *arguments: Any) -> Plan:
        seen.add(call.layout.name)
        return plan_call(call, *arguments)

    monkeypatch.setattr("xconv_torch.node.plan_call", spy)
    shape, first = {"N": 2, "C": 16, "H": 7, "W": 40}, not layout.endswith("C")
    x, w = integers(*(shape[axis] for axis in layout)), integers(*((24, 16, 3) if first else (3, 16, 24)))
    operation = xconv.conv1d if len(layout) == 3 else xconv.conv1d_rows
    torch.compiler.reset()
    compiled = torch.compile(lambda x, w: operation(x, w, layout=layout), fullgraph=True, dynamic=True, backend="eager")
    y = compiled(x.requires_grad_(), w.requires_grad_())
    torch.autograd.grad(y, (x, w), torch.ones(y.shape))
    assert seen == {layout}


TRANSFORMS: dict[str, Callable[..., Any]] = {
    "vmap": lambda x, w: torch.func.vmap(lambda one: depthwise(one[None], w)[0])(x),
    "grad": lambda x, w: torch.func.grad(lambda x: depthwise(x, w).square().sum())(x),
    "jvp": lambda x, w: torch.func.jvp(lambda x: depthwise(x, w), (x,), (x,))[1],
    "hessian": lambda x, w: torch.func.hessian(lambda w: depthwise(x[:1, :5], w).square().sum())(w)[:, 0, 0],
}


@pytest.mark.parametrize("how", TRANSFORMS)
def test_transforms_of_functions_see_torch_s_own_ops(how: str) -> None:
    x, w = (integers(*shape) for shape in DEPTHWISE)
    compiled = torch.compile(TRANSFORMS[how], fullgraph=True, backend="aot_eager")
    torch.compiler.reset()
    assert torch.equal(compiled(x, w), TRANSFORMS[how](x, w))


CALLS: dict[str, tuple[tuple[int, ...], tuple[int, ...], dict[str, Any]]] = {
    "strided": ((2, 41, 16), (3, 16, 24), {"stride": 2, "padding": (2, 0)}),
    "dilated, grouped": ((2, 41, 32), (3, 16, 48), {"groups": 2, "dilation": 3, "padding": "causal"}),
    "pointwise, strided": ((2, 41, 16), (1, 16, 24), {"stride": 2}),
    "circular": ((2, 41, 16), (4, 16, 24), {"padding": 2, "padding_mode": "circular"}),
    "channels first": ((2, 16, 41), (24, 16, 3), {"layout": "NCW"}),
    "rows": ((2, 5, 41, 16), (3, 16, 24), {}),
    "columns": ((2, 41, 5, 16), (3, 16, 24), {"padding": 1}),
    "maps, channels first": ((2, 16, 41, 5), (24, 16, 3), {"layout": "NCHW"}),
}


@pytest.mark.parametrize(("how", "compiler"), by_compiler(CALLS, ["aot_eager", "inductor"]))
def test_nodes_and_their_gradients_are_those_of_eager_torch(how: str, compiler: str) -> None:
    """Bit for bit, and laid in memory alike."""
    shape, kernel, options = CALLS[how]
    operation = {3: "conv1d", 4: "conv1d_columns" if how != "rows" else "conv1d_rows"}[len(shape)]

    def function(x: Any, w: Any, b: Any) -> Any:
        return getattr(xconv, operation)(x, w, b, formulation="direct", **options)

    channels = kernel[0] if "layout" in options else kernel[2]
    x, w, b = (integers(*s).requires_grad_() for s in (shape, kernel, (channels,)))
    graph, y = graph_of(function, x, w, b)
    assert NODE in work(graph)
    torch.compiler.reset()
    compiled = torch.compile(function, fullgraph=True, backend=compiler)
    wanted = function(x, w, b)
    above = integers(*wanted.shape)
    for got in (y, compiled(x, w, b)):
        assert torch.equal(got, wanted)
        assert got.stride() == wanted.stride()
        mine, others = (torch.autograd.grad(result, (x, w, b), above, retain_graph=True) for result in (got, wanted))
        assert all(map(torch.equal, mine, others))
    with torch.no_grad():
        assert torch.equal(compiled(x, w, b), wanted)


def test_a_bias_alone_is_trained() -> None:
    x, w = (integers(*shape) for shape in ((2, 41, 16), (3, 16, 24)))
    b = integers(24).requires_grad_()
    compiled = torch.compile(lambda b: xconv.conv1d(x, w, b, formulation="direct"), fullgraph=True, backend="eager")
    compiled(b).sum().backward()
    assert b.grad is not None
    assert torch.equal(b.grad, torch.full((24,), 2.0 * 39))


def test_narrow_numbers_are_widened_around_a_node() -> None:
    x, w = (integers(*shape, dtype=torch.bfloat16).requires_grad_() for shape in DEPTHWISE)
    graph, y = graph_of(depthwise, x, w)
    assert NODE in work(graph)
    assert y.dtype == torch.bfloat16
    assert torch.equal(y, depthwise(x, w))


def test_nodes_keep_what_torch_asks_of_ops() -> None:
    """Shapes without numbers, gradients of gradients, no result that is an operand."""
    problem = ConvProblem(2, 21, 1, 4, 8, kernel=3, stride=2, padding=(1, 0), dtype="float64")
    assert problem_of(values_of(problem), "float64") == problem
    direct = by_name(problem, "direct")
    x, w = (torch.randn(*s, dtype=torch.float64, requires_grad=True) for s in ((2, 21, 4), (3, 4, 8)))
    arguments = x, w, None, "forward", ["direct"] * 3, list(values_of(problem)), 1, False
    torch.library.opcheck(NODE.default, arguments)
    torch.library.opcheck(NODE.default, (x.transpose(1, 2).contiguous().transpose(1, 2), *arguments[1:-1], True))
    assert torch.autograd.gradcheck(lambda x, w: node(direct, "forward", problem, 1, x, w), (x, w))
    assert torch.autograd.gradgradcheck(lambda x, w: node(direct, "forward", problem, 1, x, w), (x, w))


def test_a_node_runs_any_formulation() -> None:
    x, w = integers(2, 41, 16), integers(3, 16, 24)
    problem = xconv.resolve("conv1d", x.shape, w.shape).problem
    for form in FORMULATIONS:
        y = node(by_name(problem, form.name), "forward", problem, 1, x, w)
        assert torch.equal(y, xconv.conv1d(x, w, formulation=form.name))

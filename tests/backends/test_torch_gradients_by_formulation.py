"""torch: gradients that are computed apart from the result, by every formulation, to every order."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.autograd import gradcheck, gradgradcheck

import xconv
from xconv.calls import dispatch
from xconv.core.call import Call
from xconv.core.layouts import LAYOUTS
from xconv.core.lowering import Lowering
from xconv.core.plan import DirectionPlan, Plan
from xconv.core.problem import DIRECTIONS, ConvProblem
from xconv.core.target import Target
from xconv_torch.autograd import planned

PROBLEMS = [
    ConvProblem(2, 17, 1, 3, 4, kernel=3, padding=(2, 1)),
    ConvProblem(2, 17, 1, 4, 4, kernel=3, dilation=2, groups=4, padding=(4, 0)),
    ConvProblem(2, 17, 1, 2, 2, kernel=5, stride=2, padding=(1, 2)),
]
OPERANDS = {"forward": ("x", "weight"), "input_gradient": ("dy", "weight"), "weight_gradient": ("x", "dy")}
forward_ad: Any = torch.autograd.forward_ad
BACKEND = xconv.get_backend("torch")


def operands(problem: ConvProblem, direction: str) -> list[Any]:
    generator = torch.Generator().manual_seed(1)
    shapes = {
        "x": (problem.outer, problem.length, problem.in_channels),
        "dy": (problem.outer, problem.output_length, problem.out_channels),
        "weight": problem.weight_shape,
    }
    return [
        torch.randn(shapes[name], dtype=torch.float64, generator=generator).requires_grad_()
        for name in OPERANDS[direction]
    ]


def by_name(problem: ConvProblem, direction: str, **names: str) -> Lowering:
    """A lowering that takes the formulations of these names, and computes each gradient by its own."""
    forward, dx, dweight = (DirectionPlan(names[each], "named") for each in DIRECTIONS)
    call = Call("conv1d", LAYOUTS["NWC"], problem, 1, direction)
    return Lowering(Plan(call, Target("torch"), forward, dx, dweight, by_framework=False), BACKEND)


@pytest.mark.parametrize("problem", PROBLEMS, ids=["plain", "depthwise, dilated", "strided"])
@pytest.mark.parametrize("direction", list(OPERANDS))
@pytest.mark.parametrize("name", [form.name for form in BACKEND.formulations])
def test_first_and_second_gradients(name: str, direction: str, problem: ConvProblem) -> None:
    form = BACKEND.by_name[name]
    names = {d: name if form.unsupported(d, problem) is None else "taps" for d in DIRECTIONS}
    if name not in names.values():
        return  # test_formulations.py sees to it that each formulation has problems that it can do
    lowering = by_name(problem, direction, **names)

    def function(a: Any, b: Any) -> Any:
        return planned(lowering, direction, problem, 1, a, b, None)

    inputs = operands(problem, direction)
    assert gradcheck(function, inputs)
    assert gradgradcheck(function, inputs)


@pytest.mark.parametrize("direction", ["forward", "input_gradient"])
@pytest.mark.parametrize("name", [form.name for form in BACKEND.formulations])
def test_a_bias_has_its_gradients_too(name: str, direction: str) -> None:
    problem = PROBLEMS[0]
    lowering = by_name(problem, direction, **dict.fromkeys(DIRECTIONS, name))
    channels = problem.out_channels if direction == "forward" else problem.in_channels
    bias = torch.randn(channels, dtype=torch.float64).requires_grad_()

    def function(a: Any, b: Any, bias: Any) -> Any:
        return planned(lowering, direction, problem, 1, a, b, bias)

    inputs = [*operands(problem, direction), bias]
    assert gradcheck(function, inputs)
    assert gradgradcheck(function, inputs)


def test_only_what_is_wanted_is_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[str] = []
    form = BACKEND.by_name["conv2d"]
    compute = form.compute

    def watched(direction: str, *arguments: Any) -> Any:
        ran.append(direction)
        return compute(direction, *arguments)

    monkeypatch.setattr(form, "compute", watched)
    problem = PROBLEMS[0]
    lowering = by_name(problem, "forward", **dict.fromkeys(DIRECTIONS, "conv2d"))
    x, w = operands(problem, "forward")
    x.requires_grad_(False)
    torch.autograd.grad(planned(lowering, "forward", problem, 1, x, w, None).sum(), w)
    assert ran == ["forward", "weight_gradient"]


def test_duals_pass_through_a_call() -> None:
    problem = PROBLEMS[0]
    x, w = operands(problem, "forward")
    with forward_ad.dual_level():
        y = xconv.conv1d(forward_ad.make_dual(x.detach(), torch.ones_like(x)), w.detach(), padding=(2, 1))
        tangent = forward_ad.unpack_dual(y).tangent
    assert torch.allclose(tangent, xconv.conv1d(torch.ones_like(x), w.detach(), padding=(2, 1)))


def test_a_planned_call_takes_the_planned_gradients(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the plan says so, and only where a gradient is wanted."""
    forward, others = DirectionPlan("conv2d", "named"), DirectionPlan("taps", "named")
    monkeypatch.setattr("xconv.planning.planner._decision", lambda *_: ((forward, others, others), False))
    dispatch.forget()
    generator = torch.Generator().manual_seed(2)
    x = torch.randint(-3, 4, (2, 17, 3), generator=generator).float()
    w = torch.randint(-3, 4, (3, 3, 4), generator=generator).float().requires_grad_()
    for _ in range(2):  # looked at in full, and made before
        y = xconv.conv1d(x, w, padding=1)
        assert "Planned" in type(y.grad_fn).__name__
        with torch.no_grad():
            assert torch.equal(xconv.conv1d(x, w, padding=1), y)
    dispatch.forget()


@pytest.mark.parametrize("name", ["conv1d", "conv2d", "auto"])
def test_a_named_op_is_not_differentiated_where_torch_writes_out_of_bounds(name: str) -> None:
    x, w = torch.ones(1, 1, 700, requires_grad=True), torch.ones(128, 1, 140, requires_grad=True)
    xconv.conv1d(x, w, layout="NCW", stride=5, formulation=name)
    y = xconv.conv1d(x, w, layout="NCW", stride=5, formulation=name)  # the call is known by now
    dx, dw = torch.autograd.grad(y.sum(), (x, w))
    called = {function.__name__ for function in computed_by(y)}
    assert "PlannedBackward" in called
    assert "ConvolutionBackward0" not in called
    seen = torch.zeros(700)
    for place in range(0, 700 - 139, 5):
        seen[place : place + 140] += 128
    assert torch.equal(dx[0, 0], seen)
    assert torch.equal(dw, torch.full_like(dw, y.shape[2]))


def computed_by(y: torch.Tensor) -> set[type]:
    """The kinds of functions in a gradient graph."""
    found, ahead = set[type](), [y.grad_fn]
    while ahead:
        function = ahead.pop()
        if function is not None:
            found.add(type(function))
            ahead += [before for before, _ in function.next_functions]
    return found

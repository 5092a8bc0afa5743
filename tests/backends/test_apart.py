"""torch: gradients that are computed apart from the result, by every formulation, to every order."""

from __future__ import annotations

import sys
from typing import Any

import pytest
import torch
from torch.autograd import gradcheck, gradgradcheck

import xconv
from xconv import dispatch
from xconv.plan import Chosen
from xconv.problem import ConvProblem
from xconv_torch.autograd import apart

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


@pytest.mark.parametrize("problem", PROBLEMS, ids=["plain", "depthwise, dilated", "strided"])
@pytest.mark.parametrize("direction", list(OPERANDS))
@pytest.mark.parametrize("name", [form.name for form in BACKEND.formulations])
def test_first_and_second_gradients(name: str, direction: str, problem: ConvProblem) -> None:
    form = next(form for form in BACKEND.formulations if form.name == name)
    taps = next(form for form in BACKEND.formulations if form.name == "taps")
    forms = {d: form if form.unsupported(d, problem) is None else taps for d in OPERANDS}
    if form not in forms.values():
        return  # test_formulations.py sees to it that each formulation has problems that it can do

    def function(a: Any, b: Any) -> Any:
        return apart(forms, direction, problem, 1, a, b)

    inputs = operands(problem, direction)
    assert gradcheck(function, inputs, check_forward_ad=True)
    assert gradgradcheck(function, inputs)


def test_only_what_is_wanted_is_computed() -> None:
    ran: list[str] = []

    class Spy:
        def __init__(self, form: Any) -> None:
            self.form = form

        def __getattr__(self, name: str) -> Any:
            ran.append(name)
            return getattr(self.form, name)

    problem = PROBLEMS[0]
    form = Spy(BACKEND.formulations[0])
    x, w = operands(problem, "forward")
    x.requires_grad_(False)
    forms: Any = dict.fromkeys(OPERANDS, form)
    y: Any = apart(forms, "forward", problem, 1, x, w)
    y.sum().backward()
    assert ran == ["forward", "weight_gradient"]
    assert x.grad is None


def test_duals_pass_through_a_call() -> None:
    problem = PROBLEMS[0]
    x, w = operands(problem, "forward")
    with forward_ad.dual_level():
        y = xconv.conv1d(forward_ad.make_dual(x.detach(), torch.ones_like(x)), w.detach(), padding=(2, 1))
        tangent = forward_ad.unpack_dual(y).tangent
    assert torch.allclose(tangent, xconv.conv1d(torch.ones_like(x), w.detach(), padding=(2, 1)))


def test_a_planned_call_takes_the_planned_gradients(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the plan says so, and only where a gradient is wanted."""
    forms = {form.name: form for form in BACKEND.formulations}
    chosen = Chosen(forms["conv2d"], forms["conv2d"], dict.fromkeys(OPERANDS, forms["taps"]))
    monkeypatch.setattr(sys.modules["xconv.plan"], "_chosen", lambda *_: chosen)
    dispatch.forget()
    generator = torch.Generator().manual_seed(2)
    x = torch.randint(-3, 4, (2, 17, 3), generator=generator).float()
    w = torch.randint(-3, 4, (3, 3, 4), generator=generator).float().requires_grad_()
    for _ in range(2):  # looked at in full, and made before
        y = xconv.conv1d(x, w, padding=1)
        assert "Apart" in type(y.grad_fn).__name__
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
    assert "ApartBackward" in called
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

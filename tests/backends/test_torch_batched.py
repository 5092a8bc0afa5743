"""torch: many cotangents or tangents at once, and batches of arguments: what one at a time gives."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch

import xconv
from tests.every_call import EVERY, arrays, ways
from xconv.calls import dispatch
from xconv.core.call import Call
from xconv.core.layouts import LAYOUTS
from xconv.core.lowering import Lowering
from xconv.core.plan import DirectionPlan, Plan
from xconv.core.problem import DIRECTIONS, ConvProblem
from xconv.core.target import Target
from xconv.parity import Case
from xconv_torch.autograd import planned

functional: Any = torch.autograd.functional
jacobian, hessian = functional.jacobian, functional.hessian
BACKEND = xconv.get_backend("torch")
CIRCULAR = {"padding": 2, "padding_mode": "circular"}
ADDED = [
    Case("depthwise", "conv1d", (2, 17, 6), ((3, 1, 6),), {"groups": 6, "padding": "causal"}),
    Case("grouped", "conv1d", (2, 17, 6), ((3, 3, 4),), {"groups": 2, "stride": 2}, False, "NCW"),
    Case("pointwise", "conv1d", (2, 17, 3), ((1, 3, 4),), {"stride": 3}),
    Case("circular", "conv1d_rows", (2, 4, 9, 3), ((3, 3, 4),), CIRCULAR, layout="NHWC"),
]
CASES = pytest.mark.parametrize("case", [*EVERY, *ADDED], ids=lambda case: case.name)


def same(found: Any, wanted: Any) -> bool:
    """Whether tensors are equal, bit for bit but for the transforms of "fft": the sums are integers."""
    if isinstance(found, torch.Tensor):
        return torch.equal(found.round(), wanted.round()) and bool((found - found.round()).abs().max() < 0.01)
    return len(found) == len(wanted) and all(map(same, found, wanted))


def exact(how: dict[str, Any]) -> Callable[[Any, Any], bool]:
    def equal(found: Any, wanted: Any) -> bool:
        if isinstance(found, torch.Tensor):
            return torch.equal(found, wanted)
        return len(found) == len(wanted) and all(map(equal, found, wanted))

    return same if how.get("formulation") == "fft" else equal


def cotangents(y: Any, count: int = 3) -> Any:
    return torch.randint(-2, 3, (count, *y.shape), generator=torch.Generator().manual_seed(1)).to(y.dtype)


@CASES
def test_many_cotangents_at_once(case: Case) -> None:
    """Of the result, and of its gradients in turn."""
    leaves = [leaf.requires_grad_() for leaf in arrays(BACKEND, case)]
    for how in ways(BACKEND, case):
        y, equal = case.run(*leaves, **how), exact(how)
        above = cotangents(y)
        together = torch.autograd.grad(y, leaves, above, is_grads_batched=True, retain_graph=True)
        singly = [torch.autograd.grad(y, leaves, one, create_graph=True) for one in above]
        assert equal(together, [torch.stack(found) for found in zip(*singly, strict=True)]), how
        twice = torch.autograd.grad(y, leaves, above, is_grads_batched=True, create_graph=True)
        squares = torch.stack([found.square().sum() for found in twice[:2]]).sum()
        second = torch.autograd.grad(squares, leaves[:2], retain_graph=True)
        squares = torch.stack([found.square().sum() for one in singly for found in one[:2]]).sum()
        wanted = torch.autograd.grad(squares, leaves[:2])
        assert equal(second, wanted), how


@CASES
def test_jacobians_and_hessians(case: Case) -> None:
    """In both modes, vectorized and by the transforms of functions, against one row at a time."""
    leaves = arrays(BACKEND, case)
    for how in ways(BACKEND, case):
        equal = exact(how)

        def some(*given: Any, how: dict[str, Any] = how) -> Any:
            return case.run(*given, **how)[:, :2].sum(0)

        def scalar(*given: Any, how: dict[str, Any] = how) -> Any:
            return case.run(*given, **how).square().sum()

        each = tuple(range(len(leaves)))
        wanted = jacobian(some, tuple(leaves))
        assert equal(jacobian(some, tuple(leaves), vectorize=True), wanted), how
        assert equal(jacobian(some, tuple(leaves), vectorize=True, strategy="forward-mode"), wanted), how
        assert equal(torch.func.jacrev(some, argnums=each)(*leaves), wanted), how
        assert equal(torch.func.jacfwd(some, argnums=each)(*leaves), wanted), how
        bias = leaves[1:]
        of_weights = partial(scalar, leaves[0])
        wanted = hessian(of_weights, tuple(bias))
        assert equal(hessian(of_weights, tuple(bias), vectorize=True), wanted), how
        forward = hessian(of_weights, tuple(bias), vectorize=True, outer_jacobian_strategy="forward-mode")
        assert equal(forward, wanted), how
        assert equal(torch.func.hessian(of_weights, argnums=each[:-1])(*bias), wanted), how


@CASES
def test_vmap_over_each_argument(case: Case) -> None:
    """One alone, all together, and one within the other."""
    leaves = arrays(BACKEND, case)
    for how in ways(BACKEND, case):
        equal = exact(how)

        def function(*given: Any, how: dict[str, Any] = how) -> Any:
            return case.run(*given, **how)

        many = [torch.stack([leaf, 2 * leaf, -leaf]) for leaf in leaves]
        for place in range(len(leaves)):
            over: list[int | None] = [None] * len(leaves)
            over[place] = 0
            given = [*leaves[:place], many[place], *leaves[place + 1 :]]
            singly = [function(*leaves[:place], one, *leaves[place + 1 :]) for one in many[place]]
            assert equal(torch.func.vmap(function, in_dims=tuple(over))(*given), torch.stack(singly)), (how, place)
        together = torch.stack([function(*one) for one in zip(*many, strict=True)])
        assert equal(torch.func.vmap(function)(*many), together), how
        rest = [None] * len(leaves[2:])
        over_weights = torch.func.vmap(function, in_dims=(None, 0, *rest))
        within = torch.func.vmap(over_weights, in_dims=(0, None, *rest))(many[0], many[1], *leaves[2:])
        assert equal(within[1][2], function(many[0][1], many[1][2], *leaves[2:])), how


@CASES
def test_gradients_of_a_batch_of_functions(case: Case) -> None:
    """Per-sample gradients, over each argument that is batched."""
    leaves = arrays(BACKEND, case)
    for how in ways(BACKEND, case):

        def loss(*given: Any, how: dict[str, Any] = how) -> Any:
            return case.run(*given, **how).square().sum()

        gradient = torch.func.grad(loss, argnums=tuple(range(len(leaves))))
        many = [torch.stack([leaf, -leaf]) for leaf in leaves]
        for place in range(len(leaves)):
            over: list[int | None] = [None] * len(leaves)
            over[place] = 0
            given = [*leaves[:place], many[place], *leaves[place + 1 :]]
            singly = [gradient(*leaves[:place], one, *leaves[place + 1 :]) for one in many[place]]
            wanted = [torch.stack(found) for found in zip(*singly, strict=True)]
            assert exact(how)(torch.func.vmap(gradient, in_dims=tuple(over))(*given), wanted), (how, place)


PROBLEMS = {
    "plain": ConvProblem(2, 17, 1, 3, 4, kernel=3, padding=(2, 1)),
    "depthwise": ConvProblem(2, 17, 1, 4, 4, kernel=3, dilation=2, groups=4, padding=(4, 0)),
    "strided": ConvProblem(2, 17, 1, 2, 2, kernel=5, stride=2, padding=(1, 2)),
}


@pytest.mark.parametrize("problem", PROBLEMS)
@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("name", [form.name for form in BACKEND.formulations])
def test_gradients_by_a_plan(name: str, direction: str, problem: str) -> None:
    """By every formulation in every direction: torch's own check of batched gradients."""
    known, forms = PROBLEMS[problem], {form.name: form for form in BACKEND.formulations}
    able = {each: name if forms[name].unsupported(each, known) is None else "taps" for each in DIRECTIONS}
    shapes = {
        "x": (known.outer, known.length, known.in_channels),
        "dy": (known.outer, known.output_length, known.out_channels),
        "weight": known.weight_shape,
    }
    taken = {"forward": ("x", "weight"), "input_gradient": ("dy", "weight"), "weight_gradient": ("x", "dy")}[direction]
    generator = torch.Generator().manual_seed(1)
    given = [torch.randn(shapes[each], dtype=torch.float64, generator=generator).requires_grad_() for each in taken]

    forward, dx, dweight = (DirectionPlan(able[each], "named") for each in DIRECTIONS)
    call = Call("conv1d", LAYOUTS["NWC"], known, 1, direction)
    lowering = Lowering(Plan(call, Target("torch"), forward, dx, dweight, by_framework=False), BACKEND)

    def function(a: Any, b: Any) -> Any:
        return planned(lowering, direction, known, 1, a, b, None)

    assert torch.autograd.gradcheck(function, given, check_batched_grad=True)
    assert torch.autograd.gradgradcheck(function, given, check_batched_grad=True)


@pytest.mark.parametrize("name", [form.name for form in BACKEND.formulations])
@CASES
def test_plans_that_compute_gradients_by_others(case: Case, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever a plan takes for the directions, also where it takes that only for gradients."""
    forms = {form.name: form for form in BACKEND.formulations}
    if case.operation in ("conv2d", "conv2d_as_1d"):
        return
    for call in case.calls():
        if any(forms[name].unsupported(each, call.problem) for each in DIRECTIONS):
            return
    own, other = DirectionPlan("conv2d", "named"), DirectionPlan(name, "named")
    monkeypatch.setattr("xconv.planning.planner._decision", lambda *_: ((own, other, other), False))
    dispatch.forget()
    leaves = [leaf.requires_grad_() for leaf in arrays(BACKEND, case)]
    y = case.run(*leaves)
    above = cotangents(y)
    together = torch.autograd.grad(y, leaves, above, is_grads_batched=True, retain_graph=True)
    singly = [torch.autograd.grad(y, leaves, one, retain_graph=True) for one in above]
    assert exact({"formulation": name})(together, [torch.stack(found) for found in zip(*singly, strict=True)])
    dispatch.forget()

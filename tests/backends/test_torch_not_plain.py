"""torch: tensors whose memory does not hold their numbers give what their numbers give."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

import xconv
from tests.every_call import EVERY, arrays, ways
from xconv.calls import dispatch
from xconv.parity import Case

BACKEND = xconv.get_backend("torch")


def negative(x: Any) -> Any:
    """The same numbers behind a minus sign that is not computed yet."""
    hidden = torch._neg_view(-x)
    assert hidden.is_neg()
    return hidden


def imaginary(x: Any) -> Any:
    """The same numbers as the imaginary part of a conjugate, with others between them."""
    hidden = torch.view_as_complex(torch.stack([x + 1, -x], -1)).conj().imag
    assert hidden.is_neg()
    return hidden


def zero(x: Any) -> Any:
    """Zeros without memory, as automatic differentiation has them."""
    hidden = torch._efficientzerotensor(x.shape, dtype=x.dtype)
    assert torch._is_zerotensor(hidden)
    return hidden


HIDDEN: dict[str, tuple[Callable[[Any], Any], Callable[[Any], Any]]] = {
    "negative": (negative, torch.clone),
    "imaginary": (imaginary, torch.clone),
    "zero": (zero, torch.zeros_like),
}
"""How numbers are hidden, and the plain tensor of the same numbers."""


@pytest.mark.parametrize("kind", HIDDEN)
@pytest.mark.parametrize("case", EVERY, ids=lambda case: case.name)
def test_results_in_each_place_by_each_formulation(case: Case, kind: str) -> None:
    good = arrays(BACKEND, case)
    hide, show = HIDDEN[kind]
    for how in ways(BACKEND, case):
        for place in range(len(good)):
            plain = [*good[:place], show(good[place]), *good[place + 1 :]]
            dispatch.forget()
            wanted = case.run(*plain, **how)
            hidden = [*good[:place], hide(good[place]), *good[place + 1 :]]
            for _ in range(2):  # the call is kept by now: of another such tensor, and of this one
                assert torch.equal(case.run(*hidden, **how), wanted), (how, place)
            dispatch.forget()
            assert torch.equal(case.run(*hidden, **how), wanted), (how, place)


@pytest.mark.parametrize("kind", HIDDEN)
@pytest.mark.parametrize("case", EVERY, ids=lambda case: case.name)
def test_gradients_of_them_and_from_them(case: Case, kind: str) -> None:
    """For leaves that are hidden, and for a hidden gradient of the result."""
    leaves = [leaf.requires_grad_() for leaf in arrays(BACKEND, case)]
    hide, show = HIDDEN[kind]
    above = torch.from_numpy(case.inputs("integers", "float64")[-1]).float()
    for how in ways(BACKEND, case):
        y = case.run(*leaves, **how)
        found = torch.autograd.grad(y, leaves, hide(above), retain_graph=True)
        assert all(map(torch.equal, found, torch.autograd.grad(y, leaves, show(above)))), how
        for place in range(len(leaves)):
            both = []
            for form in (hide, show):
                leaf = form(leaves[place].detach()).requires_grad_()
                given = [*leaves[:place], leaf, *leaves[place + 1 :]]
                y = case.run(*given, **how)
                both.append([y, *torch.autograd.grad(y, given, above)])
            assert all(map(torch.equal, *both)), (how, place)


@pytest.mark.parametrize("kind", HIDDEN)
@pytest.mark.parametrize("case", [case for case in EVERY if len(case.weight_shapes) == 1], ids=lambda case: case.name)
def test_plans_and_packed_weights(case: Case, kind: str) -> None:
    [call] = case.calls()
    if call.vertical is not None:
        return
    x, weight, bias = arrays(BACKEND, case)
    plan = xconv.plan(call, backend="torch")
    hide, show = HIDDEN[kind]

    def packed(x: Any, weight: Any, bias: Any) -> Any:
        return plan.pack(weight)(x, bias)

    for function in (plan, packed):
        for place in range(3):
            given = [x, weight, bias]
            plain = [*given[:place], show(given[place]), *given[place + 1 :]]
            hidden = [*given[:place], hide(given[place]), *given[place + 1 :]]
            assert torch.equal(function(*hidden), function(*plain)), place


@pytest.mark.parametrize("kind", HIDDEN)
def test_they_become_numpy_s_arrays(kind: str) -> None:
    hide, show = HIDDEN[kind]
    x = torch.arange(6.0)
    assert (BACKEND.to_numpy(hide(x)) == show(x).numpy()).all()


@pytest.mark.parametrize("kind", ["negative", "imaginary"])
def test_a_parameter_may_be_one(kind: str) -> None:
    weight = torch.randn(6, 4, 3, generator=torch.Generator().manual_seed(0))
    x = torch.randn(2, 4, 19, generator=torch.Generator().manual_seed(1))
    parameter = torch.nn.Parameter(HIDDEN[kind][0](weight))
    assert parameter.is_neg()
    with torch.no_grad():
        torch.testing.assert_close(xconv.conv1d(x, parameter, layout="NCW"), torch.nn.functional.conv1d(x, weight))

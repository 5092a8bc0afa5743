"""Gradients computed apart: each direction by the formulation that is fastest for it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from xconv.adjoints import ADJOINTS, operands
from xconv.formulation import Formulation
from xconv.problem import ConvProblem


class Apart(torch.autograd.Function):
    """One direction of a problem, whose gradients are the two others, and theirs in turn."""

    @staticmethod
    def forward(
        ctx: Any,
        a: Tensor,
        b: Tensor,
        forms: Mapping[str, Formulation],
        direction: str,
        problem: ConvProblem,
        axis: int,
    ) -> Tensor:
        ctx.save_for_backward(a, b)
        ctx.save_for_forward(a, b)
        ctx.how = (forms, direction, problem, axis)
        return computed(forms[direction], direction, problem, axis, a, b)

    @staticmethod
    def backward(ctx: Any, *above: Tensor) -> tuple[Tensor | None, ...]:
        a, b = ctx.saved_tensors
        forms, direction, problem, axis = ctx.how
        found: list[Tensor | None] = [None, None]
        for which, wanted in enumerate(ADJOINTS[direction]):
            if ctx.needs_input_grad[which]:
                found[which] = apart(forms, wanted, problem, axis, *operands(direction, which, a, b, above[0]))
        return (*found, None, None, None, None)

    @staticmethod
    def jvp(ctx: Any, *tangents: Any) -> Tensor:
        a, b = ctx.saved_tensors
        forms, direction, problem, axis = ctx.how
        da, db = tangents[:2]
        parts = [] if da is None else [computed(forms[direction], direction, problem, axis, da, b)]
        if db is not None:
            parts.append(computed(forms[direction], direction, problem, axis, a, db))
        return parts[0] if len(parts) == 1 else parts[0] + parts[1]


def apart(
    forms: Mapping[str, Formulation], direction: str, problem: ConvProblem, axis: int, a: Tensor, b: Tensor
) -> Tensor:
    """A direction of a problem, with gradients if they are wanted."""
    if torch.is_grad_enabled() and (a.requires_grad or b.requires_grad):
        result: Tensor = Apart.apply(a, b, forms, direction, problem, axis)
        return result
    return computed(forms[direction], direction, problem, axis, a, b)


def computed(form: Formulation, direction: str, problem: ConvProblem, axis: int, a: Tensor, b: Tensor) -> Tensor:
    """A direction by a formulation."""
    if direction == "forward":
        y: Tensor = form.forward(problem, axis, a, b, None)
        return y
    gradient: Tensor = getattr(form, direction)(problem, axis, a, b)
    return gradient


def is_differentiated(*tensors: Tensor | None) -> bool:
    """Whether torch is to compute gradients."""
    return torch.is_grad_enabled() and any(t is not None and t.requires_grad for t in tensors)


def is_eager() -> bool:
    """Whether torch records what is done in a way that :class:`Apart` serves."""
    return not (torch.compiler.is_compiling() or torch._C._are_functorch_transforms_active())

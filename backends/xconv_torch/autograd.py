"""Gradients by a plan: each direction by its own formulation."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from xconv.core.adjoints import ADJOINTS, operands
from xconv.core.lowering import Lowering
from xconv.core.problem import ConvProblem
from xconv.core.target import EAGER
from xconv_torch.batched import is_batched, of_each_part
from xconv_torch.executions import execution


class Planned(torch.autograd.Function):
    """One direction of a problem, whose gradients are the two others, and theirs in turn."""

    @staticmethod
    def forward(
        ctx: Any,
        a: Tensor,
        b: Tensor,
        bias: Tensor | None,
        lowering: Lowering,
        direction: str,
        problem: ConvProblem,
        axis: int,
    ) -> Tensor:
        ctx.save_for_backward(a, b)
        ctx.how = (lowering, direction, problem, axis)
        return lowering.form(direction).compute(direction, problem, axis, a, b, bias)

    @staticmethod
    def backward(ctx: Any, *above: Tensor) -> tuple[Tensor | None, ...]:
        lowering, direction, problem, axis = ctx.how
        found: list[Tensor | None] = [None, None, None]
        if ctx.needs_input_grad[0] or ctx.needs_input_grad[1]:
            a, b = ctx.saved_tensors
            for which, wanted in enumerate(ADJOINTS[direction]):
                if ctx.needs_input_grad[which]:
                    one, other = operands(direction, which, a, b, above[0])
                    found[which] = planned(lowering, wanted, problem, axis, one, other, None)
        if ctx.needs_input_grad[2]:
            found[2] = above[0].sum(tuple(range(above[0].ndim - 1)))
        return (*found, None, None, None, None)


def planned(
    lowering: Lowering, direction: str, problem: ConvProblem, axis: int, a: Tensor, b: Tensor, bias: Tensor | None
) -> Tensor:
    """A direction of a problem by its formulation, with gradients by theirs if they are wanted.

    Many cotangents at once go by a node, which torch computes for each; other tensors that are not plain by the plan
    for a graph, whose ops torch differentiates.
    """
    if execution(a, b, bias) != EAGER:
        if is_batched(a, b) and lowering.plan.target.device == "cpu":
            return of_each_part(lowering.plan, direction, problem, axis, a, b)
        lowering = lowering.in_graph
    elif is_differentiated(a, b, bias):
        result: Tensor = Planned.apply(a, b, bias, lowering, direction, problem, axis)
        return result
    y: Tensor = lowering.form(direction).compute(direction, problem, axis, a, b, bias)
    return y


def is_differentiated(*tensors: Tensor | None) -> bool:
    """Whether torch is to compute gradients."""
    return torch.is_grad_enabled() and any(t is not None and t.requires_grad for t in tensors)

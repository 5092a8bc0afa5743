"""Gradients of many cotangents at once: ``is_grads_batched``, ``torch.autograd.functional`` with ``vectorize=True``.

They reach a backward as tensors with an axis that only torch sees, and without memory. Few of torch's ops know what to
do with such an axis; an op of a library is called for each part of it, by torch itself.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from xconv.core.plan import Plan
from xconv.core.problem import ConvProblem


def is_batched(*tensors: Any) -> bool:
    """Whether one has an axis that only torch sees (not that of ``torch.func``, which its transforms look after)."""
    return any(t is not None and torch._C._functorch.is_legacy_batchedtensor(t) for t in tensors)


def of_each_part(plan: Plan, direction: str, problem: ConvProblem, axis: int, a: Tensor, b: Tensor) -> Tensor:
    """A direction of a problem for each part of such tensors, with gradients that are the two others."""
    from xconv_torch.node import node  # with which all comes that torch's compilers need

    return node(plan, direction, problem, axis, a, b)

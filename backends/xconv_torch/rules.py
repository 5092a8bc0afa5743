"""What is taken where no estimate decides, while a compiler traces or on a GPU; and what no estimate is trusted on."""

from __future__ import annotations

import torch

from xconv.direct.machine import unavailable
from xconv.estimate import LONG
from xconv.plan import chosen_eagerly, settled
from xconv.problem import ConvProblem
from xconv.registry import get_backend
from xconv_torch.formulations.native import overrun
from xconv_torch.node import constant, is_alone, is_known, problem_of, sizes_of

Names = tuple[str, str, tuple[str, ...]]
"""Formulations: of what is not differentiated, of what is, and of each direction where those are computed apart."""


def rule(direction: str, problem: ConvProblem, layout: str) -> tuple[str, str]:
    """A formulation, and the reason."""
    refused = overrun(direction, problem)
    if refused is not None:
        return "im2col", refused
    if problem.depthwise and problem.dilation > 1:
        return "conv1d", "dilated depthwise is slow in channels-last conv2d"
    if problem.out_channels == 1 and problem.dtype == "float64":
        return "conv1d", "torch refuses conv2d's second gradients for one output channel in float64"
    if not layout.endswith("C"):
        return "conv1d", "the caller's layout is the op's own"
    return "conv2d", "takes channels-last memory, rows and columns without a transpose"


def traced(direction: str, problem: ConvProblem, layout: str, device: str) -> Names:
    """What is compiled: on the CPU what eager torch takes; what the rule says where that is an op of torch's own,
    elsewhere, and for what is exported.
    """
    if device == "cpu" and not torch.compiler.is_exporting() and is_known(problem) and not problem.is_empty:
        found: Names | None = _eager(direction, sizes_of(settled(problem)), problem.dtype, layout)
        if found is not None:
            return found
    name = rule(direction, problem, layout)[0]
    return name, name, ()


@constant
def _eager(direction: str, sizes: tuple[int, ...], dtype: str, layout: str) -> Names | None:
    """What eager torch takes, or None where it takes torch's own ops, or where a graph may hold no others."""
    if not is_alone() or unavailable() is not None:
        return None
    backend = get_backend("torch")
    chosen = chosen_eagerly(backend, direction, problem_of(sizes, dtype), layout, "cpu")
    name, trained = chosen.formulation.name, chosen.trained.name
    if chosen.adjoints is None and {name, trained} <= set(backend.differentiated):
        return None
    return name, trained, tuple(form.name for form in (chosen.adjoints or {}).values())


def is_trap(name: str, direction: str, problem: ConvProblem) -> bool:
    """Whether channels-last conv2d is many times slower on some such problems."""
    if name != "conv2d":
        return False
    if direction == "weight_gradient" and problem.kernel > LONG:
        return True  # up to 250 times, as it was measured
    alone = problem.depthwise and problem.group_out == 1
    far = max(problem.padding) > 7 and problem.in_channels > 48
    return alone and problem.dilation > 1 and (direction != "forward" or far)  # up to 30 times

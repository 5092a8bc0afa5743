"""What is taken where no estimate decides, while a compiler traces or on a GPU; and what no estimate is trusted on."""

from __future__ import annotations

import torch

from xconv.direct.machine import unavailable
from xconv.estimate import LONG
from xconv.plan import Chosen, chosen_eagerly, settled
from xconv.problem import DIRECTIONS, ConvProblem
from xconv.registry import get_backend
from xconv_torch.formulations import FORMULATIONS
from xconv_torch.formulations.native import overrun
from xconv_torch.node import OPEN, constant, is_alone, is_known, problem_of, sizes_of

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


def traced(direction: str, problem: ConvProblem, layout: str, device: str) -> Chosen | None:
    """What is compiled on the CPU: what eager torch takes, where that is another than torch's own ops.

    What has open sizes is chosen when they are known. Nothing is said of what is exported.
    """
    if device != "cpu" or not torch.compiler.is_compiling() or not is_alone() or not _can_compile():
        return None
    if not is_known(problem):
        return Chosen(OPEN, OPEN, dict.fromkeys(DIRECTIONS, OPEN))
    if problem.is_empty:
        return None
    found: Names | None = _eager(direction, sizes_of(settled(problem)), problem.dtype, layout)
    if found is None:
        return None
    name, trained, apart = found
    forms = [_BY_NAME[each] for each in apart]
    return Chosen(_BY_NAME[name], _BY_NAME[trained], dict(zip(DIRECTIONS, forms, strict=True)) if forms else None)


_BY_NAME = {form.name: form for form in FORMULATIONS}


@constant
def _can_compile() -> bool:
    return unavailable() is None


@constant
def _eager(direction: str, sizes: tuple[int, ...], dtype: str, layout: str) -> Names | None:
    """What eager torch takes, or None where it takes torch's own ops."""
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

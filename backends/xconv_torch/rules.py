"""What is taken where no estimate decides, while a compiler traces or on a GPU; and what no estimate is trusted on."""

from __future__ import annotations

import torch

from xconv.estimate import LONG
from xconv.problem import ConvProblem
from xconv_torch.formulations.native import overrun

UNROLLED = 14
"""Taps up to which inductor compiles a sum over them, with its gradients, in less than 8 seconds."""


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


def traced(direction: str, problem: ConvProblem, layout: str, device: str) -> tuple[str, str]:
    """What is compiled: without gradients, and with them.

    Depthwise layers on the CPU are what oneDNN is slow at, and where inductor can help. It fuses a sum over taps into
    one loop: with gradients 2 to 8 times as fast, and of what is dilated 5 to 35 times from 5 taps on, also without.
    What it knows to be a 2-D convolution it brings to channels last, where more than 14 taps are 5 to 12 times as fast.
    """
    name = rule(direction, problem, layout)[0]
    if name not in ("conv1d", "conv2d") or not _suits_inductor(problem, device):
        return name, name
    if problem.kernel <= UNROLLED:
        return ("taps" if problem.dilation > 1 else name), "taps"
    name = "conv2d" if problem.dilation == 1 else name
    return name, name


def _suits_inductor(problem: ConvProblem, device: str) -> bool:
    """Whether it is a depthwise layer on the CPU; what is exported is for others than inductor."""
    alone = problem.is_static and problem.depthwise and problem.in_channels == problem.out_channels > 1
    return alone and device == "cpu" and not torch.compiler.is_exporting()


def is_trap(name: str, direction: str, problem: ConvProblem) -> bool:
    """Whether channels-last conv2d is many times slower on some such problems."""
    if name != "conv2d":
        return False
    if direction == "weight_gradient" and problem.kernel > LONG:
        return True  # up to 250 times, as it was measured
    alone = problem.depthwise and problem.group_out == 1
    far = max(problem.padding) > 7 and problem.in_channels > 48
    return alone and problem.dilation > 1 and (direction != "forward" or far)  # up to 30 times

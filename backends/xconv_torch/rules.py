"""What is taken where no estimate decides, in graphs, exports and on a GPU; and what no estimate is trusted on."""

from __future__ import annotations

from xconv.core.problem import DIRECTIONS, ConvProblem
from xconv.core.target import EAGER, INDUCTOR, Target
from xconv.planning.estimate import LONG_KERNEL_TAPS
from xconv_torch.formulations.native import overrun


def rule(direction: str, problem: ConvProblem, target: Target) -> tuple[str, str]:
    """A formulation, and the reason."""
    by_torch = target.execution not in (EAGER, INDUCTOR)  # which differentiates what is taken: all directions count
    refused = next(filter(None, (overrun(each, problem) for each in (DIRECTIONS if by_torch else [direction]))), None)
    if refused is not None:
        return "im2col", refused
    if problem.depthwise and problem.dilation > 1:
        return "conv1d", "dilated depthwise is slow in channels-last conv2d"
    if problem.out_channels == 1 and problem.dtype == "float64":
        return "conv1d", "torch refuses conv2d's second gradients for one output channel in float64"
    if not target.channels_last:
        return "conv1d", "the caller's layout is the op's own"
    return "conv2d", "takes channels-last memory, rows and columns without a transpose"


def is_trap(name: str, direction: str, problem: ConvProblem) -> bool:
    """Whether channels-last conv2d is many times slower on some such problems."""
    if name != "conv2d":
        return False
    if direction == "weight_gradient" and problem.kernel > LONG_KERNEL_TAPS:
        return True  # up to 250 times, as it was measured
    is_depthwise = problem.depthwise and problem.group_out == 1
    far = max(problem.padding) > 7 and problem.in_channels > 48
    return is_depthwise and problem.dilation > 1 and (direction != "forward" or far)  # up to 30 times

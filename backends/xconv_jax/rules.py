"""The formulation that is taken for a problem: JAX's are chosen by rule everywhere."""

from __future__ import annotations

from xconv.core.problem import ConvProblem
from xconv_jax.formulations.taps import UNROLLED_TAPS

FEW_CHANNELS = 16
"""Channels below which XLA's 2-D convolution is faster than its 1-D one."""


def rule(direction: str, problem: ConvProblem) -> tuple[str, str]:
    """The name of a formulation, and the reason.

    >>> rule("forward", ConvProblem(1, 99, 1, 32, 32, kernel=3))
    ('conv1d', "the framework's own op")
    """
    if problem.groups > 1 and direction == "weight_gradient":
        return "taps", "XLA multiplies all pairs of groups, and gives a NaN of one to all"
    is_one_channel_each = problem.depthwise or problem.in_channels == problem.out_channels == 1
    if is_one_channel_each and problem.kernel <= UNROLLED_TAPS:
        return "taps", "one loop over slices, where XLA has no fast convolution"
    if problem.in_channels == 1 and problem.kernel <= FEW_CHANNELS:
        return "taps", "one loop over slices, where a convolution has one term for each tap"
    if problem.groups == 1 and min(problem.in_channels, problem.out_channels) < FEW_CHANNELS:
        return "conv2d", "with few channels faster than conv1d"
    return "conv1d", "the framework's own op"

"""Which groups are computed as they are, and which as channels alone (:mod:`xconv.direct.repeated`)."""

from __future__ import annotations

from dataclasses import replace

from xconv.core.cost import LANES
from xconv.core.problem import ConvProblem

MOST_GROUPS = 256
"""Groups of several channels, each of which has tiles of its own."""

SMALL_CHANNELS = 16
"""Channels of a group, in or out, up to which it may become channels alone."""


def fills_vectors(problem: ConvProblem) -> bool:
    """Whether there is one group, or each channel is alone, or groups are few and fill half a vector."""
    most = max(problem.group_in, problem.group_out)
    return problem.groups == 1 or most == 1 or (problem.groups <= MOST_GROUPS and most >= LANES // 2)


def has_repeated_input(problem: ConvProblem) -> bool:
    """Whether its groups are small or many, and its taps a row when each is one for each input of a group."""
    small = max(problem.group_in, problem.group_out) <= SMALL_CHANNELS
    return small and not fills_vectors(problem) and (problem.group_in == 1 or problem.dilation == 1)


def as_depthwise(problem: ConvProblem) -> ConvProblem:
    """The depthwise problem with as many places and taps for each as a group has inputs.

    >>> one = alone(ConvProblem(1, 9, 1, 4, 12, kernel=3, stride=2, groups=2))
    >>> one.length, one.kernel, one.stride, one.groups, one.output_length
    (18, 6, 4, 12, 4)
    """
    many, channels = problem.group_in, problem.out_channels
    return replace(
        problem,
        length=problem.length * many,
        kernel=problem.kernel * many,
        stride=problem.stride * many,
        padding=(problem.padding[0] * many, problem.padding[1] * many),
        in_channels=channels,
        out_channels=channels,
        groups=channels,
    )

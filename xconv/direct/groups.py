"""Which groups are computed as they are, and which as a depthwise layer (:mod:`xconv.direct.repeated`)."""

from __future__ import annotations

from dataclasses import replace

from xconv.core.cost import LANES
from xconv.core.problem import ConvProblem

MOST_GROUPS = 256
"""Groups of several channels, at most, that have tiles of their own."""

SMALL_CHANNELS = 16
"""Input and output channels of a group, at most, for it to become depthwise."""


def fills_vectors(problem: ConvProblem) -> bool:
    """Whether it has one group, or is depthwise, or has few groups that fill half a vector each."""
    most = max(problem.group_in, problem.group_out)
    return problem.groups == 1 or most == 1 or (problem.groups <= MOST_GROUPS and most >= LANES // 2)


def has_repeated_input(problem: ConvProblem) -> bool:
    """Whether it is computed as a depthwise problem, whose input is repeated for each output of a group.

    Its groups do not fill vectors, and have one input each or a kernel without dilation: only then are the taps of
    :func:`as_depthwise` evenly spaced.
    """
    small = max(problem.group_in, problem.group_out) <= SMALL_CHANNELS
    return small and not fills_vectors(problem) and (problem.group_in == 1 or problem.dilation == 1)


def as_depthwise(problem: ConvProblem) -> ConvProblem:
    """The depthwise problem with the same sums: each input of a group becomes a place and a tap of its own.

    >>> one = as_depthwise(ConvProblem(1, 9, 1, 4, 12, kernel=3, stride=2, groups=2))
    >>> one.length, one.kernel, one.stride, one.groups, one.output_length
    (18, 6, 4, 12, 4)
    """
    inputs, channels = problem.group_in, problem.out_channels
    return replace(
        problem,
        length=problem.length * inputs,
        kernel=problem.kernel * inputs,
        stride=problem.stride * inputs,
        padding=(problem.padding[0] * inputs, problem.padding[1] * inputs),
        in_channels=channels,
        out_channels=channels,
        groups=channels,
    )

"""Sizes that no framework can count, or no memory hold, and those that nothing depends on."""

from __future__ import annotations

from dataclasses import replace

from xconv.errors import ArgumentError
from xconv.problem import ConvProblem

MOST = 2**31 - 1
"""The largest stride, dilation, pad and span of a kernel: frameworks count these in 32 bits, and some do not look."""

MOST_BYTES = 2**63 - 1
"""What can be addressed."""


def plain(problem: ConvProblem) -> ConvProblem:
    """The same convolution without a dilation or a stride that nothing depends on, however large it is.

    A single tap has nobody to be apart from, and a stride beyond the end of the input leads nowhere.

    >>> found = plain(ConvProblem(1, 9, 1, 1, 1, kernel=1, stride=2**40, dilation=2**40))
    >>> found.stride, found.dilation
    (9, 1)
    """
    dilation = 1 if problem.kernel == 1 else problem.dilation
    stride, length = problem.stride, problem.padded_length
    if stride > MOST and isinstance(length, int) and length >= problem.extent:
        stride = min(stride, length)
    if (stride, dilation) == (problem.stride, problem.dilation):
        return problem
    return replace(problem, stride=stride, dilation=dilation)


def check_sizes(operation: str, problem: ConvProblem) -> None:
    """Refuse what no framework can count, and arrays that no memory can hold."""
    low, high = problem.padding
    options = (("stride", problem.stride), ("dilation", problem.dilation), ("padding", low), ("padding", high))
    for name, value in options:
        if isinstance(value, int) and value > MOST:
            raise ArgumentError(operation, name, str(value), f"at most {MOST}, what fits into 32 bits")
    if problem.extent > MOST:
        raise ArgumentError(
            operation,
            "dilation",
            f"{problem.dilation}, which spreads {problem.kernel} taps over {problem.extent} elements",
            f"a kernel that spans at most {MOST} elements, what fits into 32 bits",
        )
    sizes = (problem.outer, problem.padded_length, problem.inner, problem.length, problem.output_length)
    if all(isinstance(size, int) for size in sizes):
        longest = max(problem.padded_length, problem.length, problem.output_length)
        numbers = problem.outer * longest * problem.inner * max(problem.in_channels, problem.out_channels)
        if numbers * 8 > MOST_BYTES:
            raise ArgumentError(
                operation,
                "x",
                f"an array or a result of {numbers} numbers, pads included",
                "what memory can hold",
                "is a stride or a pad meant to be smaller?",
            )

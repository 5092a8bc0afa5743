"""Sizes that no framework can count, or no memory hold, and those that nothing depends on."""

from __future__ import annotations

from dataclasses import replace

from xconv.core.problem import ConvProblem
from xconv.system.errors import ArgumentError

LARGEST_SIZE = 2**31 - 1
"""The largest stride, dilation, pad and span of a kernel: frameworks count these in 32 bits, and some do not look."""

MOST_ELEMENTS = 2**60 - 1
"""What can be addressed, of 8 bytes each."""


def plain(problem: ConvProblem) -> ConvProblem:
    """The same convolution without a dilation or a stride that nothing depends on, where it is too large.

    A single tap has nobody to be apart from, and a stride beyond the end of the input leads nowhere.

    >>> found = plain(ConvProblem(1, 9, 1, 1, 1, kernel=1, stride=2**40, dilation=2**40))
    >>> found.stride, found.dilation
    (9, 1)
    """
    dilation = 1 if problem.kernel == 1 and problem.dilation > LARGEST_SIZE else problem.dilation
    stride, length = problem.stride, problem.padded_length
    if stride > LARGEST_SIZE and isinstance(length, int) and length >= problem.extent:
        stride = min(stride, length)
    if (stride, dilation) == (problem.stride, problem.dilation):
        return problem
    return replace(problem, stride=stride, dilation=dilation)


def check_sizes(operation: str, problem: ConvProblem, transposed: bool = False) -> None:
    """Refuse what no framework can count, and arrays that no memory can hold."""
    low, high = problem.padding
    options = (("stride", problem.stride), ("dilation", problem.dilation), ("padding", low), ("padding", high))
    for name, value in options:
        if isinstance(value, int) and value > LARGEST_SIZE:
            raise ArgumentError(operation, name, str(value), f"at most {LARGEST_SIZE}, what fits into 32 bits")
    if problem.extent > LARGEST_SIZE:
        raise ArgumentError(
            operation,
            "dilation",
            f"{problem.dilation}, which spreads {problem.kernel} taps over {problem.extent} elements",
            f"a kernel that spans at most {LARGEST_SIZE} elements, what fits into 32 bits",
        )
    if not problem.is_static:
        return
    rows = problem.outer * problem.inner
    given, result = rows * problem.length * problem.in_channels, rows * problem.output_length * problem.out_channels
    if transposed:
        given, result = result, given
    numbers = max(result, rows * problem.padded_length * problem.in_channels)
    if given <= MOST_ELEMENTS < numbers:  # an x that nobody can hold stands for one of any length
        raise ArgumentError(
            operation,
            "x",
            f"a result of {numbers} numbers, or an input of as many with its pads",
            "what memory can hold",
            "is a stride or a pad meant to be smaller?",
        )

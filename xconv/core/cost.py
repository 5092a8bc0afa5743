"""What a problem costs on any machine: parameters, multiply-accumulates, bytes, receptive field."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from xconv.core.call import Call
from xconv.core.problem import ConvProblem

ITEM_SIZE = {"float64": 8, "float32": 4, "float16": 2, "bfloat16": 2}
"""Bytes of one element."""

LANES = 16
"""float32 numbers in a vector of AVX-512."""


@dataclass(frozen=True)
class Cost:
    """Counts of one forward pass. ``bytes`` is the least that must be moved: each array once.

    Args:
        parameters: numbers in the weight and the bias.
        macs: multiply-accumulates.
        bytes: x, the weight, the bias and the result, each once.

    >>> both = Cost(parameters=192, macs=1000, bytes=4000) + Cost(parameters=8, macs=500, bytes=1000)
    >>> both.flops, both.intensity
    (3000, 0.6)
    """

    parameters: int
    macs: int
    bytes: int

    @property
    def flops(self) -> int:
        """Floating-point operations: a multiply-accumulate is two."""
        return 2 * self.macs

    @property
    def intensity(self) -> float:
        """Arithmetic intensity in FLOP per byte."""
        return self.flops / self.bytes if self.bytes else 0.0

    def __add__(self, other: Cost) -> Cost:
        return Cost(self.parameters + other.parameters, self.macs + other.macs, self.bytes + other.bytes)


def cost(call: Call, bias: bool = False) -> Cost:
    """The cost of a resolved call.

    Args:
        call: one whose sizes are known.
        bias: whether there is one.

    Returns:
        The counts of the whole batch; products with padding are counted.

    >>> from xconv.core.call import resolve
    >>> cost(resolve("conv1d", (128, 8000, 1), (5, 1, 32)), bias=True)
    Cost(parameters=192, macs=163758080, bytes=135103232)
    >>> cost(resolve("conv2d", (1, 32, 32, 3), (3, 3, 3, 32), padding="same")).macs
    884736
    """
    problem, other = call.problem, call.vertical
    rows = 1 if other is None else other.kernel
    weights = rows * problem.kernel * problem.group_in * problem.out_channels
    inputs = problem.outer * problem.length * problem.inner * problem.in_channels
    if other is not None:
        inputs = other.outer * other.length * other.inner * other.in_channels
    outputs = problem.outer * problem.output_length * problem.inner * problem.out_channels
    parameters = weights + (_bias(call) if bias else 0)
    return Cost(parameters, problem.macs * rows, (inputs + outputs + parameters) * ITEM_SIZE[problem.dtype])


def receptive_field(layers: Iterable[tuple[int, int, int]]) -> int:
    """Input elements that one output of stacked layers sees: ``1 + sum (k - 1) d prod(earlier strides)``.

    Each layer is (kernel, stride, dilation); a pooling layer counts as one (Araujo, Norris and Sim 2019, "Computing
    receptive fields of convolutional neural networks", Distill).

    Args:
        layers: (kernel, stride, dilation) of each, from the input on.

    Returns:
        A number of elements along the axis.

    >>> receptive_field([(3, 1, 1), (2, 2, 1), (3, 1, 1), (2, 2, 1)])
    10
    """
    field, jump = 1, 1
    for kernel, stride, dilation in layers:
        field += (kernel - 1) * dilation * jump
        jump *= stride
    return field


def _bias(call: Call) -> int:
    problem: ConvProblem = call.problem
    return problem.out_channels if call.direction == "forward" else problem.in_channels

"""The directions of a problem are each other's gradients: (x, weight) -> y, (dy, weight) -> dx, (x, dy) -> dweight."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TypeVar

T = TypeVar("T")

ADJOINTS: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "forward": ("input_gradient", "weight_gradient"),
        "input_gradient": ("forward", "weight_gradient"),
        "weight_gradient": ("input_gradient", "forward"),
    }
)
"""The directions that are the gradients of a direction for its first and for its second operand."""


def operands(direction: str, which: int, a: T, b: T, upstream: T) -> tuple[T, T]:
    """What the gradient of a direction for its first (0) or second (1) operand is computed from.

    >>> operands("forward", 1, "x", "weight", "dy")  # the weight gradient
    ('x', 'dy')
    """
    if direction == "forward":  # a = x, b = weight, upstream = dy
        return (upstream, b) if which == 0 else (a, upstream)
    if direction == "input_gradient":  # a = dy, b = weight, upstream is shaped like x
        return (upstream, b) if which == 0 else (upstream, a)
    return (b, upstream) if which == 0 else (a, upstream)  # a = x, b = dy, upstream is shaped like the weight

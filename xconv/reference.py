"""The right answer: the definition of each operation, in NumPy float64."""

from xconv.core.reference import (
    apply,
    bordered,
    conv2d,
    forward,
    input_adjoint,
    input_gradient,
    weight_adjoint,
    weight_gradient,
)

__all__ = [
    "apply",
    "bordered",
    "conv2d",
    "forward",
    "input_adjoint",
    "input_gradient",
    "weight_adjoint",
    "weight_gradient",
]

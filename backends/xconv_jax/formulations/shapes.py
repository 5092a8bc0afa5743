"""Padding, the views as which a formulation sees its arrays, and adjoints that JAX derives."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
from jax import lax

from xconv.core.problem import ConvProblem

Array: TypeAlias = Any
"""A ``jax.Array``, or a tracer of one."""

Forward: TypeAlias = Callable[[ConvProblem, int, Array, Array], Array]
"""A way to compute the forward direction, of (problem, axis, x, weight)."""


def pad(x: Array, axis: int, padding: tuple[int, int]) -> Array:
    """Zeros on both sides of an axis; a negative amount crops."""
    if not any(padding):
        return x
    amounts = [(0, 0, 0)] * x.ndim
    amounts[axis] = (*padding, 0)
    return lax.pad(x, jnp.zeros((), x.dtype), amounts)


def resized(x: Array, axis: int, length: int, channels: int) -> tuple[int, ...]:
    """The sizes of ``x`` with another length along an axis and other channels."""
    sizes = list(x.shape)
    sizes[axis], sizes[-1] = length, channels
    return tuple(sizes)


def input_adjoint(forward: Forward, problem: ConvProblem, axis: int, dy: Array, weight: Array) -> Array:
    """The input gradient of a forward direction that is built of differentiable steps: their transposes, by JAX."""
    x = jax.ShapeDtypeStruct(resized(dy, axis, problem.length, problem.in_channels), dy.dtype)
    [dx] = jax.linear_transpose(lambda x: forward(problem, axis, x, weight), x)(dy)
    return dx


def weight_adjoint(forward: Forward, problem: ConvProblem, axis: int, x: Array, dy: Array) -> Array:
    """The weight gradient, in the same way."""
    weight = jax.ShapeDtypeStruct(problem.weight_shape, x.dtype)
    [gradient] = jax.linear_transpose(lambda weight: forward(problem, axis, x, weight), weight)(dy)
    return gradient

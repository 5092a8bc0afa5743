"""A sum over the taps: each is a shifted, strided slice of the input times one tap of the kernel.

XLA fuses the slices and products of a depthwise problem into one loop, and has no convolution as fast.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax import lax

from xconv.core.cost import ITEM_SIZE
from xconv.core.formulation import Formulation
from xconv.core.problem import ConvProblem
from xconv.planning.estimate import taps_work
from xconv_jax.formulations.shapes import Array, input_adjoint, pad, weight_adjoint

UNROLLED_TAPS = 64
"""Taps that are written out; more would take XLA long to compile, and are a loop."""


class Taps(Formulation):
    """Slices and products; the gradients are their transposes."""

    name = "taps"

    def workspace(self, direction: str, problem: ConvProblem) -> int:
        rows = problem.outer * problem.inner * ITEM_SIZE[problem.dtype]
        padded = int(rows * problem.padded_length * problem.in_channels) if any(problem.padding) else 0
        product = rows * problem.output_length * problem.out_channels
        return int(padded + product)

    def work(self, direction: str, problem: ConvProblem) -> list[float]:
        return taps_work(problem)

    def forward(self, problem: ConvProblem, axis: int, x: Array, weight: Array) -> Array:
        return sum_of_taps(problem, axis, x, weight)

    def input_gradient(self, problem: ConvProblem, axis: int, dy: Array, weight: Array) -> Array:
        return input_adjoint(sum_of_taps, problem, axis, dy, weight)

    def weight_gradient(self, problem: ConvProblem, axis: int, x: Array, dy: Array) -> Array:
        return weight_adjoint(sum_of_taps, problem, axis, x, dy)


def sum_of_taps(problem: ConvProblem, axis: int, x: Array, weight: Array) -> Array:
    """The forward direction."""
    padded = pad(x, axis, problem.padding)
    reach = (problem.output_length - 1) * problem.stride + 1
    if problem.kernel > UNROLLED_TAPS:
        return _looped(problem, axis, padded, weight, reach)
    y = None
    for tap in range(problem.kernel):
        start = tap * problem.dilation
        elements = lax.slice_in_dim(padded, start, start + reach, problem.stride, axis)
        product = _times(problem, elements, weight[tap])
        y = product if y is None else y + product
    return y


def _looped(problem: ConvProblem, axis: int, padded: Array, weight: Array, reach: int) -> Array:
    def product(padded: Array, tap: Array, start: Array) -> Array:
        elements = lax.dynamic_slice_in_dim(padded, start, reach, axis)
        return _times(problem, lax.slice_in_dim(elements, 0, reach, problem.stride, axis), tap)

    # what a tap sees is sliced again for a gradient: else all slices would be kept, kernel times the input
    again = jax.checkpoint(product)
    starts = jnp.arange(problem.kernel) * problem.dilation
    nothing = jnp.zeros_like(product(padded, weight[0], starts[0]))
    y, _ = lax.scan(lambda y, tap: (y + again(padded, *tap), None), nothing, (weight, starts))
    return y


def _times(problem: ConvProblem, x: Array, tap: Array) -> Array:
    """Every position of ``x`` times one tap (in / groups, out)."""
    groups = problem.groups
    if problem.group_in == 1:
        # broadcast, not a product of matrices: with one term to the sum that would only read and write more
        repeated = x if problem.group_out == 1 else jnp.repeat(x, problem.group_out, axis=-1)
        return repeated * tap[0]
    if groups == 1:
        return jnp.matmul(x, tap)
    grouped = x.reshape(*x.shape[:-1], groups, problem.group_in)
    taps = tap.reshape(problem.group_in, groups, problem.group_out)
    y = jnp.einsum("...gi,igo->...go", grouped, taps)
    return y.reshape(*x.shape[:-1], problem.out_channels)

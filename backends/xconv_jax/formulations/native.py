"""JAX's own convolution, ``lax.conv_general_dilated``, and the gradients that JAX derives of it.

Those for the weight of a grouped convolution are left to :mod:`xconv_jax.formulations.taps`: on the CPU, XLA computes
all pairs of groups and multiplies those that are not wanted by zero. That gives a NaN of one group to others, and takes
many times as long.

Pads that are longer than the kernel's reach are put into the array: the gradient for ``x`` would be a convolution with
a negative pad, and of some of these (-1 before and 1 behind, from 8 channels on) XLA's last place is wrong on the CPU.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import TypeAlias

import jax
import jax.numpy as jnp
from jax import lax
from jax.custom_derivatives import SymbolicZero

from xconv.core.formulation import Formulation
from xconv.core.problem import ConvProblem
from xconv.planning.estimate import native_work
from xconv_jax.formulations.shapes import Array, Forward, input_adjoint, pad, weight_adjoint
from xconv_jax.formulations.taps import sum_of_taps

Product: TypeAlias = Callable[[Array, Array], Array]

_NAMES = {1: ("NWC", "WIO", "NWC"), 2: ("NHWC", "HWIO", "NHWC")}


class _Native(Formulation):
    """One convolution of the framework, in some view of the arrays."""

    def __init__(self, name: str, convolved: Forward) -> None:
        self.name = name
        self._convolved = convolved

    def unsupported(self, direction: str, problem: ConvProblem) -> str | None:
        if direction == "weight_gradient" and problem.groups > 1:
            return "XLA multiplies all pairs of groups, and gives a NaN of one to all"
        return None

    def work(self, direction: str, problem: ConvProblem) -> list[float]:
        return native_work(problem)

    def forward(self, problem: ConvProblem, axis: int, x: Array, weight: Array) -> Array:
        own, other = partial(self._convolved, problem, axis), partial(sum_of_taps, problem, axis)
        return own(x, weight) if problem.groups == 1 else linked(own, other, x, weight)

    def input_gradient(self, problem: ConvProblem, axis: int, dy: Array, weight: Array) -> Array:
        own, other = (partial(input_adjoint, form, problem, axis) for form in (self._convolved, sum_of_taps))
        return own(dy, weight) if problem.groups == 1 else linked(own, other, dy, weight)

    def weight_gradient(self, problem: ConvProblem, axis: int, x: Array, dy: Array) -> Array:
        return weight_adjoint(self._convolved, problem, axis, x, dy)


@partial(jax.custom_jvp, nondiff_argnums=(0, 1))
def linked(own: Product, other: Product, a: Array, b: Array) -> Array:
    """A bilinear product that is differentiated for its second operand as another way to compute it would be."""
    del other
    return own(a, b)


@partial(linked.defjvp, symbolic_zeros=True)
def _tangent(own: Product, other: Product, primals: Sequence[Array], tangents: Sequence[Array]) -> tuple[Array, Array]:
    (a, b), (da, db) = primals, tangents
    y = linked(own, other, a, b)
    parts = [] if isinstance(da, SymbolicZero) else [linked(own, other, da, b)]
    parts += [] if isinstance(db, SymbolicZero) else [other(a, db)]
    return y, sum(parts[1:], parts[0]) if parts else jnp.zeros_like(y)


def _as_signals(problem: ConvProblem, axis: int, x: Array, weight: Array) -> Array:
    """A 1-D convolution; a feature map's rows or columns become a batch of signals."""
    problem, x = _reached(problem, axis, x)
    columns = x.ndim == 4 and axis == 1
    lines = x.swapaxes(1, 2) if columns else x
    signals = lines.reshape(-1, *lines.shape[-2:])
    window = ((problem.stride,), [problem.padding], (problem.dilation,), problem.groups)
    y = _convolution(signals, weight, *window)
    y = y.reshape(*lines.shape[:-2], *y.shape[-2:])
    return y.swapaxes(1, 2) if columns else y


def _as_image(problem: ConvProblem, axis: int, x: Array, weight: Array) -> Array:
    """A 2-D convolution of the image that the array is: of height one for signals, else the feature map itself."""
    problem, x = _reached(problem, axis, x)
    image, wide = (x[:, None], True) if x.ndim == 3 else (x, axis == 2)
    kernel = weight[None] if wide else weight[:, None]
    own, other = (problem.stride, problem.padding, problem.dilation), (1, (0, 0), 1)
    strides, pads, dilations = zip(*((other, own) if wide else (own, other)), strict=True)
    y = _convolution(image, kernel, strides, pads, dilations, problem.groups)
    return y[:, 0] if x.ndim == 3 else y


def _reached(problem: ConvProblem, axis: int, x: Array) -> tuple[ConvProblem, Array]:
    """The same convolution with pads that the kernel reaches over; what is beyond is zeros in the array."""
    reach = problem.extent - 1
    low, high = (max(amount - reach, 0) for amount in problem.padding)
    length, inside = problem.length + low + high, (problem.padding[0] - low, problem.padding[1] - high)
    return replace(problem, length=length, padding=inside), pad(x, axis, (low, high))


def _convolution(
    x: Array,
    kernel: Array,
    strides: Sequence[int],
    pads: Sequence[tuple[int, int]],
    dilations: Sequence[int],
    groups: int,
) -> Array:
    names = _NAMES[len(strides)]
    return lax.conv_general_dilated(
        x, kernel, strides, pads, rhs_dilation=dilations, dimension_numbers=names, feature_group_count=groups
    )


def conv2d(vertical: ConvProblem, horizontal: ConvProblem, x: Array, weight: Array) -> Array:
    """The true 2-D convolution; of channels that are each alone, or for the weight of groups, as a sum over taps."""
    if vertical.depthwise:
        return _sum_2d(vertical, horizontal, x, weight)

    def own(x: Array, weight: Array) -> Array:
        first, x = _reached(vertical, 1, x)
        second, x = _reached(horizontal, 2, x)
        steps, pads, spread = zip(*((p.stride, p.padding, p.dilation) for p in (first, second)), strict=True)
        return _convolution(x, weight, steps, pads, spread, vertical.groups)

    return own(x, weight) if vertical.groups == 1 else linked(own, partial(_sum_2d, vertical, horizontal), x, weight)


def _sum_2d(vertical: ConvProblem, horizontal: ConvProblem, x: Array, weight: Array) -> Array:
    """Each row of the kernel along the rows that it sees."""
    padded = pad(x, 1, vertical.padding)
    reach = (vertical.output_length - 1) * vertical.stride + 1
    y = None
    for tap in range(vertical.kernel):
        start = tap * vertical.dilation
        rows = lax.slice_in_dim(padded, start, start + reach, vertical.stride, 1)
        product = sum_of_taps(horizontal, 2, rows, weight[tap])
        y = product if y is None else y + product
    return y


CONV1D = _Native("conv1d", _as_signals)
CONV2D = _Native("conv2d", _as_image)

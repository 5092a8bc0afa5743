"""Sums over the taps: slices and products, which need no op that the CPU might not have.

Right everywhere, with sizes that are known or not, traced or not.
"""

from __future__ import annotations

from dataclasses import replace

import tensorflow as tf

from xconv.core.formulation import Formulation
from xconv.core.problem import ConvProblem
from xconv.planning.estimate import taps_work
from xconv_tensorflow.formulations.shapes import Tensor, cut, pad, sizes_of, swapped, too_long, with_a_place


class Taps(Formulation):
    """A sum over the taps: each is a shifted, strided slice of the input times one tap of the kernel."""

    name = "taps"

    def unsupported(self, direction: str, problem: ConvProblem) -> str | None:
        return too_long(problem)

    def work(self, direction: str, problem: ConvProblem) -> list[float]:
        return taps_work(problem)

    def forward(self, problem: ConvProblem, axis: int, x: Tensor, weight: Tensor) -> Tensor:
        if not problem.is_static:
            return cut(self._forward(with_a_place(problem), axis, x, weight), axis, 0, _places(problem))
        return self._forward(problem, axis, x, weight)

    def _forward(self, problem: ConvProblem, axis: int, x: Tensor, weight: Tensor) -> Tensor:
        padded = pad(x, axis, problem.padding)
        y = None
        for tap in range(problem.kernel):
            product = _times(problem, _shifted(problem, axis, padded, tap), weight[tap])
            y = product if y is None else product + y
        return y

    def input_gradient(self, problem: ConvProblem, axis: int, dy: Tensor, weight: Tensor) -> Tensor:
        if problem.stride == 1:
            return self.forward(problem.transposed(), axis, dy, swapped(problem, weight))
        if not problem.is_static:
            problem, dy = _one_place_more(problem, axis, dy)
        turned = swapped(problem, weight, flip=False)
        adjoint = replace(problem, in_channels=problem.out_channels, out_channels=problem.in_channels)
        reach = (problem.output_length - 1) * problem.stride + 1
        dx = None
        for tap in range(problem.kernel):
            # each product goes back where it came from; no weight is multiplied by a zero in between
            product = _spread(_times(adjoint, dy, turned[tap]), axis, problem.stride)
            start = tap * problem.dilation
            placed = pad(product, axis, (start, problem.padded_length - start - reach))
            dx = placed if dx is None else dx + placed
        low, high = problem.padding
        return pad(dx, axis, (-low, -high))

    def weight_gradient(self, problem: ConvProblem, axis: int, x: Tensor, dy: Tensor) -> Tensor:
        if not problem.is_static:
            problem, dy = _one_place_more(problem, axis, dy)
        padded = pad(x, axis, problem.padding)
        taps = [_correlate(problem, _shifted(problem, axis, padded, tap), dy) for tap in range(problem.kernel)]
        return tf.stack(taps)


def _places(problem: ConvProblem) -> Tensor:
    return tf.maximum(problem.output_length, 0)


def _one_place_more(problem: ConvProblem, axis: int, dy: Tensor) -> tuple[ConvProblem, Tensor]:
    """A problem that has a place, and zeros as its gradient there."""
    more = with_a_place(problem)
    return more, pad(dy, axis, (0, more.output_length - _places(problem)))


def _shifted(problem: ConvProblem, axis: int, padded: Tensor, tap: int) -> Tensor:
    start = tap * problem.dilation
    return cut(padded, axis, start, start + (problem.output_length - 1) * problem.stride + 1, problem.stride)


def _times(problem: ConvProblem, x: Tensor, tap: Tensor) -> Tensor:
    """Every position of ``x`` times one tap (in / groups, out)."""
    groups = problem.groups
    if groups == 1:
        return tf.tensordot(x, tap, 1)
    if problem.depthwise:
        return _repeated(problem, x) * tap[0]
    sizes = sizes_of(x)
    grouped = tf.reshape(x, [*sizes[:-1], groups, problem.group_in])
    taps = tf.reshape(tap, (problem.group_in, groups, problem.group_out))
    return tf.reshape(tf.einsum("...gi,igo->...go", grouped, taps), [*sizes[:-1], problem.out_channels])


def _correlate(problem: ConvProblem, x: Tensor, dy: Tensor) -> Tensor:
    """One tap of the weight gradient, (in / groups, out): products summed over every position."""
    positions, groups = list(range(len(x.shape) - 1)), problem.groups
    if groups == 1:
        flat_x, flat_dy = tf.reshape(x, (-1, problem.in_channels)), tf.reshape(dy, (-1, problem.out_channels))
        return tf.matmul(flat_x, flat_dy, transpose_a=True)
    if problem.depthwise:
        return tf.reduce_sum(_repeated(problem, x) * dy, positions)[None]
    flat_x = tf.reshape(x, (-1, groups, problem.group_in))
    flat_dy = tf.reshape(dy, (-1, groups, problem.group_out))
    taps = tf.einsum("pgi,pgo->igo", flat_x, flat_dy)
    return tf.reshape(taps, (problem.group_in, problem.out_channels))


def _repeated(problem: ConvProblem, x: Tensor) -> Tensor:
    """The channels of ``x``, each as often as a depthwise problem multiplies it."""
    return x if problem.group_out == 1 else tf.repeat(x, problem.group_out, axis=-1)


def _spread(x: Tensor, axis: int, stride: int) -> Tensor:
    """``stride - 1`` zeros between neighbours along an axis."""
    sizes = sizes_of(x)
    length = sizes[axis]
    spaced_out = pad(tf.expand_dims(x, axis + 1), axis + 1, (0, stride - 1))
    sizes[axis] = length * stride
    return cut(tf.reshape(spaced_out, sizes), axis, 0, (length - 1) * stride + 1)

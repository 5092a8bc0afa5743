"""Dilation, and stride, folded into the shape: what is left is a plain convolution, which has all its gradients."""

from __future__ import annotations

from dataclasses import replace

import tensorflow as tf

from xconv.core.cost import ITEM_SIZE
from xconv.core.formulation import Formulation
from xconv.core.problem import ConvProblem, Size
from xconv.planning.estimate import native_work
from xconv_tensorflow.formulations.adjoint import Adjoint
from xconv_tensorflow.formulations.depthwise import DepthwiseConv2d
from xconv_tensorflow.formulations.native import Conv2d
from xconv_tensorflow.formulations.shapes import Tensor, as_lines, cut, pad, resized, unknown_sizes
from xconv_tensorflow.formulations.taps import Taps

_CONV2D, _DEPTHWISE, _ADJOINT, _TAPS = Conv2d(), DepthwiseConv2d(), Adjoint(), Taps()


class Folded(Formulation):
    """Dilation d as d interleaved undilated problems: a signal of ``q * d`` elements is an image of q rows."""

    name = "folded"

    def unsupported(self, direction: str, problem: ConvProblem) -> str | None:
        if problem.dilation == 1 or problem.stride > 1:
            return "it folds a dilation, of stride 1"
        return unknown_sizes(problem)

    def workspace(self, direction: str, problem: ConvProblem) -> Size:
        rows, item = problem.outer * problem.inner, ITEM_SIZE[problem.dtype]
        inputs = rows * problem.padded_length * problem.in_channels * item
        outputs = rows * problem.output_length * problem.out_channels * item
        return inputs + (outputs if direction != "forward" else 0)

    def work(self, direction: str, problem: ConvProblem) -> list[float]:
        return native_work(problem)

    def forward(self, problem: ConvProblem, axis: int, x: Tensor, weight: Tensor) -> Tensor:
        plain = _undilated(problem)
        form = _DEPTHWISE if problem.depthwise else _CONV2D
        y = form.forward(plain, 1, _rows(problem, axis, x, problem.padding[0], plain.length), weight)
        return _signal(problem, axis, y, x, 0, problem.output_length)

    def input_gradient(self, problem: ConvProblem, axis: int, dy: Tensor, weight: Tensor) -> Tensor:
        plain = _undilated(problem)
        form = _DEPTHWISE if problem.depthwise else _CONV2D if problem.groups == 1 else _ADJOINT
        rows = _rows(problem, axis, dy, 0, plain.output_length)
        return _signal(
            problem, axis, form.input_gradient(plain, 1, rows, weight), dy, problem.padding[0], problem.length
        )

    def weight_gradient(self, problem: ConvProblem, axis: int, x: Tensor, dy: Tensor) -> Tensor:
        rest = problem.output_length % problem.dilation
        if rest:
            return self._by_parts(problem, axis, x, dy, problem.output_length - rest)
        plain = _undilated(problem)
        form = _DEPTHWISE if problem.depthwise else _CONV2D if problem.groups == 1 else _ADJOINT
        seen = _rows(problem, axis, x, problem.padding[0], plain.length)
        return form.weight_gradient(plain, 1, seen, _rows(problem, axis, dy, 0, plain.output_length))

    def _by_parts(self, problem: ConvProblem, axis: int, x: Tensor, dy: Tensor, whole: int) -> Tensor:
        """The rows that are whole, and the places of the last one.

        Filled up with zeros, these would give a NaN of ``x`` to taps that do not see it.
        """
        padded, total = pad(x, axis, problem.padding), None
        for form, start, stop in ((self, 0, whole), (_TAPS, whole, problem.output_length)):
            if stop > start:
                seen = cut(padded, axis, start, stop + problem.extent - 1)
                part = replace(problem, length=stop - start + problem.extent - 1, padding=(0, 0))
                found = form.weight_gradient(part, axis, seen, cut(dy, axis, start, stop))
                total = found if total is None else total + found
        return total


class Phases(Formulation):
    """Stride s as channels: s neighbours are one element, and a kernel of ``k`` taps has ``k / s``.

    The native input gradient of a strided convolution multiplies the zeros between the elements of ``dy``; here there
    are none.
    """

    name = "phases"

    def unsupported(self, direction: str, problem: ConvProblem) -> str | None:
        if problem.stride == 1 or problem.dilation > 1 or problem.groups > 1:
            return "it folds a stride, of dense problems without dilation"
        if problem.kernel % problem.stride:
            return "the stride does not divide the kernel"
        if not (isinstance(problem.inner, int) and problem.inner == 1):
            return "the elements of a column are not neighbours"
        return unknown_sizes(problem)

    def workspace(self, direction: str, problem: ConvProblem) -> Size:
        return problem.outer * problem.padded_length * problem.in_channels * ITEM_SIZE[problem.dtype]

    def work(self, direction: str, problem: ConvProblem) -> list[float]:
        return native_work(problem)

    def forward(self, problem: ConvProblem, axis: int, x: Tensor, weight: Tensor) -> Tensor:
        plain = _unstrided(problem)
        return _CONV2D.forward(plain, axis, _phases(problem, axis, x), tf.reshape(weight, plain.weight_shape))

    def input_gradient(self, problem: ConvProblem, axis: int, dy: Tensor, weight: Tensor) -> Tensor:
        plain, low = _unstrided(problem), problem.padding[0]
        dx = _ADJOINT.input_gradient(plain, axis, dy, tf.reshape(weight, plain.weight_shape))
        dx = tf.reshape(dx, resized(dy, axis, plain.length * problem.stride, problem.in_channels))
        return pad(dx, axis, (-low, problem.length + low - plain.length * problem.stride))

    def weight_gradient(self, problem: ConvProblem, axis: int, x: Tensor, dy: Tensor) -> Tensor:
        gradient = _CONV2D.weight_gradient(_unstrided(problem), axis, _phases(problem, axis, x), dy)
        return tf.reshape(gradient, problem.weight_shape)


def _undilated(problem: ConvProblem) -> ConvProblem:
    rows = -(-problem.padded_length // problem.dilation)
    inner = problem.inner * problem.dilation
    return replace(problem, length=rows, inner=inner, dilation=1, padding=(0, 0))


def _rows(problem: ConvProblem, axis: int, x: Tensor, low: int, rows: int) -> Tensor:
    """Lines as images of ``rows`` rows, each of ``dilation`` neighbours of every column."""
    lines, dilation = as_lines(x, axis), problem.dilation
    outer, length, inner, channels = lines.shape
    lines = pad(lines, 1, (low, rows * dilation - length - low))
    return tf.reshape(lines, (outer, rows, dilation * inner, channels))


def _signal(problem: ConvProblem, axis: int, rows: Tensor, like: Tensor, start: int, length: int) -> Tensor:
    """The lines of images, ``length`` elements from ``start``, in the rank of another array."""
    outer, count, columns, channels = rows.shape
    lines = tf.reshape(rows, (outer, count * problem.dilation, columns // problem.dilation, channels))
    if lines.shape[1] < start + length:  # what no output sees
        lines = pad(lines, 1, (0, start + length - lines.shape[1]))
    return tf.reshape(cut(lines, 1, start, start + length), resized(like, axis, length, channels))


def _unstrided(problem: ConvProblem) -> ConvProblem:
    kernel, channels = problem.kernel // problem.stride, problem.in_channels * problem.stride
    length = problem.output_length + kernel - 1
    return replace(problem, length=length, in_channels=channels, kernel=kernel, stride=1, padding=(0, 0))


def _phases(problem: ConvProblem, axis: int, x: Tensor) -> Tensor:
    """The input with ``stride`` neighbours as the channels of one element, cut to what is seen."""
    plain, low = _unstrided(problem), problem.padding[0]
    x = pad(x, axis, (low, plain.length * problem.stride - problem.length - low))
    return tf.reshape(x, resized(x, axis, plain.length, plain.in_channels))

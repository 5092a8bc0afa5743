"""Gradients as convolutions: for these a native op exists where TensorFlow refuses the gradient, or is slow.

Both hold for any groups. The gradient for the input of stride 1 is the convolution of ``dy`` with the kernel backwards.
The gradient for the weight, ``dw[j] = sum_n sum_o x[n, o * stride + j * dilation] dy[n, o]``, is the convolution of
``x`` with ``dy`` as its kernel, where batch and channels change places, and stride and dilation too.
"""

from __future__ import annotations

import tensorflow as tf

from xconv.core.cost import ITEM_SIZE
from xconv.core.formulation import Formulation
from xconv.core.problem import ConvProblem, Size
from xconv.planning.estimate import native_work
from xconv.system.errors import UnsupportedError
from xconv_tensorflow.formulations.native import Conv2d
from xconv_tensorflow.formulations.shapes import Tensor, as_lines, pad, swapped, unknown_sizes

_CONV2D = Conv2d()


class Adjoint(Formulation):
    """Each gradient as one native convolution."""

    name = "adjoint"

    def unsupported(self, direction: str, problem: ConvProblem) -> str | None:
        if direction == "forward":
            return "it is the gradients that are convolutions here"
        if direction == "input_gradient" and problem.stride > 1:
            return "the input gradient is a convolution for stride 1 alone"
        return unknown_sizes(problem)

    def workspace(self, direction: str, problem: ConvProblem) -> Size:
        if direction == "input_gradient":
            return 0
        rows = problem.outer * problem.inner
        elements = problem.padded_length * problem.in_channels + problem.output_length * problem.out_channels
        return 2 * rows * elements * ITEM_SIZE[problem.dtype]

    def work(self, direction: str, problem: ConvProblem) -> list[float]:
        return native_work(problem)

    def forward(self, problem: ConvProblem, axis: int, x: Tensor, weight: Tensor) -> Tensor:
        raise UnsupportedError(f"{self.name} has no forward")

    def input_gradient(self, problem: ConvProblem, axis: int, dy: Tensor, weight: Tensor) -> Tensor:
        kernel, problem = swapped(problem, weight), problem.transposed()
        if min(problem.padding) < 0:
            dy, problem = pad(dy, axis, problem.padding), problem.padded()
        return _CONV2D.forward(problem, axis, dy, kernel)

    def weight_gradient(self, problem: ConvProblem, axis: int, x: Tensor, dy: Tensor) -> Tensor:
        groups, group_in, places = problem.groups, problem.group_in, problem.output_length
        seen = (places - 1) * problem.stride + problem.extent
        low = problem.padding[0]
        x = pad(as_lines(x, axis), 1, (low, seen - low - problem.length))
        outer, _, inner, _ = x.shape
        rows = outer * inner
        image = tf.transpose(tf.reshape(x, (outer, seen, inner, groups, group_in)), (4, 1, 3, 0, 2))
        kernel = tf.transpose(as_lines(dy, axis), (1, 0, 2, 3))
        step = problem.dilation if problem.kernel > 1 else 1  # oneDNN fails at a stride with a single place
        taps = tf.raw_ops.Conv2D(
            input=tf.reshape(image, (group_in, 1, seen, groups * rows)),
            filter=tf.reshape(kernel, (1, places, rows, problem.out_channels)),
            strides=[1, step, step, 1],
            padding="VALID",
            dilations=[1, 1, problem.stride, 1],
        )
        if groups > 1:
            taps = tf.ensure_shape(taps, [None] * 4)  # the fence, as in Conv2d
        return tf.transpose(tf.reshape(taps, (group_in, problem.kernel, problem.out_channels)), (1, 0, 2))

"""The native depthwise convolution.

TensorFlow refuses unequal strides and computes wrong values with a stride and a dilation together; an image of one row
or one column has equal strides without any meaning for the other axis, and dilation is left to
:class:`xconv_tensorflow.formulations.folded.Folded`.
"""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from xconv.core.formulation import Formulation
from xconv.core.problem import ConvProblem
from xconv.planning.estimate import native_work
from xconv_tensorflow.formulations.shapes import (
    Tensor,
    native_pads,
    pad,
    reshaped,
    resized,
    sizes_of,
    swapped,
    too_long,
)

FEW_CHANNELS = 32
"""Below it the columns of a map are cheaper as channels than as a width."""


class DepthwiseConv2d(Formulation):
    """``DepthwiseConv2dNative`` of lines as columns of an image, and its own gradients."""

    name = "depthwise"

    def unsupported(self, direction: str, problem: ConvProblem) -> str | None:
        if not problem.depthwise:
            return "its channels are not each alone"
        return (
            too_long(problem)
            if problem.dilation == 1
            else "TensorFlow's depthwise convolution is wrong or slow with a dilation"
        )

    def work(self, direction: str, problem: ConvProblem) -> list[float]:
        return native_work(problem)

    def forward(self, problem: ConvProblem, axis: int, x: Tensor, weight: Tensor) -> Tensor:
        if not native_pads(problem):
            return self.forward(problem.padded(), axis, pad(x, axis, problem.padding), weight)
        image, wide, columns = _as_image(problem, axis, x)
        kernel = _as_kernel(problem, weight, wide, columns)
        y = tf.raw_ops.DepthwiseConv2dNative(input=image, filter=kernel, **_window(problem, wide))
        sizes = resized(x, axis, problem.output_length, problem.out_channels)
        return tf.reshape(y, sizes) if problem.is_static else reshaped(y, sizes)

    def input_gradient(self, problem: ConvProblem, axis: int, dy: Tensor, weight: Tensor) -> Tensor:
        if not native_pads(problem):
            low, high = problem.padding
            return pad(self.input_gradient(problem.padded(), axis, dy, weight), axis, (-low, -high))
        if problem.stride == problem.group_out == 1 and problem.extent > max(problem.padding):
            # the convolution is faster than its native gradient
            return self.forward(problem.transposed(), axis, dy, swapped(problem, weight))
        image, wide, columns = _as_image(problem, axis, dy)
        sizes = sizes_of(image)
        sizes[2 if wide else 1], sizes[3] = problem.length, problem.in_channels * columns
        dx = tf.raw_ops.DepthwiseConv2dNativeBackpropInput(
            input_sizes=sizes,
            filter=_as_kernel(problem, weight, wide, columns),
            out_backprop=image,
            **_window(problem, wide),
        )
        sizes = resized(dy, axis, problem.length, problem.in_channels)
        return tf.reshape(dx, sizes) if problem.is_static else reshaped(dx, sizes)

    def weight_gradient(self, problem: ConvProblem, axis: int, x: Tensor, dy: Tensor) -> Tensor:
        if not native_pads(problem):
            return self.weight_gradient(problem.padded(), axis, pad(x, axis, problem.padding), dy)
        image, wide, columns = _as_image(problem, axis, x)
        shape = [problem.kernel, 1] if not wide else [1, problem.kernel]
        gradient = tf.raw_ops.DepthwiseConv2dNativeBackpropFilter(
            input=image,
            filter_sizes=[*shape, problem.in_channels * columns, problem.group_out],
            out_backprop=_as_image(problem, axis, dy)[0],
            **_window(problem, wide),
        )
        if not problem.is_static:  # of nothing, the op leaves its result uninitialised
            gradient = tf.where(tf.size(dy) > 0, gradient, tf.zeros_like(gradient))
        if not (isinstance(columns, int) and columns == 1):
            gradient = tf.reduce_sum(tf.reshape(gradient, [problem.kernel, columns, problem.out_channels]), 1)
        return tf.reshape(gradient, problem.weight_shape)


def _as_image(problem: ConvProblem, axis: int, x: Tensor) -> tuple[Tensor, bool, Any]:
    """An image, whether the axis is its width, and how many columns were folded into its channels."""
    sizes = sizes_of(x)
    if len(sizes) == 3:
        return tf.raw_ops.ExpandDims(input=x, axis=1), True, 1
    if axis == 2:
        return tf.reshape(x, [sizes[0] * sizes[1], 1, *sizes[2:]]), True, 1
    if problem.stride == 1 and problem.in_channels >= FEW_CHANNELS:
        return x, False, 1
    return tf.reshape(x, [sizes[0], sizes[1], 1, sizes[2] * sizes[3]]), False, sizes[2]


def _as_kernel(problem: ConvProblem, weight: Tensor, wide: bool, columns: Any) -> Tensor:
    channels, multiplier = problem.in_channels, problem.group_out
    if not (isinstance(columns, int) and columns == 1):
        weight = tf.tile(weight, [1, 1, columns])
        channels = channels * columns
    return tf.reshape(
        weight, [1, problem.kernel, channels, multiplier] if wide else [problem.kernel, 1, channels, multiplier]
    )


def _window(problem: ConvProblem, wide: bool) -> dict[str, Any]:
    low, high = problem.padding
    stride = problem.stride
    attributes: dict[str, Any] = {"strides": [1, stride, stride, 1], "padding": "VALID"}
    if low or high:
        attributes["padding"] = "EXPLICIT"
        attributes["explicit_paddings"] = [0, 0, 0, 0, low, high, 0, 0] if wide else [0, 0, low, high, 0, 0, 0, 0]
    return attributes

"""The framework's own convolutions, and their own gradients."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from xconv.core.formulation import Formulation
from xconv.core.problem import ConvProblem
from xconv.planning.estimate import native_work
from xconv_tensorflow.formulations.shapes import (
    Tensor,
    along_width,
    as_lines,
    cut,
    native_pads,
    pad,
    reshaped,
    resized,
    sizes_of,
    too_long,
    with_a_place,
)


class Conv2d(Formulation):
    """``Conv2D`` of an image: of height one for signals, the map itself for rows and columns."""

    name = "conv2d"

    def unsupported(self, direction: str, problem: ConvProblem) -> str | None:
        if direction != "forward" and (problem.groups > 1 or problem.dilation > 1):
            return "TensorFlow has no gradient of a grouped or dilated convolution on the CPU"
        return too_long(problem)

    def work(self, direction: str, problem: ConvProblem) -> list[float]:
        return native_work(problem)

    def forward(self, problem: ConvProblem, axis: int, x: Tensor, weight: Tensor) -> Tensor:
        if not native_pads(problem):
            if not problem.is_static:
                more = with_a_place(problem)
                y = self.forward(more.padded(), axis, pad(x, axis, more.padding), weight)
                return cut(y, axis, 0, tf.maximum(problem.output_length, 0))
            return self.forward(problem.padded(), axis, pad(x, axis, problem.padding), weight)
        wide = along_width(x, axis)
        y = tf.raw_ops.Conv2D(
            input=_as_image(x), filter=_as_kernel(weight, wide), **_window(problem, wide, dilated=True)
        )
        y = _squeezed(_fenced(y, problem), x)
        if not problem.is_static:  # oneDNN gives a batch that turns out empty the channels of its input
            y = reshaped(y, resized(x, axis, problem.output_length, problem.out_channels))
        return y

    def input_gradient(self, problem: ConvProblem, axis: int, dy: Tensor, weight: Tensor) -> Tensor:
        if not native_pads(problem):
            low, high = problem.padding
            return pad(self.input_gradient(problem.padded(), axis, dy, weight), axis, (-low, -high))
        wide, image = along_width(dy, axis), _as_image(dy)
        sizes = resized(image, 2 if wide else 1, problem.length, problem.in_channels)
        dx = tf.raw_ops.Conv2DBackpropInput(
            input_sizes=sizes, filter=_as_kernel(weight, wide), out_backprop=image, **_window(problem, wide)
        )
        return _squeezed(dx, dy)

    def weight_gradient(self, problem: ConvProblem, axis: int, x: Tensor, dy: Tensor) -> Tensor:
        if not native_pads(problem):
            return self.weight_gradient(problem.padded(), axis, pad(x, axis, problem.padding), dy)
        wide, kernel = along_width(x, axis), problem.kernel
        channels = (problem.in_channels, problem.out_channels)
        shape = [1, kernel, *channels] if wide else [kernel, 1, *channels]
        window = _window(problem, wide)
        gradient = _kernel_gradient(_as_image(x), shape, _as_image(dy), window, problem.is_static)
        return tf.reshape(gradient, problem.weight_shape)


class Conv1d(Formulation):
    """``tf.nn.conv1d``, in three ops: lines padded before, as images of height one, or of width one for columns.

    oneDNN is several times slower with pads of its own than with zeros in the array, where there is a stride.
    """

    name = "conv1d"

    def unsupported(self, direction: str, problem: ConvProblem) -> str | None:
        return too_long(problem) if direction == "forward" else "TensorFlow has no op for it"

    def work(self, direction: str, problem: ConvProblem) -> list[float]:
        return native_work(problem)

    def forward(self, problem: ConvProblem, axis: int, x: Tensor, weight: Tensor) -> Tensor:
        if problem.is_static:
            return self._forward(problem, axis, x, weight)
        y = self._forward(with_a_place(problem), axis, x, weight)
        return cut(y, axis, 0, tf.maximum(problem.output_length, 0))

    def _forward(self, problem: ConvProblem, axis: int, x: Tensor, weight: Tensor) -> Tensor:
        lines = pad(as_lines(x, axis), 1, problem.padding)
        columns = len(x.shape) == 4 and axis == 1
        outer, length, inner, channels = sizes_of(lines)
        if columns:
            lines = tf.transpose(lines, (0, 2, 1, 3))
        image = tf.reshape(lines, [outer * inner, 1, length, channels])
        problem = problem.padded()
        y = tf.raw_ops.Conv2D(input=image, filter=_as_kernel(weight, True), **_window(problem, True, dilated=True))
        y = _fenced(y, problem)
        if columns:
            y = tf.reshape(y, [outer, inner, problem.output_length, problem.out_channels])
            return tf.transpose(y, (0, 2, 1, 3))
        sizes = resized(x, axis, problem.output_length, problem.out_channels)
        return tf.reshape(y, sizes) if problem.is_static else reshaped(y, sizes)


def conv2d(vertical: ConvProblem, horizontal: ConvProblem, direction: str, a: Tensor, b: Tensor) -> Tensor:
    """A direction of the framework's own 2-D convolution, for one group, no dilation and pads that are known."""
    window = {"strides": [1, vertical.stride, horizontal.stride, 1], **_padding(vertical, horizontal)}
    known = vertical.is_static and horizontal.is_static
    if direction == "weight_gradient":
        return _kernel_gradient(a, [vertical.kernel, *horizontal.weight_shape], b, window, known)
    batch = sizes_of(a)[0]
    if direction == "forward":
        sizes = [batch, vertical.output_length, horizontal.output_length, vertical.out_channels]
        y = tf.raw_ops.Conv2D(input=a, filter=b, **window)
    else:
        sizes = [batch, vertical.length, horizontal.length, vertical.in_channels]
        y = tf.raw_ops.Conv2DBackpropInput(input_sizes=sizes, filter=b, out_backprop=a, **window)
    return y if known else reshaped(y, sizes)


def _kernel_gradient(x: Tensor, shape: list[int], dy: Tensor, window: dict[str, Any], known: bool) -> Tensor:
    gradient = tf.raw_ops.Conv2DBackpropFilter(input=x, filter_sizes=shape, out_backprop=dy, **window)
    # of nothing, which only an unknown size can turn out to be, the op leaves its result uninitialised
    return gradient if known else tf.where(tf.size(dy) > 0, gradient, tf.zeros_like(gradient))


def _fenced(y: Tensor, problem: ConvProblem) -> Tensor:
    """A fence: Grappler would fuse a bias or activation into the grouped conv, and cannot run the result."""
    return y if problem.groups == 1 else tf.ensure_shape(y, [None] * 4)


def _as_image(x: Tensor) -> Tensor:
    return x if len(x.shape) == 4 else tf.raw_ops.ExpandDims(input=x, axis=1)


def _squeezed(y: Tensor, like: Tensor) -> Tensor:
    return y if len(like.shape) == 4 else tf.raw_ops.Squeeze(input=y, axis=[1])


def _as_kernel(weight: Tensor, wide: bool) -> Tensor:
    return tf.raw_ops.ExpandDims(input=weight, axis=0 if wide else 1)


def _window(problem: ConvProblem, wide: bool, dilated: bool = False) -> dict[str, Any]:
    """The attributes of an op: strides, padding, dilations."""
    stride, dilation = problem.stride, problem.dilation
    attributes = {"strides": [1, 1, stride, 1] if wide else [1, stride, 1, 1]}
    if dilated:
        attributes["dilations"] = [1, 1, dilation, 1] if wide else [1, dilation, 1, 1]
    return attributes | (_padding(None, problem) if wide else _padding(problem, None))


def _padding(vertical: ConvProblem | None, horizontal: ConvProblem | None) -> dict[str, Any]:
    """The pads of an op along H and W: by their name where they have one and the gradients gain by it."""
    problems = [problem for problem in (vertical, horizontal) if problem is not None]
    if not any(any(problem.padding) for problem in problems):
        return {"padding": "VALID"}
    if all(_is_same(problem) and _suits_onednn(problem) for problem in problems):
        return {"padding": "SAME"}
    amounts = [amount for problem in (vertical, horizontal) for amount in (problem.padding if problem else (0, 0))]
    return {"padding": "EXPLICIT", "explicit_paddings": [0, 0, *amounts, 0, 0]}


def _is_same(problem: ConvProblem) -> bool:
    """Whether the pads are what TensorFlow calls SAME, for any length."""
    low = (problem.extent - 1) // 2
    return problem.stride == 1 and problem.padding == (low, problem.extent - 1 - low)


def _suits_onednn(problem: ConvProblem) -> bool:
    """Whether the eager gradients are better left to oneDNN; those of an op with explicit pads are Eigen's.

    Eigen's take 0.95 to 2.8 times as long (60 random layers, 1 to 300 channels), but 0.33 to 0.98 times with few input
    channels and many output channels. The gradient for a long kernel can take oneDNN up to 165 times as long.
    """
    inputs, outputs, kernel = problem.in_channels, problem.out_channels, problem.kernel
    return inputs >= 4 and outputs < max(8 * inputs, 32) and kernel <= 16 and kernel * inputs <= 64 * outputs

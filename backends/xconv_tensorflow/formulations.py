"""Ways to compute a 1-D convolution in TensorFlow.

On the CPU TensorFlow has no gradient of a grouped or a dilated convolution, and depthwise with stride and dilation
gives wrong values. :class:`Taps` needs neither: it is slices and products, right everywhere, traced or not.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, TypeAlias

import tensorflow as tf

from xconv.backend import Formulation
from xconv.problem import ConvProblem, Size

Tensor: TypeAlias = Any


class Conv2d(Formulation):
    """``conv2d`` of an image: of height one for signals, the map itself for rows and columns."""

    name = "conv2d"

    def unsupported(self, direction: str, problem: ConvProblem) -> str | None:
        if direction != "forward" and (problem.groups > 1 or problem.dilation > 1):
            return "TensorFlow has no gradient of a grouped or dilated convolution on the CPU"
        return None

    def forward(self, problem: ConvProblem, axis: int, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        if not known_pads(problem):
            return self.forward(problem.padded(), axis, _pad(x, axis, problem.padding), weight, bias)
        along_width = _along_width(x, axis)
        y = tf.nn.conv2d(
            _as_image(x),
            _as_kernel(weight, along_width),
            _steps(problem.stride, along_width),
            _pads(problem, along_width),
            dilations=_steps(problem.dilation, along_width),
        )
        if problem.groups > 1:
            # a fence: Grappler would fuse a bias or activation into the grouped conv, and cannot run the result
            y = tf.ensure_shape(y, [None] * 4)
        y = _with_batch(_from_image(y, len(x.shape)), problem, axis, x)
        return y if bias is None else y + bias

    def input_gradient(self, problem: ConvProblem, axis: int, dy: Tensor, weight: Tensor) -> Tensor:
        if not known_pads(problem):
            low, high = problem.padding
            return _pad(self.input_gradient(problem.padded(), axis, dy, weight), axis, (-low, -high))
        along_width, image = _along_width(dy, axis), _as_image(dy)
        sizes = _sizes(image)
        sizes[2 if along_width else 1], sizes[3] = problem.length, problem.in_channels
        kernel, pads = _as_kernel(weight, along_width), _pads(problem, along_width)
        dx = tf.nn.conv2d_transpose(image, kernel, sizes, _steps(problem.stride, along_width), pads)
        return _from_image(dx, len(dy.shape))

    def weight_gradient(self, problem: ConvProblem, axis: int, x: Tensor, dy: Tensor) -> Tensor:
        if not known_pads(problem):
            return self.weight_gradient(problem.padded(), axis, _pad(x, axis, problem.padding), dy)
        along_width = _along_width(x, axis)
        kernel, channels = problem.kernel, (problem.in_channels, problem.out_channels)
        shape = [1, kernel, *channels] if along_width else [kernel, 1, *channels]
        strides, padding = _steps(problem.stride, along_width), _pads(problem, along_width)
        gradient = _kernel_gradient(_as_image(x), shape, _as_image(dy), strides, padding, problem.is_static)
        return tf.squeeze(gradient, 0 if along_width else 1)


class Conv1d(Formulation):
    """``tf.nn.conv1d`` of signals; a feature map's rows or columns become a batch of signals."""

    name = "conv1d"

    def unsupported(self, direction: str, problem: ConvProblem) -> str | None:
        return None if direction == "forward" else "TensorFlow has no op for it"

    def forward(self, problem: ConvProblem, axis: int, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        padded = _pad(x, axis, problem.padding)
        if len(x.shape) == 4 and axis == 1:
            padded = tf.transpose(padded, (0, 2, 1, 3))
        *batch, length, channels = _sizes(padded)
        signals = padded if len(x.shape) == 3 else tf.reshape(padded, [batch[0] * batch[1], length, channels])
        y = tf.nn.conv1d(signals, weight, problem.stride, "VALID", dilations=problem.dilation)
        if problem.groups > 1:
            y = tf.ensure_shape(y, [None] * 3)  # the fence, as above
        y = tf.reshape(y, [*batch, problem.output_length, problem.out_channels])
        if len(x.shape) == 4 and axis == 1:
            y = tf.transpose(y, (0, 2, 1, 3))
        return y if bias is None else y + bias


class Taps(Formulation):
    """A sum over the taps: each is a shifted, strided slice of the input times one tap of the kernel."""

    name = "taps"

    def forward(self, problem: ConvProblem, axis: int, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        padded = _pad(x, axis, problem.padding)
        y = None
        for tap in range(problem.kernel):
            product = _times(problem, _shifted(problem, axis, padded, tap), weight[tap])
            y = product if y is None else y + product
        return y if bias is None else y + bias

    def input_gradient(self, problem: ConvProblem, axis: int, dy: Tensor, weight: Tensor) -> Tensor:
        groups, kernel = problem.groups, problem.kernel
        grouped = tf.reshape(weight, (kernel, problem.group_in, groups, problem.group_out))
        swapped = tf.reshape(tf.transpose(grouped, (0, 3, 2, 1)), (kernel, problem.group_out, problem.in_channels))
        adjoint = replace(problem, in_channels=problem.out_channels, out_channels=problem.in_channels)
        reach = (problem.output_length - 1) * problem.stride + 1
        dx = None
        for tap in range(kernel):
            # each product goes back where it came from; no weight is multiplied by a zero in between
            product = _spread(_times(adjoint, dy, swapped[tap]), axis, problem.stride)
            start = tap * problem.dilation
            placed = _pad(product, axis, (start, problem.padded_length - start - reach))
            dx = placed if dx is None else dx + placed
        low, high = problem.padding
        return _pad(dx, axis, (-low, -high))

    def weight_gradient(self, problem: ConvProblem, axis: int, x: Tensor, dy: Tensor) -> Tensor:
        padded = _pad(x, axis, problem.padding)
        taps = [_correlate(problem, _shifted(problem, axis, padded, tap), dy) for tap in range(problem.kernel)]
        return tf.stack(taps)


FORMULATIONS = (Conv2d(), Conv1d(), Taps())


def conv2d(vertical: ConvProblem, horizontal: ConvProblem, direction: str, a: Tensor, b: Tensor) -> Tensor:
    """A direction of the framework's own 2-D convolution, for one group, no dilation and pads that are known."""
    strides = [1, vertical.stride, horizontal.stride, 1]
    padding = [[0, 0], list(vertical.padding), list(horizontal.padding), [0, 0]]
    known = vertical.is_static and horizontal.is_static
    if direction == "weight_gradient":
        shape = [vertical.kernel, *horizontal.weight_shape]
        return _kernel_gradient(a, shape, b, strides, padding, known)
    batch = _sizes(a)[0]
    if direction == "forward":
        sizes = [batch, vertical.output_length, horizontal.output_length, vertical.out_channels]
        y = tf.nn.conv2d(a, b, strides, padding)
    else:
        sizes = [batch, vertical.length, horizontal.length, vertical.in_channels]
        y = tf.nn.conv2d_transpose(a, b, sizes, strides, padding)
    return y if known else _reshaped(y, sizes)


def _kernel_gradient(x: Tensor, shape: list[int], dy: Tensor, strides: list[int], padding: Any, known: bool) -> Tensor:
    explicit = [] if padding == "VALID" else [amount for pair in padding for amount in pair]
    gradient = tf.raw_ops.Conv2DBackpropFilter(
        input=x,
        filter_sizes=shape,
        out_backprop=dy,
        strides=strides,
        padding="EXPLICIT" if explicit else "VALID",
        explicit_paddings=explicit,
    )
    # of nothing, which only an unknown size can turn out to be, the op leaves its result uninitialised
    return gradient if known else tf.where(tf.size(dy) > 0, gradient, tf.zeros_like(gradient))


def _times(problem: ConvProblem, x: Tensor, tap: Tensor) -> Tensor:
    """Every position of ``x`` times one tap (in / groups, out)."""
    groups = problem.groups
    if groups == 1:
        return tf.tensordot(x, tap, 1)
    if problem.depthwise:
        if problem.group_out == 1:
            return x * tap[0]
        return tf.repeat(x, problem.group_out, axis=-1) * tap[0]
    grouped = _split_channels(x, groups)
    taps = tf.reshape(tap, (problem.group_in, groups, problem.group_out))
    return _join_channels(tf.einsum("...gi,igo->...go", grouped, taps), problem.out_channels)


def _correlate(problem: ConvProblem, x: Tensor, dy: Tensor) -> Tensor:
    """One tap of the weight gradient, (in / groups, out): products summed over every position."""
    positions = list(range(len(x.shape) - 1))
    groups = problem.groups
    if groups == 1:
        return tf.tensordot(x, dy, (positions, positions))
    if problem.depthwise:
        many = x if problem.group_out == 1 else tf.repeat(x, problem.group_out, axis=-1)
        return tf.reduce_sum(many * dy, positions)[None]
    flat_x = tf.reshape(x, (-1, groups, problem.group_in))
    flat_dy = tf.reshape(dy, (-1, groups, problem.group_out))
    taps = tf.einsum("pgi,pgo->igo", flat_x, flat_dy)
    return tf.reshape(taps, (problem.group_in, problem.out_channels))


def _split_channels(x: Tensor, groups: int) -> Tensor:
    return tf.reshape(x, [*_sizes(x)[:-1], groups, x.shape[-1] // groups])


def _join_channels(x: Tensor, channels: int) -> Tensor:
    return tf.reshape(x, [*_sizes(x)[:-2], channels])


def _sizes(x: Tensor) -> list[Size]:
    """Sizes, as integers where they are known."""
    known = x.shape.as_list()
    if None not in known:
        return list(known)
    dynamic = tf.shape(x)
    return [dynamic[i] if size is None else size for i, size in enumerate(known)]


def _shifted(problem: ConvProblem, axis: int, padded: Tensor, tap: int) -> Tensor:
    start = tap * problem.dilation
    stop = start + (problem.output_length - 1) * problem.stride + 1
    index = [slice(None)] * len(padded.shape)
    index[axis] = slice(start, stop, problem.stride)
    return padded[tuple(index)]


def _spread(x: Tensor, axis: int, stride: int) -> Tensor:
    """``stride - 1`` zeros between neighbours along an axis."""
    if stride == 1:
        return x
    sizes = _sizes(x)
    length = sizes[axis]
    apart = tf.expand_dims(x, axis + 1)
    pads = [[0, 0]] * len(apart.shape)
    pads[axis + 1] = [0, stride - 1]
    sizes[axis] = length * stride
    spread = tf.reshape(tf.pad(apart, pads), sizes)
    return spread[(slice(None),) * axis + (slice(0, (length - 1) * stride + 1),)]


def _pad(x: Tensor, axis: int, padding: tuple[Size, Size]) -> Tensor:
    """Zeros on both sides of an axis; a negative amount crops."""
    low, high = padding
    if isinstance(low, int) and isinstance(high, int):
        if low == high == 0:
            return x
        crop = slice(max(-low, 0), -max(-high, 0) or None)
        pads = [[0, 0]] * len(x.shape)
        pads[axis] = [max(low, 0), max(high, 0)]
        return tf.pad(x[(slice(None),) * axis + (crop,)] if min(low, high) < 0 else x, pads)
    index: list[Any] = [slice(None)] * len(x.shape)
    index[axis] = slice(tf.maximum(-low, 0), tf.shape(x)[axis] - tf.maximum(-high, 0))
    pads = [[0, 0]] * len(x.shape)
    pads[axis] = [tf.maximum(low, 0), tf.maximum(high, 0)]
    return tf.pad(x[tuple(index)], pads)


def _as_image(x: Tensor) -> Tensor:
    return x if len(x.shape) == 4 else tf.expand_dims(x, 1)


def _from_image(y: Tensor, rank: int) -> Tensor:
    return y if rank == 4 else tf.squeeze(y, 1)


def _as_kernel(weight: Tensor, along_width: bool) -> Tensor:
    return tf.expand_dims(weight, 0 if along_width else 1)


def _with_batch(y: Tensor, problem: ConvProblem, axis: int, x: Tensor) -> Tensor:
    """The result with the sizes it must have: oneDNN gives a batch that turns out empty the input's."""
    if problem.is_static:
        return y
    sizes = _sizes(x)
    sizes[axis], sizes[-1] = problem.output_length, problem.out_channels
    return _reshaped(y, sizes)


def _reshaped(y: Tensor, sizes: list[Size]) -> Tensor:
    """A reshape that Grappler cannot prove idle, and so does not drop: oneDNN's empty result may need it."""
    hidden = tf.raw_ops.PlaceholderWithDefault(input=tf.stack(sizes), shape=[len(sizes)])
    result = tf.reshape(y, hidden)
    result.set_shape([size if isinstance(size, int) else None for size in sizes])
    return result


def known_pads(problem: ConvProblem) -> bool:
    """Whether no pad depends on a length that is not known."""
    return all(isinstance(amount, int) for amount in problem.padding)


def _pads(problem: ConvProblem, along_width: bool) -> Any:
    low, high = problem.padding
    if low == high == 0:
        return "VALID"
    pad = [low, high]
    return [[0, 0], [0, 0] if along_width else pad, pad if along_width else [0, 0], [0, 0]]


def _steps(value: int, along_width: bool) -> list[int]:
    return [1, 1, value, 1] if along_width else [1, value, 1, 1]


def _along_width(x: Tensor, axis: int) -> bool:
    return axis == len(x.shape) - 2

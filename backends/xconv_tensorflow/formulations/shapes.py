"""Sizes, padding, slices, and the views as which a formulation sees its arrays."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, TypeAlias

import tensorflow as tf

from xconv.core.problem import ConvProblem, Size
from xconv.core.sizes import LARGEST_SIZE

Tensor: TypeAlias = Any

try:
    from tensorflow.python.eager.record import could_possibly_record as _may_be_recorded
except ImportError:  # it is not public

    def _may_be_recorded() -> bool:
        return True


def sizes_of(x: Tensor) -> list[Size]:
    """Sizes, as integers where they are known."""
    known = x.shape.as_list()
    if None not in known:
        return list(known)
    dynamic = tf.shape(x)
    return [dynamic[i] if size is None else size for i, size in enumerate(known)]


def resized(x: Tensor, axis: int, length: Size, channels: int) -> list[Size]:
    """The sizes of ``x`` with another length along an axis and other channels."""
    sizes = sizes_of(x)
    sizes[axis], sizes[-1] = length, channels
    return sizes


def reshaped(y: Tensor, sizes: list[Size]) -> Tensor:
    """A reshape that Grappler cannot prove idle, and so does not drop: oneDNN's empty result may need it."""
    hidden = tf.raw_ops.PlaceholderWithDefault(input=tf.stack(sizes), shape=[len(sizes)])
    result = tf.reshape(y, hidden)
    result.set_shape([size if isinstance(size, int) else None for size in sizes])
    return result


def native_pads(problem: ConvProblem) -> bool:
    """Whether an op may be given the pads: known ones, and none beyond the kernel's reach.

    The gradient for ``x`` of a longer one is a convolution with a negative pad, and XLA's is wrong on the CPU.
    """
    return all(isinstance(amount, int) and amount < problem.extent for amount in problem.padding)


def too_long(problem: ConvProblem) -> str | None:
    """Why TensorFlow's ops cannot compute a problem, whose sizes they count in 32 bits, or None if they can."""
    sizes = (problem.length, problem.padded_length, problem.output_length)
    return "TensorFlow's ops count in 32 bits" if any(isinstance(n, int) and n > LARGEST_SIZE for n in sizes) else None


def unknown_sizes(problem: ConvProblem) -> str | None:
    """Why a form whose views depend on every size cannot compute a problem, or None if it can."""
    return too_long(problem) if problem.is_static else "sizes are not known yet"


def with_a_place(problem: ConvProblem) -> ConvProblem:
    """With a pad so long that the kernel has a place, whatever the sizes turn out to be; what it gives too much is cut.

    An empty signal has none under "same", and of nothing ops write where they should not.
    """
    low, high = problem.padding
    return replace(problem, padding=(low, high + tf.maximum(problem.extent - problem.padded_length, 0)))


def pad(x: Tensor, axis: int, padding: tuple[Size, Size]) -> Tensor:
    """Zeros on both sides of an axis; a negative amount crops."""
    low, high = padding
    pads = [[0, 0]] * len(x.shape)
    if isinstance(low, int) and isinstance(high, int):
        if min(low, high) < 0:
            x = cut(x, axis, max(-low, 0), -max(-high, 0) or None)
            low, high = max(low, 0), max(high, 0)
        if low == high == 0:
            return x
        pads[axis] = [low, high]
        return tf.raw_ops.Pad(input=x, paddings=pads)
    cropped = cut(x, axis, tf.maximum(-low, 0), tf.shape(x)[axis] - tf.maximum(-high, 0))
    pads[axis] = [tf.maximum(low, 0), tf.maximum(high, 0)]
    return tf.pad(cropped, pads)


def cut(x: Tensor, axis: int, start: Size, stop: Size | None, step: int = 1) -> Tensor:
    """``x[start:stop:step]`` along an axis."""
    return x[(slice(None),) * axis + (slice(start, stop, step),)]


def take_every(x: Tensor, axis: int, step: int) -> Tensor:
    """Every step-th element along an axis, from the first."""
    return cut(x, axis, 0, None, step)


def spaced(x: Tensor, axis: int, step: int) -> Tensor:
    """``step - 1`` zeros behind each element along an axis."""
    sizes = sizes_of(x)
    sizes[axis] = sizes[axis] * step
    return tf.reshape(pad(tf.expand_dims(x, axis + 1), axis + 1, (0, step - 1)), sizes)


def along_width(x: Tensor, axis: int) -> bool:
    """Whether the axis is the last one before the channels."""
    return axis == len(x.shape) - 2


def as_lines(x: Tensor, axis: int) -> Tensor:
    """``(outer, length, inner, channels)`` with the axis in the middle, whatever the rank: never a copy."""
    sizes = sizes_of(x)
    if len(sizes) == 3:
        return tf.expand_dims(x, 2)
    if axis == 1:
        return x
    return tf.reshape(x, [sizes[0] * sizes[1], sizes[2], 1, sizes[3]])


def swapped(problem: ConvProblem, weight: Tensor, flip: bool = True) -> Tensor:
    """The kernel of the adjoint: backwards, and in each group with input and output channels exchanged."""
    kernel, groups = problem.kernel, problem.groups
    if flip and kernel > 1:
        weight = tf.reverse(weight, [0])
    if groups == 1:
        return tf.transpose(weight, (0, 2, 1))
    grouped = tf.reshape(weight, (kernel, problem.group_in, groups, problem.group_out))
    return tf.reshape(tf.transpose(grouped, (0, 3, 2, 1)), (kernel, problem.group_out, problem.in_channels))


def may_be_differentiated() -> bool:
    """Whether a tape or an accumulator looks on, or a graph is built: else a custom gradient is time lost."""
    return not tf.executing_eagerly() or _may_be_recorded()

"""Formulations in the order in which they are taken where no estimate decides: while a graph is built, on a GPU."""

from __future__ import annotations

from collections.abc import Iterator

import tensorflow as tf
from tensorflow.python.ops.control_flow_util import GraphOrParentsInXlaContext  # there is no public way to tell

from xconv.core.problem import ConvProblem

UNROLLED_TAPS = 64
"""Taps up to which XLA compiles a sum over them in about a second."""

FEW_TAPS = 16
"""Taps up to which XLA computes a sum over them faster than a convolution of one channel."""


def ranked(direction: str, problem: ConvProblem, *, by_xla: bool = False) -> Iterator[tuple[str, str]]:
    """Formulations from the best to the one that can compute everything, each with the reason.

    "fft" is only taken by name: the checks that compare "auto" with integers ask for every bit.
    """
    if by_xla:
        yield from _ranked_by_xla(direction, problem)
    many, known = problem.in_channels >= min(16, problem.out_channels), problem.is_static
    if problem.depthwise:
        yield "depthwise", "the framework's own op"
        yield "folded", "a dilation is only another shape"
    elif direction == "forward":
        # with these pads oneDNN is several times slower than with zeros in the array
        uneven = known and problem.padding[0] != problem.padding[1]
        slow = problem.stride > 1 and (uneven or problem.in_channels == 1)
        if known and any(problem.padding) and (slow or (problem.in_channels == 1 and problem.kernel >= 128)):
            yield "phases", "a stride is only another shape"
            yield "conv1d", "the framework's own op, padded before"
        yield "conv2d", "the framework's own op"
    elif direction == "input_gradient":
        if problem.in_channels >= 16:
            yield "phases", "no zero is multiplied"
        if many and problem.kernel >= 7:
            yield "adjoint", "the gradient is a convolution"
        yield "conv2d", "the framework's own op"
        yield "adjoint", "the gradient is a convolution"
        yield "split", "TensorFlow has no gradient of groups together"
    else:
        if many and problem.kernel >= 16:
            yield "adjoint", "the gradient is a convolution, over the batch"
        yield "conv2d", "the framework's own op"
        yield "folded", "a dilation is only another shape"
        yield "adjoint", "the gradient is a convolution, over the batch"
    yield "taps", "right whatever the sizes"


def _ranked_by_xla(direction: str, problem: ConvProblem) -> Iterator[tuple[str, str]]:
    """What XLA has fused loops for where its convolution is slow on the CPU, and else its convolution.

    Depthwise layers of the catalogue, forward and input gradient: 17 to 60 times as fast. Nothing is faster than the
    convolution by much in dense ones.
    """
    is_one_channel_each = problem.depthwise or problem.in_channels == problem.out_channels == 1
    if is_one_channel_each and problem.kernel <= (UNROLLED_TAPS if direction != "weight_gradient" else FEW_TAPS // 2):
        yield "taps", "XLA fuses slices and products into one loop, and has no fast depthwise convolution"
    if problem.in_channels == 1 and problem.kernel <= FEW_TAPS and direction == "forward":
        yield "taps", "XLA fuses slices and products into one loop"
    if is_one_channel_each and direction == "weight_gradient":
        yield "adjoint", "the gradient is a convolution, over the batch"
    yield "conv2d", "the framework's own op"
    yield "adjoint", "the gradient is a convolution"


def under_xla() -> bool:
    """Whether the graph that is being built is for XLA, as ``tf.function(jit_compile=True)`` has it."""
    return not tf.executing_eagerly() and bool(GraphOrParentsInXlaContext(tf.compat.v1.get_default_graph()))


def symbolic_device() -> str:
    """Where TensorFlow places the ops that are recorded now: where the scope says, or on the first GPU if there is one.

    >>> with tf.Graph().as_default(), tf.device("/CPU:0"):
    ...     symbolic_device()
    'cpu'
    """
    scope = tf.constant(0).device if not tf.executing_eagerly() else ""  # it is given the scope's, and used by nothing
    kind, _, index = scope.rpartition("device:")[2].partition(":")
    if scope:
        return "cpu" if kind.lower() == "cpu" else f"cuda:{index or 0}"
    return "cuda:0" if tf.config.list_logical_devices("GPU") else "cpu"

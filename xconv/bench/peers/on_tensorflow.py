"""What a TensorFlow user writes by hand; channels last is TensorFlow's own layout."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from xconv.bench.peers.task import Built, PeerConvolution, PeerTask, UnsupportedByPeerError


def set_threads(count: int) -> None:
    """Compute with that many threads; before TensorFlow's first computation."""
    tf.config.threading.set_intra_op_parallelism_threads(count)
    tf.config.threading.set_inter_op_parallelism_threads(count)


def version() -> str:
    """TensorFlow's version."""
    return str(tf.__version__)


def _own(task: PeerTask) -> Built:
    """``tf.nn.conv1d`` or ``conv2d``, eager; groups by the shape of the kernel."""
    return _built(task, task.kernels(), _convolution, lambda function: function)


def _depthwise(task: PeerTask) -> Built:
    """``tf.nn.depthwise_conv2d`` of a height-one image, eager, as Keras' ``DepthwiseConv1D`` does."""
    kernels = []
    for step, kernel in zip(task.steps, task.kernels(), strict=True):
        channels, multiplier = step.groups, kernel.shape[-1] // step.groups
        height = (1,) * (2 - step.rank)
        kernels.append(kernel.reshape(*height, *step.kernel, channels, multiplier))
    return _built(task, kernels, _depthwise_convolution, lambda function: function)


def _keras(task: PeerTask) -> Built:
    """``keras.ops.conv``, eager, which knows no other padding than "valid" and "same" either."""
    return _built(task, task.kernels(), _keras_convolution, lambda function: function)


def _function(task: PeerTask) -> Built:
    """The own op in a ``tf.function``."""
    return _built(task, task.kernels(), _convolution, tf.function)


def _xla(task: PeerTask) -> Built:
    """The own op in a ``tf.function`` that XLA compiles."""
    return _built(task, task.kernels(), _convolution, lambda function: tf.function(function, jit_compile=True))


WAYS: dict[str, Callable[[PeerTask], Built]] = {
    "own": _own,
    "depthwise": _depthwise,
    "keras": _keras,
    "function": _function,
    "XLA": _xla,
}


def _padding(step: PeerConvolution, x: Any) -> tuple[Any, str]:
    """The name that gives these pads, or a padded x and "VALID": ``conv1d`` knows no others."""
    if all(pad == (0, 0) for pad in step.pads):
        return x, "VALID"
    if step.is_same(x.shape[1:-1]):
        return x, "SAME"
    return tf.pad(x, [(0, 0), *step.pads, (0, 0)]), "VALID"


def _convolution(step: PeerConvolution, x: Any, kernel: Any) -> Any:
    if step.transposed:
        return _transposed(step, x, kernel)
    x, padding = _padding(step, x)
    if step.rank == 1:
        return tf.nn.conv1d(x, kernel, step.strides[0], padding, dilations=step.dilations[0])
    return tf.nn.conv2d(x, kernel, step.strides, padding, dilations=step.dilations)


def _keras_convolution(step: PeerConvolution, x: Any, kernel: Any) -> Any:
    import keras

    if keras.backend.backend() != "tensorflow":
        raise UnsupportedByPeerError(f"keras computes with {keras.backend.backend()} here")
    if step.transposed:
        raise UnsupportedByPeerError("keras.ops.conv_transpose has other pads")
    x, padding = _padding(step, x)
    return keras.ops.conv(x, kernel, step.strides, padding.lower(), "channels_last", step.dilations)


def _transposed(step: PeerConvolution, x: Any, kernel: Any) -> Any:
    if step.groups > 1 or step.dilations[0] > 1:
        raise UnsupportedByPeerError("tf.nn.conv1d_transpose has no groups or dilation")
    batch, inputs, _ = x.shape
    same, low = step.is_same((inputs,)), step.pads[0][0]
    length = step.lengths[0] if same else step.full_length(inputs) + max(step.output_padding(inputs), 0)
    shape = (batch, length, kernel.shape[1])
    y = tf.nn.conv1d_transpose(x, kernel, shape, step.strides[0], "SAME" if same else "VALID")
    return y if same else y[:, low : low + step.lengths[0]]


def _depthwise_convolution(step: PeerConvolution, x: Any, kernel: Any) -> Any:
    x, padding = _padding(step, x)
    if step.rank == 1:
        steps = (1, step.strides[0], step.strides[0], 1)
        dilations = (1, step.dilations[0])
        return tf.nn.depthwise_conv2d(x[:, tf.newaxis], kernel, steps, padding, dilations=dilations)[:, 0]
    if len(set(step.strides)) > 1:
        raise UnsupportedByPeerError("tf.nn.depthwise_conv2d has one stride for both axes")
    return tf.nn.depthwise_conv2d(x, kernel, (1, *step.strides, 1), padding, dilations=step.dilations)


def _built(
    task: PeerTask,
    kernels: list[np.ndarray],
    convolution: Callable[[PeerConvolution, Any, Any], Any],
    compiled: Callable[[Callable[..., Any]], Callable[..., Any]],
) -> Built:
    device = "/GPU:" + task.device.removeprefix("cuda:") if task.device.startswith("cuda:") else "/CPU:0"
    with tf.device(device):
        x, *weights = (tf.constant(np.ascontiguousarray(array)) for array in (task.x, *kernels))
        above = None if task.above is None else tf.constant(task.above.astype("float32"))

    def forward(x: Any, *weights: Any) -> Any:
        for step, weight in zip(task.steps, weights, strict=True):
            x = convolution(step, x, weight)
        return x

    def backward(above: Any, *leaves: Any) -> Any:
        with tf.GradientTape() as tape:
            tape.watch(leaves)
            y = forward(*leaves)
        return y, tape.gradient(y, leaves, above)

    shapes = [task.x.shape, *(w.shape for w in task.weights)]
    if above is None:
        function = compiled(forward)
        return Built(lambda: function(x, *weights), lambda y: [y.numpy()])
    function = compiled(backward)
    return Built(
        lambda: function(above, x, *weights),
        lambda found: [found[0].numpy(), *(g.numpy().reshape(s) for g, s in zip(found[1], shapes, strict=True))],
    )

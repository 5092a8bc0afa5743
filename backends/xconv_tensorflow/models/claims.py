"""What TensorFlow and Keras themselves do, for :mod:`xconv.claims`: their own layers and ops, without xconv."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from xconv.models.spec import Network
from xconv_tensorflow.models.networks import build


def conv2d_layer(shape: Sequence[int], filters: int, kernel: tuple[int, int]) -> tuple[int, ...]:
    """The shape of what a Keras ``Conv2D`` returns for a map (N, H, W, C); or its own error."""
    return tuple(keras.layers.Conv2D(filters, kernel)(tf.zeros(shape)).shape)


def height_one(x: Any, weight: Any, height: int = 1) -> tuple[Any, Any]:
    """TensorFlow's conv1d of (N, W, C) with (k, C, O), and its conv2d of the same as an image of some equal lines."""
    image, square = (np.repeat(array[None], height, axis=0) for array in (x, weight))
    one = tf.nn.conv1d(x, weight, 1, "VALID")
    two = tf.nn.conv2d(image.swapaxes(0, 1), square, 1, "VALID")
    return one.numpy(), two.numpy()[:, 0]


def runs_as(x: Any, weight: Any) -> str:
    """The op that ``tf.nn.conv1d`` puts into a graph."""
    traced = tf.function(lambda a, b: tf.nn.conv1d(a, b, 1, "VALID")).get_concrete_function(tf.constant(x), weight)
    [op] = [op for op in traced.graph.get_operations() if "Conv" in op.type]
    return f"{op.type} of {tuple(op.inputs[0].shape)}"


def swapped(
    network: Network, weights: Mapping[str, Any], shape: Sequence[int] | None
) -> tuple[tuple[int, ...], list[tuple[Any, Any]]]:
    """A Keras model with each Conv2D and MaxPooling2D swapped for a new 1-D one, as the article's code does it.

    All other layers are kept; or, with the ``shape`` (W, C) of a signal, the input layer is a new one, and the layers
    from the flattening on are left out. The result's shape, and each kernel (kh, kw, in, out) with the one (k, in, out)
    in its place.
    """
    model = keras.Sequential([] if shape is None else [keras.Input(tuple(shape))])
    kernels = []
    for layer in build(network, weights).layers:
        if isinstance(layer, keras.layers.Conv2D):
            new = keras.layers.Conv1D(
                layer.filters,
                layer.kernel_size[0],
                strides=layer.strides[0],
                padding=layer.padding,
                activation=layer.activation,
            )
            model.add(new)
            kernels.append((layer.kernel, new.kernel))
        elif isinstance(layer, keras.layers.MaxPooling2D):
            model.add(keras.layers.MaxPooling1D(layer.pool_size[0], layer.strides[0]))
        elif shape is None or not isinstance(
            layer, (keras.layers.InputLayer, keras.layers.Flatten, keras.layers.Dense)
        ):
            model.add(layer)
    return tuple(model.output_shape), [(a.numpy(), b.numpy()) for a, b in kernels]

"""The 1-D convolutions of a Keras model, as calls."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

import keras
import numpy as np

from xconv.core.call import Call, resolve
from xconv_tensorflow.layers.convolution import Convolution, least_output_padding
from xconv_tensorflow.models.running import watched

LAYERS = (
    keras.layers.Conv1D,
    keras.layers.DepthwiseConv1D,
    keras.layers.SeparableConv1D,
    keras.layers.Conv1DTranspose,
    Convolution,
)


def convolutions(model: keras.Model, x_shape: Sequence[int]) -> list[Call]:
    """What the 1-D convolution layers of a model compute on an input of a shape; a separable one counts for two.

    The model is run once on zeros, for inference; it is left as it was.
    """
    found: list[Call] = []

    def seen(layer: Any, given: Any, gave: Any) -> None:
        del gave
        found.extend(_calls(layer, tuple(given.shape)))

    model(np.zeros(tuple(x_shape), "float32"), training=False)  # what is not built yet is built as it always is
    with ExitStack() as scopes:
        for layer in model._flatten_layers():
            if isinstance(layer, LAYERS):
                scopes.enter_context(watched(layer, seen))
        model(np.zeros(tuple(x_shape), "float32"), training=False)
    return found


def _calls(layer: Any, shape: tuple[int, ...]) -> list[Call]:
    if isinstance(layer, Convolution):
        return layer.calls(shape)
    last = layer.data_format == "channels_last"

    def call(operation: str, shape: tuple[int, ...], kernel: tuple[int, ...], **options: Any) -> Call:
        layout = "NWC" if last else "NCW"
        return resolve(
            operation, shape, kernel if last else kernel[::-1], layout=layout, dtype=layer.compute_dtype, **options
        )

    options: dict[str, Any] = {
        "stride": _one(layer.strides),
        "dilation": _one(layer.dilation_rate),
        "padding": layer.padding,
    }
    if isinstance(layer, keras.layers.Conv1DTranspose):
        extra = _one(layer.output_padding or 0)
        if layer.output_padding is None and layer.padding == "valid":
            extra = least_output_padding(layer.kernel_size[0], options["stride"], options["dilation"])
        return [call("conv1d_transpose", shape, tuple(layer.kernel.shape), output_padding=extra, **options)]
    if isinstance(layer, keras.layers.Conv1D):
        return [call("conv1d", shape, tuple(layer.kernel.shape), groups=layer.groups, **options)]
    separable = isinstance(layer, keras.layers.SeparableConv1D)
    size, channels, multiplier = (layer.depthwise_kernel if separable else layer.kernel).shape
    depthwise = call("conv1d", shape, (size, 1, channels * multiplier), groups=channels, **options)
    if not separable:
        return [depthwise]
    return [depthwise, call("conv1d", depthwise.result_shape(shape), tuple(layer.pointwise_kernel.shape))]


def _one(value: int | tuple[int, ...]) -> int:
    return value if isinstance(value, int) else value[0]

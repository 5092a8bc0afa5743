"""How a signal lies in the 2-D world: the state of a model's input, and arrays to and fro."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import keras
import numpy as np

from xconv.models.conversion import Options, channel_map, embedded
from xconv.system.errors import ArgumentError
from xconv_tensorflow.models.convert.state import Array, State


def embedding(graph: Any, options: Options) -> tuple[Options, State]:
    """What the input of a model stands for, and the options with the size that the model has.

    Raises:
        ArgumentError: the model takes no image, or the signal's shape, size or channels do not fit it.
    """
    shapes = [tuple(tensor.shape) for tensor in graph.inputs]
    if len(shapes) != 1 or len(shapes[0]) != 4:
        raise ArgumentError(
            "to_1d", "model", f"inputs of shapes {shapes}", "one input (batch, height, width, channels)"
        )
    last = _channels_last(graph)
    height = 1 if last else 2
    gone = height + (options.axis == "width")
    extent, image_channels = shapes[0][gone], shapes[0][3 if last else 1]
    length, depth = options.input_shape if last else options.input_shape[::-1]
    size = options.size if options.size > 1 or options.embedding == "singleton" else (extent or 1)
    options = replace(options, size=size)
    state = State("image", last, gone, rows=size)
    if options.embedding == "singleton" and size != 1:
        raise ArgumentError("to_1d", "size", str(size), "1 for 'singleton'", "embedding='constant' has equal rows")
    if options.embedding == "folded":
        if not last:
            raise ArgumentError("to_1d", "embedding", "'folded' for a channels-first model", "channels_last for it")
        if depth != image_channels * size:
            raise ArgumentError(
                "to_1d",
                "input_shape",
                f"{depth} channels",
                f"{image_channels * size}: {image_channels} for each of {size} rows",
                "size= is the extent of the axis that is folded",
            )
        return options, replace(state, form="folded" if size > 1 else "image")
    if options.embedding == "raster":
        if length % size or size < 2:
            raise ArgumentError("to_1d", "size", str(size), f"a divisor of the length {length}", "it counts the lines")
        state = replace(state, form="raster", pitch=length // size)
    if depth != image_channels:
        if options.channels == "same":
            raise ArgumentError(
                "to_1d",
                "input_shape",
                f"{depth} channels",
                f"{image_channels}, as the model's image has",
                "channels='mean', 'repeat' or 'new' makes the first kernel fit",
            )
        state = replace(state, lacking=image_channels)
    return options, state


def as_image(signal: Array, options: Options, state: State) -> Array:
    """A batch of signals as images."""
    matrix = None
    if state.lacking and options.channels != "new":
        matrix = channel_map(options.channels, state.lacking, signal.shape[state.channels])
    return embedded(signal, options, state.channels_last, matrix)


def as_given(result: Array, state: State) -> Array:
    """A 1-D result in the shape of the 2-D one."""
    if state.form == "image":
        return np.repeat(np.expand_dims(result, state.gone), state.rows, state.gone)
    if state.form == "folded":
        return _unfolded(result, state)
    if state.form not in ("flattened", "unfolded"):
        return result
    # Keras flattens to channels last, whatever the data format
    rows = 1 if state.form == "flattened" else state.rows
    image = result.reshape(len(result), state.flat[0], rows, state.flat[1])
    if state.form == "flattened":
        image = image.repeat(state.rows, 2)
    return (image.swapaxes(1, 2) if state.gone == state.first else image).reshape(len(result), -1)


def _unfolded(signal: Array, state: State) -> Array:
    image = signal.reshape(*signal.shape[:2], state.rows, -1)
    return image.swapaxes(1, 2) if state.gone == 1 else image


def _channels_last(graph: Any) -> bool:
    formats = {
        layer.data_format
        for layer in graph._flatten_layers()
        if hasattr(layer, "data_format") and not isinstance(layer, keras.layers.Flatten)
    }
    if len(formats) > 1:
        raise ArgumentError("to_1d", "model", "layers of both data formats", "one data format in all layers")
    return formats != {"channels_first"}

"""xconv's operations as Keras layers.

Constructors, weights, first numbers and configuration are those of ``keras.layers.Conv1D`` (on signals),
``keras.layers.Conv2D`` with one row or column (on feature maps) and ``keras.layers.Conv1DTranspose``: what one's
``get_weights`` gives the other's ``set_weights`` takes. What these refuse is computed: a stride with a dilation,
"causal" with channels first, pads of any size, other borders, groups in every mode.

They are registered as "xconv>Conv1D" and so on: a process that loads a saved model imports this module first. All
constructors raise :class:`~xconv.errors.ArgumentError`, in Keras' words.

>>> import keras
>>> from xconv_tensorflow.layers import Conv1D
>>> inputs = keras.Input((None, 3))
>>> model = keras.Model(inputs, Conv1D(8, 5, strides=2, padding="causal", activation="relu")(inputs))
>>> model.output_shape
(None, None, 8)
"""

from __future__ import annotations

from collections.abc import Callable
from inspect import signature
from typing import Any

import keras

from xconv.models.layers import LayerOptions
from xconv_tensorflow.layers.convolution import WORDS
from xconv_tensorflow.layers.maps import Conv1DColumns, Conv1DRows, SpatiallySeparableConv2D
from xconv_tensorflow.layers.signals import Conv1D, Conv1DTranspose, Conv2DAs1D

__all__ = [
    "Conv1D",
    "Conv1DColumns",
    "Conv1DRows",
    "Conv1DTranspose",
    "Conv2DAs1D",
    "SpatiallySeparableConv2D",
    "from_options",
]

KINDS = (Conv1D, Conv2DAs1D, Conv1DRows, Conv1DColumns, SpatiallySeparableConv2D, Conv1DTranspose)

for _kind in KINDS:
    _kind.__module__ = __name__  # under which they are public, and found again by pickle


def from_options(options: LayerOptions, **own: Any) -> keras.layers.Layer:
    """The layer of some options, which say nothing of a framework; ``own`` is what else its constructor takes.

    It is built if they say the input channels.

    Args:
        options: of one layer; without ``in_channels`` it is not built.
        own: what else its constructor takes, as ``name`` and initializers.

    Returns:
        The layer.

    >>> from xconv.models.layers import LayerOptions
    >>> layer = from_options(LayerOptions("Conv1D", 3, 8, 5, layout="NWC"), name="first")
    >>> layer.built, layer.name, layer.count_params()
    (True, 'first', 128)
    """
    kind: Callable[..., keras.layers.Layer] = next(kind for kind in KINDS if kind.layer == options.layer)
    given = {WORDS.get(name, name): value for name, value in vars(options).items()}
    given["data_format"] = "channels_last" if options.channels_last else "channels_first"
    taken = signature(kind).parameters
    layer = kind(**{name: value for name, value in given.items() if name in taken}, **own)
    if options.in_channels is not None:
        layer.build(tuple(options.in_channels if axis == "C" else None for axis in options.layout))
    return layer

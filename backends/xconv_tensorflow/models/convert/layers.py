"""Keras layers made again: from their configuration, with some of it changed."""

from __future__ import annotations

from typing import Any

import keras

ZERO_AT_ZERO = {
    "linear",
    "relu",
    "relu6",
    "leaky_relu",
    "elu",
    "selu",
    "celu",
    "gelu",
    "silu",
    "swish",
    "hard_silu",
    "hard_swish",
    "mish",
    "tanh",
    "softsign",
    "hard_tanh",
    "tanh_shrink",
    "soft_shrink",
    "hard_shrink",
}
NONNEGATIVE = {"relu", "relu6", "sigmoid", "hard_sigmoid", "softmax", "softplus", "exponential"}
COMMON_OPTIONS = ("name", "trainable", "dtype", "activation", "use_bias", "bias_initializer", "bias_regularizer")


def remade(layer: Any, kind: Any = None, gone: int | None = None, **changes: Any) -> Any:
    """A new layer with the configuration of another, of another class if ``kind`` is given; it has no weights yet.

    ``gone`` is the axis of the kernel that disappears, for constraints that know axes.
    """
    config = {**layer.get_config(), **changes}
    if gone is not None:
        for key in [key for key in config if key.endswith("kernel_constraint") or key == "depthwise_constraint"]:
            config[key] = _constraint(config[key], gone)
    return (kind or type(layer)).from_config(config)


def conv1d(layer: Any, **options: Any) -> Any:
    """A ``Conv1D`` with what any convolution layer's configuration has in common."""
    config = layer.get_config()
    return keras.layers.Conv1D.from_config({key: config[key] for key in COMMON_OPTIONS if key in config} | options)


def activation(layer: Any) -> str:
    """The name of a layer's activation."""
    name = getattr(getattr(layer, "activation", None), "__name__", "linear")
    return str(name)


def summary(layer: Any) -> str:
    """A layer in a few words.

    >>> summary(keras.layers.Conv2D(8, 3, strides=2)), summary(keras.layers.ReLU())
    ('Conv2D 3x3 -> 8, stride 2x2', 'ReLU')
    """
    words = [type(layer).__name__]
    size = getattr(layer, "kernel_size", None) or getattr(layer, "pool_size", None)
    if size:
        words.append("x".join(str(one) for one in _tuple(size)))
    out = getattr(layer, "filters", None) or getattr(layer, "units", None)
    if out:
        words.append(f"-> {out}")
    text = " ".join(words)
    strides = getattr(layer, "strides", None)
    if strides and _tuple(strides) != (1,) * len(_tuple(strides)):
        text += ", stride " + "x".join(str(one) for one in _tuple(strides))
    return text


def _tuple(value: Any) -> tuple[Any, ...]:
    return tuple(value) if isinstance(value, (tuple, list)) else (value,)


def _constraint(config: Any, gone: int) -> Any:
    # MaxNorm(axis=[0, 1, 2]) on (height, width, in, out) is MaxNorm(axis=[0, 1]) on (kept, in, out)
    axis = config.get("config", {}).get("axis") if isinstance(config, dict) else None
    if not isinstance(axis, (list, tuple)):
        return config
    left = [one - (one > gone) for one in axis if one != gone]
    return {**config, "config": {**config["config"], "axis": left}}

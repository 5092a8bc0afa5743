"""A small torch model and its port to Keras, right or with one mistake."""

from __future__ import annotations

from typing import Any

import numpy as np

X = np.random.default_rng(5).standard_normal((3, 5, 40)).astype("float32")
LAYOUTS = ("NCW", "NWC")


def original() -> Any:
    """Two convolutions with batch norm and activations, flattened into a linear layer."""
    import torch
    from torch import nn

    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = nn.Sequential(
            nn.Conv1d(5, 6, 3, padding=1),
            nn.BatchNorm1d(6),
            nn.ReLU(),
            nn.Conv1d(6, 7, 4, stride=2),
            nn.BatchNorm1d(7),
            nn.GELU(),
            nn.Dropout(0.1),
            nn.Flatten(),
            nn.Linear(7 * 19, 4),
        )
        for number in (1, 4):
            norm: Any = model[number]
            norm.running_mean.normal_()
            norm.running_var.uniform_(0.5, 2.0)
            torch.nn.init.uniform_(norm.weight, 0.5, 2.0)
    return model.eval()


def port(model: Any, mistake: str = "") -> Any:
    """The same in Keras, activations fused; ``mistake`` names what is wrong."""
    import keras
    from keras import layers

    gelu = _gelu_by_tanh if mistake == "gelu" else "gelu"
    made = keras.Sequential(
        [
            keras.Input((40, 5)),
            layers.Conv1D(6, 3, padding="causal" if mistake == "padding" else "same", name="conv_a"),
            layers.BatchNormalization(epsilon=1e-5, name="norm_a"),
            layers.Activation("relu", name="relu_a"),
            layers.Conv1D(7, 4, strides=2, use_bias=mistake != "bias", name="conv_b"),
            layers.BatchNormalization(epsilon=1e-3 if mistake == "epsilon" else 1e-5, name="norm_b"),
            layers.Activation(gelu, name="gelu_b"),
            layers.Flatten(),
            layers.Dense(4, name="head"),
        ]
    )

    def numpy(tensor: Any) -> np.ndarray:
        return np.asarray(tensor.detach().numpy())

    for number, name in ((0, "conv_a"), (3, "conv_b")):
        kernel = numpy(model[number].weight).transpose(2, 1, 0)
        if mistake == "kernel" and name == "conv_b":
            kernel = kernel[::-1]
        bias = [] if mistake == "bias" and name == "conv_b" else [numpy(model[number].bias)]
        made.get_layer(name).set_weights([kernel, *bias])
    for number, name in ((1, "norm_a"), (4, "norm_b")):
        norm = model[number]
        made.get_layer(name).set_weights(
            [numpy(part) for part in (norm.weight, norm.bias, norm.running_mean, norm.running_var)]
        )
    kernel = numpy(model[8].weight)
    ordered = kernel.T if mistake == "flatten" else kernel.reshape(4, 7, 19).transpose(2, 1, 0).reshape(-1, 4)
    if mistake == "scale":
        ordered = ordered * np.float32(1 + 2.0**-20)
    made.get_layer("head").set_weights([ordered, numpy(model[8].bias)])
    return made


def _gelu_by_tanh(x: Any) -> Any:
    import keras

    return keras.activations.gelu(x, approximate=True)

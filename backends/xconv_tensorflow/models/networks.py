"""Networks of Keras's own layers, and their training. Everything is channels last, as the weights and data are."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from xconv.models import training
from xconv.models.initial import Weights, check_weights
from xconv.models.spec import (
    AveragePool,
    BatchNorm,
    Conv1D,
    Conv2D,
    Dense,
    Dropout,
    Fold,
    MaxPool,
    Network,
    Resolved,
)
from xconv.models.training import SGD, Optimizer, Training

LAYOUTS = {3: "NWC", 4: "NHWC"}
"""What a model takes, by the rank with the batch."""


class KerasAdam(keras.optimizers.Adam):  # type: ignore[misc]
    """Keras's, with epsilon where algorithm 1 of the paper, and torch, have it: see :class:`xconv.models.KerasAdam`."""

    epsilon: Any

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """Keras's step with ``epsilon sqrt(1 - beta_2^t)``."""
        given = self.epsilon
        step = keras.ops.cast(self.iterations + 1, variable.dtype)
        decay = keras.ops.power(keras.ops.cast(self.beta_2, variable.dtype), step)
        try:
            self.epsilon = given * keras.ops.sqrt(1 - decay)
            super().update_step(gradient, variable, learning_rate)
        finally:
            self.epsilon = given


def build(network: Network, weights: Mapping[str, Any], dtype: str = "float32") -> keras.Model:
    """The network as a functional model with these weights. Its input is NWC or NHWC."""
    check_weights("build", network, weights)
    x = given = keras.Input(network.input_shape, dtype=dtype)
    for one in network.resolved:
        x = _layer(one, dtype)(x)
    model = keras.Model(given, x, name=re.sub(r"\W", "_", network.name))  # TensorFlow makes it a scope
    load(network, model, weights)
    return model


def load(network: Network, model: keras.Model, weights: Mapping[str, Any]) -> None:
    """Write weights into a model that :func:`build` made."""
    for name, variable in _variables(network, model).items():
        variable.assign(weights[name])


def weights_of(network: Network, model: keras.Model) -> Weights:
    """The weights of a model that :func:`build` made."""
    return {name: np.array(variable.value.numpy()) for name, variable in _variables(network, model).items()}


def predict(network: Network, model: keras.Model, x: Any) -> Any:
    """The result of a model, in inference."""
    del network
    return np.array(model(tf.constant(x), training=False))


class Trainer:
    """A network with a loss and an optimiser, to be trained from given weights, again and again."""

    def __init__(self, network: Network, loss: str, optimizer: Optimizer, dtype: str, form: str = "logits") -> None:
        self.network, self.loss, self.form = network, loss, form
        self.model = build(network, {k: np.zeros(v) for k, v in network.weight_shapes.items()}, dtype)
        self.optimizer = made(optimizer)
        self.optimizer.build(self.model.trainable_variables)
        self._start = [np.array(variable.value.numpy()) for variable in self.optimizer.variables]
        shapes = network.input_shape, network.output_shape
        given = [tf.TensorSpec((None, *shape), dtype) for shape in shapes]
        # traced now, and once for all sizes of a batch
        self._functions = [tf.function(f) for f in (self._one_step, self._differentiated)]
        self._step, self._gradients = (f.get_concrete_function(*given) for f in self._functions)

    def train(self, weights: Mapping[str, Any], x: Any, y: Any, batches: Sequence[Any]) -> Training:
        """One step for each batch of places in x and y."""
        load(self.network, self.model, weights)
        for variable, start in zip(self.optimizer.variables, self._start, strict=True):
            variable.assign(start)
        losses = []
        gradients: Weights = {}
        for step, places in enumerate(batches):
            inputs, targets = tf.constant(x[places]), tf.constant(y[places])
            if step == 0:
                gradients = self._named(self._gradients(inputs, targets))
                load(self.network, self.model, weights)  # a batch norm has seen the batch
            losses.append(self._step(inputs, targets))
        values = np.array(tf.stack(losses)) if losses else np.zeros(0, x.dtype)
        return Training(values, gradients, weights_of(self.network, self.model))

    def loss_of(self, x: Any, y: Any) -> Any:
        """The loss of a batch."""
        found = self.model(x, training=True)
        if self.loss == "mean_squared_error":
            return tf.reduce_mean(keras.losses.mean_squared_error(y, found))
        # Keras takes the logits of a result that it knows to be a sigmoid's or a softmax's
        found = tf.identity(found) if self.form == "probabilities" else found
        of_logits = self.network.activation == "linear"
        function = getattr(keras.losses, self.loss)
        return tf.reduce_mean(function(y, found, from_logits=of_logits))

    def _differentiated(self, x: Any, y: Any) -> Any:
        with tf.GradientTape() as tape:
            loss = self.loss_of(x, y)
        return tape.gradient(loss, [variable.value for variable in self.model.trainable_variables])

    def _one_step(self, x: Any, y: Any) -> Any:
        with tf.GradientTape() as tape:
            loss = self.loss_of(x, y)
        variables = self.model.trainable_variables
        gradients = tape.gradient(loss, [variable.value for variable in variables])
        self.optimizer.apply(gradients, variables)
        return loss

    def _named(self, gradients: Sequence[Any]) -> Weights:
        paths = {variable.path: gradient for variable, gradient in self._pairs(gradients)}
        variables = _variables(self.network, self.model)
        return {name: np.array(paths[variables[name].path]) for name in self.network.trained_weights}

    def _pairs(self, gradients: Sequence[Any]) -> Any:
        return zip(self.model.trainable_variables, gradients, strict=True)


def made(optimizer: Optimizer) -> keras.optimizers.Optimizer:
    """The optimiser in Keras."""
    if isinstance(optimizer, SGD):
        return keras.optimizers.SGD(optimizer.learning_rate, optimizer.momentum)
    assert isinstance(optimizer, training.Adam)
    return KerasAdam(optimizer.learning_rate, optimizer.beta_1, optimizer.beta_2, optimizer.epsilon)


def _layer(one: Resolved, dtype: str) -> keras.Layer:
    layer, options = one.layer, {"name": one.name, "dtype": dtype}
    if isinstance(layer, (Conv1D, Conv2D)):
        kind = keras.layers.Conv1D if isinstance(layer, Conv1D) else keras.layers.Conv2D
        return kind(
            layer.filters, layer.kernel, strides=layer.stride, padding=layer.padding, dilation_rate=layer.dilation,
            activation=layer.activation, use_bias=layer.bias, **options,
        )  # fmt: skip
    if isinstance(layer, (MaxPool, AveragePool)):
        kinds = ("MaxPooling", "AveragePooling")
        kind = getattr(keras.layers, f"{kinds[isinstance(layer, AveragePool)]}{len(one.input_shape) - 1}D")
        return kind(layer.window, layer.stride, **options)
    if isinstance(layer, Dense):
        return keras.layers.Dense(layer.units, activation=layer.activation, use_bias=layer.bias, **options)
    if isinstance(layer, BatchNorm):
        return keras.layers.BatchNormalization(momentum=layer.momentum, epsilon=layer.epsilon, **options)
    if isinstance(layer, Dropout):
        return keras.layers.Dropout(layer.rate, **options)
    return (
        keras.layers.Reshape(one.output_shape, **options)
        if isinstance(layer, Fold)
        else keras.layers.Flatten(**options)
    )


def _variables(network: Network, model: keras.Model) -> dict[str, Any]:
    """The model's variables by the network's names."""
    found = {}
    for name in network.weight_shapes:
        layer, _, what = name.rpartition(".")
        found[name] = getattr(model.get_layer(layer), what)
    return found

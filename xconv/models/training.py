"""Training that is the same in every framework: the optimisers, the losses, the batches, as formulas.

A *loss* is a mean over the batch (and over the outputs, where each has a loss of its own):

- "binary_crossentropy": ``-(y log p + (1 - y) log(1 - p))``, with p the sigmoid of a logit;
- "categorical_crossentropy": ``-sum y log p``, with p the softmax of the logits, and y one-hot or probabilities;
- "mean_squared_error": ``(p - y)^2``.

A network ends in logits ("linear") or in probabilities ("sigmoid", "softmax"). Probabilities of float32 are 0 and 1
soon, where their logarithm says nothing. So ``form="logits"`` computes from the logits in both cases, by the stable
formulas of the frameworks: what Keras does on its own if it sees the last activation, and torch's users do by hand.
``form="probabilities"`` computes from what the network returns, kept within [1e-7, 1 - 1e-7] (Keras's bounds).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from xconv.core.registry import get_backend
from xconv.models.initial import Weights, check_weights
from xconv.models.spec import Network
from xconv.system.errors import ArgumentError, nearest

LOSSES = {
    "binary_crossentropy": ("sigmoid", "linear"),
    "categorical_crossentropy": ("softmax", "linear"),
    "mean_squared_error": ("linear", "relu", "sigmoid", "softmax", "tanh"),
}
"""The losses, and the last activations that they go with."""

FORMS = ("logits", "probabilities")

SMALLEST_PROBABILITY = 1e-7
"""Of the form "probabilities"; Keras's epsilon."""


@dataclass(frozen=True)
class SGD:
    """Gradient descent: ``v = momentum v - learning_rate g``, ``w = w + v``.

    Torch keeps ``b = momentum b + g`` and takes ``w - learning_rate b``: the same for a rate that never changes.
    Hyper-parameters are rounded to float32, in which Keras keeps the learning rate whatever the model computes in.

    Args:
        learning_rate: the step over the gradient.
        momentum: the share of the last step that is kept.

    >>> SGD(0.5, momentum=0.75)
    SGD(learning_rate=0.5, momentum=0.75)
    """

    learning_rate: float = 0.01
    momentum: float = 0.0

    def __post_init__(self) -> None:
        _rounded(self, "learning_rate", "momentum")


@dataclass(frozen=True)
class Adam:
    """Kingma and Ba 2015, "Adam: a method for stochastic optimization", algorithm 1, as torch has it:

    ``m = b1 m + (1 - b1) g``, ``v = b2 v + (1 - b2) g^2``,
    ``w = w - learning_rate (m / (1 - b1^t)) / (sqrt(v / (1 - b2^t)) + epsilon)``.

    Keras takes ``w - a m / (sqrt(v) + e)`` with ``a = learning_rate sqrt(1 - b2^t) / (1 - b1^t)``: divided by
    ``sqrt(1 - b2^t)``, that is the above with ``epsilon = e / sqrt(1 - b2^t)``, 32 e in the first step (b2 = 0.999)
    and e in the end. So Keras is given ``e = epsilon sqrt(1 - b2^t)``, another one at each step. The defaults differ
    too: 1e-7 in Keras, 1e-8 in torch. Hyper-parameters are rounded to float32, as in :class:`SGD`.

    Args:
        learning_rate: the length of a step.
        beta_1: the share of the mean of gradients that is kept.
        beta_2: the share of the mean of their squares that is kept.
        epsilon: added to the root of that mean.

    >>> Adam(learning_rate=0.5).learning_rate
    0.5
    """

    learning_rate: float = 0.001
    beta_1: float = 0.9
    beta_2: float = 0.999
    epsilon: float = 1e-7

    def __post_init__(self) -> None:
        _rounded(self, "learning_rate", "beta_1", "beta_2", "epsilon")


Optimizer: TypeAlias = SGD | Adam


@dataclass(frozen=True)
class Training:
    """What a training gave: the loss before each step, the gradients of the first, the weights after the last."""

    losses: npt.NDArray[Any]
    gradients: Weights
    weights: Weights


def batches(examples: int, batch: int | None, steps: int, seed: int = 0) -> list[npt.NDArray[np.intp]]:
    """Which examples each step sees: all of them, or the next of an order that is drawn anew for each epoch.

    >>> [part.tolist() for part in batches(5, 2, 3)]
    [[2, 4], [3, 0], [1, 4]]
    """
    if batch is None or batch >= examples:
        return [np.arange(examples)] * steps
    rng = np.random.default_rng(seed)
    epochs = -(-steps * batch // examples)
    order = np.concatenate([rng.permutation(examples) for _ in range(epochs)])
    return [order[batch * step : batch * (step + 1)] for step in range(steps)]


def train(
    network: Network,
    weights: Mapping[str, npt.NDArray[Any]],
    x: npt.NDArray[Any],
    y: npt.NDArray[Any],
    *,
    loss: str,
    optimizer: Optimizer,
    steps: int,
    backend: str = "torch",
    batch: int | None = None,
    form: str = "logits",
    seed: int = 0,
) -> Training:
    """Train a network in one framework; the weights that are given stay as they are.

    Args:
        network: what is trained.
        weights: to start with, as :func:`initial_weights` makes them.
        x: ``(N, *network.input_shape)``, channels last, float32 or float64: in this type everything is computed.
        y: (N, outputs), of the same type: 0 and 1, one-hot, or numbers.
        loss: "binary_crossentropy", "categorical_crossentropy" or "mean_squared_error".
        optimizer: :class:`SGD` or :class:`Adam`.
        steps: how many.
        backend: the framework.
        batch: examples of a step; all by default.
        form: of cross-entropies, "logits" or "probabilities" (the module says what they are).
        seed: of the order of the examples.

    Returns:
        The loss before each step (steps,), the gradients of the first step, and the weights after the last; arrays in
        the dtype of x, by the names of ``network.weight_shapes``.

    Raises:
        ArgumentError: something does not fit.
        UnsupportedError: the backend builds no networks.

    >>> from xconv.models import Dense, Flatten
    >>> line = Network("line", (1, 1), (Flatten(), Dense(1)))
    >>> x = np.array([[[-1.0]], [[1.0]]])
    >>> start = {"dense_1.kernel": np.zeros((1, 1)), "dense_1.bias": np.zeros(1)}
    >>> done = train(line, start, x, 3 * x[..., 0], loss="mean_squared_error", optimizer=SGD(0.25), steps=20)
    >>> round(float(done.weights["dense_1.kernel"][0, 0]), 3)
    3.0
    """
    check_training("train", network, x, y, loss, form)
    check_weights("train", network, weights)
    if not isinstance(optimizer, (SGD, Adam)):
        raise ArgumentError("train", "optimizer", repr(optimizer), "an SGD or an Adam of xconv.models")
    module = get_backend(backend).module("models.networks")
    trainer = module.Trainer(network, loss, optimizer, x.dtype.name, form)
    done: Training = trainer.train(weights, x, y, batches(len(x), batch, steps, seed))
    return done


def predict(
    network: Network, weights: Mapping[str, npt.NDArray[Any]], x: npt.NDArray[Any], backend: str = "torch"
) -> npt.NDArray[Any]:
    """What a network returns for inputs ``(N, *network.input_shape)``, channels last, in inference.

    Args:
        network: what is run.
        weights: arrays by the names and in the shapes of ``network.weight_shapes``.
        x: ``(N, *network.input_shape)``, channels last, float32 or float64.
        backend: the framework.

    Returns:
        ``(N, *network.output_shape)``, of the dtype of ``x``.

    Raises:
        ArgumentError: the inputs or weights do not fit the network.
        UnsupportedError: the backend builds no networks.

    >>> from xconv.models import initial_weights, network
    >>> one = network("single")
    >>> predict(one, initial_weights(one), np.ones((2, 20, 1), "float32")).shape
    (2, 10)
    """
    check_inputs("predict", network, x)
    check_weights("predict", network, weights)
    module = get_backend(backend).module("models.networks")
    result: npt.NDArray[Any] = module.predict(network, module.build(network, weights, x.dtype.name), x)
    return result


def check_inputs(operation: str, network: Network, x: npt.NDArray[Any]) -> None:
    """Refuse inputs that are not the network's."""
    if x.shape[1:] != network.input_shape or not len(x) or x.dtype.name not in ("float32", "float64"):
        expected = f"float32 or float64 of shape (N, {', '.join(map(str, network.input_shape))})"
        raise ArgumentError(operation, "x", f"{x.dtype} of shape {x.shape}", expected, "inputs are channels last")


def check_training(
    operation: str, network: Network, x: npt.NDArray[Any], y: npt.NDArray[Any], loss: str, form: str
) -> None:
    """Refuse data, a loss or a form of it that do not fit the network.

    Args:
        operation: whose error it is.
        network: what is trained.
        x: must be ``(N, *network.input_shape)``, float32 or float64.
        y: must be ``(N, *network.output_shape)``, of the same dtype.
        loss: its name.
        form: of cross-entropies: "logits" or "probabilities".

    Raises:
        ArgumentError: one of them does not fit.
    """
    check_inputs(operation, network, x)
    if loss not in LOSSES:
        known = ", ".join(map(repr, LOSSES))
        raise ArgumentError(operation, "loss", repr(loss), f"one of {known}", nearest(str(loss), LOSSES))
    if network.activation not in LOSSES[loss]:
        expected = "a loss for that: " + ", ".join(k for k, v in LOSSES.items() if network.activation in v)
        raise ArgumentError(operation, "loss", f"{loss!r} after {network.activation!r}", expected)
    if form not in FORMS:
        raise ArgumentError(operation, "form", repr(form), "'logits' or 'probabilities'")
    if form == "probabilities" and network.activation == "linear" and loss != "mean_squared_error":
        raise ArgumentError(operation, "form", "'probabilities' of a network that ends in logits", "'logits'")
    if y.shape != (len(x), *network.output_shape) or y.dtype != x.dtype:
        expected = f"{x.dtype} of shape {(len(x), *network.output_shape)}"
        hint = "classes are one-hot: numpy.eye(classes)[y]" if y.dtype.kind in "iu" else ""
        raise ArgumentError(operation, "y", f"{y.dtype} of shape {y.shape}", expected, hint)


def _rounded(given: Optimizer, *names: str) -> None:
    for name in names:
        value = getattr(given, name)
        below = np.inf if name in ("learning_rate", "epsilon") else 1.0
        if not isinstance(value, (int, float)) or not 0 <= value < below:
            expected = "a number >= 0" if below > 1 else "a number from 0 up to, not including, 1"
            raise ArgumentError(type(given).__name__, name, repr(value), expected)
        object.__setattr__(given, name, float(np.float32(value)))

"""The weights that a network starts with: the same numbers for every framework."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from xconv.models.spec import Network, Shape
from xconv.system.errors import ArgumentError

Weights = dict[str, npt.NDArray[Any]]
"""Arrays by "layer.name", channels last, as ``Network.weight_shapes`` says."""


def initial_weights(network: Network, seed: int = 0, dtype: str = "float32") -> Weights:
    """Kernels drawn as Keras draws them, from a seed of NumPy's; biases zero; batch norms that change nothing yet.

    Glorot and Bengio 2010, "Understanding the difficulty of training deep feedforward neural networks", equation 16:
    uniform within ``sqrt(6 / (fan_in + fan_out))``, a fan being the channels times the taps of the kernel. Each weight
    has a generator of its own, so that a layer more or less leaves those before it as they were.

    Args:
        network: whose ``weight_shapes`` are filled.
        seed: of the kernels.
        dtype: "float32" or "float64".

    Returns:
        Arrays by the names and in the shapes of ``network.weight_shapes``.

    >>> from xconv.models import Conv1D
    >>> weights = initial_weights(Network("one", (20, 1), (Conv1D(32, 3),)))
    >>> {name: array.shape for name, array in weights.items()}
    {'conv1d_1.kernel': (3, 1, 32), 'conv1d_1.bias': (32,)}
    >>> bool(abs(weights["conv1d_1.kernel"]).max() <= (6 / (3 + 3 * 32)) ** 0.5)
    True
    """
    found: Weights = {}
    for number, (name, shape) in enumerate(network.weight_shapes.items()):
        what = name.rpartition(".")[2]
        if what == "kernel":
            limit = math.sqrt(6 / (math.prod(shape[:-2]) * (shape[-2] + shape[-1])))
            array = np.random.default_rng([seed, number]).uniform(-limit, limit, shape)
        else:
            array = np.ones(shape) if what in ("gamma", "moving_variance") else np.zeros(shape)
        found[name] = array.astype(dtype)
    return found


def check_weights(operation: str, network: Network, weights: Mapping[str, npt.NDArray[Any]]) -> None:
    """Refuse weights that are not the network's.

    Raises:
        ArgumentError: a name is missing or unknown, or a shape differs.
    """
    wanted = network.weight_shapes
    odd = sorted(wanted.keys() ^ weights.keys())
    if odd:
        which = "no " if odd[0] in wanted else ""
        raise ArgumentError(operation, "weights", f"{which}{odd[0]!r}", "the names of network.weight_shapes")
    for name, shape in wanted.items():
        got: Shape = np.shape(weights[name])
        if got != shape:
            raise ArgumentError(operation, f"weights[{name!r}]", f"shape {got}", f"shape {shape}, channels last")

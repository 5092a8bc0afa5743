"""The layers of a model in a form that belongs to no framework: channels last, kernels as Keras has them.

| kind | arrays | options |
|---|---|---|
| conv | kernel (*k, in/groups, out), bias (out) | stride, dilation, groups, padding, pads, padding_mode |
| conv_transpose | kernel (*k, out/groups, in), bias (out) | stride, dilation, groups, crop |
| dense | kernel (in, out), bias (out) | |
| batch_norm | gamma, beta, mean, variance (C) | epsilon, momentum |
| layer_norm | gamma, beta (the normalised axes) | epsilon |
| group_norm | gamma, beta (C) | epsilon, groups |
| embedding | table (number, size) | |
| prelu | alpha, without leading axes of size 1 | |
| leaky_relu | | slope |

A depthwise convolution is a conv whose groups are its input channels; output channel ``c m + j`` is the j-th of channel
c. A separable one is two layers: the depthwise without a bias, and the pointwise. Features that were flattened from
several axes are in the order of a channels-last array, ``(*spatial, C)``. Arrays are float64 or float32: float16 and
bfloat16 are read as float32, which holds them exactly. What a layer does not have (a bias, gamma) is not there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

Numbers = npt.NDArray[Any]

IDENTITY = {"bias": 0.0, "beta": 0.0, "gamma": 1.0, "mean": 0.0, "variance": 1.0}
"""What an array that a layer does not have stands for."""

ORDER = {
    "conv": "(kernel, in/groups, out)",
    "conv_transpose": "(kernel, out/groups, in)",
    "dense": "(in, out)",
    "embedding": "(number, size)",
}
"""The axes of a kind's first array, in words; (C) for all others."""


@dataclass(frozen=True)
class NeutralLayer:
    """A layer with weights, in neutral form.

    ``path`` names it in its model and ``layer`` is its class. ``axes`` and ``shape`` are of its own first array, for
    the report. ``given`` and ``gave`` are the shapes of its input and result without the batch, channels last, where
    the model was run. ``flattened`` is the channels-last shape that its input features were flattened from, ``order``
    the neutral feature that each of its own features is; ``doubt`` says why that is not certain. ``number`` is its
    place among the layers as they are registered.
    """

    path: str
    layer: str
    kind: str
    arrays: Mapping[str, Numbers]
    dtype: str = "float32"
    options: Mapping[str, Any] = field(default_factory=dict)
    axes: str = ""
    shape: tuple[int, ...] = ()
    given: tuple[int, ...] | None = None
    gave: tuple[int, ...] | None = None
    flattened: tuple[int, ...] | None = None
    order: Numbers | None = None
    doubt: str = ""
    number: int = 0

    def __str__(self) -> str:
        return f"{self.path!r} ({self.layer})"


@dataclass(frozen=True)
class Reading:
    """The layers of a model in the order in which they run, or as they are registered where it was not run.

    ``channels_last`` says how its input lies, None where no layer knows channels. ``vocabulary`` is the number of
    integers that the input may be, None for floats. ``dtype`` is float64 if any of its numbers is.
    """

    layers: tuple[NeutralLayer, ...]
    channels_last: bool | None = None
    vocabulary: int | None = None
    dtype: str = "float32"


def in_neutral_order(kind: str, name: str, array: Numbers, order: Numbers | None) -> Numbers:
    """An array whose first axis is a layer's input features, from the layer's own order of them to the neutral one.

    Others are left as they are.

    >>> in_neutral_order("dense", "kernel", np.array([10, 30, 20]), np.array([0, 2, 1])).tolist()
    [10, 20, 30]
    """
    own = _order_of_first_axis(kind, name, array, order)
    return array if own is None else array[np.argsort(own)]


def in_own_order(kind: str, name: str, array: Numbers, order: Numbers | None) -> Numbers:
    """The same from the neutral order to a layer's own one."""
    own = _order_of_first_axis(kind, name, array, order)
    return array if own is None else array[own]


def _order_of_first_axis(kind: str, name: str, array: Numbers, order: Numbers | None) -> Numbers | None:
    """The order of a layer's input features, if it is known and they are the first axis of a neutral array."""
    if order is None or array.shape[:1] != order.shape or (kind == "dense" and name != "kernel"):
        return None
    return order

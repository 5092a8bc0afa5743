"""In which order features were flattened, found by sending numbers through the model in place of a layer's result.

A dense layer after a convolution sees features that were flattened, by a layer or by a line of code that nobody else
sees. So the result of the last layer that knows channels is replaced by numbers: once by the number of the channel,
constant along all other axes, and once for each of those by the position along it. What then arrives says which
channel and position each feature is of. Between the two lie reshapes, pools (a pool of equal numbers is that number; of
positions it keeps the order) and activations. Relu and its smooth relatives leave large numbers alone. For those that
do not, tanh among them, numbers between 0 and 1 are sent in a second try, where all are increasing; only their order
is read, so that it is for layers with no other weights before them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt

from xconv.core.bounds import UNIT_ROUNDOFF
from xconv.core.reference import Floats

Whole = npt.NDArray[np.int64]

BASES = {"float32": (2**12, 2**20), "float64": (2**12, 2**20), "float16": (2**9, 2**9), "bfloat16": (2**7, 2**7)}
"""Numbers from this to below twice this are sent, for channels and for positions; larger ones in several digits.

All are far above where relu and its smooth relatives are the identity. Integers among them are exact, and for channels
so are sums of as many as a pool may add up.
"""

THROUGH = ("batch_norm", "layer_norm", "group_norm", "prelu", "leaky_relu", "elementwise")
"""Kinds of layers that number and order of features do not depend on; they are passed by."""


@dataclass(frozen=True)
class LayerShapes:
    """A layer without parts that ran: its kind, and its input's and result's shapes without the batch, channels last.

    ``knows_channels`` is whether it can tell which axis is the channels', and ``channels_first`` which one that is.
    """

    kind: str
    given: tuple[int, ...]
    gave: tuple[int, ...]
    dtype: str = "float32"
    knows_channels: bool = False
    channels_first: bool = False


@dataclass(frozen=True)
class Flattening:
    """The channels-last shape that features come from, and which of its features each one is."""

    shape: tuple[int, ...]
    order: Whole | None
    doubt: str = ""


Send = Callable[[int, Floats], Mapping[int, Floats]]
"""Run the model with the result of the layer of that number replaced; the features that each later layer then gets."""


def flattenings(seen: Sequence[LayerShapes], send: Send) -> dict[int, Flattening]:
    """For each layer whose input features come from more than one axis: how they were flattened."""
    by_sender: dict[int, list[int]] = {}
    for i, layer in enumerate(seen):
        senders = [j for j in range(i) if seen[j].knows_channels and len(seen[j].gave) > 1]
        if layer.kind in ("dense", *THROUGH[:-1]) and len(layer.given) == 1 and senders:
            by_sender.setdefault(senders[-1], []).append(i)
    found: dict[int, Flattening] = {}
    for sender, receivers in by_sender.items():
        by_value = _by_value(seen[sender], partial(send, sender))
        found.update({i: by_value[i] for i in receivers if i in by_value})
        left = [i for i in receivers if i not in by_value and _is_next(seen, sender, i)]
        by_rank = _by_rank(seen[sender], partial(send, sender)) if left else {}
        found.update({i: by_rank.get(i) or _assumed(seen, sender, i) for i in left})
    return found


Pass = Callable[[Floats], Mapping[int, Floats]]


def _by_value(sender: LayerShapes, send: Pass) -> dict[int, Flattening]:
    """What arrives as it was sent."""
    arrived = [_positions(sender, axis, send) for axis in range(len(sender.gave))]
    found = {}
    for i in set.intersection(*(set(one) for one in arrived)):
        channels = np.rint(arrived[-1][i]).astype(np.int64)
        # a pool leaves fewer places, in the same order; it may round their mean
        places = [_ranks(one[i], 1 / 8) for one in arrived[:-1]]
        if np.abs(channels - arrived[-1][i]).max() < 1 / 4:
            found[i] = _flattening(places, channels, sender.gave[-1])
    return {i: one for i, one in found.items() if one is not None}


def _by_rank(sender: LayerShapes, send: Pass) -> dict[int, Flattening]:
    """What arrives in the order in which it was sent."""
    arrived = []
    for axis, size in enumerate(sender.gave):
        step = 0.5 / size
        values = np.broadcast_to(0.25 + step * _index(sender.gave, axis), sender.gave)
        # the derivatives of tanh, sigmoid and hardsigmoid are above 1/8 there; a rounding must be far below that
        if step / 8 < 16 * UNIT_ROUNDOFF.get(sender.dtype, 1.0):
            return {}
        arrived.append({i: _ranks(one, step / 16) for i, one in send(values).items()})
    found = {}
    for i in set.intersection(*(set(one) for one in arrived)):
        if arrived[-1][i].max() == sender.gave[-1] - 1:
            found[i] = _flattening([one[i] for one in arrived[:-1]], arrived[-1][i], sender.gave[-1])
    return {i: one for i, one in found.items() if one is not None}


def _flattening(places: Sequence[Whole], channels: Whole, size: int) -> Flattening | None:
    """The features' order, if each place and channel is there once."""
    shape = (*(int(one.max()) + 1 for one in places), size)
    if math.prod(shape) != channels.size:
        return None
    order = np.ravel_multi_index((*places, channels), shape, mode="clip").astype(np.int64)
    return Flattening(shape, order) if np.unique(order).size == order.size else None


def _ranks(values: Floats, gap: float) -> Whole:
    """The place of each among all that are further apart than a gap.

    >>> _ranks(np.array([5.0, 1.0, 5.01, 3.0]), 0.1).tolist()
    [2, 0, 2, 1]
    """
    order = np.argsort(values)
    ranks = np.empty(values.size, np.int64)
    ranks[order] = np.cumsum(np.diff(values[order], prepend=values[order[:1]]) > gap)
    return ranks


def _index(shape: tuple[int, ...], axis: int) -> Whole:
    return np.arange(shape[axis]).reshape([-1 if i == axis else 1 for i in range(len(shape))])


def _positions(sender: LayerShapes, axis: int, send: Pass) -> dict[int, Floats]:
    """For each feature of each layer its position along an axis, or the mean of some.

    Args:
        sender: the layer whose result is replaced; ``gave`` is the shape of that.
        axis: of that shape.
        send: from a float64 array of that shape to what each layer behind it gets, by its index.

    Returns:
        For each layer that gets them whole a float64 array of the shape that it gets.
    """
    shape = sender.gave
    base = BASES.get(sender.dtype, BASES["bfloat16"])[axis < len(shape) - 1]
    digits = max(math.ceil(math.log(max(shape[axis], 2), base)), 1)
    found: dict[int, Floats] = {}
    for digit in range(digits):
        values = np.broadcast_to(base + _index(shape, axis) // base**digit % base, shape).astype(np.float64)
        got = {i: one - base for i, one in send(values).items() if ((one >= base) & (one < 2 * base)).all()}
        if digits > 1:  # a digit of a mean is not the mean's
            got = {i: np.rint(one) for i, one in got.items() if np.abs(one - np.rint(one)).max() < 1 / 4}
        found = {
            i: one * base**digit + (found[i] if digit else 0.0) for i, one in got.items() if i in found or not digit
        }
    return found


def _is_next(seen: Sequence[LayerShapes], sender: int, receiver: int) -> bool:
    """Whether nothing lies between that has weights which mix features."""
    return all(layer.kind in ("", *THROUGH) for layer in seen[sender + 1 : receiver])


def _assumed(seen: Sequence[LayerShapes], sender: int, receiver: int) -> Flattening:
    """The framework's own order where numbers did not come through."""
    shape = seen[sender].gave
    doubt = "the order of its input features was not found"
    if math.prod(shape) != seen[receiver].given[0]:
        return Flattening((), None, f"{doubt}; they are taken as they are")
    own = np.arange(math.prod(shape)).reshape(shape)
    own = np.moveaxis(own, -1, 0) if seen[sender].channels_first else own
    return Flattening(shape, own.reshape(-1), f"{doubt}; {shape}, flattened as usual, is assumed")

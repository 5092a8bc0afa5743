"""2-D networks to 1-D: the front door. The rules are in each backend's ``convert``."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

from xconv.core.checks import one_of
from xconv.models.calls import backend_of
from xconv.models.conversion import AXES, CHANNEL_RULES, EMBEDDINGS, KERNEL_RULES, Axis, Conversion, Embedding, Options
from xconv.system.errors import ArgumentError

_OPERATION = "to_1d"


def to_1d(
    model: Any,
    *,
    input_shape: Sequence[int],
    embedding: Embedding = "singleton",
    axis: Axis = "height",
    size: int | None = None,
    kernel_rule: str = "exact",
    channels: str = "same",
    head: int | None = None,
) -> Conversion:
    """A new 1-D model of the same framework with the weights of a 2-D one, which is left as it was.

    Args:
        model: a ``torch.nn.Module`` that ``torch.fx`` can trace, or a functional or sequential Keras model.
        input_shape: of a 1-D signal without the batch, as the framework has it: torch (channels, length), Keras
            (length, channels).
        embedding: how the signal lies in the 2-D world. "singleton": the image has size one along ``axis``.
            "constant": it is constant along it. "folded": the axis lies in the signal's channels, torch (C * size, L),
            Keras (L, size * C). "raster": the signal is the image line by line.
        axis: the axis that disappears.
        size: its extent in the 2-D world; needed for all but "singleton".
        kernel_rule: what becomes of a kernel where no rule is exact: "exact" refuses; "row" takes row (k - 1) // 2,
            "sum" and "mean" those over the axis, and are called heuristic.
        channels: what becomes of the first kernel if the signal has other channels than the image: "same" refuses;
            "mean" and "repeat" keep its weights (see :func:`xconv.models.conversion.channel_map`), "new" draws others.
        head: the outputs of a new last layer, which is to be trained; None keeps the old one.

    Returns:
        The new model, in the train or eval state, dtype and device of the old one, and the report: what was done to
        each layer, and how exact it is in inference; ``report.verify()`` proves it numerically.

    Raises:
        ArgumentError: an argument does not fit; it is no model, or one without 2-D layers; the framework cannot trace
            it; or layers have no 1-D counterpart, which the text lists, all of them, with what to do.

    >>> import torch, xconv
    >>> nn = torch.nn
    >>> model = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 4, 3, 2, 1))
    >>> result = xconv.to_1d(model, input_shape=(3, 50))
    >>> result.model(torch.zeros(2, 3, 50)).shape
    torch.Size([2, 4, 25])
    >>> bool(result.report.verify()), result.report.counts()["exact"]
    (True, 3)
    """
    options = _resolved(input_shape, embedding, axis, size, kernel_rule, channels, head)
    backend = backend_of(_OPERATION, "model", model)
    _refuse_1d(model)
    made: Conversion = backend.module("models.convert").to_1d(model, options)
    return made


def _resolved(
    input_shape: Any, embedding: Any, axis: Any, size: Any, kernel_rule: Any, channels: Any, head: Any
) -> Options:
    one_of(_OPERATION, "embedding", embedding, EMBEDDINGS)
    one_of(_OPERATION, "axis", axis, AXES)
    one_of(_OPERATION, "kernel_rule", kernel_rule, KERNEL_RULES)
    one_of(_OPERATION, "channels", channels, CHANNEL_RULES)
    shape = _shape(input_shape)
    if size is None and embedding != "singleton":
        meaning = {
            "constant": "the extent of the image along the axis that disappears",
            "folded": "the extent of the axis that lies in the channels",
            "raster": "the number of lines, so that a line has length / size elements",
        }
        raise ArgumentError(_OPERATION, "size", "None", f"an integer >= 1 for {embedding!r}", meaning[embedding])
    extent = 1 if size is None else _count("size", size)
    if embedding == "singleton" and extent != 1:
        hint = f"embedding='constant' has images that are constant along {extent} rows"
        raise ArgumentError(_OPERATION, "size", str(extent), "1 or nothing for 'singleton'", hint)
    if embedding in ("folded", "raster") and all(number % extent for number in shape):
        what = "the channels" if embedding == "folded" else "the length"
        raise ArgumentError(_OPERATION, "size", str(extent), f"a divisor of {what} of input_shape {shape}")
    number = None if head is None else _count("head", head)
    return Options(embedding, axis, shape, extent, kernel_rule, channels, number)


def _shape(value: Any) -> tuple[int, int]:
    expected = "two integers >= 1: torch (channels, length), Keras (length, channels)"
    if not isinstance(value, Sequence) or isinstance(value, str) or len(value) != 2:
        hint = ""
        if isinstance(value, Sequence) and not isinstance(value, str) and len(value) == 3:
            hint = "it is the shape of the 1-D signal, without the batch"
        raise ArgumentError(_OPERATION, "input_shape", repr(value), expected, hint)
    if not all(_is_count(number) for number in value):
        raise ArgumentError(_OPERATION, "input_shape", repr(value), expected)
    return int(value[0]), int(value[1])


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def _count(argument: str, value: Any) -> int:
    if not _is_count(value):
        raise ArgumentError(_OPERATION, argument, repr(value), "an integer >= 1")
    return int(value)


def _layers(model: Any) -> Iterator[tuple[str, str]]:
    """Names and types of a model's layers, in words that torch and Keras share."""
    if hasattr(model, "named_modules"):
        yield from ((name or "the model", type(layer).__name__) for name, layer in model.named_modules())
    elif hasattr(model, "_flatten_layers"):
        yield from ((layer.name, type(layer).__name__) for layer in model._flatten_layers())


def _refuse_1d(model: Any) -> None:
    """By the names of its layers; a model that computes without layers is looked at by its backend."""
    found = [(path, kind) for path, kind in _layers(model) if re.search("(conv|pool|pooling)1d", kind.lower())]
    if found and not any("2d" in kind.lower() for _, kind in _layers(model)):
        path, kind = found[0]
        got = f"a model whose layers are 1-D ({kind} at {path!r})"
        raise ArgumentError(_OPERATION, "model", got, "a 2-D network", "it is one-dimensional already")

"""2-D networks to 1-D: the front door. The rules are in each backend's ``convert``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from xconv.models.calls import backend_of
from xconv.models.conversion import Axis, Conversion, Embedding, Options


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
    """A new 1-D model of the same framework with the weights of a 2-D one, which is left as it was."""
    length, depth = input_shape
    options = Options(embedding, axis, (length, depth), size or 1, kernel_rule, channels, head)
    made: Conversion = backend_of("to_1d", "model", model).room("convert").to_1d(model, options)
    return made

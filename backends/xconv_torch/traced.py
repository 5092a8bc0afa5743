"""Shapes while ``torch.jit.trace`` records: its sizes are tensors, so that what depends on them is recorded too."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


def traced_shape(array: Tensor) -> tuple[Any, ...]:
    """The sizes as the trace has them; each says as ``known`` which number it is now, for sizes that may not vary."""
    state, set_state = torch._C._get_tracing_state(), torch._C._set_tracing_state  # type: ignore[attr-defined]
    # a tensor that is asked for its number warns while a trace is recorded
    set_state(None)
    try:
        numbers = tuple(array.shape)
    finally:
        set_state(state)
    sizes = tuple(array.shape)
    for size, number in zip(sizes, numbers, strict=True):
        size.known = number  # type: ignore[attr-defined]
    return sizes

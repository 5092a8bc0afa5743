"""A torch model that is run for inference, and left as it was."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn


@contextmanager
def inference(model: nn.Module) -> Iterator[None]:
    """A scope in which no module of a model trains, and nothing is recorded."""
    in_training = [module for module in model.modules() if module.training]
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for module in in_training:
            module.training = True


def zeros(model: nn.Module, shape: Sequence[int]) -> Tensor:
    """An input of a model: of its dtype, and on its device."""
    like = next(model.parameters(), torch.zeros(()))
    return torch.zeros(tuple(shape), dtype=like.dtype, device=like.device)

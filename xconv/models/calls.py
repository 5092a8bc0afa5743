"""What xconv sees of a model: the 1-D convolutions that it computes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from xconv.core.backend import Backend
from xconv.core.call import Call
from xconv.core.registry import get_backend, name_of_model
from xconv.system.errors import ArgumentError


def convolutions(model: Any, x_shape: Sequence[int]) -> list[Call]:
    """The 1-D convolution layers of a torch or Keras model as calls, in the order in which they run.

    Args:
        model: a ``torch.nn.Module`` or a Keras model. It is run once on zeros, for inference, and left as it was.
        x_shape: shape of its input with the batch, in the model's own layout.

    Returns:
        A call for each time that such a layer runs; those of transposed ones are of ``conv1d_transpose``.

    Raises:
        ArgumentError: it is no model of an installed backend.

    >>> import torch, xconv
    >>> model = torch.nn.Sequential(torch.nn.Conv1d(3, 8, 5, stride=2), torch.nn.ReLU(), torch.nn.Conv1d(8, 4, 3))
    >>> [call.problem.length for call in xconv.convolutions(model, (1, 3, 101))]
    [101, 49]
    """
    calls: list[Call] = (
        backend_of("convolutions", "model", model).module("models.convolutions").convolutions(model, tuple(x_shape))
    )
    return calls


def backend_of(operation: str, argument: str, model: Any) -> Backend:
    """The backend of a model's framework.

    Raises:
        ArgumentError: it is no model of an installed backend.
    """
    name = name_of_model(model)
    if name is None:
        raise ArgumentError(operation, argument, f"a {type(model).__name__}", "a torch.nn.Module or a Keras model")
    return get_backend(name)

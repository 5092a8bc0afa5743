"""The weights of torch models in neutral form, read and written."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from xconv.models import reading
from xconv.models.flattening import Flattening, LayerShapes
from xconv.models.neutral import NeutralLayer, Reading
from xconv_torch.models.weight_layers import ARRAYS, kind_of, neutral, own_array, unknown
from xconv_torch.models.weight_runs import RunOnZeros


def read(model: nn.Module, shapes: Sequence[tuple[int, ...]] | None) -> Reading:
    """The layers with weights, in the order in which they run on inputs of these shapes (without the batch).

    The model is run on zeros, for inference; it is left as it was. Without shapes it is not run.
    """
    modules = [(path, module) for path, module in model.named_modules() if kind_of(module) or unknown(module)]
    table: Any = next((module for _, module in modules), None)
    vocabulary = table.num_embeddings if isinstance(table, nn.Embedding) else None
    dtype = "float64" if any(value.dtype is torch.float64 for value in _numbers(model)) else "float32"

    def make(number: int, seen: LayerShapes | None, flattening: Flattening | None) -> NeutralLayer:
        return neutral(*modules[number], number, seen, flattening)

    owners = [module for _, module in modules]
    run = partial(RunOnZeros, model, integers=vocabulary is not None)
    return reading.read(owners, shapes, run, make, vocabulary, dtype)


def write(model: nn.Module, layers: Sequence[NeutralLayer]) -> None:
    """Give the layers of these paths these arrays and settings; nothing is written before all of it fits."""
    modules: dict[str, Any] = dict(model.named_modules())
    ready: list[tuple[Tensor, Tensor]] = []
    for layer in layers:
        for name, array in layer.arrays.items():
            tensor = getattr(modules[layer.path], ARRAYS[layer.kind][name])
            ready.append((tensor, own_array(layer, name, array, tensor).reshape(tensor.shape)))
    with torch.no_grad():
        for tensor, new in ready:
            tensor.copy_(new)
    for layer in layers:
        for ours, theirs in (("epsilon", "eps"), ("slope", "negative_slope")):
            if ours in layer.options:
                setattr(modules[layer.path], theirs, layer.options[ours])


def input_shapes(model: nn.Module) -> list[tuple[int, ...]] | None:
    """The shapes of a model's inputs without the batch; a torch module does not say them."""
    del model
    return None


def unbuilt(model: nn.Module) -> str:
    """The name of a weight that is not there yet, or nothing."""
    lazy = (nn.parameter.UninitializedParameter, nn.parameter.UninitializedBuffer)
    named = [*model.named_parameters(), *model.named_buffers()]
    return next((name for name, value in named if isinstance(value, lazy)), "")


def in_precision(model: nn.Module, dtype: str) -> nn.Module:
    """The model if it computes in a dtype, else a copy that does."""
    wanted = getattr(torch, dtype)
    return model if all(value.dtype is wanted for value in _numbers(model)) else copy.deepcopy(model).to(wanted)


def _numbers(model: nn.Module) -> list[Tensor]:
    return [value for value in (*model.parameters(), *model.buffers()) if value.is_floating_point()]

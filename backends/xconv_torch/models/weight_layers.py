"""A torch module with weights in neutral form."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from xconv.models.flattening import Flattening, LayerShapes
from xconv.models.neutral import NeutralLayer, Numbers, in_neutral_order, in_own_order

KINDS: tuple[tuple[type[nn.Module], str], ...] = (
    (nn.modules.conv._ConvTransposeNd, "conv_transpose"),
    (nn.modules.conv._ConvNd, "conv"),
    (nn.Linear, "dense"),
    (nn.modules.batchnorm._BatchNorm, "batch_norm"),
    (nn.modules.instancenorm._InstanceNorm, "group_norm"),
    (nn.GroupNorm, "group_norm"),
    (nn.LayerNorm, "layer_norm"),
    (nn.Embedding, "embedding"),
    (nn.PReLU, "prelu"),
    (nn.LeakyReLU, "leaky_relu"),
)
_AFFINE = {"gamma": "weight", "beta": "bias"}
_LINEAR = {"kernel": "weight", "bias": "bias"}
ARRAYS: dict[str, dict[str, str]] = {
    "conv": _LINEAR,
    "conv_transpose": _LINEAR,
    "dense": _LINEAR,
    "batch_norm": {**_AFFINE, "mean": "running_mean", "variance": "running_var"},
    "group_norm": _AFFINE,
    "layer_norm": _AFFINE,
    "embedding": {"table": "weight"},
    "prelu": {"alpha": "weight"},
    "leaky_relu": {},
}
"""The arrays of each kind: our names, and torch's."""

_CHANNELS_FIRST = ("conv", "pooling", "upsampling", "padding", "batchnorm", "instancenorm")
"""The modules of ``torch.nn.modules`` whose layers have the channels in the first axis after the batch."""


def kind_of(module: nn.Module) -> str:
    """The neutral kind of a module, or nothing where it is none."""
    return next((kind for one, kind in KINDS if isinstance(module, one)), "")


def part_of_torch(module: nn.Module) -> str:
    """The module of ``torch.nn.modules`` that a layer's class is from, or nothing."""
    package, _, name = type(module).__module__.rpartition(".")
    return name if package == "torch.nn.modules" else ""


def is_channels_first(module: nn.Module) -> bool:
    """Whether the first axis after the batch is the channels', by what the layer is."""
    return part_of_torch(module) in _CHANNELS_FIRST or kind_of(module) in ("conv", "conv_transpose", "group_norm")


def unknown(module: Any) -> str:
    """Why the weights of a module cannot be read, or nothing."""
    kind = kind_of(module)
    if not kind:
        own = any(True for _ in module.parameters(recurse=False))
        return "no kind of layer whose weights are known" if own else ""
    if parametrize.is_parametrized(module) or (ARRAYS[kind] and "weight" not in module._parameters):
        return "its weight is computed from others; remove the parametrization first"
    if kind == "batch_norm" and module.running_mean is None:
        return "it keeps no statistics, so that it computes with those of each batch"
    if getattr(module, "track_running_stats", False) and kind == "group_norm":
        return "it normalises by statistics that it keeps, which no other framework's layer does"
    return ""


def neutral(
    path: str, module: nn.Module, number: int, seen: LayerShapes | None, flattening: Flattening | None
) -> NeutralLayer:
    """A module in neutral form; ``seen`` is how it ran, if it did."""
    kind, reason = kind_of(module), unknown(module)
    if reason:
        return NeutralLayer(path, type(module).__name__, "unknown", {}, number=number, doubt=reason)
    order = None if flattening is None else flattening.order
    options = _options(kind, module, seen)
    tensors = {ours: getattr(module, theirs) for ours, theirs in ARRAYS[kind].items()}
    held = {name: tensor for name, tensor in tensors.items() if tensor is not None}
    arrays = {
        name: _to_neutral(kind, name, _numpy(tensor), order, options.get("channels_first", False))
        for name, tensor in held.items()
    }
    own = tuple(next(iter(held.values())).shape) if held else ()
    axes = {"conv": "(out, in/groups, kernel)", "conv_transpose": "(in, out/groups, kernel)", "dense": "(out, in)"}
    words = axes.get(kind, "")
    shape = None if flattening is None or flattening.doubt else flattening.shape
    if order is not None and kind == "dense" and not np.array_equal(order, np.arange(order.size)):
        words = "(out, (C, *spatial))" if shape and _is_channel_major(order, shape) else "(out, in) in another order"
    return NeutralLayer(
        path,
        type(module).__name__,
        kind,
        arrays,
        str(next(iter(held.values())).dtype).removeprefix("torch.") if held else "float32",
        options,
        words,
        own,
        None if seen is None else seen.given,
        None if seen is None else seen.gave,
        shape,
        order,
        "" if flattening is None else flattening.doubt,
        number,
    )


def own_array(layer: NeutralLayer, name: str, array: Numbers, like: Tensor) -> Tensor:
    """A neutral array as the tensor that a module holds."""
    if name == "alpha":
        array = np.broadcast_to(array, tuple(like.shape))
    array = in_own_order(layer.kind, name, array, layer.order)
    if name == "kernel":
        array = np.transpose(array, (-1, -2, *range(array.ndim - 2)))
    elif layer.options.get("channels_first"):
        array = np.moveaxis(array, -1, 0)
    return torch.from_numpy(np.array(array, order="C")).to(like)


def _to_neutral(kind: str, name: str, array: Numbers, order: Numbers | None, channels_first: bool) -> Numbers:
    if name == "kernel":
        array = np.transpose(array, (*range(2, array.ndim), 1, 0))
    elif channels_first:
        array = np.moveaxis(array, 0, -1)
    return in_neutral_order(kind, name, array, order)


def _is_channel_major(order: Numbers, shape: tuple[int, ...]) -> bool:
    own = np.moveaxis(np.arange(int(np.prod(shape))).reshape(shape), -1, 0)
    return np.array_equal(order, own.reshape(-1))


def _options(kind: str, module: Any, seen: LayerShapes | None) -> dict[str, Any]:
    if kind in ("conv", "conv_transpose"):
        options = {"stride": module.stride, "dilation": module.dilation, "groups": module.groups}
        if kind == "conv_transpose":
            return {**options, "crop": module.padding}
        padding = module.padding if isinstance(module.padding, str) else tuple((pad, pad) for pad in module.padding)
        return {**options, "padding": padding, "padding_mode": module.padding_mode}
    if kind == "batch_norm":
        return {"epsilon": module.eps, "momentum": module.momentum}
    if kind == "group_norm":
        return {"epsilon": module.eps, "groups": getattr(module, "num_groups", getattr(module, "num_features", 0))}
    if kind == "layer_norm":
        whole = seen is not None and seen.channels_first and len(module.normalized_shape) > 1
        return {"epsilon": module.eps, "channels_first": whole}
    return {"slope": module.negative_slope} if kind == "leaky_relu" else {}


def _numpy(tensor: Tensor) -> Numbers:
    tensor = tensor.detach().cpu()
    wide = tensor.float() if tensor.dtype in (torch.float16, torch.bfloat16) else tensor
    return np.array(wide.numpy())

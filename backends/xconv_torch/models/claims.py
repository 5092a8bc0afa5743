"""What torch itself does, for :mod:`xconv.claims`: its own layers and ops, without xconv in between."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn
from torch.profiler import ProfilerActivity, profile

from xconv.models.spec import Network
from xconv_torch.models.networks import build


def conv2d_layer(shape: Sequence[int], filters: int, kernel: tuple[int, int]) -> tuple[int, ...]:
    """The shape, channels last, of what an ``nn.Conv2d`` returns for a map (N, H, W, C); or torch's own error."""
    n, h, w, c = shape
    with torch.no_grad():
        y = nn.Conv2d(c, filters, kernel)(torch.zeros(n, c, h, w))
    return tuple(y.permute(0, 2, 3, 1).shape)


def height_one(x: Any, weight: Any, height: int = 1) -> tuple[Any, Any]:
    """torch's conv1d of (N, W, C) with (k, C, O), and its conv2d of the same as an image of some equal lines."""
    signal, kernel = (torch.from_numpy(array) for array in (x, weight))
    signal, kernel = signal.permute(0, 2, 1).contiguous(), kernel.permute(2, 1, 0).contiguous()
    image, square = signal[:, :, None].expand(-1, -1, height, -1), kernel[:, :, None].expand(-1, -1, height, -1)
    both = F.conv1d(signal, kernel), F.conv2d(image, square)[:, :, 0]
    return both[0].permute(0, 2, 1).numpy(), both[1].permute(0, 2, 1).numpy()


def runs_as(x: Any, weight: Any) -> str:
    """What ``F.conv1d`` hands to the library that computes it, as torch's profiler sees it."""
    signal, kernel = torch.from_numpy(x).permute(0, 2, 1), torch.from_numpy(weight).permute(2, 1, 0)
    with profile(activities=[ProfilerActivity.CPU], record_shapes=True) as seen:
        F.conv1d(signal, kernel)
    ops = [event for event in seen.events() if "conv" in event.name]
    last = ops[-1]
    return f"{last.name.removeprefix('aten::')} of {tuple(last.input_shapes[0])}"


def swapped(
    network: Network, weights: Mapping[str, Any], shape: Sequence[int] | None
) -> tuple[tuple[int, ...], list[tuple[Any, Any]]]:
    """A network of torch's layers with each Conv2d and MaxPool2d swapped for a new 1-D one, and run.

    All other layers are kept, and an image goes in; or, with the ``shape`` (W, C) of a signal, that goes in, and the
    layers from the flattening on are left out. The result's shape, and each kernel (kh, kw, in, out) with the one
    (k, in, out) in its place.
    """
    layers: list[nn.Module] = []
    kernels = []
    for layer in build(network, weights):
        if isinstance(layer, nn.Conv2d):
            taps, stride, pad = (_first(option) for option in (layer.kernel_size, layer.stride, layer.padding))
            new = nn.Conv1d(layer.in_channels, layer.out_channels, taps, stride, pad)
            kernels.append((layer.weight, new.weight))
            layers.append(new)
        elif isinstance(layer, nn.MaxPool2d):
            layers.append(nn.MaxPool1d(_first(layer.kernel_size), _first(layer.stride)))
        elif shape is None or not isinstance(layer, (nn.Flatten, nn.Linear, nn.Softmax)):
            layers.append(layer)
    size = (network.input_shape[-1], *network.input_shape[:-1]) if shape is None else (shape[-1], *shape[:-1])
    with torch.no_grad():
        y = nn.Sequential(*layers)(torch.zeros(1, *size))
    pairs = [(a.detach().permute(2, 3, 1, 0).numpy(), b.detach().permute(2, 1, 0).numpy()) for a, b in kernels]
    return tuple(y.shape[i] for i in (0, *range(2, y.ndim), 1)), pairs


def _first(option: Any) -> Any:
    return option[0] if isinstance(option, tuple) else option

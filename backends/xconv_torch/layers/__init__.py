"""xconv's operations as ``torch.nn`` modules.

Constructors, attributes, first numbers, ``repr`` and state are those of ``nn.Conv1d`` (on signals), ``nn.Conv2d`` with
one row or column (on feature maps) and ``nn.ConvTranspose1d``: state dicts go from one to the other. What these refuse
is computed: "same" with a stride, "causal", unequal pads, channels-last signals.

Input and result are as for the operation, in ``layout``; a batch axis may be missing. ``reset_parameters`` draws from
torch's generator. All constructors raise :class:`~xconv.errors.ArgumentError` before a tensor is made.

>>> import torch
>>> from xconv_torch.layers import Conv1D
>>> layer = Conv1D(3, 8, 5, stride=2, padding="same")
>>> layer
Conv1D(3, 8, kernel_size=(5,), stride=(2,), padding=same)
>>> layer(torch.ones(2, 3, 101)).shape
torch.Size([2, 8, 51])
>>> ported = layer.load_state_dict(torch.nn.Conv1d(3, 8, 5).state_dict())
"""

from __future__ import annotations

from collections.abc import Callable
from inspect import signature
from typing import Any

import torch

from xconv.models.layers import LayerOptions
from xconv_torch.layers.maps import Conv1DColumns, Conv1DRows, SpatiallySeparableConv2D
from xconv_torch.layers.signals import Conv1D, Conv1DTranspose, Conv2DAs1D

__all__ = [
    "Conv1D",
    "Conv1DColumns",
    "Conv1DRows",
    "Conv1DTranspose",
    "Conv2DAs1D",
    "SpatiallySeparableConv2D",
    "from_options",
]

KINDS = (Conv1D, Conv2DAs1D, Conv1DRows, Conv1DColumns, SpatiallySeparableConv2D, Conv1DTranspose)

for _kind in KINDS:
    _kind.__module__ = __name__  # under which they are public, and found again by pickle


def from_options(options: LayerOptions, **own: Any) -> torch.nn.Module:
    """The layer of some options, which say nothing of a framework; ``own`` is what else its constructor takes.

    Args:
        options: of one layer, with ``in_channels``.
        own: what else its constructor takes: ``device``, ``dtype``.

    Returns:
        The layer.

    Raises:
        ArgumentError: the options are of a layer that learns its input channels later.

    >>> import torch
    >>> from xconv.models.layers import LayerOptions
    >>> from_options(LayerOptions("Conv1D", 3, 8, 5, layout="NWC", padding=2), dtype=torch.float64)
    Conv1D(3, 8, kernel_size=(5,), stride=(1,), padding=(2,), layout=NWC)
    """
    kind: Callable[..., torch.nn.Module] = next(kind for kind in KINDS if kind.layer == options.layer)
    taken = signature(kind).parameters
    return kind(**{name: value for name, value in vars(options).items() if name in taken}, **own)

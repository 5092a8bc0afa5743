"""The 1-D convolutions of a torch model, as calls."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import nn

from xconv.core.call import Call, resolve
from xconv_torch.layers.convolution import Convolution
from xconv_torch.models.running import inference, zeros


def convolutions(model: nn.Module, x_shape: Sequence[int]) -> list[Call]:
    """What each ``Conv1d``, ``ConvTranspose1d`` and layer of xconv computes for a model's input of a shape.

    The model is run once on zeros, for inference; it is left as it was.
    """
    found: list[Call] = []

    def seen(layer: Any, inputs: tuple[Any, ...], output: Any) -> None:
        del output
        shape = tuple(inputs[0].shape)
        if isinstance(layer, Convolution):
            found.extend(layer.calls(shape if len(shape) == len(layer.options.layout) else (1, *shape)))
        else:
            found.append(_call(layer, shape))

    layers = [layer for layer in model.modules() if isinstance(layer, (nn.Conv1d, nn.ConvTranspose1d, Convolution))]
    hooks = [layer.register_forward_hook(seen) for layer in layers]
    try:
        with inference(model):
            model(zeros(model, x_shape))
    finally:
        for hook in hooks:
            hook.remove()
    return found


def _call(layer: nn.Conv1d | nn.ConvTranspose1d, shape: tuple[int, ...]) -> Call:
    options: dict[str, Any] = {
        "layout": "NCW",
        "stride": layer.stride[0],
        "dilation": layer.dilation[0],
        "groups": layer.groups,
        "padding": layer.padding if isinstance(layer.padding, str) else layer.padding[0],
        "dtype": str(layer.weight.dtype).removeprefix("torch."),
    }
    operation = "conv1d"
    if isinstance(layer, nn.ConvTranspose1d):
        operation, options["output_padding"] = "conv1d_transpose", layer.output_padding[0]
    else:
        options["padding_mode"] = layer.padding_mode
    return resolve(operation, shape if len(shape) == 3 else (1, *shape), tuple(layer.weight.shape), **options)

"""The attributes of the frameworks' own layers, as they are, are options of the operations."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
import torch

import xconv


def integers(*shape: int) -> Any:
    return torch.from_numpy(np.random.default_rng(sum(shape)).integers(-2, 3, shape).astype("float32"))


def with_integers(layer: Any) -> Any:
    """The layer with small integers for parameters, so that every sum is exact."""
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.copy_(integers(*parameter.shape))
    return layer


SIGNALS: list[dict[str, Any]] = [
    {},
    {"stride": 2},
    {"padding": 2},
    {"padding": "same"},
    {"dilation": 3, "padding": 1, "stride": 2},
    {"groups": 2, "padding": 1, "padding_mode": "circular"},
    {"padding": 3, "padding_mode": "reflect", "bias": False},
]


@pytest.mark.parametrize("options", SIGNALS, ids=str)
def test_those_of_conv1d(options: dict[str, Any]) -> None:
    own, x = with_integers(torch.nn.Conv1d(4, 6, 3, **options)), integers(2, 4, 19)
    how = {"stride": own.stride, "padding": own.padding, "dilation": own.dilation}
    for _ in range(2):
        y = xconv.conv1d(x, own.weight, own.bias, layout="NCW", groups=own.groups, padding_mode=own.padding_mode, **how)
        assert torch.equal(y, own(x))


@pytest.mark.parametrize(
    "options", [{}, {"stride": 3, "output_padding": 2}, {"padding": 2, "groups": 2, "dilation": 2}]
)
def test_those_of_conv_transpose1d(options: dict[str, Any]) -> None:
    own, x = with_integers(torch.nn.ConvTranspose1d(4, 6, 3, **options)), integers(2, 4, 11)
    how = {name: getattr(own, name) for name in ("stride", "padding", "output_padding", "dilation", "groups")}
    for _ in range(2):
        assert torch.equal(xconv.conv1d_transpose(x, own.weight, own.bias, layout="NCW", **how), own(x))


@pytest.mark.parametrize("options", [{}, {"stride": (2, 1), "padding": (1, 2)}, {"padding": "same", "dilation": 2}])
def test_those_of_conv2d(options: dict[str, Any]) -> None:
    own, x = with_integers(torch.nn.Conv2d(4, 6, (3, 2), **options)), integers(2, 4, 11, 12)
    how = {name: getattr(own, name) for name in ("stride", "padding", "dilation", "groups")}
    for _ in range(2):
        assert torch.equal(xconv.conv2d(x, own.weight, own.bias, layout="NCHW", **how), own(x))


@pytest.mark.parametrize("options", [{}, {"strides": 2}, {"padding": "causal", "dilation_rate": 2}, {"groups": 2}])
def test_those_of_keras(options: dict[str, Any]) -> None:
    own, x = keras.layers.Conv1D(6, 3, **options), integers(2, 19, 4).numpy()
    own.build(x.shape)
    own.set_weights([integers(*weight.shape).numpy() for weight in own.weights])
    for _ in range(2):
        y = xconv.conv1d(
            keras.ops.convert_to_tensor(x),
            keras.ops.convert_to_tensor(own.kernel),
            keras.ops.convert_to_tensor(own.bias),
            stride=own.strides,
            padding=own.padding,
            dilation=own.dilation_rate,
            groups=own.groups,
        )
        assert np.array_equal(y, own(x))


@pytest.mark.parametrize("name", ["stride", "padding", "dilation", "groups", "output_padding"])
def test_what_torch_takes_for_an_integer_is_one(name: str) -> None:
    """A tensor of one integer; a tensor of one truth value it takes too, and xconv does not."""
    x, weight, options = integers(2, 4, 19), integers(4, 2, 3), {"stride": 2, "groups": 2}
    function: Any = xconv.conv1d
    if name == "output_padding":
        function = xconv.conv1d_transpose
    value = 1 if name == "output_padding" else 2
    wanted = function(x, weight, layout="NCW", **{**options, name: value})
    for number in (torch.tensor(value), torch.tensor([value], dtype=torch.int32)):
        for _ in range(2):
            assert torch.equal(function(x, weight, layout="NCW", **{**options, name: number}), wanted)
    for wrong in (torch.tensor(True), torch.tensor(1.0), torch.tensor([1, 2]), torch.tensor(1, device="meta")):
        with pytest.raises(xconv.ArgumentError, match=f"{name}: got tensor"):
            function(x, weight, layout="NCW", **{**options, name: wrong})

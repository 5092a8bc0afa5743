"""What of a torch model has no 1-D counterpart: named, all at once, with what to do; and what cannot be traced."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import xconv


class Of(nn.Module):
    """A convolution and a function behind it."""

    def __init__(self, function: Callable[[torch.Tensor], Any], channels: int = 4) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, channels, 3, padding=1)
        self.function = function

    def forward(self, x: torch.Tensor) -> Any:
        return self.function(self.first(x))


class Pixels(nn.Module):
    """A parameter for each place of an image."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.places = nn.Conv2d(3, 4, 3, padding=1), nn.Parameter(torch.zeros(1, 4, 5, 16))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.conv(x) + self.places


CONSTANT = {"embedding": "constant", "size": 5, "kernel_rule": "sum"}
RASTER = {"embedding": "raster", "size": 4, "kernel_rule": "row"}
MODELS: list[tuple[str, nn.Module, dict[str, Any], str]] = [
    ("pixel shuffle", Of(nn.PixelShuffle(2)), {}, "deals channels out to both axes: take ConvTranspose2d"),
    ("pixel shuffle, function", Of(lambda x: F.pixel_shuffle(x, 2)), {}, "deals channels out"),
    ("unfold", Of(nn.Unfold(1)), {}, "2-D patches: take Conv2d"),
    ("indices", Of(nn.MaxPool2d(1, return_indices=True)), {}, "indices into the image"),
    ("norm pool", Of(nn.LPPool2d(2, (1, 2))), {}, "take AvgPool2d or MaxPool2d"),
    ("bicubic", Of(nn.Upsample(scale_factor=2, mode="bicubic")), {}, "'bilinear' or 'nearest'"),
    ("valid", Of(nn.Conv2d(4, 4, 3)), {}, "kernel spans 3, the image's height has 1"),
    ("rows that grow", Of(nn.Conv2d(4, 4, 3, padding=2)), {}, "zero padding makes the border along the height differ"),
    ("transposed", Of(nn.ConvTranspose2d(4, 4, 2, 2)), {}, "makes different rows along the height"),
    ("cat along height", Of(lambda x: torch.cat([x, x], 2)), {}, "joins along the height, which disappears"),
    ("softmax along height", Of(nn.Softmax(2)), {}, "works along the height, which disappears"),
    ("split height", Of(lambda x: x.chunk(1, 2)[0]), {}, "splits the height"),
    ("matrix product", Of(lambda x: x.transpose(2, 3) @ x), {}, "matmul has no rule in 1-D"),
    ("flip", Of(lambda x: torch.flip(x, [1]).roll(1, 3) if False else torch.roll(x, 1, 3)), {}, "roll has no rule"),
    ("constant fill", Of(nn.ConstantPad2d(1, 0.5)), {}, "number other than zero"),
    ("bias on zeros", Of(lambda x: torch.sigmoid(F.pad(x, (1, 1, 1, 1)))), {}, "pad in the convolution itself"),
    ("norm on zeros", nn.Sequential(nn.ZeroPad2d(1), nn.BatchNorm2d(3)), {}, "pad in the convolution itself"),
    ("places", Pixels(), CONSTANT, "differs along the height, which disappears"),
    ("layer norm", Of(nn.LayerNorm([4, 5, 16])), CONSTANT, "weights for each place along the height"),
    ("variance", Of(lambda x: x.var((2, 3))), CONSTANT, "take mean, sum, amax or amin"),
    ("mean, padded", Of(nn.AvgPool2d(3, 1, 1)), CONSTANT, "count_include_pad=False is exact"),
    ("resampled lines", Of(nn.Upsample(scale_factor=2)), RASTER, "would mix lines"),
    ("padded lines", Of(nn.ZeroPad2d(1)), RASTER, "pad the lines before"),
    ("mean of lines", Of(lambda x: x.mean(2)), RASTER, "one axis of an image that lies line by line"),
]


@pytest.mark.parametrize(("name", "model", "options", "says"), MODELS, ids=[model[0] for model in MODELS])
def test_what_has_no_counterpart_is_refused(name: str, model: nn.Module, options: dict[str, Any], says: str) -> None:
    with pytest.raises(xconv.ArgumentError) as found:
        xconv.to_1d(model, input_shape=(3, 16), **options)
    text = str(found.value)
    assert text.startswith("to_1d: model: got 1 layer without an exact 1-D counterpart"), text
    assert says in text, text


def test_all_refusals_come_at_once_by_path() -> None:
    inner = nn.Sequential(nn.Conv2d(8, 8, 3), nn.PixelShuffle(2), nn.Conv2d(2, 4, 3))
    model = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), inner, nn.Sequential(nn.LPPool2d(2, 2)))
    with pytest.raises(xconv.ArgumentError) as found:
        xconv.to_1d(model, input_shape=(3, 16))
    text = str(found.value)
    assert "got 4 layers" in text
    for path in ("1.0, Conv2d", "1.1, PixelShuffle", "1.2, Conv2d", "2.0, LPPool2d"):
        assert f"    {path}" in text


class Deciding(nn.Module):
    """A decision on values."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * 2 if x.sum() > 0 else x * 2.0


class Weighted(Deciding):
    """The same with weights."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))


def test_what_cannot_be_traced_is_kept_whole_or_named() -> None:
    conv = nn.Conv2d(3, 4, 3, padding=1)
    made = xconv.to_1d(nn.Sequential(conv, Deciding()), input_shape=(3, 16))
    assert made.report.verify()
    assert "Deciding does to signals what it does to images" in made.report.conditions[0]
    with pytest.raises(xconv.ArgumentError, match=r"Weighted at '1', which torch\.fx cannot trace: .*Hint: move"):
        xconv.to_1d(nn.Sequential(conv, Weighted()), input_shape=(3, 16))


class Transposing(nn.Module):
    """What it does to an image it does not do to a signal."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * 2 if x.dim() == 4 and float(x.sum()) is not None else x


def test_what_is_kept_whole_is_tried() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), Transposing())
    with pytest.raises(xconv.ArgumentError, match="Transposing has no rule in 1-D"):
        xconv.to_1d(model, input_shape=(3, 16))


def two(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    return x + y


class TwoInputs(nn.Module):
    """A model of two images."""

    def forward(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return F.max_pool2d(x, 1) + y


OTHERS: list[tuple[nn.Module, dict[str, Any], str]] = [
    (nn.Sequential(nn.Conv1d(3, 4, 3)), {}, "layers are 1-D.*one-dimensional already"),
    (nn.Sequential(nn.Linear(3, 4)), {}, "one without 2-D layers"),
    (TwoInputs(), {}, r"2 inputs \(x, y\)"),
    (nn.Sequential(nn.LazyConv2d(4, 3)), {}, "lazy layers.*call it once"),
    (nn.Conv2d(4, 4, 1), {}, r"input_shape: got \(3, 16\), 3 channels, expected 4.*channels='mean'"),
    (nn.Conv2d(4, 4, 1, groups=2), {"channels": "mean"}, "grouped or transposed first convolution"),
    (nn.Sequential(nn.BatchNorm2d(4), nn.Conv2d(4, 4, 1)), {"channels": "mean"}, "comes before the first convolution"),
    (nn.Sequential(nn.Conv2d(3, 4, 1), nn.Flatten(), nn.Linear(9, 2)), {}, "has 9 inputs, and gets 64.*head="),
    (nn.Sequential(nn.Conv2d(3, 4, (1, 40))), {}, r"input_shape: got \(3, 16\).*Conv2d.*fails"),
    (nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU()), {"head": 3}, "head: got a number.*no Linear"),
    (nn.Conv2d(3, 4, 1), {"embedding": "folded", "size": 2}, "size: got 2, expected a divisor of the signal's 3"),
]


@pytest.mark.parametrize(("model", "options", "says"), OTHERS, ids=range(len(OTHERS)))
def test_models_and_shapes_that_do_not_fit(model: nn.Module, options: dict[str, Any], says: str) -> None:
    with pytest.raises(xconv.ArgumentError, match=f"(?s){says}"):
        xconv.to_1d(model, input_shape=(3, 16), **options)


def test_a_layer_that_needs_two_kernels_is_refused() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 3, 3, padding=1)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.conv(F.pad(self.conv(x), (0, 0, 0, 1))[:, :, :1])

    with pytest.raises(xconv.ArgumentError, match="zero padding along the axis"):
        xconv.to_1d(Twice(), input_shape=(3, 16))

    class Again(Twice):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.conv(torch.relu(self.conv(x)))

    made = xconv.to_1d(Again(), input_shape=(3, 16))
    assert made.report.verify()
    assert made.report.parameters == (84, 30)

    class Padded(Twice):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            y = self.conv(x)
            return F.conv2d(F.pad(y, (1, 1, 0, 2)), self.conv.weight, self.conv.bias)

    made = xconv.to_1d(Padded(), input_shape=(3, 16))
    assert made.report.verify()

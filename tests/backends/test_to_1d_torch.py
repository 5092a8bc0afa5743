"""Torch layers and functions to 1-D: each against the original on embedded signals, in float64."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import xconv
from tests.two_dimensional_networks import randomized

ROUNDING = 1e-12
"""float64's unit roundoff is 1.1e-16; these models sum at most some thousand terms of order one."""


class Of(nn.Module):
    """A function behind a convolution and before another, which mixes its channels."""

    def __init__(self, function: Callable[..., torch.Tensor], kernel: int, **layers: nn.Module) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 4, kernel, padding=kernel // 2)
        self.inner = nn.ModuleDict(layers)
        self.function = function

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.function(self.first(x), **self.inner)


class Case(NamedTuple):
    """A model, and what is exact of it under which embedding."""

    name: str
    make: Callable[[], nn.Module]
    embedding: Any = "singleton"
    size: int = 1


def layer(*layers: nn.Module) -> Callable[[], nn.Module]:
    return lambda: nn.Sequential(nn.Conv2d(3, 4, 1), *layers)


def of(function: Callable[..., torch.Tensor], **layers: Callable[[], nn.Module]) -> Callable[[], nn.Module]:
    return lambda: Of(function, 3, **{name: make() for name, make in layers.items()})


def flat(function: Callable[..., torch.Tensor], **layers: Callable[[], nn.Module]) -> Callable[[], nn.Module]:
    """Behind a convolution without padding, which leaves constant images constant."""
    return lambda: Of(function, 1, **{name: make() for name, make in layers.items()})


def shuffle(x: torch.Tensor) -> torch.Tensor:
    b, c, h, w = x.size()
    x = x.view(b, 2, c // 2, h, w)
    x = torch.transpose(x, 1, 2).contiguous()
    return x.view(b, -1, h, w)


def excite(x: torch.Tensor, down: nn.Module, up: nn.Module) -> torch.Tensor:
    b, c, _, _ = x.size()
    y = F.adaptive_avg_pool2d(x, 1).view(b, c)
    y = torch.sigmoid(up(F.relu(down(y)))).view(b, c, 1, 1)
    return x * y.expand_as(x)


def pyramid(x: torch.Tensor, down: nn.Module) -> torch.Tensor:
    y = down(x)
    y = F.interpolate(y, size=x.shape[-2:], mode="nearest")
    return torch.cat([x, y], dim=1)


def normed(x: torch.Tensor, norm: nn.Module) -> torch.Tensor:
    return norm(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


def attention(x: torch.Tensor) -> torch.Tensor:
    tokens = x.flatten(2).transpose(1, 2)
    weights = torch.softmax(tokens @ tokens.transpose(1, 2), dim=-1)
    return (weights @ tokens).mean(dim=1)


class Scaled(nn.Module):
    """ConvNeXt's layer scale, and a function with a parameter as its weight."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(4, 3, 3, 5))
        self.scale = nn.Parameter(torch.randn(4, 1, 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        weight = self.weight - self.weight.mean(dim=[1, 2, 3], keepdim=True)
        return F.conv2d(x, weight, None, 1, (1, 2)) * self.scale


MODULES = [
    Case("same", layer(nn.Conv2d(4, 6, (3, 5), padding="same"))),
    Case("same with even kernels", layer(nn.Conv2d(4, 6, (4, 2), padding="same"))),
    Case("unequal padding", layer(nn.Conv2d(4, 6, (5, 3), padding=(2, 0)))),
    Case("one padded row too few", layer(nn.Conv2d(4, 6, (2, 3), padding=(1, 0), stride=2))),
    Case("dilated", layer(nn.Conv2d(4, 6, 3, padding=2, dilation=2))),
    Case("strided", layer(nn.Conv2d(4, 6, 3, stride=(2, 3), padding=1))),
    Case("depthwise", layer(nn.Conv2d(4, 8, 3, padding=1, groups=4, bias=False))),
    Case("grouped", layer(nn.Conv2d(4, 6, 3, padding=1, groups=2))),
    Case("1 x k", layer(nn.Conv2d(4, 6, (1, 5)))),
    Case("circular", layer(nn.Conv2d(4, 6, 3, padding=1, padding_mode="circular"))),
    Case("replicate", layer(nn.Conv2d(4, 6, 3, padding=1, padding_mode="replicate"))),
    Case("transposed", layer(nn.ConvTranspose2d(4, 6, 3, stride=(1, 2), padding=1, output_padding=(0, 1)))),
    Case("zero pad, then valid", layer(nn.ZeroPad2d((2, 1, 1, 1)), nn.Conv2d(4, 6, 3))),
    Case("zero pad, then strided", layer(nn.ZeroPad2d((0, 1, 0, 1)), nn.Conv2d(4, 6, 2, stride=2))),
    Case("zero pad, then a maximum", layer(nn.ZeroPad2d((1, 1, 1, 1)), nn.MaxPool2d(3, 2))),
    Case("replication pad", layer(nn.ReplicationPad2d((1, 2, 1, 0)), nn.Conv2d(4, 6, (2, 3)))),
    Case("maximum", layer(nn.MaxPool2d(3, 2, 1, ceil_mode=True))),
    Case("maximum, no room", layer(nn.MaxPool2d((2, 3)))),
    Case("mean that counts padding", layer(nn.AvgPool2d(3, 2, 1))),
    Case("mean that does not", layer(nn.AvgPool2d(3, 2, 1, count_include_pad=False))),
    Case("mean with a divisor", layer(nn.AvgPool2d(3, 1, 1, divisor_override=5))),
    Case("adaptive", layer(nn.AdaptiveAvgPool2d((3, 5)), nn.Flatten(), nn.Linear(60, 7))),
    Case("adaptive maximum", layer(nn.AdaptiveMaxPool2d((None, 4)))),
    Case("norms", layer(nn.BatchNorm2d(4), nn.GroupNorm(2, 4), nn.InstanceNorm2d(4, affine=True))),
    Case("dropouts", layer(nn.Dropout2d(0.3), nn.Dropout(0.2), nn.LocalResponseNorm(3))),
    Case("activations", layer(nn.PReLU(4), nn.Softmax(1), nn.GLU(1), nn.Hardswish(), nn.Softmax(dim=3))),
    Case("upsample", layer(nn.Upsample(scale_factor=2), nn.Upsample(size=(1, 50), mode="bilinear"))),
    Case("flatten, dense", layer(nn.Flatten(), nn.Linear(4 * 17, 5), nn.BatchNorm1d(5), nn.LogSoftmax(1))),
    Case("unused module", layer(nn.Identity(), nn.Sequential(nn.Sequential(nn.ReLU6())))),
    Case("constant: valid", layer(nn.Conv2d(4, 6, 3), nn.MaxPool2d(2), nn.AvgPool2d(2)), "constant", 12),
    Case("constant: reflect", layer(nn.Conv2d(4, 6, 5, padding=2, padding_mode="reflect")), "constant", 4),
    Case("constant: dense", layer(nn.Conv2d(4, 2, 3), nn.Flatten(), nn.Linear(2 * 15 * 3, 4)), "constant", 5),
    Case("constant: norms", layer(nn.BatchNorm2d(4), nn.GroupNorm(2, 4), nn.InstanceNorm2d(4)), "constant", 3),
    Case("constant: pads", layer(nn.ReflectionPad2d(2), nn.CircularPad2d(1), nn.Conv2d(4, 2, 3)), "constant", 4),
    Case("constant: linear", layer(nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True)), "constant", 3),
    Case("folded: spans", layer(nn.Conv2d(4, 6, (4, 3)), nn.ReLU(), nn.Conv2d(6, 2, (1, 3))), "folded", 4),
    Case("folded: toeplitz", layer(nn.Conv2d(4, 6, 3, (2, 1), 1, groups=2), nn.BatchNorm2d(6)), "folded", 5),
    Case("folded: reflect", layer(nn.Conv2d(4, 6, 3, 1, 2, 2, padding_mode="reflect")), "folded", 5),
    Case("folded: circular", layer(nn.Conv2d(4, 6, 3, padding=1, padding_mode="circular")), "folded", 4),
    Case("folded: replicate", layer(nn.Conv2d(4, 6, 3, padding=1, padding_mode="replicate")), "folded", 4),
    Case("folded: transposed", layer(nn.ConvTranspose2d(4, 6, 3, 2, 1, 1, groups=2)), "folded", 3),
    Case("folded: maximum", layer(nn.MaxPool2d(3, 2, 1)), "folded", 6),
    Case("folded: mean", layer(nn.AvgPool2d(3, 2, 1), nn.AvgPool2d(2, divisor_override=3)), "folded", 7),
    Case("folded: adaptive", layer(nn.AdaptiveAvgPool2d((2, 3)), nn.Flatten(), nn.Linear(24, 4)), "folded", 5),
    Case("folded: adaptive maximum", layer(nn.AdaptiveMaxPool2d((2, 3))), "folded", 5),
    Case("folded: norms", layer(nn.GroupNorm(2, 4), nn.InstanceNorm2d(4, affine=True), nn.PReLU(4)), "folded", 3),
    Case("folded: pads", layer(nn.ZeroPad2d((1, 0, 2, 1)), nn.ReflectionPad2d(1), nn.Conv2d(4, 2, 3)), "folded", 3),
    Case(
        "folded: upsample", layer(nn.Upsample(scale_factor=2, mode="bilinear"), nn.Upsample(size=(7, 9))), "folded", 3
    ),
    Case("folded: dense", layer(nn.Conv2d(4, 2, 3), nn.Flatten(), nn.Linear(2 * 15 * 2, 4)), "folded", 4),
]

FUNCTIONS = [
    Case("pools", of(lambda x: F.max_pool2d(F.avg_pool2d(x, 3, 1, 1), (3, 2), padding=(1, 0)))),
    Case("pools, positional", of(lambda x: F.max_pool2d(x, 3, 2, 1))),
    Case("adaptive", of(lambda x: F.adaptive_avg_pool2d(x, 1) + F.adaptive_max_pool2d(x, (1, 1)))),
    Case("pad", of(lambda x, c: c(F.pad(x, (1, 2, 1, 1))), c=lambda: nn.Conv2d(4, 3, 3))),
    Case("interpolate", of(lambda x: F.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False))),
    Case("interpolate to sizes", of(pyramid, down=lambda: nn.Conv2d(4, 2, 3, 2, 1))),
    Case("interpolate to tuples", of(lambda x: F.interpolate(x, size=(x.shape[2], x.size(3) * 2)))),
    Case("mean", of(lambda x: x.mean([2, 3]))),
    Case("mean, kept", of(lambda x: x * torch.mean(x, dim=(-2, -1), keepdim=True))),
    Case("sum and largest", of(lambda x: x.sum((2, 3)) + x.amax(dim=(2, 3)))),
    Case("variance", of(lambda x: (x - x.mean((2, 3), True)) / x.var((2, 3), keepdim=True))),
    Case("mean of one axis", of(lambda x: x.mean(3).squeeze(-1))),
    Case("flatten", of(lambda x, f: f(x.flatten(1)), f=lambda: nn.Linear(68, 5))),
    Case("view", of(lambda x, f: f(x.view(x.size(0), -1)), f=lambda: nn.Linear(68, 5))),
    Case("reshape to numbers", of(lambda x, f: f(torch.reshape(x, (-1, 68))), f=lambda: nn.Linear(68, 5))),
    Case("reshape to sizes", of(lambda x: x.reshape(x.shape[0], x.shape[1], x.shape[2] * x.shape[3]))),
    Case("shuffle", of(shuffle)),
    Case("excite", of(excite, down=lambda: nn.Linear(4, 2), up=lambda: nn.Linear(2, 4))),
    Case("new axes", of(lambda x: x * x.mean((2, 3))[:, :, None, None] + x[:, :1, :, ::1])),
    Case("unsqueezed", of(lambda x: x * x.mean((2, 3)).unsqueeze(-1).unsqueeze(-1))),
    Case("slices", of(lambda x: x[:, 1:3, :, 2:-1] + x[:, 0:2, 0:1, 3:])),
    Case("rows", of(lambda x: x[:, :, 0].mean(-1))),
    Case("chunks", of(lambda x: torch.cat((x.chunk(2, dim=1)[1], torch.split(x, 2, 1)[0]), 1))),
    Case("gated", of(lambda x: x[:, :2] * torch.sigmoid(x[:, 2:]))),
    Case("stack", of(lambda x: torch.stack([x, 2 * x], dim=1).sum(1))),
    Case("channels last", of(normed, norm=lambda: nn.LayerNorm(4))),
    Case("attention", of(attention)),
    Case("softmax", of(lambda x: torch.softmax(x, 1) * F.log_softmax(x.mean([2, 3]), dim=1)[..., None, None])),
    Case("in place", of(lambda x: F.hardtanh(F.relu_(x).add_(1.0).mul_(0.5), inplace=True))),
    Case("in place behind a mean", of(lambda x: x + x.mean(2).relu_().unsqueeze(2))),
    Case("in place behind a pool", of(lambda x: x + F.relu_(F.adaptive_avg_pool2d(x, (1, None))))),
    Case(
        "in place behind padding",
        of(lambda x, c: x + c(F.relu_(F.pad(x, (0, 0, 1, 1)))), c=lambda: nn.Conv2d(4, 4, (3, 1))),
    ),
    Case("numbers", of(lambda x: x.sum([2, 3]) / (x.shape[2] * x.shape[3]))),
    Case("expand", of(lambda x: x.mean((2, 3), keepdim=True).expand(-1, -1, x.size(2), x.size(3)))),
    Case("clamp", of(lambda x: x.clamp(min=-0.2, max=0.3) ** 2 - torch.where(x > 0, x, 0.1 * x))),
    Case("weights as parameters", Scaled),
    Case("joined along the signal", of(lambda x: torch.stack([torch.cat([x, 2 * x], 3)] * 2, -1).sum(-1))),
    Case(
        "constant: sums",
        flat(lambda x: x.mean([2, 3]) + x.amax((2, 3)) + x.sum((2, 3), True)[..., 0, 0]),
        "constant",
        5,
    ),
    Case("constant: slices", flat(lambda x: x[:, :, 1:3] * x[:, :, 3:].mean(2, keepdim=True)), "constant", 5),
    Case("constant: view", flat(lambda x, f: f(x.view(x.size(0), -1)), f=lambda: nn.Linear(340, 5)), "constant", 5),
    Case("constant: numbers", flat(lambda x, f: f(x.view(-1, 340)), f=lambda: nn.Linear(340, 5)), "constant", 5),
    Case("constant: sizes", flat(lambda x: F.interpolate(x, size=(x.shape[2] * 2, x.shape[3]))), "constant", 5),
    Case("constant: reshaped", flat(shuffle), "constant", 5),
    Case("constant: expanded", flat(lambda x: x + x.mean((2, 3), True).expand_as(x)), "constant", 5),
    Case("folded: excite", of(excite, down=lambda: nn.Linear(4, 2), up=lambda: nn.Linear(2, 4)), "folded", 3),
    Case("folded: shuffle", of(lambda x, c: c(shuffle(x)), c=lambda: nn.Conv2d(4, 2, 3)), "folded", 4),
    Case("folded: mean", of(lambda x: x.mean([2, 3]) + x.amax(3).mean(2)), "folded", 3),
    Case("folded: joined", of(lambda x: torch.cat([x, F.relu(x), torch.stack([x, x], 2)[:, :, 0]], 1)), "folded", 3),
]


def images(signals: torch.Tensor, case: Case, axis: str) -> torch.Tensor:
    """Written out again, so that nothing rests on xconv's own embedding."""
    if case.embedding == "folded":
        image = torch.stack(
            [signals[:, c * case.size : (c + 1) * case.size] for c in range(signals.shape[1] // case.size)], 1
        )
    else:
        image = torch.stack([signals] * case.size, 2)
    return image if axis == "height" else image.transpose(2, 3)


def turned(model: nn.Module) -> nn.Module:
    """A model with the axes of its layers exchanged."""
    for module in model.modules():
        for name in ("kernel_size", "stride", "padding", "dilation", "output_padding", "output_size", "size"):
            value = getattr(module, name, None)
            if isinstance(value, tuple) and len(value) == 2:
                setattr(module, name, value[::-1])
            if isinstance(value, tuple) and len(value) == 4:
                setattr(module, name, (*value[2:], *value[:2]))
        if isinstance(module, nn.Softmax) and module.dim == 3:
            module.dim = 2
        if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)):
            module.weight = nn.Parameter(module.weight.detach().transpose(2, 3).contiguous())
            module._reversed_padding_repeated_twice = (
                module._reversed_padding_repeated_twice[2:] + (module._reversed_padding_repeated_twice[:2])
            )
    return model


def check(case: Case, axis: Any, model: nn.Module) -> Any:
    channels = 3 * case.size if case.embedding == "folded" else 3
    made = xconv.to_1d(
        model,
        input_shape=(channels, 17),
        embedding=case.embedding,
        axis=axis,
        size=case.size,
    )
    report = made.report
    assert report.counts()["heuristic"] == report.counts()["refused"] == 0
    signals = torch.randn(3, channels, 17, dtype=torch.float64)
    got = made.model(signals.clone())
    if not any(step.condition for step in report.steps if step.verdict == "exact if"):
        wanted = model(images(signals, case, axis))
        if got.dim() == 3 and wanted.dim() == 4:
            dim = 2 if axis == "height" else 3
            extent = wanted.shape[dim]
            if case.embedding == "folded":
                got = got.unflatten(1, (-1, extent))
                got = got if dim == 2 else got.transpose(2, 3)
            else:
                got = got.unsqueeze(dim).expand_as(wanted)
        assert got.shape == wanted.shape
        assert (got - wanted).abs().max() <= ROUNDING * max(1, wanted.abs().max())
    proof = report.verify()
    assert proof, str(proof)
    assert not [m for m in made.model.modules() if type(m).__name__.endswith("2d")]
    assert all(node.users for node in made.model.graph.nodes if node.target == "size")
    return made


@pytest.mark.parametrize("axis", ["height", "width"])
@pytest.mark.parametrize("case", MODULES, ids=lambda case: case.name)
def test_layers_are_exact(case: Case, axis: str) -> None:
    torch.manual_seed(0)
    model = randomized(case.make()).double()
    if axis == "width":
        turned(model)
    check(case, axis, model)


@pytest.mark.parametrize("case", FUNCTIONS, ids=lambda case: case.name)
def test_functions_are_exact(case: Case) -> None:
    torch.manual_seed(0)
    check(case, "height", randomized(case.make()).double())

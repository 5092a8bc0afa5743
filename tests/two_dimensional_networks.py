"""Small networks with the shapes and the code patterns of torchvision's, for tests of their conversion to 1-D."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn


def randomized(model: nn.Module, seed: int = 0) -> nn.Module:
    """A model whose norms have statistics as after training, so that its outputs vary; it is in eval mode."""
    generator = torch.Generator().manual_seed(seed)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            for tensor, low, high in (
                (module.running_mean, -0.5, 0.5),
                (module.running_var, 0.5, 2.0),
                (module.weight.data, 0.5, 1.5),
                (module.bias.data, -0.5, 0.5),
            ):
                assert tensor is not None
                tensor.uniform_(low, high, generator=generator)
    return model.eval()


class BasicBlock(nn.Module):
    """ResNet-18's block."""

    expansion = 1

    def __init__(self, inplanes: int, planes: int, stride: int = 1, downsample: nn.Module | None = None) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inplanes, planes, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(planes)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(planes, planes, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(planes)
        self.downsample = downsample

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        identity = x
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        if self.downsample is not None:
            identity = self.downsample(x)
        out += identity
        return self.relu(out)


class Bottleneck(nn.Module):
    """ResNet-50's block; with groups and width ResNeXt's."""

    expansion = 4

    def __init__(
        self, inplanes: int, planes: int, stride: int = 1, downsample: nn.Module | None = None, groups: int = 1
    ) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inplanes, planes, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(planes)
        self.conv2 = nn.Conv2d(planes, planes, 3, stride, 1, groups=groups, bias=False)
        self.bn2 = nn.BatchNorm2d(planes)
        self.conv3 = nn.Conv2d(planes, planes * 4, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(planes * 4)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = downsample

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        identity = x
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.relu(self.bn2(self.conv2(out)))
        out = self.bn3(self.conv3(out))
        if self.downsample is not None:
            identity = self.downsample(x)
        out += identity
        return self.relu(out)


class ResNet(nn.Module):
    """The stem, four stages, an average and a dense layer."""

    def __init__(self, block: Any, layers: Sequence[int], width: int = 4, **options: Any) -> None:
        super().__init__()
        self.inplanes = width
        self.conv1 = nn.Conv2d(3, width, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(kernel_size=3, stride=2, padding=1)
        self.layer1 = self._make_layer(block, width, layers[0], 1, options)
        self.layer2 = self._make_layer(block, width * 2, layers[1], 2, options)
        self.avgpool = nn.AdaptiveAvgPool2d((1, 1))
        self.fc = nn.Linear(width * 2 * block.expansion, 7)

    def _make_layer(self, block: Any, planes: int, blocks: int, stride: int, options: dict[str, Any]) -> nn.Sequential:
        downsample = None
        if stride != 1 or self.inplanes != planes * block.expansion:
            downsample = nn.Sequential(
                nn.Conv2d(self.inplanes, planes * block.expansion, 1, stride, bias=False),
                nn.BatchNorm2d(planes * block.expansion),
            )
        layers = [block(self.inplanes, planes, stride, downsample, **options)]
        self.inplanes = planes * block.expansion
        layers += [block(self.inplanes, planes, **options) for _ in range(1, blocks)]
        return nn.Sequential(*layers)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        x = self.layer2(self.layer1(x))
        x = self.avgpool(x)
        x = torch.flatten(x, 1)
        return self.fc(x)


class SqueezeExcitation(nn.Module):
    """A gate for each channel, from its mean."""

    def __init__(self, channels: int, squeeze: int, activation: Any = nn.ReLU, gate: Any = nn.Sigmoid) -> None:
        super().__init__()
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc1 = nn.Conv2d(channels, squeeze, 1)
        self.fc2 = nn.Conv2d(squeeze, channels, 1)
        self.activation = activation()
        self.scale_activation = gate()

    def _scale(self, x: torch.Tensor) -> torch.Tensor:
        scale = self.activation(self.fc1(self.avgpool(x)))
        return self.scale_activation(self.fc2(scale))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self._scale(x) * x


def conv_norm(
    inputs: int, outputs: int, kernel: int = 3, stride: int = 1, groups: int = 1, activation: Any = nn.ReLU6
) -> nn.Sequential:
    """torchvision's Conv2dNormActivation."""
    layers: list[nn.Module] = [
        nn.Conv2d(inputs, outputs, kernel, stride, (kernel - 1) // 2, groups=groups, bias=False),
        nn.BatchNorm2d(outputs),
    ]
    if activation is not None:
        layers.append(activation())
    return nn.Sequential(*layers)


def stochastic_depth(x: torch.Tensor, p: float, mode: str, training: bool = True) -> torch.Tensor:
    """torchvision's: whole branches are dropped in training."""
    if not training or p == 0.0:
        return x
    survival = 1.0 - p
    size = [x.shape[0]] + [1] * (x.ndim - 1) if mode == "row" else [1] * x.ndim
    noise = torch.empty(size, dtype=x.dtype, device=x.device).bernoulli_(survival)
    if survival > 0.0:
        noise.div_(survival)
    return x * noise


class StochasticDepth(nn.Module):
    """The function as a layer."""

    def __init__(self, p: float, mode: str) -> None:
        super().__init__()
        self.p, self.mode = p, mode

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return stochastic_depth(x, self.p, self.mode, self.training)


class InvertedResidual(nn.Module):
    """MobileNetV2's block; with a gate V3's; with SiLU and stochastic depth EfficientNet's MBConv."""

    def __init__(
        self, inputs: int, outputs: int, stride: int, gate: Any = None, activation: Any = nn.ReLU6, drop: float = 0.0
    ) -> None:
        super().__init__()
        hidden = inputs * 4
        layers: list[nn.Module] = [conv_norm(inputs, hidden, 1, activation=activation)]
        layers.append(conv_norm(hidden, hidden, 5 if gate else 3, stride, hidden, activation))
        if gate is not None:
            layers.append(gate(hidden, inputs))
        layers.append(conv_norm(hidden, outputs, 1, activation=None))
        self.block = nn.Sequential(*layers)
        self.use_res_connect = stride == 1 and inputs == outputs
        self.stochastic_depth = StochasticDepth(drop, "row") if drop else nn.Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        result = self.block(x)
        if self.use_res_connect:
            result = self.stochastic_depth(result)
            result += x
        return result


class MobileNet(nn.Module):
    """MobileNetV2 with ``x.mean``-free pooling as torchvision has it; V3 and EfficientNet differ in the block."""

    def __init__(self, block: Any, activation: Any = nn.ReLU6, functional: bool = True) -> None:
        super().__init__()
        self.features = nn.Sequential(
            conv_norm(3, 8, 3, 2, activation=activation),
            block(8, 8, 1),
            nn.Sequential(block(8, 12, 2), block(12, 12, 1)),
            conv_norm(12, 24, 1, activation=activation),
        )
        self.avgpool = None if functional else nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Sequential(nn.Dropout(p=0.2), nn.Linear(24, 5))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.features(x)
        x = F.adaptive_avg_pool2d(x, (1, 1)) if self.avgpool is None else self.avgpool(x)
        x = torch.flatten(x, 1)
        return self.classifier(x)


class MNASNet(nn.Module):
    """With the mean that MNASNet and older MobileNets take."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(conv_norm(3, 8, 3, 2, activation=nn.ReLU), InvertedResidual(8, 8, 1))
        self.classifier = nn.Sequential(nn.Dropout(p=0.2, inplace=True), nn.Linear(8, 5))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.layers(x)
        x = x.mean([2, 3])
        return self.classifier(x)


class RegNetBlock(nn.Module):
    """A grouped bottleneck; the Y blocks have a gate."""

    def __init__(self, inputs: int, outputs: int, stride: int, group: int, gated: bool) -> None:
        super().__init__()
        self.proj = None
        if inputs != outputs or stride != 1:
            self.proj = conv_norm(inputs, outputs, 1, stride, activation=None)
        parts: list[nn.Module] = [conv_norm(inputs, outputs, 1, activation=nn.ReLU)]
        parts.append(conv_norm(outputs, outputs, 3, stride, outputs // group, nn.ReLU))
        if gated:
            parts.append(SqueezeExcitation(outputs, max(inputs // 4, 1)))
        parts.append(conv_norm(outputs, outputs, 1, activation=None))
        self.f = nn.Sequential(*parts)
        self.activation = nn.ReLU(inplace=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.proj(x) + self.f(x) if self.proj is not None else x + self.f(x)
        return self.activation(x)


class RegNet(nn.Module):
    """A stem, two stages of blocks, an average, a dense layer."""

    def __init__(self, gated: bool) -> None:
        super().__init__()
        self.stem = conv_norm(3, 8, 3, 2, activation=nn.ReLU)
        self.trunk_output = nn.Sequential(
            RegNetBlock(8, 12, 2, 4, gated), RegNetBlock(12, 12, 1, 4, gated), RegNetBlock(12, 16, 2, 8, gated)
        )
        self.avgpool = nn.AdaptiveAvgPool2d((1, 1))
        self.fc = nn.Linear(16, 6)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.trunk_output(self.stem(x))
        x = self.avgpool(x)
        x = x.flatten(start_dim=1)
        return self.fc(x)


class DenseLayer(nn.Module):
    """What is new is concatenated to what was."""

    def __init__(self, inputs: int, growth: int, drop: float) -> None:
        super().__init__()
        self.norm1 = nn.BatchNorm2d(inputs)
        self.relu1 = nn.ReLU(inplace=True)
        self.conv1 = nn.Conv2d(inputs, 4 * growth, kernel_size=1, bias=False)
        self.norm2 = nn.BatchNorm2d(4 * growth)
        self.relu2 = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(4 * growth, growth, kernel_size=3, padding=1, bias=False)
        self.drop_rate = drop

    def forward(self, inputs: Any) -> torch.Tensor:
        concated = torch.cat([inputs] if isinstance(inputs, torch.Tensor) else inputs, 1)
        bottleneck = self.conv1(self.relu1(self.norm1(concated)))
        new = self.conv2(self.relu2(self.norm2(bottleneck)))
        if self.drop_rate > 0:
            new = F.dropout(new, p=self.drop_rate, training=self.training)
        return new


class DenseBlock(nn.ModuleDict):
    """Layers that all see all before them."""

    def __init__(self, count: int, inputs: int, growth: int, drop: float) -> None:
        super().__init__()
        for i in range(count):
            self.add_module(f"denselayer{i + 1}", DenseLayer(inputs + i * growth, growth, drop))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        features = [x]
        for _, layer in self.items():
            features.append(layer(features))
        return torch.cat(features, 1)


class DenseNet(nn.Module):
    """Two dense blocks and the transition between them."""

    def __init__(self, drop: float = 0.1) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 8, 7, 2, 3, bias=False),
            nn.BatchNorm2d(8),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(3, 2, 1),
            DenseBlock(2, 8, 4, drop),
            nn.Sequential(
                nn.BatchNorm2d(16), nn.ReLU(inplace=True), nn.Conv2d(16, 8, 1, bias=False), nn.AvgPool2d(2, 2)
            ),
            DenseBlock(2, 8, 4, drop),
            nn.BatchNorm2d(16),
        )
        self.classifier = nn.Linear(16, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        features = self.features(x)
        out = F.relu(features, inplace=True)
        out = F.adaptive_avg_pool2d(out, (1, 1))
        out = torch.flatten(out, 1)
        return self.classifier(out)


class VGG(nn.Module):
    """Convolutions and pools, an average to 7 x 7, dense layers."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        inputs = 3
        for width in (6, "M", 8, 8, "M"):
            if width == "M":
                layers.append(nn.MaxPool2d(kernel_size=2, stride=2))
            else:
                outputs = int(width)
                layers += [nn.Conv2d(inputs, outputs, 3, padding=1), nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)]
                inputs = outputs
        self.features = nn.Sequential(*layers)
        self.avgpool = nn.AdaptiveAvgPool2d((7, 7))
        self.classifier = nn.Sequential(nn.Linear(8 * 7 * 7, 12), nn.ReLU(True), nn.Dropout(p=0.5), nn.Linear(12, 5))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.avgpool(self.features(x))
        x = torch.flatten(x, 1)
        return self.classifier(x)


hard_gate = partial(SqueezeExcitation, gate=nn.Hardsigmoid)
silu_gate = partial(SqueezeExcitation, activation=nn.SiLU)

NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "resnet18": lambda: ResNet(BasicBlock, (2, 2)),
    "resnet50": lambda: ResNet(Bottleneck, (2, 1)),
    "resnext50": lambda: ResNet(Bottleneck, (1, 1), groups=2),
    "mobilenet_v2": lambda: MobileNet(InvertedResidual),
    "mobilenet_v3": lambda: MobileNet(
        partial(InvertedResidual, gate=hard_gate, activation=nn.Hardswish), nn.Hardswish, functional=False
    ),
    "mnasnet": MNASNet,
    "efficientnet": lambda: MobileNet(
        partial(InvertedResidual, gate=silu_gate, activation=nn.SiLU, drop=0.2), nn.SiLU, functional=False
    ),
    "regnet_x": lambda: RegNet(gated=False),
    "regnet_y": lambda: RegNet(gated=True),
    "densenet": DenseNet,
    "vgg": VGG,
}

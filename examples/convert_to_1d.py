"""A 2-D network for signals: converted, reported layer by layer, and proven.

python examples/convert_to_1d.py
"""

from __future__ import annotations

import torch
from torch import nn

import xconv


def network() -> nn.Module:
    """A small image classifier, as if it were trained."""
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, stride=2, padding=1),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.MaxPool2d(3, 2, 1),
        nn.Conv2d(8, 16, 3, padding=1),
        nn.AdaptiveAvgPool2d((2, 2)),
        nn.Flatten(),
        nn.Linear(64, 10),
    ).eval()


def main() -> None:
    """Convert it for signals of 3 channels and 200 samples, as images of height one."""
    result = xconv.to_1d(network(), input_shape=(3, 200))
    print(result.report)
    print(result.report.verify())
    print(tuple(result.model(torch.zeros(1, 3, 200)).shape))


if __name__ == "__main__":
    main()

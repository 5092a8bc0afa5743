"""A model that holds a plan, for tests that copy it and pickle it."""

from __future__ import annotations

import torch

import xconv
from xconv.core.call import Call
from xconv_torch.layers import Conv1D


class Holding(torch.nn.Module):
    """One layer computed by a plan, and one that plans by itself."""

    def __init__(self, call: Call) -> None:
        super().__init__()
        self.plan = xconv.plan(call, backend="torch")
        self.weight = torch.nn.Parameter(torch.randn(call.problem.weight_shape))
        self.convolution = Conv1D(call.problem.out_channels, 4, 3, layout="NWC")

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Two convolutions."""
        y: torch.Tensor = self.convolution(self.plan(x, self.weight))
        return y

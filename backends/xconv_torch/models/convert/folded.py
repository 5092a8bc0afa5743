"""An axis that lies in the channels: Toeplitz kernels, and what mixes or picks its rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import nn

from xconv.core.borders import source

if TYPE_CHECKING:
    from xconv_torch.models.convert.convolving import Conv


def kernel(conv: Conv, weight: torch.Tensor, a: int, extent: int, outputs: int) -> torch.Tensor:
    """The kernel over folded channels: block (o, r) holds the row through which input row r reaches output row o.

    Args:
        conv: its strides, dilations, groups and padding mode.
        weight: (out, in / groups, kh, kw), transposed (in, out / groups, kh, kw).
        a: the kernel axis that lies in the channels, 0 or 1.
        extent: its rows before.
        outputs: its rows after.

    Returns:
        (out * outputs, in / groups * extent, k), transposed (in * extent, out / groups * outputs, k). Where the kernel
        spans the axis it is a reshape.
    """
    rows, low = weight.movedim(2 + a, 0), conv.low(a)
    first, second = rows.shape[1:3]
    shape = (first, extent, second, outputs) if conv.transposed else (first, outputs, second, extent)
    made = weight.new_zeros(*shape, rows.shape[-1])
    for o in range(outputs):
        for j, row in enumerate(rows):
            if conv.transposed:
                position = o + low - j * conv.dilation[a]
                r = position // conv.stride[a] if position % conv.stride[a] == 0 else -1
                if 0 <= r < extent:
                    made[:, r, :, o] += row
            else:
                found = seen(o * conv.stride[a] + j * conv.dilation[a] - low, extent, conv.mode)
                if found is not None:
                    made[:, o, :, found] += row
    return made.flatten(2, 3).flatten(0, 1)


def seen(row: int, extent: int, mode: str) -> int | None:
    """The row that is seen at a row beyond an axis, None for a zero.

    >>> [[seen(row, 4, mode) for row in (-1, 2, 5)] for mode in ("reflect", "replicate", "circular", "zeros")]
    [[1, 2, 1], [0, 2, 3], [3, 2, 1], [None, 2, None]]
    """
    if mode == "zeros":
        return row if 0 <= row < extent else None
    return int(source(mode, row, extent))


class RowMix(nn.Module):
    """Rows of folded channels mixed by a fixed matrix (rows after, rows before): padding, resampling, means."""

    def __init__(self, matrix: torch.Tensor) -> None:
        super().__init__()
        self.register_buffer("matrix", matrix)
        self.matrix: torch.Tensor

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, C * before, L) to (N, C * after, L)."""
        rows = x.unflatten(1, (-1, self.matrix.shape[1]))
        return torch.einsum("or,ncrl->ncol", self.matrix, rows).flatten(1, 2)

    def extra_repr(self) -> str:
        """Rows before and after."""
        return f"{self.matrix.shape[1]} -> {self.matrix.shape[0]} rows"


class RowMax(nn.Module):
    """The largest of some rows of folded channels, for each row after."""

    def __init__(self, extent: int, windows: list[list[int]]) -> None:
        super().__init__()
        self.extent, self.windows = extent, windows

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, C * before, L) to (N, C * after, L)."""
        rows = x.unflatten(1, (-1, self.extent))
        return torch.stack([rows[:, :, window].amax(2) for window in self.windows], 2).flatten(1, 2)

    def extra_repr(self) -> str:
        """Rows before and after."""
        return f"{self.extent} -> {len(self.windows)} rows"


def matrix_of(function: nn.Module, extent: int, like: torch.Tensor) -> torch.Tensor:
    """The matrix (after, before) of a linear function of (N, C, L) tensors, from what it makes of unit vectors."""
    units = torch.eye(extent, dtype=like.dtype, device=like.device).unsqueeze(1)
    with torch.no_grad():
        return function(units).squeeze(1).T.contiguous()


def window_rows(extent: int, size: int, stride: int, dilation: int, low: int, outputs: int) -> list[list[int]]:
    """The rows in each window of a pool; padding is in none.

    >>> window_rows(4, 3, 2, 1, 1, 2)
    [[0, 1], [1, 2, 3]]
    """
    places = ([i * stride - low + j * dilation for j in range(size)] for i in range(outputs))
    return [[row for row in rows if 0 <= row < extent] for rows in places]


def adaptive_rows(extent: int, outputs: int) -> list[list[int]]:
    """The rows in each window of an adaptive pool, as torch has them.

    >>> adaptive_rows(5, 2)
    [[0, 1, 2], [2, 3, 4]]
    """
    return [list(range(i * extent // outputs, -(-(i + 1) * extent // outputs))) for i in range(outputs)]


def padder(mode: str, low: int, high: int) -> nn.Module:
    """Padding of the last axis as a module, for :func:`matrix_of`."""

    class Padded(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return F.pad(x, (low, high), mode)

    return Padded()

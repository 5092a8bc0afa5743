"""The formulation ``direct`` on PyTorch: dense CPU tensors as :mod:`xconv.direct` reads and writes them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from xconv.direct.formulation import Direct
from xconv.direct.order import CHANNELS_FIRST, OTHER, REVERSED, ROW_MAJOR, MemoryOrder
from xconv.direct.team import OpenMP, Team, run_in_pool
from xconv_torch.formulations.shapes import empty, settled

_DTYPES = {torch.float32: "float32", torch.float64: "float64"}


class Tensors:
    """Dense CPU tensors."""

    def __init__(self) -> None:
        self.team = _team()

    def wants_gradients(self, *arrays: Tensor | None) -> bool:
        return torch.is_grad_enabled() and any(array is not None and array.requires_grad for array in arrays)

    def memory_order(self, array: Tensor) -> MemoryOrder:
        if array.is_contiguous():
            return ROW_MAJOR
        axes = range(array.ndim)
        if array.ndim > 2 and _is_dense(array, (0, array.ndim - 1, *axes[1:-1])):
            return CHANNELS_FIRST
        return REVERSED if array.ndim == 3 and _is_dense(array, axes[::-1]) else OTHER

    def to_row_major(self, array: Tensor) -> Tensor:
        return array.contiguous()

    def permute(self, array: Tensor, axes: tuple[int, ...]) -> Tensor:
        return array.permute(axes)

    def dtype(self, array: Tensor) -> str:
        return _DTYPES[array.dtype]

    def address(self, array: Tensor) -> int:
        return array.data_ptr()

    def to_numpy(self, array: Tensor) -> np.ndarray:
        numbers: np.ndarray = settled(array).detach().contiguous().numpy()
        return numbers

    def materialize(self, array: Tensor) -> Tensor:
        return settled(array)

    def empty(self, like: Tensor, shape: Sequence[int]) -> tuple[Tensor, int]:
        y = empty(like, shape)
        return y, y.data_ptr()

    def from_numpy(self, array: np.ndarray) -> Tensor:
        return torch.from_numpy(array)

    def threads(self) -> int:
        return torch.get_num_threads()


def _is_dense(array: Tensor, axes: Sequence[int]) -> bool:
    """Whether the numbers lie without gaps in the order of these axes, the last fastest.

    Strides are compared, because a graph that is being captured would record a view.
    """
    shape, strides, step = array.shape, array.stride(), 1
    for axis in reversed(axes):
        if shape[axis] != 1 and strides[axis] != step:
            return False
        step *= shape[axis]
    return True


def _team() -> Team:
    """The OpenMP threads that torch's own loops run on."""
    home = Path(torch.__file__).parent
    for library in [*home.glob("lib/lib*omp*"), *home.parent.glob("torch.libs/lib*omp*")]:
        try:
            return OpenMP(library)
        except (OSError, AttributeError):
            continue
    return run_in_pool


DIRECT = Direct(Tensors())

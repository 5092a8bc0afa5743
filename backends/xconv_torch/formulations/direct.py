"""Sums in registers, by code that is compiled for the layer: what torch's tensors are to :mod:`xconv.direct`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from xconv.direct.formulation import Direct
from xconv.direct.order import BACKWARDS, FIRST, IN_ORDER
from xconv.direct.team import OpenMP, Team, run_in_pool
from xconv_torch.formulations.shapes import empty, settled

_DTYPES = {torch.float32: "float32", torch.float64: "float64"}


class Tensors:
    """Dense CPU tensors."""

    def __init__(self) -> None:
        self.team = _team()

    def wants_gradients(self, *arrays: Tensor | None) -> bool:
        return torch.is_grad_enabled() and any(array is not None and array.requires_grad for array in arrays)

    def lies(self, array: Tensor) -> str:
        if array.is_contiguous():
            return IN_ORDER
        axes = range(array.ndim)
        if array.ndim > 2 and _is_dense(array, (0, array.ndim - 1, *axes[1:-1])):
            return FIRST
        return BACKWARDS if array.ndim == 3 and _is_dense(array, axes[::-1]) else ""

    def ordered(self, array: Tensor) -> Tensor:
        return array.contiguous()

    def permuted(self, array: Tensor, axes: tuple[int, ...]) -> Tensor:
        return array.permute(axes)

    def dtype(self, array: Tensor) -> str:
        return _DTYPES[array.dtype]

    def address(self, array: Tensor) -> int:
        return array.data_ptr()

    def view(self, array: Tensor) -> np.ndarray:
        view: np.ndarray = settled(array).detach().contiguous().numpy()
        return view

    def settled(self, array: Tensor) -> Tensor:
        return settled(array)

    def empty(self, like: Tensor, shape: Sequence[int]) -> tuple[Tensor, int]:
        y = empty(like, shape)
        return y, y.data_ptr()

    def from_numpy(self, array: np.ndarray) -> Tensor:
        return torch.from_numpy(array)

    def threads(self) -> int:
        return torch.get_num_threads()


def _is_dense(array: Tensor, axes: Sequence[int]) -> bool:
    """Whether its numbers lie one after the other in the order of these axes: without a view, for graphs to hold it."""
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

"""Sums in registers, by code that is compiled for the layer: what torch's tensors are to :mod:`xconv.direct`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from xconv.direct.formulation import Direct
from xconv.direct.order import BACKWARDS, FIRST, IN_ORDER
from xconv.direct.team import OpenMP, Team, pool
from xconv.formulation import Formulation
from xconv.problem import ConvProblem
from xconv_torch.formulations.im2col import Im2col
from xconv_torch.formulations.native import Conv2d
from xconv_torch.formulations.shapes import empty, is_recorded

_DTYPES = {torch.float32: "float32", torch.float64: "float64"}
_PLAIN = (Tensor, torch.nn.Parameter)


class Tensors:
    """Dense CPU tensors, while nobody records what is done to them."""

    def __init__(self) -> None:
        self.team = _team()

    def is_hidden(self, *arrays: Tensor | None) -> bool:
        if is_recorded(*arrays) or torch._C._len_torch_dispatch_stack():
            return True
        return not all(map(is_plain, arrays))

    is_watched = is_hidden

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
        view: np.ndarray = array.detach().contiguous().numpy()
        return view

    def empty(self, like: Tensor, shape: Sequence[int]) -> tuple[Tensor, int]:
        y = empty(like, shape)
        return y, y.data_ptr()

    def from_numpy(self, array: np.ndarray) -> Tensor:
        return torch.from_numpy(array)

    def threads(self) -> int:
        return torch.get_num_threads()

    def otherwise(self, direction: str, problem: ConvProblem) -> Formulation:
        own = Conv2d()
        return own if own.unsupported(direction, problem) is None else Im2col()


def is_plain(array: Tensor | None) -> bool:
    """Whether it is a tensor of the CPU and no subclass, of a dtype that is computed in; or none."""
    return array is None or (array.__class__ in _PLAIN and array.dtype in _DTYPES and array.device.type == "cpu")


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
    return pool


DIRECT = Direct(Tensors())

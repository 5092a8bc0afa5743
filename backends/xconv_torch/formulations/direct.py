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
        return is_recorded(*arrays) or not all(x is None or _has_memory(x) for x in arrays)

    is_watched = is_hidden

    def lies(self, array: Tensor) -> str:
        if array.is_contiguous():
            return IN_ORDER
        if array.ndim > 2 and array.movedim(-1, 1).is_contiguous():
            return FIRST
        return BACKWARDS if array.ndim == 3 and array.permute(2, 1, 0).is_contiguous() else ""

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

    def empty(self, like: Tensor, shape: Sequence[int]) -> Tensor:
        return empty(like, shape)

    def from_numpy(self, array: np.ndarray) -> Tensor:
        return torch.from_numpy(array)

    def threads(self) -> int:
        return torch.get_num_threads()

    def otherwise(self, direction: str, problem: ConvProblem) -> Formulation:
        own = Conv2d()
        return own if own.unsupported(direction, problem) is None else Im2col()


def _team() -> Team:
    """The OpenMP threads that torch's own loops run on."""
    home = Path(torch.__file__).parent
    for library in [*home.glob("lib/lib*omp*"), *home.parent.glob("torch.libs/lib*omp*")]:
        try:
            return OpenMP(library)
        except (OSError, AttributeError):
            continue
    return pool


def _has_memory(x: Tensor) -> bool:
    plain = x.__class__ in _PLAIN and x.dtype in _DTYPES and x.device.type == "cpu"
    return plain and not torch._C._len_torch_dispatch_stack()


DIRECT = Direct(Tensors())

"""Tensors that cannot be convolved: what each is, and what to do with it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.masked import MaskedTensor
from torch.nn.parameter import UninitializedBuffer, UninitializedParameter

_REFUSED: tuple[tuple[Callable[[Any], bool], str, str], ...] = (
    (lambda x: not isinstance(x, Tensor), "a {kind}", "pass a tensor"),
    (
        lambda x: isinstance(x, (UninitializedBuffer, UninitializedParameter)),
        "an {kind}, which has no shape yet",
        "call its module once, so that it is initialized",
    ),
    (
        lambda x: x.is_nested,
        "a nested tensor",
        "pad it: torch.nested.to_padded_tensor(x, 0.0); or take its parts alone",
    ),
    (lambda x: x.layout is not torch.strided, "a tensor of layout {x.layout}", "make it dense: x.to_dense()"),
    (lambda x: x.is_quantized, "a quantized tensor ({x.dtype})", "take its numbers: x.dequantize()"),
    (lambda x: isinstance(x, MaskedTensor), "a masked tensor", "fill it: x.to_tensor(0.0)"),
)
"""In an order in which no tensor is asked what it does not answer: a nested one has no shape."""


def refused(array: Any) -> tuple[str, str] | None:
    """Why it cannot be convolved and what to try, or None.

    >>> refused(torch.ones(2).to_sparse())
    ('a tensor of layout torch.sparse_coo', 'make it dense: x.to_dense()')
    """
    for is_so, what, hint in _REFUSED:
        if is_so(array):
            return what.format(kind=type(array).__name__, x=array), hint
    return None

"""Views that the formulations share: none of them copies where a view serves."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd import forward_ad

from xconv.core.problem import ConvProblem, Size
from xconv.system.pages import advise_large_pages

CACHE_BYTES = 1 << 20
"""Bytes that a block of a chunked formulation aims at: about what a core keeps in its second-level cache."""


def canonical(x: Tensor, axis: int) -> Tensor:
    """(outer, length, inner, channels) of an array that slides along an axis."""
    if x.ndim == 3:
        return x.unsqueeze(2)
    return x if axis == 1 else x.flatten(0, 1).unsqueeze(2)


def from_canonical(y: Tensor, like: Tensor, axis: int) -> Tensor:
    """The way back, to the rank and batch of ``like``."""
    if like.ndim == 3:
        return y.squeeze(2)
    return y if axis == 1 else y.squeeze(2).unflatten(0, like.shape[:2])


def pad(x: Tensor, axis: int, padding: tuple[Size, Size]) -> Tensor:
    """Zeros on both sides of an axis; a negative amount crops, without a copy."""
    low, high = padding
    if isinstance(low, int) and isinstance(high, int):
        if low < 0 or high < 0:
            start = max(-low, 0)
            x = x.narrow(axis, start, x.shape[axis] - start - max(-high, 0))
            low, high = max(low, 0), max(high, 0)
        if low == high == 0:
            return x
    return F.pad(x, (0, 0) * (x.ndim - 1 - axis) + (low, high))


def take_every(x: Tensor, axis: int, step: int) -> Tensor:
    """Every step-th element along an axis, from the first: a view."""
    return x[(slice(None),) * axis + (slice(None, None, step),)]


def spaced(x: Tensor, axis: int, step: int) -> Tensor:
    """``step - 1`` zeros behind each element along an axis."""
    return pad(x.unsqueeze(axis + 1), axis + 1, (0, step - 1)).flatten(axis, axis + 1)


def adjoint_kernel(problem: ConvProblem, weight: Tensor) -> Tensor:
    """The flipped kernel, input and output channels swapped in each group: (kernel, out / groups, in)."""
    flipped = weight.flip(0)
    if problem.groups == 1:
        return flipped.transpose(1, 2)
    grouped = flipped.unflatten(2, (problem.groups, problem.group_out))
    return grouped.permute(0, 3, 2, 1).reshape(problem.kernel, problem.group_out, problem.in_channels)


def tap(problem: ConvProblem, x: Tensor, index: int, start: int = 0, stop: int | None = None) -> Tensor:
    """What one tap sees of a padded canonical array: the inputs of the outputs from ``start`` to ``stop``."""
    stop = problem.output_length if stop is None else stop
    first = index * problem.dilation + start * problem.stride
    return x[:, first : first + (stop - start - 1) * problem.stride + 1 : problem.stride]


def windows(problem: ConvProblem, x: Tensor) -> Tensor:
    """The overlapping windows of a padded canonical array, a view: (outer, output length, inner, kernel, channels)."""
    outer, length, inner, channel = x.stride()
    size = (x.shape[0], problem.output_length, x.shape[2], problem.kernel, x.shape[3])
    return x.as_strided(size, (outer, length * problem.stride, inner, length * problem.dilation, channel))


def blocks(length: int, row: int, budget: int = CACHE_BYTES, least: int = 1) -> list[tuple[int, int]]:
    """(start, stop) of blocks of positions of ``row`` bytes: at most ``budget`` bytes, at least ``least`` positions.

    >>> blocks(10, 100, 400)
    [(0, 4), (4, 8), (8, 10)]
    """
    step = max(budget // max(row, 1), least)
    return [(start, min(start + step, length)) for start in range(0, length, step)]


def affine(rows: Tensor, matrix: Tensor, bias: Tensor | None, out: Tensor | None = None) -> Tensor:
    """The product of two matrices, and a bias."""
    if bias is None:
        return torch.mm(rows, matrix, out=out)
    return torch.addmm(bias, rows, matrix, out=out)


LARGE_RESULT_BYTES = 1 << 25
"""Bytes of a result from which glibc maps fresh pages for it every time."""


def empty(like: Tensor, shape: Sequence[int]) -> Tensor:
    """A result to be filled a block at a time, on large pages if it is large: they take far fewer faults.

    glibc gives every large result fresh pages, and the kernel clears them 4 KiB at a time as they are first written;
    that can take longer than the convolution.
    """
    y = like.new_empty(shape)
    if y.nbytes >= LARGE_RESULT_BYTES and y.device.type == "cpu":
        advise_large_pages(y.data_ptr(), y.nbytes)
    return y


def settled(array: Tensor) -> Tensor:
    """The tensor, or a copy whose memory holds its numbers: without a sign that waits, or zeros that are left out."""
    return array.clone() if torch._is_zerotensor(array) else array.resolve_neg()


def is_recorded(*tensors: Tensor | None) -> bool:
    """Whether autograd, a transform of functions, a trace or a compiler looks on: no buffer may be written in place."""
    if torch.compiler.is_compiling() or torch._C._are_functorch_transforms_active() or forward_ad._current_level >= 0:
        return True
    if torch._C._get_tracing_state():
        return True
    return torch.is_grad_enabled() and any(t is not None and t.requires_grad for t in tensors)

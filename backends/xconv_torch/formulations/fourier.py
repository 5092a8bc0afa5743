"""Overlap-save: blocks of the signal are convolved through short Fourier transforms.

Blocks, never the whole signal: the error of a transform spreads over all of it, from loud parts to quiet ones.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import repeat
from typing import Any

import torch
from torch import Tensor
from torch.autograd import forward_ad

from xconv.core.cost import ITEM_SIZE
from xconv.core.formulation import Formulation
from xconv.core.fourier import block_length, blocks, fourier_work, headroom
from xconv.core.problem import ConvProblem
from xconv_torch.formulations.scaling import (
    UNSCALED,
    Exponents,
    balanced,
    largest,
    ordinary,
    scaled,
)
from xconv_torch.formulations.shapes import adjoint_kernel, canonical, from_canonical, is_recorded, pad

BLOCKS_BYTES = 1 << 23
"""Bytes of blocks of signals that are transformed at a time."""

CHANNEL_GROUPS_BYTES = 1 << 25
"""Bytes that groups of channels are made few for."""


class OverlapSave(Formulation):
    """``irfft(rfft(block) * conj(rfft(kernel)))``, with a matrix product over the channels for each frequency."""

    name = "fft"
    is_local = False

    def unsupported(self, direction: str, problem: ConvProblem) -> str | None:
        del direction
        if not problem.is_static:
            return "sizes are not known yet"
        return None if problem.stride == problem.dilation == 1 else "it is for stride 1 and no dilation"

    def transform_length(self, direction: str, problem: ConvProblem) -> int:
        return block_length(problem.transposed() if direction == "input_gradient" else problem)

    def workspace(self, direction: str, problem: ConvProblem) -> int:
        problem = problem.transposed() if direction == "input_gradient" else problem
        return _held(_pieces(problem)[0])

    def work(self, direction: str, problem: ConvProblem) -> list[float]:
        return fourier_work(problem.transposed() if direction == "input_gradient" else problem)

    def forward(self, problem: ConvProblem, axis: int, x: Tensor, weight: Tensor) -> Tensor:
        return self._by_groups(self._forward, problem, axis, (x, problem.in_channels), (weight, problem.out_channels))

    def _by_groups(
        self, compute: Callable[..., Tensor], problem: ConvProblem, axis: int, *operands: tuple[Tensor, int]
    ) -> Tensor:
        """A few groups of channels at a time, so that not all of their transforms are held."""
        pieces = _pieces(problem)
        if len(pieces) == 1:
            return compute(problem, axis, *(array for array, _ in operands))
        cut = (array.split([channels // problem.groups * p.groups for p in pieces], -1) for array, channels in operands)
        return torch.cat([compute(piece, axis, *arrays) for piece, *arrays in zip(pieces, *cut, strict=True)], -1)

    def _forward(self, problem: ConvProblem, axis: int, x: Tensor, weight: Tensor) -> Tensor:
        n = block_length(problem)
        windows = _windows(problem, canonical(x, axis), n)
        powers = _forward_powers(problem, windows, weight, n)
        kernel = _kernel_spectrum(problem, scaled(weight, powers.right), n)
        parts = [
            _convolved(problem, scaled(seen, left), kernel, back, n)
            for seen, left, back in _chunks(_together(problem, n, windows.shape[1]), windows, powers.left, powers.back)
        ]
        y = torch.cat(parts) if len(parts) > 1 else parts[0]
        y = y[:, : problem.output_length].unflatten(0, (problem.outer, problem.inner)).transpose(1, 2)
        return from_canonical(y.contiguous(), x, axis)

    def input_gradient(self, problem: ConvProblem, axis: int, dy: Tensor, weight: Tensor) -> Tensor:
        return self.forward(problem.transposed(), axis, dy, adjoint_kernel(problem, weight))

    def weight_gradient(self, problem: ConvProblem, axis: int, x: Tensor, dy: Tensor) -> Tensor:
        operands = (x, problem.in_channels), (dy, problem.out_channels)
        return self._by_groups(self._weight_gradient, problem, axis, *operands)

    def _weight_gradient(self, problem: ConvProblem, axis: int, x: Tensor, dy: Tensor) -> Tensor:
        n = block_length(problem)
        windows, grads = _windows(problem, canonical(x, axis), n), _blocks_of_gradient(problem, canonical(dy, axis), n)
        powers, some = _gradient_powers(problem, windows, grads, n), _together(problem, n, windows.shape[1])
        total = None
        for seen, grad, left, right in _chunks(some, windows, grads, powers.left, powers.right):
            found = _correlation(problem, scaled(seen, left), scaled(grad, right), n)
            total = found if total is None else total + found
        assert total is not None  # (groups, in of a group, out of a group, frequencies)
        taps = scaled(torch.fft.irfft(total.contiguous(), n)[..., : problem.kernel], powers.back)
        return taps.permute(3, 1, 0, 2).flatten(2)


def _kernel_spectrum(problem: ConvProblem, weight: Tensor, n: int) -> Tensor:
    """(frequencies, groups, in of a group, out of a group), or (channels, frequencies) where in is one; conjugate."""
    spectrum = _conjugate(torch.fft.rfft(weight.permute(1, 2, 0), n))
    if problem.group_in == 1:
        return spectrum[0].resolve_conj()
    return _matrices(spectrum.unflatten(1, (problem.groups, -1)), 3, 1, 0, 2).resolve_conj()


def _convolved(problem: ConvProblem, windows: Tensor, kernel: Tensor, back: Tensor | None, n: int) -> Tensor:
    """The results of windows of some signals: (signals, length, channels).

    What is no longer needed has no name: memory that is held here is new to the process at every call.
    """
    y = torch.fft.irfft(_product(problem, windows, kernel, n), n)[..., : blocks(problem, n)[1]]
    y = scaled(y.unflatten(0, windows.shape[:2]), back)
    return y.permute(0, 1, 4, 2, 3).flatten(3).flatten(1, 2)


def _product(problem: ConvProblem, windows: Tensor, kernel: Tensor, n: int) -> Tensor:
    """The spectrum of the result, (signals * windows, groups, out of a group, frequencies)."""
    groups = problem.groups
    if problem.group_in == 1:
        signal = torch.fft.rfft(windows, n)
        many = signal if problem.group_out == 1 else signal.repeat_interleave(problem.group_out, 2)
        return (many * kernel).flatten(0, 1).unflatten(1, (groups, -1))
    y = _matrices(torch.fft.rfft(windows, n).unflatten(2, (groups, -1)), 4, 2, 0, 1, 3).flatten(2, 3) @ kernel
    return y.permute(2, 1, 3, 0).contiguous()


def _correlation(problem: ConvProblem, windows: Tensor, grads: Tensor, n: int) -> Tensor:
    """The spectrum of the weight gradient, (groups, in of a group, out of a group, frequencies)."""
    groups = problem.groups
    if problem.depthwise:
        signal = torch.fft.rfft(windows, n).unsqueeze(3)
        above = _conjugate(torch.fft.rfft(grads, n)).unflatten(2, (groups, -1))
        return (signal * above).sum((0, 1)).unsqueeze(1)
    a = _matrices(torch.fft.rfft(windows, n).unflatten(2, (groups, -1)), 4, 2, 3, 0, 1).flatten(3)
    b = _matrices(_conjugate(torch.fft.rfft(grads, n)).unflatten(2, (groups, -1)), 4, 2, 0, 1, 3).flatten(2, 3)
    return (a @ b).permute(1, 2, 3, 0)


def _conjugate(spectrum: Tensor) -> Tensor:
    """A view, but for forward-mode gradients: torch refuses that view of many tangents at once."""
    return spectrum.conj() if forward_ad._current_level < 0 else spectrum.conj_physical()


def _matrices(spectra: Tensor, *order: int) -> Tensor:
    """With the frequencies first, in memory too: a product of matrices copies any others one by one."""
    return spectra.permute(order).contiguous()


def _held(problem: ConvProblem) -> int:
    """Bytes: the signals in order, the kernel and its spectrum, and of some signals the blocks and their spectra."""
    n, item = block_length(problem), ITEM_SIZE[problem.dtype]
    count, step = blocks(problem, n)
    channels, signals = problem.in_channels + problem.out_channels, problem.outer * problem.inner
    lines = signals * ((count * step + n) * problem.in_channels + count * step * problem.out_channels)
    kernel = 2 * n * problem.group_in * problem.out_channels
    some = min(_together(problem, n, count), max(signals, 1))
    return int(item * (lines + kernel + 2 * some * count * n * channels))


def _pieces(problem: ConvProblem) -> list[ConvProblem]:
    """The problem, or fewer groups of it at a time, of about the memory that may be held."""
    most = max(problem.groups * CHANNEL_GROUPS_BYTES // max(_held(problem), 1), 1)
    if most >= problem.groups:
        return [problem]
    sizes = [min(most, problem.groups - first) for first in range(0, problem.groups, most)]
    return [
        replace(problem, groups=k, in_channels=k * problem.group_in, out_channels=k * problem.group_out) for k in sizes
    ]


def _windows(problem: ConvProblem, x: Tensor, n: int) -> Tensor:
    """Windows of ``n`` elements that overlap, a view: (signals, windows, channels, n)."""
    count, step = blocks(problem, n)
    low = problem.padding[0]
    return _lines(x, low, (count - 1) * step + n - low - problem.length).unfold(1, n, step)


def _blocks_of_gradient(problem: ConvProblem, dy: Tensor, n: int) -> Tensor:
    count, step = blocks(problem, n)
    return _lines(dy, 0, count * step - problem.output_length).unflatten(1, (count, step)).transpose(2, 3)


def _lines(x: Tensor, low: int, high: int) -> Tensor:
    """Signals with zeros around them: (signals, length, channels).

    Channels stay the neighbours in memory: largest magnitudes are vectors of them, and transforms bring time together.
    """
    return pad(x, 1, (low, high)).transpose(1, 2).flatten(0, 1)


def _chunks(some: int, *parts: Tensor | None) -> Iterator[tuple[Any, ...]]:
    """Some signals of each at a time; None stays None."""
    split = [part.split(some) if part is not None else repeat(None) for part in parts]
    return zip(*split, strict=False)


def _forward_powers(problem: ConvProblem, windows: Tensor, weight: Tensor, n: int) -> Exponents:
    """For windows (signals, windows, channels, 1), the kernel (in of a group, out), the result.

    The result is (signals, windows, groups, out of a group, 1).
    """
    top, groups, many = headroom(n, problem.group_in, problem.dtype), problem.groups, windows.shape[:2]
    turned = weight.stride(1) < weight.stride(2)  # an adjoint kernel: reduced as it lies, in a twentieth of the time
    most = largest(weight.transpose(1, 2), 0).t() if turned else largest(weight, 0)
    magnitudes = largest(windows, 3), most
    if not is_recorded(windows, weight) and all(bool(ordinary(each, top).all()) for each in magnitudes):
        return UNSCALED
    a = magnitudes[0].flatten(0, 1).unflatten(1, (groups, -1)).permute(1, 2, 0)
    left, right, back = balanced(a, magnitudes[1].unflatten(1, (groups, -1)).transpose(0, 1), top)
    return Exponents(
        left.flatten(0, 1).t().unflatten(0, many).unsqueeze(3),
        right.transpose(0, 1).flatten(1),
        back.transpose(0, 1).unflatten(0, many).unsqueeze(4),
    )


def _gradient_powers(problem: ConvProblem, windows: Tensor, grads: Tensor, n: int) -> Exponents:
    """For the blocks of x and of dy (signals, blocks, channels, 1), and the result (groups, in, out of a group, 1)."""
    top, many = headroom(n, windows.shape[0] * windows.shape[1], problem.dtype), windows.shape[:2]
    magnitudes = largest(windows, 3), largest(grads, 3)
    if not is_recorded(windows, grads) and all(bool(ordinary(each, top).all()) for each in magnitudes):
        return UNSCALED
    a, b = (each.flatten(0, 1).unflatten(1, (problem.groups, -1)).transpose(0, 1) for each in magnitudes)
    *both, back = balanced(a, b, top)
    left, right = (each.transpose(0, 1).flatten(1).unflatten(0, many).unsqueeze(3) for each in both)
    return Exponents(left, right, back.unsqueeze(3))


def _together(problem: ConvProblem, n: int, count: int) -> int:
    """Signals whose transforms are held at a time."""
    return max(BLOCKS_BYTES // (4 * n * count * (problem.in_channels + problem.out_channels)), 1)

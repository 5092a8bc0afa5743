"""Overlap-save: blocks of the signal are convolved through short Fourier transforms.

Blocks, never the whole signal: the error of a transform spreads over all of it, from loud parts to quiet ones.
"""

from __future__ import annotations

import torch
from torch import Tensor

from xconv.formulation import Formulation
from xconv.fourier import block_length, blocks, fourier_work
from xconv.problem import ConvProblem
from xconv_torch.formulations.shapes import adjoint_kernel, canonical, from_canonical, pad

BUDGET = 1 << 23
"""Bytes of transforms that are held at a time."""


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
        n = block_length(problem)
        spectrum = 8 * n * problem.group_in * problem.out_channels
        sample = 8 * n * (problem.in_channels + problem.out_channels)
        return int(2 * spectrum + max(2 * BUDGET, sample))

    def work(self, direction: str, problem: ConvProblem) -> list[float]:
        return fourier_work(problem.transposed() if direction == "input_gradient" else problem)

    def forward(self, problem: ConvProblem, axis: int, x: Tensor, weight: Tensor) -> Tensor:
        n = block_length(problem)
        step, length = blocks(problem, n)[1], problem.output_length
        kernel = torch.fft.rfft(weight.permute(1, 2, 0), n).conj()
        parts = [
            _inverse(problem, torch.fft.rfft(seen), kernel, n, step)
            for seen in _chunks(problem, canonical(x, axis), n, step)
        ]
        y = (torch.cat(parts) if len(parts) > 1 else parts[0])[: problem.outer * problem.inner]
        y = y[:, :length].unflatten(0, (problem.outer, problem.inner)).transpose(1, 2)
        return from_canonical(y.contiguous(), x, axis)

    def input_gradient(self, problem: ConvProblem, axis: int, dy: Tensor, weight: Tensor) -> Tensor:
        return self.forward(problem.transposed(), axis, dy, adjoint_kernel(problem, weight))

    def weight_gradient(self, problem: ConvProblem, axis: int, x: Tensor, dy: Tensor) -> Tensor:
        n = block_length(problem)
        step, groups = blocks(problem, n)[1], problem.groups
        total = None
        grads = _chunks_of_gradient(problem, canonical(dy, axis), n, step)
        for seen, grad in zip(_chunks(problem, canonical(x, axis), n, step), grads, strict=True):
            signal, above = torch.fft.rfft(seen), torch.fft.rfft(grad, n).conj()
            if problem.depthwise:
                signal = signal.unsqueeze(3)
                found = (signal * above.unflatten(2, (groups, -1))).sum((0, 1)).unsqueeze(1)
            else:
                a = signal.unflatten(2, (groups, -1)).permute(4, 2, 3, 0, 1).flatten(3)
                b = above.unflatten(2, (groups, -1)).permute(4, 2, 0, 1, 3).flatten(2, 3)
                found = (a @ b).permute(1, 2, 3, 0)
            total = found if total is None else total + found
        assert total is not None  # (groups, in of a group, out of a group, frequencies)
        taps = torch.fft.irfft(total, n)[..., : problem.kernel]
        return taps.permute(3, 1, 0, 2).flatten(2)


def _chunks(problem: ConvProblem, x: Tensor, n: int, step: int) -> list[Tensor]:
    """Windows of ``n`` elements, (signals, windows, channels, n), some signals at a time."""
    count = -(-problem.output_length // step)
    low = problem.padding[0]
    padded = pad(x, 1, (low, (count - 1) * step + n - low - problem.length)).transpose(1, 2).flatten(0, 1)
    seen = padded.unfold(1, n, step)
    return list(seen.split(_signals(problem, n, count)))


def _chunks_of_gradient(problem: ConvProblem, dy: Tensor, n: int, step: int) -> list[Tensor]:
    count = -(-problem.output_length // step)
    padded = pad(dy, 1, (0, count * step - problem.output_length)).transpose(1, 2).flatten(0, 1)
    return list(padded.unflatten(1, (count, step)).transpose(2, 3).split(_signals(problem, n, count)))


def _signals(problem: ConvProblem, n: int, count: int) -> int:
    return max(BUDGET // (4 * n * count * (problem.in_channels + problem.out_channels)), 1)


def _inverse(problem: ConvProblem, signal: Tensor, kernel: Tensor, n: int, step: int) -> Tensor:
    """(signals, windows * step, channels) from a spectrum (signals, windows, channels, frequencies)."""
    groups = problem.groups
    if problem.group_in == 1:
        many = signal if problem.group_out == 1 else signal.repeat_interleave(problem.group_out, 2)
        y = torch.fft.irfft(many * kernel[0], n)[..., :step].transpose(2, 3)
        return y.flatten(1, 2)
    count = signal.shape[1]
    a = signal.unflatten(2, (groups, -1)).permute(4, 2, 0, 1, 3).flatten(2, 3)
    b = kernel.unflatten(1, (groups, -1)).permute(3, 1, 0, 2)
    y = torch.fft.irfft((a @ b).permute(2, 1, 3, 0), n)[..., :step]
    return y.flatten(1, 2).transpose(1, 2).reshape(-1, count * step, problem.out_channels)

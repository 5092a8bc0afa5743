"""Matrix products: of the windows, or of blocks of the signal with a Toeplitz matrix of the kernel."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from xconv.backend import Formulation
from xconv.problem import ConvProblem
from xconv_torch.formulations.shapes import (
    CACHE,
    adjoint_kernel,
    affine,
    blocks,
    canonical,
    empty,
    from_canonical,
    is_recorded,
    pad,
    windows,
)

NARROW = 16
"""Columns below which a matrix product cannot fill its vectors."""


ROWS = 256
"""Rows of a matrix below which the other one is read more often than it is used."""


class Im2col(Formulation):
    """The windows, copied side by side a block at a time, times the kernel as one matrix."""

    name = "im2col"

    def unsupported(self, direction: str, problem: ConvProblem) -> str | None:
        if not problem.is_static:
            return "sizes are not known yet"
        if problem.groups > 1:
            return "one product needs one group"
        return None

    def workspace(self, direction: str, problem: ConvProblem) -> int:
        window = 8 * problem.kernel * problem.in_channels
        return int(min(max(CACHE, window), problem.outer * problem.output_length * problem.inner * window))

    def work(self, direction: str, problem: ConvProblem) -> list[float]:
        windows = problem.outer * problem.output_length * problem.inner * problem.kernel * problem.in_channels
        return [windows, problem.outer, problem.macs * (problem.out_channels < NARROW)]

    def forward(self, problem: ConvProblem, axis: int, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        seen = windows(problem, pad(canonical(x, axis), 1, problem.padding))
        matrix = weight.flatten(0, 1)
        outer, length, inner = seen.shape[:3]
        many = blocks(length, 4 * inner * matrix.shape[0], least=ROWS)
        if is_recorded(x, weight, bias) or (outer * len(many) == 1):
            y = affine(seen.reshape(-1, matrix.shape[0]), matrix, bias)
            return from_canonical(y.view(outer, length, inner, -1), x, axis)
        y = empty(x, (outer, length, inner, problem.out_channels))
        flat = y.view(outer, length * inner, -1)
        for n in range(outer):
            for start, stop in many:
                rows = seen[n, start:stop].reshape(-1, matrix.shape[0])
                affine(rows, matrix, bias, flat[n, start * inner : stop * inner])
        return from_canonical(y, x, axis)

    def input_gradient(self, problem: ConvProblem, axis: int, dy: Tensor, weight: Tensor) -> Tensor:
        if problem.stride == 1:
            return self.forward(problem.transposed(), axis, dy, adjoint_kernel(problem, weight), None)
        grad, matrix = canonical(dy, axis), weight.flatten(0, 1).t()
        outer, length, inner, _ = grad.shape
        # rows of ``stride`` elements: neighbouring taps of a window are added to neighbouring elements at once
        stride, together = problem.stride, problem.stride if problem.dilation == 1 else 1
        rows = -(-max(problem.padded_length, problem.extent) // stride)
        dx = grad.new_zeros(outer, rows, stride, inner, problem.in_channels)
        many = [(0, length)] if is_recorded(dy, weight) else blocks(length, 4 * inner * matrix.shape[1], least=ROWS)
        for n in [slice(None)] if len(many) == 1 else [slice(n, n + 1) for n in range(outer)]:
            for start, stop in many:
                some = grad[n, start:stop]
                seen = some.reshape(-1, problem.out_channels) @ matrix
                seen = seen.view(*some.shape[:3], problem.kernel, problem.in_channels).transpose(2, 3)
                for tap in range(0, problem.kernel, together):
                    row, at = divmod(tap * problem.dilation, stride)
                    taps = seen[:, :, tap : tap + together]
                    dx[n, row + start : row + stop, at : at + taps.shape[2]] += taps
        return from_canonical(dx.flatten(1, 2).narrow(1, problem.padding[0], problem.length), dy, axis)

    def weight_gradient(self, problem: ConvProblem, axis: int, x: Tensor, dy: Tensor) -> Tensor:
        seen = windows(problem, pad(canonical(x, axis), 1, problem.padding))
        grad = canonical(dy, axis)
        terms = problem.kernel * problem.in_channels
        if is_recorded(x, dy):
            found = seen.reshape(-1, terms).t() @ grad.reshape(-1, problem.out_channels)
        else:
            found = x.new_zeros(terms, problem.out_channels)
            for n in range(grad.shape[0]):
                for start, stop in blocks(seen.shape[1], 4 * seen.shape[2] * terms, least=ROWS):
                    rows = seen[n, start:stop].reshape(-1, terms)
                    found.addmm_(rows.t(), grad[n, start:stop].reshape(-1, problem.out_channels))
        return found.unflatten(0, (problem.kernel, problem.in_channels))


class Toeplitz(Formulation):
    """Several outputs at a time: blocks of the signal times the kernel, written once for each output of a block.

    It trades a few more multiplications for products whose inner dimension is long enough.
    """

    name = "toeplitz"
    is_local = False

    def unsupported(self, direction: str, problem: ConvProblem) -> str | None:
        if not problem.is_static:
            return "sizes are not known yet"
        if problem.groups > 1 or problem.inner > 1 or problem.dilation > 1:
            return "it is for one group, no dilation, and signals"
        if direction == "weight_gradient":
            return "its matrix holds each tap many times"
        if direction == "input_gradient" and problem.stride > 1:
            return "its blocks overlap in the result"
        if problem.kernel * problem.in_channels * problem.out_channels > 1 << 16:
            return "its matrix would be large"
        return None

    def workspace(self, direction: str, problem: ConvProblem) -> int:
        many, width = toeplitz_block(problem)
        matrix = width * problem.in_channels * many * problem.out_channels
        signal = problem.outer * problem.output_length * problem.in_channels * (width + 1) // many
        return 4 * int(matrix + 2 * signal + problem.outer * many * problem.out_channels)

    def work(self, direction: str, problem: ConvProblem) -> list[float]:
        many, width = toeplitz_block(problem)
        seen = problem.outer * problem.output_length * width * problem.in_channels
        matrix = many * width * problem.in_channels * problem.out_channels
        return [seen * problem.out_channels, seen / many, matrix]

    def forward(self, problem: ConvProblem, axis: int, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        many, width = toeplitz_block(problem)
        signal, channels = canonical(x, axis).squeeze(2), problem.in_channels
        count = -(-problem.output_length // many)
        needed = (count - 1) * many * problem.stride + width
        low = problem.padding[0]
        padded = pad(signal, 1, (low, needed - low - problem.length)).contiguous()
        outer = padded.shape[0]
        step = many * problem.stride * channels
        seen = padded.as_strided((outer, count, width * channels), (padded.stride(0), step, 1))
        y = affine(
            seen.reshape(-1, width * channels),
            toeplitz_matrix(weight, many, width, problem.stride),
            None if bias is None else bias.repeat(many),
        )
        y = y.view(outer, count * many, problem.out_channels)
        if count * many != problem.output_length:
            y = y[:, : problem.output_length].contiguous()
        return from_canonical(y.unsqueeze(2), x, axis)

    def input_gradient(self, problem: ConvProblem, axis: int, dy: Tensor, weight: Tensor) -> Tensor:
        return self.forward(problem.transposed(), axis, dy, adjoint_kernel(problem, weight), None)


def toeplitz_block(problem: ConvProblem) -> tuple[int, int]:
    """How many outputs a block computes, and how many inputs it sees.

    A divisor of the output length, if there is one near, leaves no part of a block over.
    """
    wanted = max(64 // problem.out_channels, (problem.kernel + 1) // (2 * problem.stride), 2)
    wanted = min(wanted, problem.output_length)
    near = [n for n in range(wanted, 2 * wanted) if problem.output_length % n == 0]
    many = near[0] if near else wanted
    return many, (many - 1) * problem.stride + problem.kernel


def toeplitz_matrix(weight: Tensor, many: int, width: int, stride: int) -> Tensor:
    """(width * in, many * out): column block ``t`` holds the kernel ``t * stride`` rows further down."""
    kernel, inputs, outputs = weight.shape
    # each block of (width + stride) * in rows starts with the kernel; read with the shorter period it slides down
    tall = F.pad(weight.flatten(0, 1), (0, 0, 0, (width + stride - kernel) * inputs))
    stacked = tall.expand(many, *tall.shape).reshape(-1, outputs)
    matrix = stacked[: many * width * inputs].view(many, width * inputs, outputs)
    return matrix.transpose(0, 1).reshape(width * inputs, many * outputs)

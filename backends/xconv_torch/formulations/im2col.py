"""The windows of a signal, side by side, as one matrix product."""

from __future__ import annotations

from torch import Tensor

from xconv.core.formulation import Formulation
from xconv.core.problem import ConvProblem
from xconv_torch.formulations.shapes import (
    CACHE_BYTES,
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

NARROW_COLUMNS = 16
"""Columns below which a matrix product cannot fill its vectors."""


FEW_ROWS = 256
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
        return int(min(max(CACHE_BYTES, window), problem.outer * problem.output_length * problem.inner * window))

    def work(self, direction: str, problem: ConvProblem) -> list[float]:
        windows = problem.outer * problem.output_length * problem.inner * problem.kernel * problem.in_channels
        return [windows, problem.outer, problem.macs * (problem.out_channels < NARROW_COLUMNS)]

    def fuses_bias(self, direction: str, problem: ConvProblem) -> bool:
        return direction == "forward"

    def forward(self, problem: ConvProblem, axis: int, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        seen = windows(problem, pad(canonical(x, axis), 1, problem.padding))
        matrix = weight.flatten(0, 1)
        outer, length, inner = seen.shape[:3]
        many = blocks(length, 4 * inner * matrix.shape[0], least=FEW_ROWS)
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
            return self.forward(problem.transposed(), axis, dy, adjoint_kernel(problem, weight))
        grad, matrix = canonical(dy, axis), weight.flatten(0, 1).t()
        outer, length, inner, _ = grad.shape
        # rows of ``stride`` elements: neighbouring taps of a window are added to neighbouring elements at once
        stride, together = problem.stride, problem.stride if problem.dilation == 1 else 1
        rows = -(-max(problem.padded_length, problem.extent) // stride)
        recorded = is_recorded(dy, weight)
        like = grad.reshape(-1, problem.out_channels)[:1] @ matrix if recorded else grad  # has the batch of either
        dx = like.new_zeros(outer, rows, stride, inner, problem.in_channels)
        many = [(0, length)] if recorded else blocks(length, 4 * inner * matrix.shape[1], least=FEW_ROWS)
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
                for start, stop in blocks(seen.shape[1], 4 * seen.shape[2] * terms, least=FEW_ROWS):
                    rows = seen[n, start:stop].reshape(-1, terms)
                    found.addmm_(rows.t(), grad[n, start:stop].reshape(-1, problem.out_channels))
        return found.unflatten(0, (problem.kernel, problem.in_channels))

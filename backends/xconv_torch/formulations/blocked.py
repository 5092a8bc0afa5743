"""Large results a block at a time: the blocks stay in cache, and the result is one buffer of large pages."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from xconv.backend import Formulation
from xconv.estimate import native_work
from xconv.problem import ConvProblem
from xconv_torch.formulations.native import Conv2d
from xconv_torch.formulations.shapes import LARGE, adjoint_kernel, blocks, empty, is_recorded

_CONV2D = Conv2d()
BLOCK = 1 << 21
"""Bytes of the result that are computed at a time."""


class Blocked(Formulation):
    """``conv2d`` of a block of the signal at a time, written into one buffer."""

    name = "blocked"

    def unsupported(self, direction: str, problem: ConvProblem) -> str | None:
        if not problem.is_static:
            return "sizes are not known yet"
        if direction == "weight_gradient" or (direction == "input_gradient" and problem.stride > 1):
            return "its result is no signal that could be cut into blocks"
        lines = problem.outer * problem.inner
        size = lines * (
            problem.output_length * problem.out_channels
            if direction == "forward"
            else problem.length * problem.in_channels
        )
        return None if 4 * size >= LARGE else "its result is small"

    def workspace(self, direction: str, problem: ConvProblem) -> int:
        line = problem.inner * (problem.output_length * problem.out_channels + problem.length * problem.in_channels)
        return max(8 * BLOCK, int(min(8 * line, 16 * BLOCK)))

    def work(self, direction: str, problem: ConvProblem) -> list[float]:
        return native_work(problem)

    def forward(self, problem: ConvProblem, axis: int, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        if is_recorded(x, weight, bias):
            return _CONV2D.forward(problem, axis, x, weight, bias)
        shape = list(x.shape)
        shape[axis], shape[-1] = problem.output_length, problem.out_channels
        y = empty(x, shape)
        whole = y.nbytes // y.shape[0]  # bytes of one sample
        samples = max(BLOCK // whole, 1)
        row = whole // problem.output_length
        for n in range(0, y.shape[0], samples):
            for start, stop in blocks(problem.output_length, row, BLOCK) if samples == 1 else [(0, y.shape[axis])]:
                low = start * problem.stride - problem.padding[0]
                high = (stop - 1) * problem.stride + problem.extent - problem.padding[0]
                first, last = max(low, 0), min(high, problem.length)
                block = y[n : n + samples].narrow(axis, start, stop - start)
                if last <= first:  # it sees nothing but zeros
                    block.copy_(torch.zeros(()) if bias is None else bias)
                    continue
                seen = x[n : n + samples].narrow(axis, first, last - first)
                part = replace(
                    problem,
                    outer=problem.outer // y.shape[0] * seen.shape[0],
                    length=seen.shape[axis],
                    padding=(first - low, high - last),
                )
                block.copy_(_CONV2D.forward(part, axis, seen, weight, bias))
        return y

    def input_gradient(self, problem: ConvProblem, axis: int, dy: Tensor, weight: Tensor) -> Tensor:
        if any(amount < 0 for amount in problem.transposed().padding):
            return _CONV2D.input_gradient(problem, axis, dy, weight)
        return self.forward(problem.transposed(), axis, dy, adjoint_kernel(problem, weight), None)

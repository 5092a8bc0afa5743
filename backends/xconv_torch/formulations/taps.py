"""A sum over the taps: each is a shifted, strided slice of the input times one tap of the kernel."""

from __future__ import annotations

import torch
from torch import Tensor

from xconv.core.cost import ITEM_SIZE
from xconv.core.epilogue import add_bias
from xconv.core.formulation import Formulation
from xconv.core.problem import ConvProblem
from xconv.planning.estimate import taps_work
from xconv_torch.formulations.shapes import (
    adjoint_kernel,
    affine,
    blocks,
    canonical,
    empty,
    from_canonical,
    is_recorded,
    pad,
    tap,
)


class Taps(Formulation):
    """One multiply-add (depthwise) or one matrix product (otherwise) per tap, in blocks that stay in cache."""

    name = "taps"

    def unsupported(self, direction: str, problem: ConvProblem) -> str | None:
        if not problem.is_static:
            return "sizes are not known yet"
        if direction != "weight_gradient" and problem.groups > 1 and problem.group_in > 1:
            return "its products of small groups are slow"
        return None

    def workspace(self, direction: str, problem: ConvProblem) -> int:
        rows = problem.outer * problem.inner * ITEM_SIZE[problem.dtype]
        padded = rows * problem.padded_length * problem.in_channels
        if direction == "input_gradient":
            return int(padded + rows * problem.output_length * problem.in_channels)
        return int(padded) if any(problem.padding) else 0

    def work(self, direction: str, problem: ConvProblem) -> list[float]:
        return taps_work(problem)

    def fuses_bias(self, direction: str, problem: ConvProblem) -> bool:
        return direction == "forward"

    def forward(self, problem: ConvProblem, axis: int, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        padded = pad(canonical(x, axis), 1, problem.padding)
        if is_recorded(x, weight, bias):
            y = _sum(problem, padded, weight, bias, 0, problem.output_length)
            return from_canonical(y, x, axis)
        y = empty(padded, problem.output_shape)
        row = 4 * problem.inner * (problem.in_channels + problem.out_channels)
        for n in range(problem.outer) if problem.outer * problem.output_length * row > 1 << 20 else [slice(None)]:
            part = slice(n, n + 1) if isinstance(n, int) else n
            for start, stop in blocks(problem.output_length, row):
                _sum(problem, padded[part], weight, bias, start, stop, y[part, start:stop])
        return from_canonical(y, x, axis)

    def input_gradient(self, problem: ConvProblem, axis: int, dy: Tensor, weight: Tensor) -> Tensor:
        if problem.stride == 1:
            return self.forward(problem.transposed(), axis, dy, adjoint_kernel(problem, weight))
        grad, steps = canonical(dy, axis), (problem.output_length - 1) * problem.stride + 1
        swapped = adjoint_kernel(problem, weight).flip(0)
        outer, _, inner, _ = grad.shape
        dx = None
        for j in range(problem.kernel):
            start, seen = j * problem.dilation, _product(problem.groups, grad, swapped[j])
            if dx is None:  # of the product, which has the batch of a transform of either
                dx = seen.new_zeros((outer, max(problem.padded_length, problem.extent), inner, problem.in_channels))
            dx[:, start : start + steps : problem.stride] += seen
        assert dx is not None
        return from_canonical(dx.narrow(1, problem.padding[0], problem.length), dy, axis)

    def weight_gradient(self, problem: ConvProblem, axis: int, x: Tensor, dy: Tensor) -> Tensor:
        padded, grad = pad(canonical(x, axis), 1, problem.padding), canonical(dy, axis)
        if problem.depthwise:
            return _depthwise_weight_gradient(problem, padded, grad)
        taps = [_correlation(problem, tap(problem, padded, j), grad) for j in range(problem.kernel)]
        return torch.stack(taps)


def _sum(
    problem: ConvProblem,
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    start: int,
    stop: int,
    out: Tensor | None = None,
) -> Tensor:
    """The outputs from start to stop, written to ``out`` if given."""
    groups = problem.groups
    if problem.depthwise and problem.group_out == 1:
        first = tap(problem, x, 0, start, stop)
        y = torch.mul(first, weight[0, 0], out=out) if bias is None else _fused(bias, first, weight[0, 0], out)
        for j in range(1, problem.kernel):
            y = torch.addcmul(y, tap(problem, x, j, start, stop), weight[j, 0], out=out)
        return y
    if groups == 1 and out is not None:
        flat = out.view(-1, problem.out_channels)
        for j in range(problem.kernel):
            rows = _rows(tap(problem, x, j, start, stop))
            if j == 0:
                affine(rows, weight[0], bias, flat)
            else:
                flat.addmm_(rows, weight[j])
        return out
    y = add_bias(_product(groups, tap(problem, x, 0, start, stop), weight[0]), bias)
    own = None if out is None else y  # what is recorded is not written to: it may be part of a batch that y is not
    for j in range(1, problem.kernel):
        y = torch.add(y, _product(groups, tap(problem, x, j, start, stop), weight[j]), out=own)
    return y if out is None else out.copy_(y)


def _fused(bias: Tensor, x: Tensor, w: Tensor, out: Tensor | None) -> Tensor:
    return torch.addcmul(bias, x, w, out=out)


def _product(groups: int, x: Tensor, w: Tensor) -> Tensor:
    """Every position of ``x`` times one tap (in / groups, out)."""
    if groups == 1:  # of rows: torch multiplies views of more axes position by position
        return (_rows(x) @ w).unflatten(0, x.shape[:-1])
    if w.shape[0] == 1:  # depthwise, with a channel multiplier
        return (x.unsqueeze(-1) * w.reshape(groups, -1)).flatten(-2)
    return (x.unflatten(-1, (groups, -1)) * w.t()).sum(-1)  # and its adjoint


def _rows(x: Tensor) -> Tensor:
    """Every position a row of channels: a view, unless samples and strides come together."""
    return x.reshape(-1, x.shape[-1])


def _correlation(problem: ConvProblem, x: Tensor, dy: Tensor) -> Tensor:
    """One tap of the weight gradient, (in / groups, out): products summed over every position."""
    if problem.groups == 1:
        return _rows(x).t() @ _rows(dy)
    flat = x.reshape(-1, problem.groups, problem.group_in).permute(1, 2, 0)
    found = flat @ dy.reshape(-1, problem.groups, problem.group_out).transpose(0, 1)
    return found.transpose(0, 1).flatten(1)


def _depthwise_weight_gradient(problem: ConvProblem, x: Tensor, dy: Tensor) -> Tensor:
    groups, many = problem.groups, problem.group_out
    row = 4 * x.shape[2] * (problem.in_channels + problem.out_channels)
    recorded, total = is_recorded(x, dy), None
    samples = [x[n : n + 1] for n in range(x.shape[0])], [dy[n : n + 1] for n in range(x.shape[0])]
    for one, grad in zip([x], [dy], strict=True) if recorded else zip(*samples, strict=True):
        for start, stop in [(0, problem.output_length)] if recorded else blocks(problem.output_length, row):
            part = grad[:, start:stop].unflatten(-1, (groups, many))
            sums = torch.stack(
                [
                    (tap(problem, one, j, start, stop).unsqueeze(-1) * part).sum((0, 1, 2)).flatten()
                    for j in range(problem.kernel)
                ]
            )
            total = sums if total is None else total + sums
    assert total is not None
    return total.unsqueeze(1)

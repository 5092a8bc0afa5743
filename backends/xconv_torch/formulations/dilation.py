"""Reshapes that turn a problem into one that torch computes well, and views that turn it back."""

from __future__ import annotations

from dataclasses import replace

from torch import Tensor

from xconv.backend import Formulation
from xconv.estimate import native_work
from xconv.problem import ConvProblem
from xconv_torch.formulations.native import Conv2d
from xconv_torch.formulations.shapes import canonical, from_canonical, pad

_CONV2D = Conv2d()


class Folded(Formulation):
    """A dilation folded into the shape: ``d`` interleaved signals, each convolved without dilation.

    (outer, length, inner, channels) is seen as (outer, length / d, d * inner, channels) and slides along its axis 1.
    """

    name = "folded"

    def unsupported(self, direction: str, problem: ConvProblem) -> str | None:
        del direction
        if not problem.is_static:
            return "sizes are not known yet"
        return None if problem.dilation > 1 and problem.stride == 1 else "it is for a dilation, and stride 1"

    def workspace(self, direction: str, problem: ConvProblem) -> int:
        del direction
        return 4 * int(problem.outer * problem.padded_length * problem.inner * problem.in_channels)

    def work(self, direction: str, problem: ConvProblem) -> list[float]:
        return native_work(problem)

    def forward(self, problem: ConvProblem, axis: int, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        folded, short = _fold(problem, canonical(x, axis))
        y = _CONV2D.forward(short, 1, folded, weight, bias)
        return from_canonical(_unfold(problem, y, problem.output_length), x, axis)

    def input_gradient(self, problem: ConvProblem, axis: int, dy: Tensor, weight: Tensor) -> Tensor:
        grad, d = canonical(dy, axis), problem.dilation
        short = _short(problem)
        folded = pad(grad, 1, (0, short.output_length * d - grad.shape[1]))
        folded = folded.reshape(grad.shape[0], short.output_length, d * grad.shape[2], grad.shape[3])
        dx = _unfold(problem, _CONV2D.input_gradient(short, 1, folded, weight), problem.padded_length)
        return from_canonical(dx.narrow(1, problem.padding[0], problem.length), dy, axis)

    def weight_gradient(self, problem: ConvProblem, axis: int, x: Tensor, dy: Tensor) -> Tensor:
        folded, short = _fold(problem, canonical(x, axis))
        grad, d = canonical(dy, axis), problem.dilation
        grad = pad(grad, 1, (0, short.output_length * d - grad.shape[1]))
        grad = grad.reshape(grad.shape[0], short.output_length, d * problem.inner, grad.shape[3])
        return _CONV2D.weight_gradient(short, 1, folded, grad)


class Wide(Formulation):
    """A depthwise filter along the columns: each row of the map is seen as one signal position of W * C channels."""

    name = "wide"

    def unsupported(self, direction: str, problem: ConvProblem) -> str | None:
        del direction
        if not problem.is_static:
            return "sizes are not known yet"
        alone = problem.group_in == problem.group_out == 1
        return None if alone and problem.inner > 1 else "it is for each channel alone, along the columns"

    def work(self, direction: str, problem: ConvProblem) -> list[float]:
        return native_work(problem)

    def forward(self, problem: ConvProblem, axis: int, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        wide, inner = _wide(problem), problem.inner
        y = _CONV2D.forward(
            wide, 1, x.flatten(2), weight.repeat(1, 1, inner), None if bias is None else bias.repeat(inner)
        )
        return y.unflatten(2, (inner, -1))

    def input_gradient(self, problem: ConvProblem, axis: int, dy: Tensor, weight: Tensor) -> Tensor:
        dx = _CONV2D.input_gradient(_wide(problem), 1, dy.flatten(2), weight.repeat(1, 1, problem.inner))
        return dx.unflatten(2, (problem.inner, -1))

    def weight_gradient(self, problem: ConvProblem, axis: int, x: Tensor, dy: Tensor) -> Tensor:
        found = _CONV2D.weight_gradient(_wide(problem), 1, x.flatten(2), dy.flatten(2))
        return found.unflatten(2, (problem.inner, -1)).sum(2)


def _wide(problem: ConvProblem) -> ConvProblem:
    channels = problem.in_channels * problem.inner
    return replace(problem, inner=1, in_channels=channels, out_channels=channels, groups=channels)


def _short(problem: ConvProblem) -> ConvProblem:
    """The undilated problem along the folded axis, of a padded signal."""
    length = -(-problem.padded_length // problem.dilation)
    return replace(problem, length=length, inner=problem.inner * problem.dilation, dilation=1, padding=(0, 0))


def _fold(problem: ConvProblem, x: Tensor) -> tuple[Tensor, ConvProblem]:
    short, d = _short(problem), problem.dilation
    low = problem.padding[0]
    padded = pad(x, 1, (low, short.length * d - low - problem.length))
    return padded.reshape(padded.shape[0], short.length, d * padded.shape[2], padded.shape[3]), short


def _unfold(problem: ConvProblem, y: Tensor, length: int) -> Tensor:
    outer, rows, _, channels = y.shape
    return y.reshape(outer, rows * problem.dilation, problem.inner, channels).narrow(1, 0, length)

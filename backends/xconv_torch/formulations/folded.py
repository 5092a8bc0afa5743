"""Dilation, stride and width folded into the shape: what is left is a problem that torch computes well."""

from __future__ import annotations

from dataclasses import replace

from torch import Tensor

from xconv.backend import Formulation
from xconv.cost import ITEM_SIZE
from xconv.estimate import native_work
from xconv.problem import ConvProblem
from xconv_torch.formulations.native import Conv2d
from xconv_torch.formulations.shapes import adjoint_kernel, canonical, from_canonical, pad

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


class Phases(Formulation):
    """The strided input gradient, and so a transposed convolution: ``stride`` neighbours as channels of one element.

    The kernel of ``k`` taps has ``k / stride`` then, and none of them meets the zeros between the elements of ``dy``.
    Forward and for the weight, the op with a stride is as fast.
    """

    name = "phases"
    is_local = False

    def unsupported(self, direction: str, problem: ConvProblem) -> str | None:
        if direction != "input_gradient" or problem.stride == 1:
            return "it is for the input gradient with a stride"
        if not problem.is_static:
            return "sizes are not known yet"
        return None if problem.groups == problem.dilation == 1 else "it is for one group, without dilation"

    def workspace(self, direction: str, problem: ConvProblem) -> int:
        del direction
        rows = problem.outer * problem.inner
        spare = problem.padded_length + problem.stride * problem.kernel
        return ITEM_SIZE[problem.dtype] * int(2 * rows * spare * problem.in_channels)

    def work(self, direction: str, problem: ConvProblem) -> list[float]:
        del direction
        whole = _whole(problem)
        return [*native_work(whole), whole.macs]

    def input_gradient(self, problem: ConvProblem, axis: int, dy: Tensor, weight: Tensor) -> Tensor:
        grad, stride, inner = canonical(dy, axis), problem.stride, problem.inner
        whole, low = _whole(problem), problem.padding[0]
        kernel = pad(weight, 0, (0, whole.kernel * stride - problem.kernel)).reshape(whole.weight_shape)
        dx = _CONV2D.forward(whole.transposed(), 1, grad, adjoint_kernel(whole, kernel), None)
        dx = dx.unflatten(3, (stride, problem.in_channels)).transpose(2, 3)
        dx = dx.reshape(grad.shape[0], whole.length * stride, inner, problem.in_channels)
        return from_canonical(pad(dx, 1, (-low, problem.length + low - whole.length * stride)), dy, axis)


def _whole(problem: ConvProblem) -> ConvProblem:
    """The problem of ``stride`` neighbours at a time, which has no stride."""
    kernel, channels = -(-problem.kernel // problem.stride), problem.in_channels * problem.stride
    length = problem.output_length + kernel - 1
    return replace(problem, length=length, in_channels=channels, kernel=kernel, stride=1, padding=(0, 0))


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

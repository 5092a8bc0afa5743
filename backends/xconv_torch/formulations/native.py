"""PyTorch's own convolutions.

Each takes views and gives views: an NCW tensor that arrives permuted to channels last is permuted back for free.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor

from xconv.core.formulation import Formulation
from xconv.core.problem import ConvProblem, Size
from xconv.planning.estimate import native_work


class Conv1d(Formulation):
    """``conv1d`` of channels-first signals; a feature map's rows or columns become a batch of signals."""

    name = "conv1d"

    def unsupported(self, direction: str, problem: ConvProblem) -> str | None:
        return overrun(direction, problem)

    def work(self, direction: str, problem: ConvProblem) -> list[float]:
        return native_work(problem)

    def fuses_bias(self, direction: str, problem: ConvProblem) -> bool:
        return direction == "forward"

    def forward(self, problem: ConvProblem, axis: int, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        signals, back = _as_signals(x, axis)
        signals, pad = _pad_evenly(signals, problem, last=True)
        kernel = _as_kernel(problem, weight)
        return back(F.conv1d(signals, kernel, bias, problem.stride, pad, problem.dilation, problem.groups))

    def input_gradient(self, problem: ConvProblem, axis: int, dy: Tensor, weight: Tensor) -> Tensor:
        signals, back = _as_signals(dy, axis)
        crop, extra = _even_crop(problem)
        dx = F.conv_transpose1d(
            signals,
            _as_kernel(problem, weight),
            None,
            problem.stride,
            crop,
            groups=problem.groups,
            dilation=problem.dilation,
        )
        return back(F.pad(dx, extra))

    def weight_gradient(self, problem: ConvProblem, axis: int, x: Tensor, dy: Tensor) -> Tensor:
        signals, pad = _pad_evenly(_as_signals(x, axis)[0], problem, last=True)
        signals_dy = _as_signals(dy, axis)[0]
        window = ((problem.kernel,), (problem.stride,), (pad,), (problem.dilation,))
        return _weight_gradient(problem, signals, signals_dy, *window).permute(2, 1, 0)


class Conv2d(Formulation):
    """``conv2d`` of the image that the tensor already is: of height one for signals, else the feature map itself.

    Channels-last memory is used as it is, without a transpose.
    """

    name = "conv2d"

    def unsupported(self, direction: str, problem: ConvProblem) -> str | None:
        return overrun(direction, problem)

    def work(self, direction: str, problem: ConvProblem) -> list[float]:
        return native_work(problem)

    def fuses_bias(self, direction: str, problem: ConvProblem) -> bool:
        return direction == "forward"

    def forward(self, problem: ConvProblem, axis: int, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        if _overpads(problem, axis, x):
            low, high = problem.padding
            most = max(low, high)
            y = self.forward(replace(problem, padding=(most, most)), axis, x, weight, bias)
            return y.narrow(axis, most - low, problem.output_length)
        along_width = _along_width(x, axis)
        image, pad = _pad_evenly(_as_image(x), problem, last=along_width)
        kernel = _as_kernel(problem, weight).unsqueeze(2 if along_width else 3)
        y = F.conv2d(
            image,
            kernel,
            bias,
            _pair(problem.stride, 1, along_width),
            _pair(pad, 0, along_width),
            _pair(problem.dilation, 1, along_width),
            problem.groups,
        )
        return _from_image(y, x.ndim)

    def input_gradient(self, problem: ConvProblem, axis: int, dy: Tensor, weight: Tensor) -> Tensor:
        along_width = _along_width(dy, axis)
        crop, extra = _even_crop(problem)
        dx = F.conv_transpose2d(
            _as_image(dy),
            _as_kernel(problem, weight).unsqueeze(2 if along_width else 3),
            None,
            _pair(problem.stride, 1, along_width),
            _pair(crop, 0, along_width),
            groups=problem.groups,
            dilation=_pair(problem.dilation, 1, along_width),
        )
        return _from_image(F.pad(dx, extra if along_width else (0, 0, *extra)), dy.ndim)

    def weight_gradient(self, problem: ConvProblem, axis: int, x: Tensor, dy: Tensor) -> Tensor:
        along_width = _along_width(x, axis)
        if along_width and x.ndim == 4 and problem.is_static and x.shape[0] == 1 and x.is_contiguous():
            # the rows of a single map are signals: up to 10 times as fast, and as fast as several maps for the others
            return self.weight_gradient(problem, 1, x.squeeze(0), dy.squeeze(0))
        image, pad = _pad_evenly(_as_image(x), problem, last=along_width)
        window = (
            _pair(problem.kernel, 1, along_width),
            _pair(problem.stride, 1, along_width),
            _pair(pad, 0, along_width),
            _pair(problem.dilation, 1, along_width),
        )
        gradient = _weight_gradient(problem, image, _as_image(dy), *window)
        return gradient.squeeze(2 if along_width else 3).permute(2, 1, 0)


VECTOR_FLOATS = 16
"""float32 numbers in a vector of AVX-512."""


def overrun(direction: str, problem: ConvProblem) -> str | None:
    """Why oneDNN must not compute it: its AVX-512 kernels write out of their bounds, in torch's own backward too.

    Seen with a stride, for one and for five input channels, from 400 output channels of 64 taps on; never up to 17200
    products of those two.
    """
    if (
        direction != "input_gradient"
        or problem.groups > 1
        or problem.in_channels >= VECTOR_FLOATS
        or problem.stride == 1
    ):
        return None
    large = problem.out_channels * problem.kernel > 1 << 14
    return "oneDNN writes out of its bounds with so long a kernel, a stride and few channels" if large else None


def _weight_gradient(
    problem: ConvProblem,
    x: Tensor,
    dy: Tensor,
    kernel: tuple[int, ...],
    stride: tuple[int, ...],
    padding: tuple[int, ...],
    dilation: tuple[int, ...],
) -> Tensor:
    # autograd's own entry for it, which has gradients of its own
    weight = x.new_empty((problem.out_channels, problem.group_in, *kernel))
    none = [0] * len(kernel)
    gradient: Tensor = torch.ops.aten.convolution_backward(
        dy, x, weight, None, stride, padding, dilation, False, none, problem.groups, [False, True, False]
    )[1]
    return gradient


def _overpads(problem: ConvProblem, axis: int, x: Tensor) -> bool:
    """Whether uneven pads are best made even, and the result cut: no padded copy of x, and the cut is contiguous."""
    if problem.stride > 1 or axis != 1 or not problem.is_static or torch.compiler.is_compiling():
        return False
    low, high = problem.padding
    return low != high and min(low, high) >= 0 and x.shape[0] == 1 and abs(low - high) <= problem.length // 8


def _pad_evenly(x: Tensor, problem: ConvProblem, *, last: bool) -> tuple[Tensor, int]:
    """The tensor and the symmetric pad that the op itself adds; uneven pads are put into the tensor."""
    low, high = problem.padding
    # a symbolic pad is not compared: that would tie an exported program to one parity of the length
    if isinstance(low, int) and isinstance(high, int) and low == high >= 0:
        return x, low
    return F.pad(x, (low, high) if last else (0, 0, low, high)), 0


def _even_crop(problem: ConvProblem) -> tuple[int, tuple[Size, Size]]:
    """The symmetric crop that a transposed op does itself, and the (low, high) pad, often negative, that is left."""
    low = problem.padding[0]
    high = (problem.output_length - 1) * problem.stride + problem.extent - low - problem.length
    if isinstance(high, Tensor):  # a trace would record none of the comparisons
        return 0, (-low, -high)
    crop = max(min(low, high), 0)
    return crop, (crop - low, crop - high)


def _as_signals(x: Tensor, axis: int) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
    """Channels-first signals along an axis, and the way back."""
    if x.ndim == 3:
        return x.transpose(1, 2), lambda y: y.transpose(1, 2)
    rows = x if axis == 2 else x.transpose(1, 2)
    batch = rows.shape[:2]

    def back(y: Tensor) -> Tensor:
        out = y.transpose(1, 2)
        out = out.reshape(*batch, *out.shape[1:])
        return out if axis == 2 else out.transpose(1, 2)

    return rows.flatten(0, 1).transpose(1, 2), back


def _as_kernel(problem: ConvProblem, weight: Tensor) -> Tensor:
    if problem.out_channels == 1:
        # torch takes the permuted view for channels last, and refuses its gradient
        return weight.squeeze(2).t().contiguous().unsqueeze(0)
    kernel = weight.permute(2, 1, 0)
    # of a view that is in no order at all torch's fallback refuses the gradient
    return kernel if weight.is_contiguous() or kernel.is_contiguous() else kernel.contiguous()


def _as_image(x: Tensor) -> Tensor:
    return x.permute(0, 3, 1, 2) if x.ndim == 4 else x.transpose(1, 2).unsqueeze(2)


def _from_image(y: Tensor, rank: int) -> Tensor:
    return y.permute(0, 2, 3, 1) if rank == 4 else y.squeeze(2).transpose(1, 2)


def _along_width(x: Tensor, axis: int) -> bool:
    return axis == x.ndim - 2


def _pair(value: int, other: int, along_width: bool) -> tuple[int, int]:
    return (other, value) if along_width else (value, other)

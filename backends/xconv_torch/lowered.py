"""A planned call as one call of torch's own op and the views around it: what a call costs when it is made again."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor
from torch._C import _is_any_autocast_enabled as is_any_autocast_enabled

from xconv.call import Call
from xconv.plan import Chosen
from xconv.problem import DIRECTIONS
from xconv.run import execute
from xconv_torch.autograd import Apart, is_differentiated, is_eager
from xconv_torch.formulations import own_adjoints
from xconv_torch.formulations.direct import DIRECT

if TYPE_CHECKING:
    from xconv_torch.backend import TorchBackend

Lowered = Callable[[Tensor, Tensor, Tensor | None], Tensor]


def lowered(backend: TorchBackend, call: Call, chosen: Chosen) -> Lowered | None:
    """The function of a call by a native formulation; None where more is to be done than one op.

    With gradients that are computed apart, it is left as soon as they are wanted.
    """
    if chosen.formulation is DIRECT:
        return DIRECT.lowered(call, _differentiated(backend, call, chosen))
    if not _is_one_op(call) or chosen.formulation.name not in _NATIVE:
        return None
    direct = _NATIVE[chosen.formulation.name](call)
    one = chosen.trained is chosen.formulation and chosen.adjoints is None
    if direct is None or (one and own_adjoints(chosen.formulation, call.problem) is None):
        return direct
    whole = partial(execute, call, backend, chosen)

    def either(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        if torch.is_grad_enabled() and (x.requires_grad or weight.requires_grad):
            return whole(x, weight, bias)
        return direct(x, weight, bias)

    return either


def _differentiated(backend: TorchBackend, call: Call, chosen: Chosen) -> Lowered:
    """What a call of ``direct`` is while somebody looks on: for gradients the same code, with as little around it."""
    whole: Lowered = partial(execute, call, backend, chosen)
    forms = dict.fromkeys(DIRECTIONS, DIRECT)
    if chosen.trained is not DIRECT or (chosen.adjoints is not None and chosen.adjoints != forms):
        return whole
    layout, how = call.layout, (forms, call.direction, call.problem, call.axis)

    def either(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        if not is_eager() or not is_differentiated(x, weight) or is_any_autocast_enabled():
            return whole(x, weight, bias)
        if layout.channels_last:
            y = Apart.apply(x, weight, *how)
            return y if bias is None else y + bias
        y = Apart.apply(x.permute(layout.to_channels_last), weight.permute(call.weight_axes), *how)
        return backend.settle((y if bias is None else y + bias).permute(layout.from_channels_last), x)

    return either


def packed(call: Call, chosen: Chosen, weight: Tensor) -> Callable[..., Tensor] | None:
    """A call with its weight in oneDNN's own order: what ``torch.compile`` does for frozen weights.

    Depthwise weights are in no better order than their own.
    """
    if chosen.formulation is DIRECT:
        return DIRECT.packed(call, weight)
    problem, fits = call.problem, weight.dtype == torch.float32 and weight.device.type == "cpu"
    native = chosen.formulation.name in _NATIVE and _is_one_op(call) and not problem.depthwise
    if not (native and fits and torch.backends.mkldnn.is_available()):
        return None
    layout, width = call.layout, len(call.layout.name) == 3 or call.axis == 2
    how = [
        [a, b] if width else [b, a] for a, b in ((0, problem.padding[0]), (1, problem.stride), (1, problem.dilation))
    ]
    kernel = weight.detach().permute(call.weight_axes).permute(2, 1, 0).unsqueeze(2 if width else 3)
    kernel = kernel.contiguous(memory_format=torch.channels_last)
    ready: dict[torch.Size, Tensor] = {}

    def with_weight(x: Tensor, bias: Tensor | None = None) -> Tensor:
        last = x.permute(layout.to_channels_last)
        image = last.permute(0, 3, 1, 2) if last.ndim == 4 else last.transpose(1, 2).unsqueeze(2)
        if image.shape not in ready:  # the best order depends on the whole shape of the image
            ready.clear()
            reorder = torch.ops.mkldnn._reorder_convolution_weight
            ready[image.shape] = reorder(kernel, *how, problem.groups, list(image.shape))
        with torch.no_grad():
            packed = ready[image.shape]
            y = torch.ops.mkldnn._convolution_pointwise(image, packed, bias, *how, problem.groups, "none", [], "")
        y = y.permute(0, 2, 3, 1) if last.ndim == 4 else y.squeeze(2).transpose(1, 2)
        return y.permute(layout.from_channels_last)

    return with_weight


def _is_one_op(call: Call) -> bool:
    problem = call.problem
    low, high = problem.padding
    return (
        call.direction == "forward"
        and low == high
        and problem.padding_mode == "zeros"
        and problem.dtype in ("float32", "float64")
        and problem.is_static
        and not problem.is_empty
        and problem.kernel > 1
        and not (problem.stride > 1 and problem.output_length == 1)
        and problem.out_channels > 1
    )


def _conv1d(call: Call) -> Lowered | None:
    problem = call.problem
    how = (problem.stride, problem.padding[0], problem.dilation, problem.groups)
    if call.layout.name == "NCW":
        return lambda x, weight, bias: F.conv1d(x, weight, bias, *how)
    return None


def _conv2d(call: Call) -> Lowered:
    problem, last = call.problem, call.layout.channels_last
    width = len(call.layout.name) == 3 or call.axis == 2
    at = 2 if width else 3

    def pair(value: int, other: int) -> tuple[int, int]:
        return (other, value) if width else (value, other)

    how = (pair(problem.stride, 1), pair(problem.padding[0], 0), pair(problem.dilation, 1), problem.groups)
    if len(call.layout.name) == 3:
        if last:

            def signals_last(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
                y = F.conv2d(x.unsqueeze(1).permute(0, 3, 1, 2), weight.unsqueeze(1).permute(3, 2, 1, 0), bias, *how)
                return y.permute(0, 2, 3, 1).squeeze(1)

            return signals_last
        return lambda x, weight, bias: F.conv2d(x.unsqueeze(2), weight.unsqueeze(2), bias, *how).squeeze(2)
    if last:

        def maps_last(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
            kernel = weight.permute(2, 1, 0).unsqueeze(at)
            return F.conv2d(x.permute(0, 3, 1, 2), kernel, bias, *how).permute(0, 2, 3, 1)

        return maps_last
    return lambda x, weight, bias: F.conv2d(x, weight.unsqueeze(at), bias, *how)


_NATIVE: dict[str, Callable[[Call], Lowered | None]] = {"conv1d": _conv1d, "conv2d": _conv2d}

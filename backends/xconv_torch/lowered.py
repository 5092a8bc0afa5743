"""A planned call as one call of torch's own op and the views around it: what a call costs when it is made again."""

from __future__ import annotations

from collections.abc import Callable

import torch.nn.functional as F
from torch import Tensor

from xconv.core.call import Call
from xconv.core.lowering import Lowered, Lowering
from xconv.core.plan import Plan
from xconv.core.target import EAGER
from xconv_torch.autograd import Planned, is_differentiated
from xconv_torch.executions import execution
from xconv_torch.formulations.direct import DIRECT


def lowered(lowering: Lowering) -> Lowered | None:
    """The function of an eager call by ``direct`` or a native formulation; None where more is to be done than one op.

    It gives the bits of the lowering itself, and leaves to it what wants gradients that are planned.
    """
    plan = lowering.plan
    call, name = plan.call, plan.chosen.formulation
    if plan.target.device != "cpu" and not lowering.by_framework:
        return None
    if name == DIRECT.name:
        return DIRECT.lower(call, _with_gradients(lowering))
    if not _is_one_op(call) or name not in _NATIVE:
        return None
    own = _NATIVE[name](call)
    if own is None or lowering.by_framework:
        return own

    def either(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        return (lowering if is_differentiated(x, weight, bias) else own)(x, weight, bias)

    return either


def _with_gradients(lowering: Lowering) -> Lowered:
    """A call of ``direct`` whose gradients are wanted, with as little around it as can be."""
    call, backend = lowering.plan.call, lowering.backend
    layout, how = call.layout, (lowering, call.direction, call.problem, call.axis)

    def computed(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        if layout.channels_last:
            y: Tensor = Planned.apply(x, weight, bias, *how)
            return y
        y = Planned.apply(x.permute(layout.to_channels_last), weight.permute(call.weight_axes), bias, *how)
        settled: Tensor = backend.settle(y.permute(layout.from_channels_last), x)
        return settled

    return computed


def packed(plan: Plan, weight: Tensor) -> Callable[..., Tensor] | None:
    """A call with its weight in the order of the tiles of ``direct``.

    oneDNN has an order of its own too (``torch.ops.mkldnn``), in which it gives other bits than torch's own op.
    """
    if plan.chosen.formulation != DIRECT.name or execution(weight) != EAGER:
        return None
    return DIRECT.pack(plan.call, weight)


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
        and not problem.decimates
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

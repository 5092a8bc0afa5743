"""A planned convolution as one node of the graph that ``torch.compile`` builds: it runs what eager torch would.

Compilers see through torch's own ops, and not through loops that are made for a layer. Where those are faster, the
graph gets an op of the library ``xconv``, with its shape and its gradients, which are such nodes again. A node whose
sizes are open is planned when it runs. What is exported holds none: it is for programs that know torch's ops only.

Importing this module imports torch's compiler.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from xconv.core.adjoints import ADJOINTS, operands
from xconv.core.call import Call
from xconv.core.formulation import Formulation
from xconv.core.layouts import LAYOUTS
from xconv.core.operations import along
from xconv.core.plan import AUTO, LOCAL, Plan
from xconv.core.problem import DIRECTIONS, ConvProblem, Size
from xconv.core.target import CHANNELS_FIRST, CHANNELS_LAST, INDUCTOR, Target
from xconv.direct.order import MemoryOrder
from xconv.planning.planner import plan_call, problem_of, values_of
from xconv_torch.formulations import FORMULATIONS
from xconv_torch.formulations.direct import DIRECT

_BY_NAME = {form.name: form for form in FORMULATIONS}

_LIBRARY = torch.library.Library("xconv", "FRAGMENT")
_LIBRARY.define(
    "convolution(Tensor a, Tensor b, Tensor? bias, str direction, str[] formulations, SymInt[] sizes, int axis,"
    " bool channels_first) -> Tensor",
    tags=(torch.Tag.needs_exact_strides,),
)


def node(
    plan: Plan, direction: str, problem: ConvProblem, axis: int, a: Tensor, b: Tensor, bias: Tensor | None = None
) -> Tensor:
    """A direction of a problem by a plan, whose gradients are the two others."""
    names = [choice.formulation for choice in (plan.forward, plan.input_gradient, plan.weight_gradient)]
    return _node(a, b, bias, direction, names, list(values_of(problem)), axis)


def _node(
    a: Tensor, b: Tensor, bias: Tensor | None, direction: str, names: Sequence[str], sizes: Sequence[int], axis: int
) -> Tensor:
    first = direction != "weight_gradient" and DIRECT.memory.memory_order(a) is MemoryOrder.CHANNELS_FIRST
    y: Tensor = torch.ops.xconv.convolution(a, b, bias, direction, names, sizes, axis, first)
    return y


def _computed(
    a: Tensor,
    b: Tensor,
    bias: Tensor | None,
    direction: str,
    names: Sequence[str],
    sizes: Sequence[int],
    axis: int,
    channels_first: bool,
) -> Tensor:
    """What the node does when the graph runs."""
    problem, name = _problem_of(tuple(sizes), DIRECT.memory.dtype(a)), names[DIRECTIONS.index(direction)]
    form = _choose_now(name, direction, problem, axis, a)
    with torch.no_grad():
        y: Tensor = form.compute(direction, problem, axis, a, b, bias)
        return y.movedim(-1, 1).contiguous().movedim(1, -1) if channels_first else y.contiguous()


def _choose_now(name: str, direction: str, problem: ConvProblem, axis: int, a: Tensor) -> Formulation:
    """The formulation of a name; for a problem whose sizes were open, what is best for the sizes that came."""
    if name not in (AUTO, LOCAL):
        form = _BY_NAME[name]
        if form.unsupported(direction, problem) is None:
            return form
        name = AUTO
    first = DIRECT.memory.memory_order(a) is MemoryOrder.CHANNELS_FIRST
    layout = LAYOUTS[("NCW" if first else "NWC") if a.ndim == 3 else ("NCHW" if first else "NHWC")]
    target = Target("torch", "cpu", CHANNELS_FIRST if first else CHANNELS_LAST, torch.get_num_threads(), INDUCTOR)
    operation = next(row for row in along(a.ndim) if row.axis == axis)
    return _BY_NAME[plan_call(Call(operation.name, layout, problem, axis, direction), target, name).chosen.formulation]


_problem_of = lru_cache(maxsize=4096)(problem_of)


def _shaped(*given: Any) -> Tensor:
    """What the node gives, without its numbers."""
    a, _, _, direction, _, sizes, axis, channels_first = given
    problem = problem_of(sizes, "float32")
    shape: Sequence[Size] = problem.result_sizes(direction, a.shape, axis)
    if channels_first:
        samples, *places, channels = shape
        shape = [samples, channels, *places]
    y: Tensor = a.new_empty(shape)
    return y.movedim(1, -1) if channels_first else y


def _keep(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    del output
    a, b, _, direction, names, sizes, axis, _ = inputs
    ctx.save_for_backward(a, b)
    ctx.how = direction, names, sizes, axis


def _differentiated(ctx: Any, above: Tensor) -> tuple[Tensor | None, ...]:
    a, b = ctx.saved_tensors
    direction, *how = ctx.how
    found: list[Tensor | None] = [None, None, None]
    for which, wanted in enumerate(ADJOINTS[direction]):
        if ctx.needs_input_grad[which]:
            one, other = operands(direction, which, a, b, above)
            found[which] = _node(one, other, None, wanted, *how)
    if ctx.needs_input_grad[2]:
        found[2] = above.sum(tuple(range(above.ndim - 1)))
    return (*found, None, None, None, None, None)


_LIBRARY.impl("convolution", _computed, "CPU")
torch.library.register_fake("xconv::convolution", _shaped, lib=_LIBRARY)
torch.library.register_autograd("xconv::convolution", _differentiated, setup_context=_keep, lib=_LIBRARY)

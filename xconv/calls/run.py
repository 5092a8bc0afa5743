"""From arrays and options to a result: collect, resolve, plan, lower, compute."""

from __future__ import annotations

from typing import Any, TypeVar

from xconv.calls import dispatch
from xconv.calls.arguments import CallArrays, collect
from xconv.core.backend import Backend
from xconv.core.call import Call, resolve, resolve_all
from xconv.core.lowering import Lowered, lower
from xconv.core.operations import OPERATIONS
from xconv.core.target import CHANNELS_FIRST, CHANNELS_LAST, Target
from xconv.planning.planner import plan_call

T = TypeVar("T")
"""The type of ``x``, and so of the result."""


def run(
    operation: str,
    x: T,
    weight: Any,
    bias: Any,
    formulation: str,
    backend: str | None,
    device: str | None,
    options: tuple[Any, ...],
) -> T:
    """Run an operation with one weight. Its options come in the order of ``Operation.options``."""
    key = dispatch.key(operation, x, weight, bias, formulation, backend, device, options)
    if key is not None:
        kept = dispatch.find(key)
        if kept is not None:
            found: T = kept(x, weight, bias)  # what it raises is for the caller: arrays of this signature fit
            return found
    arguments = collect(operation, {"x": x, "weight": weight, "bias": bias}, backend, device)
    shapes = arguments.shape("x") or (), arguments.shape("weight") or (), arguments.shape("bias")
    named = dict(zip(OPERATIONS[operation].options, options, strict=True))
    call = resolve(operation, *shapes, dtype=arguments.dtype, **named)
    owner = arguments.load()
    lowered = _lowered(call, arguments, owner, formulation)
    dispatch.keep(operation, lowered, owner, (x, weight, bias), formulation, backend, device, options, key)
    given = arguments.arrays
    result: T = arguments.close(lowered(given["x"], given["weight"], given["bias"]))
    return result


def run_steps(
    operation: str,
    x: T,
    weights: tuple[Any, ...],
    bias: Any,
    formulation: str,
    backend: str | None,
    device: str | None,
    options: tuple[Any, ...],
) -> T:
    """Run an operation that is made of others: its steps are all resolved before one is computed."""
    row = OPERATIONS[operation]
    arrays = {"x": x, **dict(zip(row.weights, weights, strict=True)), "bias": bias}
    arguments = collect(operation, arrays, backend, device)
    kernels = [arguments.shape(name) or () for name in row.weights]
    shapes = arguments.shape("x") or (), kernels, arguments.shape("bias")
    named = dict(zip(row.options, options, strict=True))
    calls = resolve_all(operation, *shapes, dtype=arguments.dtype, **named)
    owner = arguments.load()
    steps = [_lowered(call, arguments, owner, formulation, operation) for call in calls]
    given = arguments.arrays
    y = given["x"]
    for step, name in zip(steps, row.weights, strict=True):
        y = step(y, given[name], given["bias"] if step is steps[-1] else None)
    result: T = arguments.close(y)
    return result


def _lowered(
    call: Call, arguments: CallArrays, owner: Backend, formulation: str, operation: str | None = None
) -> Lowered:
    memory_format = CHANNELS_LAST if call.layout.channels_last else CHANNELS_FIRST
    how = owner.execution(*arguments.arrays.values())
    target = Target(owner.name, arguments.device or owner.default_device(), memory_format, owner.threads(), how)
    return lower(plan_call(call, target, formulation, operation=operation or call.operation))

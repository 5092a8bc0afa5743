"""From arrays and options to a result: collect, resolve, plan, lower, compute."""

from __future__ import annotations

from typing import Any

from xconv import dispatch
from xconv.arguments import Arguments, collect
from xconv.backend import Backend
from xconv.call import SEPARABLE, Call, resolve, resolve_all
from xconv.formulation import Array
from xconv.lowering import Lowered, lower
from xconv.planner import plan_call
from xconv.target import CHANNELS_FIRST, CHANNELS_LAST, Target


def run(
    operation: str,
    x: Any,
    weight: Any,
    bias: Any,
    formulation: str,
    backend: str | None,
    device: str | None,
    **options: Any,
) -> Array:
    """Run an operation with one weight."""
    key = dispatch.key(operation, x, weight, bias, formulation, backend, device, options)
    if key is not None:
        kept = dispatch.find(key)
        if kept is not None:
            return kept(x, weight, bias)  # what it raises is for the caller: arrays of this signature fit
    arguments = collect(operation, {"x": x, "weight": weight, "bias": bias}, backend, device)
    shapes = arguments.shape("x") or (), arguments.shape("weight") or (), arguments.shape("bias")
    call = resolve(operation, *shapes, dtype=arguments.dtype, **options)
    owner = arguments.load()
    lowered = _lowered(call, arguments, owner, formulation)
    dispatch.keep(operation, lowered, owner, (x, weight, bias), formulation, backend, device, options)
    given = arguments.arrays
    return arguments.close(lowered(given["x"], given["weight"], given["bias"]))


def run_separable(
    arrays: dict[str, Any], formulation: str, backend: str | None, device: str | None, **options: Any
) -> Array:
    """Rows, then columns: two calls, both resolved before either is computed."""
    arguments = collect(SEPARABLE, arrays, backend, device)
    kernels = [arguments.shape(name) or () for name in ("weight_rows", "weight_columns")]
    calls = resolve_all(
        SEPARABLE, arguments.shape("x") or (), kernels, arguments.shape("bias"), dtype=arguments.dtype, **options
    )
    owner = arguments.load()
    rows, columns = (_lowered(call, arguments, owner, formulation, SEPARABLE) for call in calls)
    given = arguments.arrays
    middle = rows(given["x"], given["weight_rows"], None)
    return arguments.close(columns(middle, given["weight_columns"], given["bias"]))


def _lowered(
    call: Call, arguments: Arguments, owner: Backend, formulation: str, operation: str | None = None
) -> Lowered:
    memory_format = CHANNELS_LAST if call.layout.channels_last else CHANNELS_FIRST
    how = owner.execution(*arguments.arrays.values())
    target = Target(owner.name, arguments.device or owner.default_device(), memory_format, owner.threads(), how)
    return lower(plan_call(call, target, formulation, operation=operation or call.operation))

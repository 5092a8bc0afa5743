"""From arrays and options to a result: collect, resolve, choose, execute, and back."""

from __future__ import annotations

from typing import Any

from xconv import dispatch
from xconv.arguments import collect
from xconv.backend import Backend
from xconv.call import SEPARABLE, Call, resolve, resolve_all
from xconv.formulation import Array
from xconv.plan import Chosen, choose


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
        ready = dispatch.find(key)
        if ready is not None:
            try:
                return ready(x, weight, bias)
            except Exception:  # noqa: BLE001, S110 - looked at in full, the mistake gets its proper name
                pass
    arguments = collect(operation, {"x": x, "weight": weight, "bias": bias}, backend, device)
    shapes = arguments.shape("x") or (), arguments.shape("weight") or (), arguments.shape("bias")
    call = resolve(operation, *shapes, dtype=arguments.dtype, **options)
    owner = arguments.load()
    chosen = None if call.vertical is not None else choose_for(call, owner, formulation, operation, arguments.device)
    given = arguments.arrays
    y = arguments.close(execute(call, owner, chosen, given["x"], given["weight"], given["bias"]))
    dispatch.keep(operation, call, owner, chosen, (x, weight, bias), formulation, backend, device, options)
    return y


def choose_for(call: Call, backend: Backend, formulation: str, operation: str, device: str) -> Chosen:
    """How a resolved 1-D call is computed."""
    return choose(
        backend,
        call.direction,
        call.problem,
        formulation=formulation,
        layout=call.layout.name,
        device=device,
        operation=operation,
    )


def execute(call: Call, backend: Backend, chosen: Chosen | None, x: Array, weight: Array, bias: Array | None) -> Array:
    """Run a resolved call on a backend's own arrays, in the caller's layout."""
    given = x
    if not call.layout.channels_last:
        x = backend.permute(x, call.layout.to_channels_last)
        weight = backend.permute(weight, call.weight_axes)
    if call.vertical is not None:
        y = backend.run_2d(call.vertical, call.problem, x, weight, bias)
    else:
        assert chosen is not None
        y = backend.run(chosen.formulation, call.direction, call.problem, call.axis, x, weight, bias, chosen)
    y = y if call.layout.channels_last else backend.permute(y, call.layout.from_channels_last)
    return backend.settle(y, given)


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
    rows, columns = (choose_for(call, owner, formulation, SEPARABLE, arguments.device) for call in calls)
    given = arguments.arrays
    middle = execute(calls[0], owner, rows, given["x"], given["weight_rows"], None)
    return arguments.close(execute(calls[1], owner, columns, middle, given["weight_columns"], given["bias"]))

"""Known causes that can be read off two layers."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from xconv.core.problem import resolve_padding
from xconv.testing.capture import Record
from xconv.testing.explain import explained
from xconv.testing.frameworks import Array
from xconv.testing.report import ComparedArray


def hints(a: Record, b: Record, order: tuple[int, ...], unordered: Callable[[], ComparedArray | None]) -> list[str]:
    """Why two layers differ, as far as their settings and weights say.

    ``order`` is how g's side flattens its features in f's, and ``unordered`` compares both on f's order.
    """
    found = []
    if order:
        row = unordered()
        if row is not None and row.ok:
            found.append(
                "flatten order: f and g flatten their axes in different orders, and the weights are in f's;"
                " permute the rows of the dense kernel"
            )
            return found
    one, other = settings(a), settings(b)
    for name in one:
        if name in other and one[name] != other[name]:
            note = " (used in training only)" if name == "momentum" else ""
            found.append(f"{name} differs: {one[name]} / {other[name]}{note}")
    found += _weights(weights(a), weights(b), order)
    forms = [gelu_form(record) for record in (a, b)] if a.kind == "activation" else ["", ""]
    if forms[0] != forms[1]:
        found.append(f"activation differs: gelu by {forms[0]} / by {forms[1]}")
    return found


def settings(record: Record) -> dict[str, Any]:
    """What of a layer changes its result, in words that torch and Keras share; momentum in torch's sense."""
    layer = record.layer
    found: dict[str, Any] = {}
    by_keras = hasattr(layer, "get_config")
    for one in ("eps", "epsilon", "groups", "negative_slope"):
        value = getattr(layer, one, None)
        if isinstance(value, (int, float)):
            found["epsilon" if one == "eps" else one] = value
    if isinstance(getattr(layer, "momentum", None), (int, float)):
        found["momentum"] = round(1 - layer.momentum, 12) if by_keras else layer.momentum
    for name, names in (
        ("stride", ("stride", "strides")),
        ("dilation", ("dilation", "dilation_rate")),
        ("window", ("kernel_size", "pool_size")),
    ):
        for one in names:
            value = getattr(layer, one, None)
            if isinstance(value, (int, tuple)):
                found[name] = value if isinstance(value, tuple) else (value,)
    if record.kind == "conv" and "window" in found:
        found["padding (low, high)"] = _padding(record, found, by_keras)
    return found


def _padding(record: Record, found: dict[str, Any], by_keras: bool) -> Any:
    layer = record.layer
    rank = len(found["window"])
    first = not by_keras or getattr(layer, "data_format", "") == "channels_first"
    lengths = record.given.shape[-rank:] if first else record.given.shape[-rank - 1 : -1]
    pads = []
    for i in range(rank):
        kernel, dilation, stride = (found[name][i] for name in ("window", "dilation", "stride"))
        padding = layer.padding[i] if isinstance(layer.padding, tuple) else layer.padding
        pads.append(
            resolve_padding("walk", padding, length=int(lengths[i]), kernel=kernel, stride=stride, dilation=dilation)
        )
    return pads[0] if rank == 1 else tuple(pads)


def weights(record: Record) -> dict[str, Array]:
    """The parameters of a layer by Keras's names, in Keras's order of axes."""
    layer = record.layer
    if hasattr(layer, "get_config"):
        return {variable.name: variable.value.numpy() for variable in layer.variables if "seed" not in variable.name}
    norm = record.kind in ("batchnorm", "norm")
    names = {"weight": "gamma" if norm else "kernel", "bias": "beta" if norm else "bias"}
    names.update({"running_mean": "moving_mean", "running_var": "moving_variance"})
    found = {}
    for name, ours in names.items():
        tensor = getattr(layer, name, None)
        if tensor is not None:
            array = tensor.detach().cpu().numpy()
            found[ours] = np.transpose(array, (*range(2, array.ndim), 1, 0)) if ours == "kernel" else array
    return found


def _weights(one: dict[str, Array], other: dict[str, Array], order: tuple[int, ...]) -> list[str]:
    found = []
    for name in sorted(one.keys() | other.keys()):
        if name not in one or name not in other:
            side = "f" if name in one else "g"
            found.append(f"{name}: only {side} has one")
            continue
        a, b = one[name], other[name]
        if name == "kernel" and order and a.shape[0] == len(order):
            a = a[list(order)]
        if a.shape != b.shape or not np.array_equal(a, b):
            words = f"{name} differs" + (
                "" if a.shape == b.shape else f": {a.shape} / {b.shape}, in Keras's order of axes"
            )
            if a.shape == b.shape and a.ndim > 2 and np.array_equal(a[::-1], b):
                words += ": its taps are in reverse order"
            elif a.shape == b.shape:
                words += f" by up to {float(np.abs(a - b).max()):.3g}"
            how = explained(a.astype(np.float64), b.astype(np.float64), 0.0)
            found.append(words + (f"; g's {how}" if how else ""))
    return found


def gelu_form(record: Record) -> str:
    """Which of the two forms of gelu an activation computes: the nearer one."""
    layer = record.layer
    name = str(getattr(layer, "__name__", "")) + type(layer).__name__ + str(getattr(layer, "activation", ""))
    if "gelu" not in name.lower() and "lambda" not in name.lower():
        return ""
    x = record.given.astype(np.float64)
    erf = x / 2 * (1 + np.vectorize(math.erf)(x / math.sqrt(2)))
    tanh = x / 2 * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))
    return min(("erf", "tanh"), key=lambda form: float(np.abs(record.result - (erf if form == "erf" else tanh)).max()))

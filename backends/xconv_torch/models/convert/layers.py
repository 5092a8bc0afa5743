"""Norms, dropout, dense layers, and modules that are kept."""

from __future__ import annotations

import copy
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from xconv.models.conversion import RefusedError
from xconv.models.reach import Reach
from xconv_torch.models.convert.convolving import trains
from xconv_torch.models.convert.program import AxisInChannels, Line, Merged, Same, Value, expanded
from xconv_torch.models.convert.walk import Done, NodeCall, RunningConversion, described


def batch_norm(walk: RunningConversion, call: NodeCall) -> Done:
    """``BatchNorm2d`` and ``InstanceNorm2d``: the same numbers; folded, one for each row."""
    x, old = walk.image(call.args[0]), call.module
    padless(x)
    instance = isinstance(old, nn.InstanceNorm2d)
    repeat = x.form.extent if isinstance(x.form, AxisInChannels) else 1
    condition = ""
    if instance and isinstance(x.form, AxisInChannels):
        if old.track_running_stats:
            raise RefusedError("its running statistics are over an axis that lies in the channels")
        return _grouped(walk, call, x, old.num_features, old.weight, old.bias)
    kind = nn.InstanceNorm1d if instance else nn.BatchNorm1d
    like = next((t for t in (*old.parameters(), *old.buffers()) if t.is_floating_point()), torch.zeros(()))
    settings = {"eps": old.eps, "momentum": old.momentum, "affine": old.affine}
    settings |= {"track_running_stats": old.track_running_stats, "device": like.device, "dtype": like.dtype}
    new = kind(old.num_features * repeat, **settings)
    with torch.no_grad():
        for name, tensor in (*new.named_parameters(), *new.named_buffers()):
            given = old.get_parameter(name) if name in dict(old.named_parameters()) else old.get_buffer(name)
            tensor.copy_(given.repeat_interleave(repeat) if given.dim() else given)
            tensor.requires_grad_(given.requires_grad)
    if repeat > 1 and not instance:
        condition = "in training each row has statistics of its own"
    return _layer(walk, call, new, x, "copy" if repeat == 1 else "copied for each row", condition)


def _grouped(walk: RunningConversion, call: NodeCall, x: Value, groups: int, weight: Any, bias: Any) -> Done:
    assert isinstance(x.form, AxisInChannels)
    channels, extent = call.args[0].original.shape[1], x.form.extent
    like = x.original if weight is None else weight
    new = nn.GroupNorm(groups, channels * extent, call.module.eps, weight is not None, like.device, like.dtype)
    if weight is not None:
        with torch.no_grad():
            new.weight.copy_(weight.repeat_interleave(extent))
            new.bias.copy_(bias.repeat_interleave(extent))
    return _layer(walk, call, new, x, "copied for each row")


def group_norm(walk: RunningConversion, call: NodeCall) -> Done:
    """``GroupNorm``: the mean over equal rows is that over one."""
    x = call.args[0]
    padless(x)
    if isinstance(x.form, AxisInChannels):
        return _grouped(walk, call, x, call.module.num_groups, call.module.weight, call.module.bias)
    if isinstance(x.form, Merged):
        raise RefusedError("its axis is (image axis, signal axis) in one")
    return _layer(walk, call, copy.deepcopy(call.module), x, "copy")


def layer_norm(walk: RunningConversion, call: NodeCall) -> Done:
    """``LayerNorm``: kept over other axes; without weights, or on an axis of size one, over this one too."""
    x, old = walk.plain(call.args[0]), call.module
    padless(x)
    if isinstance(x.form, Merged):
        raise RefusedError("its axis is (image axis, signal axis) in one")
    first = x.original.dim() - len(old.normalized_shape)
    if not isinstance(x.form, Line) or x.form.axis < first:
        return _layer(walk, call, copy.deepcopy(old), x, "copy")
    if old.elementwise_affine and x.form.band.extent > 1:
        raise RefusedError(f"it has weights for each place along the {walk.options.axis}, which disappears")
    new = copy.deepcopy(old)
    new.normalized_shape = tuple(s for i, s in enumerate(old.normalized_shape) if i != x.form.axis - first)
    for name, parameter in new.named_parameters():
        setattr(new, name, nn.Parameter(parameter.detach().squeeze(x.form.axis - first), parameter.requires_grad))
    return _layer(walk, call, new, x, "copy without the axis")


def dropout(walk: RunningConversion, call: NodeCall) -> Done:
    """``Dropout2d`` to ``Dropout1d``."""
    new = nn.Dropout1d(call.module.p, call.module.inplace)
    x = walk.image(call.args[0])
    folded = "in training each row is dropped alone" if isinstance(x.form, AxisInChannels) else ""
    return _layer(walk, call, new, x, "copy", folded)


def dropout_function(walk: RunningConversion, call: NodeCall) -> Done:
    """``F.dropout2d`` to ``F.dropout1d``."""
    x = walk.image(call.args[0])
    cell = walk.run(call, F.dropout1d, x, *call.args[1:], **call.kwargs)
    return Done(Value(call.result, cell, x.form, x.reach), "dropout1d", "copy")


def kept(walk: RunningConversion, call: NodeCall) -> Done:
    """A module that looks at elements, or at the channels."""
    x = call.args[0]
    if isinstance(call.module, (nn.Softmax, nn.LogSoftmax, nn.Softmin, nn.GLU)):
        return _along(walk, call, walk.plain(x))
    if isinstance(call.module, (nn.Softmax2d, nn.LocalResponseNorm)):
        x = walk.plain(x)
    if isinstance(call.module, nn.PReLU) and call.module.num_parameters > 1 and isinstance(x.form, AxisInChannels):
        new = nn.PReLU(call.module.num_parameters * x.form.extent).to(call.module.weight)
        with torch.no_grad():
            new.weight.copy_(call.module.weight.repeat_interleave(x.form.extent))
        return _layer(walk, call, new, x, "copied for each row")
    padless(x)
    return _layer(walk, call, copy.deepcopy(call.module), x, "copy")


def _along(walk: RunningConversion, call: NodeCall, x: Value) -> Done:
    dim = call.module.dim
    if dim is None:
        raise RefusedError("its dim depends on the number of axes: name it")
    new = copy.deepcopy(call.module)
    if isinstance(x.form, Line):
        new.dim = dim % x.original.dim()
        if new.dim == x.form.axis:
            raise RefusedError(f"it works along the {walk.options.axis}, which disappears")
        new.dim -= new.dim > x.form.axis
    elif isinstance(x.form, Merged):
        raise RefusedError("it works along an axis that is (image axis, signal axis) in one")
    return _layer(walk, call, new, x, "copy")


def dense(walk: RunningConversion, call: NodeCall) -> Done:
    """``Linear``: kept, or its weights summed over the rows that are equal; a new one if it is the head."""
    x, old = walk.plain(call.args[0]), call.module
    if isinstance(x.form, Line) and x.form.axis == x.original.dim() - 1:
        raise RefusedError(f"it works along the {walk.options.axis}, which disappears")
    here = x.cell.value.shape[-1] if x.cell.value is not None else old.in_features
    bias = old.bias is not None
    made = {"bias": bias, "device": old.weight.device, "dtype": old.weight.dtype}
    if call.node is walk.head:
        new = nn.Linear(here, int(walk.options.head or 0), **made)
        return _head(walk, call, new, x)
    if isinstance(x.form, Merged) and x.form.dim == x.original.dim() - 1:
        inner, extent = x.form.inner, x.form.extent
        new = nn.Linear(old.in_features // extent, old.out_features, **made)
        with torch.no_grad():
            # in float64, so that what is stored was rounded once
            summed = old.weight.detach().cpu().double().unflatten(1, (-1, extent, inner)).sum(2).flatten(1)
            if summed.shape[1] == here:
                new.weight.copy_(summed)
                new.weight.requires_grad_(trains(old))
                if old.bias is not None:
                    new.bias.copy_(old.bias)
                    new.bias.requires_grad_(old.bias.requires_grad)
        if summed.shape[1] == here:
            return _layer(walk, call, new, x, f"sum over {extent} rows", "", Same())
        if summed.shape[1] * extent == here and walk.raster:
            return _layer(walk, call, copy.deepcopy(old), x, "kept: as many features", "places lie elsewhere", Same())
    if here != old.in_features:
        raise RefusedError(f"it has {old.in_features} inputs, and gets {here} here: head= makes a new last layer")
    return _layer(walk, call, copy.deepcopy(old), x, "kept")


def head_convolution(walk: RunningConversion, call: NodeCall) -> Done:
    """A 1x1 ``Conv2d`` that is the last layer: a new one."""
    x = walk.image(call.args[0])
    old = call.module
    extent = x.form.extent if isinstance(x.form, AxisInChannels) else 1
    made = {"bias": old.bias is not None, "device": old.weight.device, "dtype": old.weight.dtype}
    new = nn.Conv1d(old.in_channels * extent, int(walk.options.head or 0) * extent, 1, **made)
    return _head(walk, call, new, x)


def _head(walk: RunningConversion, call: NodeCall, new: nn.Module, x: Value) -> Done:
    cell = walk.program.module(call.path, new, x)
    form = Same() if isinstance(x.form, Merged) else x.form
    # the old head may not fit the features of this length: what it computes is not looked at
    shape = list(x.original.shape)
    shape[1 if isinstance(new, nn.Conv1d) else -1] = int(walk.options.head or 0)
    value = Value(x.original.new_zeros(shape), cell, form, x.reach)
    condition = "the new head is to be trained: a proof ends before it"
    return Done(value, described(new), "new head", "exact if", condition)


MOST_FUNCTIONS = 8
"""Functions one after another in a module that is tried; one with more is refused rather than trusted."""


def tried(walk: RunningConversion, call: NodeCall) -> Done:
    """What the rules do not know: kept if it does to the signal what it does to the image, on random numbers."""
    values = call.tensors()
    if all(isinstance(value.form, Same) for value in values):
        return _kept_whole(walk, call, values, "kept", "")
    done = None if walk.program.broken else _alike(walk, call, values)
    if done is None:
        what = type(call.module).__name__ if call.is_module else call.name
        raise RefusedError(f"{what} has no rule in 1-D: replace it in the 2-D model, or convert the parts around it")
    return done


def _alike(walk: RunningConversion, call: NodeCall, values: list[Value]) -> Done | None:
    images = [value for value in values if isinstance(value.form, (Line, AxisInChannels))]
    if len(images) != 1 or not isinstance(call.result, torch.Tensor) or call.result.shape != images[0].original.shape:
        return None
    said = f"{call.name.split('(')[0]} does to signals what it does to images: it was tried on random ones"
    try:
        done = _kept_whole(walk, call, values, "kept, tried on numbers", said)
    except Exception:  # noqa: BLE001 - it may fail in any way on what is no image
        return None
    got, x = done.value.cell.value, images[0]
    if not isinstance(got, torch.Tensor) or got.shape != x.cell.value.shape:
        return None
    # on elements the two do the same arithmetic, but vectorized or not: each function is then within 1 ulp (as SLEEF
    # has them) of the same value, so that two evaluations are 2 ulp apart for each of a few functions in a row
    near = 2 * MOST_FUNCTIONS * torch.finfo(got.dtype).eps if got.is_floating_point() else 0.0
    same = torch.allclose(expanded(got, x.form), call.result, rtol=near, atol=near, equal_nan=True)
    return done if same else None


def _kept_whole(walk: RunningConversion, call: NodeCall, values: list[Value], rule: str, condition: str) -> Done:
    form = next((value.form for value in values if not isinstance(value.form, Same)), Same())
    reach = Reach.largest(value.reach for value in values)
    if call.is_module:
        cell = walk.program.module(call.path, copy.deepcopy(call.module), *call.args, **call.kwargs)
        became = described(call.module)
    elif isinstance(call.target, str):
        cell, became = walk.program.method(call.target, *call.args, **call.kwargs), call.name
    else:
        cell, became = walk.run(call, call.target, *call.args, **call.kwargs), call.name
    verdict = "exact if" if condition else "exact"
    shown = rule if condition or call.is_module else ""
    return Done(Value(call.result, cell, form, reach), became, shown, verdict, condition)  # type: ignore[arg-type]


def padless(x: Value) -> None:
    """Refuse what is not zero on zeros, or looks beyond an element, on an axis with zeros padded on.

    Raises:
        RefusedError: there are some.
    """
    if isinstance(x.form, Line) and not x.form.band.is_full:
        raise RefusedError("there is zero padding along the axis that disappears: pad in the convolution itself")


def _layer(
    walk: RunningConversion, call: NodeCall, new: nn.Module, x: Value, rule: str, condition: str = "", form: Any = None
) -> Done:
    cell = walk.program.module(call.path, new, x)
    verdict = "exact"
    if condition and rule.startswith("kept"):
        verdict = "heuristic"
    value = Value(call.result, cell, x.form if form is None else form, x.reach)
    return Done(value, described(walk.program.modules[call.path]), rule, verdict, condition)  # type: ignore[arg-type]

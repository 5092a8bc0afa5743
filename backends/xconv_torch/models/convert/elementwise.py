"""What looks at one element at a time, of one tensor or of several that are broadcast."""

from __future__ import annotations

from typing import Any

import torch

from xconv.models.conversion import RefusedError
from xconv.models.reach import Reach
from xconv.models.rows import Band
from xconv_torch.models.convert.layers import padless
from xconv_torch.models.convert.program import AxisInChannels, Form, Line, Merged, Same, Value, mapped
from xconv_torch.models.convert.walk import Done, NodeCall, RunningConversion

_UNARY = """
    abs acos asin atan ceil celu clamp clamp_max clamp_min clip clone contiguous cos cosh cpu cuda detach double dropout
    alpha_dropout elu erf erfc exp exp2 expm1 float floor frac gelu half hardshrink hardsigmoid hardswish hardtanh
    leaky_relu log log10 log1p log2 logsigmoid mish nan_to_num neg negative positive reciprocal relu relu6 round rrelu
    rsqrt selu sgn sigmoid sign silu sin sinh softplus softshrink softsign sqrt square tan tanh tanhshrink threshold to
    trunc type_as bfloat16 logit requires_grad_
"""
UNARY = frozenset(_UNARY.split())
"""Functions and methods, with and without a trailing underscore."""

_BINARY = """
    add sub mul div truediv floordiv pow iadd isub imul itruediv rsub subtract multiply divide true_divide maximum
    minimum remainder fmod where lerp addcmul addcdiv eq ne lt le gt ge and_ or_ logical_and logical_or
"""
BINARY = frozenset(_BINARY.split())
"""Functions and methods of several tensors that are broadcast."""

OF_ZERO_ZERO = frozenset(("relu", "relu6", "clone", "contiguous", "detach", "dropout", "to", "float", "double", "half"))
"""They leave padded zeros zeros."""


def unary(walk: RunningConversion, call: NodeCall) -> Done:
    """The same function; a memory format for images is left out."""
    x = call.args[0]
    if call.name.rstrip("_") not in OF_ZERO_ZERO:
        padless(x)
    kwargs = {key: value for key, value in call.kwargs.items() if key != "memory_format"}
    args = [value for value in call.args if not isinstance(value, torch.memory_format)]
    if isinstance(call.target, str):
        cell = walk.program.method(call.target, *args, **kwargs)
    else:
        cell = walk.run(call, call.target, *args, **kwargs)
    return Done(Value(call.result, cell, x.form, x.reach))


def broadcast(walk: RunningConversion, call: NodeCall) -> Done:
    """Tensors of one shape, or broadcast; one without the axis must have size one there."""
    tensors = call.tensors()
    reach = Reach.largest(tensor.reach for tensor in tensors)
    made, form = aligned(walk, tensors)
    by_id = {id(before): after for before, after in zip(tensors, made, strict=True)}
    args, kwargs = mapped((call.args, call.kwargs), lambda part: by_id.get(id(part), part))
    if isinstance(call.target, str):
        cell = walk.program.method(call.target, *args, **kwargs)
    else:
        cell = walk.run(call, call.target, *args, **kwargs)
    return Done(Value(call.result, cell, form, reach))


def expand(walk: RunningConversion, call: NodeCall) -> Done:
    """``expand`` and ``expand_as``."""
    x = walk.plain(call.args[0])
    if call.name == "expand_as":
        other = walk.plain(call.args[1])
        (x, other), form = aligned(walk, [x, other])
        if isinstance(form, Line):
            form = Line(form.axis, Band.full(call.result.shape[form.axis]))
        return Done(Value(call.result, walk.program.method("expand_as", x, other), form, x.reach))
    given = call.args[1:]
    target: list[Any] = list(given[0] if isinstance(given[0], (tuple, list)) else given)
    if isinstance(x.form, Line) and len(target) == x.original.dim():
        new = [size for dim, size in enumerate(target) if dim != x.form.axis]
        line = Line(x.form.axis, Band.full(call.result.shape[x.form.axis]))
        return Done(Value(call.result, walk.program.method("expand", x, *new), line, x.reach))
    if not isinstance(x.form, Same):
        raise RefusedError("it adds axes to one that disappears: unsqueeze first")
    marked = [dim for dim, size in enumerate(target) if isinstance(size, Value) and size.is_extent]
    if not marked:
        return Done(Value(call.result, walk.program.method("expand", x, *target), reach=x.reach))
    axis = marked[0]
    dim = axis - (len(target) - x.original.dim())
    if dim >= 0 and x.original.shape[dim] != 1:
        raise RefusedError("it expands what differs along the axis that disappears")
    cell = x.cell if dim < 0 else walk.program.method("squeeze", x, dim)
    cell = walk.program.method("expand", cell, *target[:axis], *target[axis + 1 :])
    return Done(Value(call.result, cell, Line(axis, Band.full(call.result.shape[axis])), x.reach))


def aligned(walk: RunningConversion, tensors: list[Value]) -> tuple[list[Value], Form]:
    """Tensors that broadcast in the new program as they did in the original, and how the result lies.

    Raises:
        RefusedError: one of them differs along the axis.
    """
    forms = [tensor.form for tensor in tensors]
    if any(isinstance(form, AxisInChannels) for form in forms):
        shapes = {tuple(tensor.original.shape) for tensor in tensors if tensor.original.dim()}
        if len(shapes) == 1 and all(isinstance(t.form, AxisInChannels) for t in tensors if t.original.dim()):
            return tensors, next(form for form in forms if isinstance(form, AxisInChannels))
        return [walk.plain(tensor) for tensor in tensors], Same()
    if any(isinstance(form, Merged) for form in forms):
        if len({form for form, tensor in zip(forms, tensors, strict=True) if tensor.original.dim()}) == 1:
            return tensors, next(form for form in forms if isinstance(form, Merged))
        raise RefusedError("it combines what is flattened with what is not")
    rank = max(tensor.original.dim() for tensor in tensors)
    places = {t.original.dim() - t.form.axis for t in tensors if isinstance(t.form, Line)}
    if not places:
        return tensors, Same()
    if len(places) > 1:
        raise RefusedError("it combines tensors whose axes do not lie alike")
    place = places.pop()
    made, extents = [], set()
    for tensor in tensors:
        dims = tensor.original.dim()
        if isinstance(tensor.form, Line):
            extents.add(tensor.form.band)
        elif dims >= place:
            if tensor.original.shape[dims - place] != 1:
                raise RefusedError(
                    f"it combines the signal with a tensor of shape {tuple(tensor.original.shape)} that differs along "
                    f"the {walk.options.axis}, which disappears"
                )
            tensor = tensor.like(walk.program.method("squeeze", tensor, dims - place), form=Same())  # noqa: PLW2901
        made.append(tensor)
    if any(not band.is_full for band in extents):
        raise RefusedError("there is zero padding along the axis that disappears: pad in the convolution itself")
    return made, Line(rank - place, max(extents, key=lambda band: band.extent))

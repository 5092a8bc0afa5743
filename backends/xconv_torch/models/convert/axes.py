"""Axes that are moved, dropped, joined, split and reduced: what is said of the image's, said of the signal's."""

from __future__ import annotations

import operator
from dataclasses import replace

import torch

from xconv.models.conversion import RefusedError
from xconv.models.reach import Reach
from xconv.models.rows import Band
from xconv_torch.models.convert.program import Form, Line, Merged, NodeValue, Same, Value
from xconv_torch.models.convert.walk import Done, NodeCall, RunningConversion

REDUCTIONS = ("mean", "sum", "amax", "amin")
"""Those that know what equal rows make; others need an axis of size one."""


def permute(walk: RunningConversion, call: NodeCall) -> Done:
    """``permute``, ``transpose``, ``swapaxes``."""
    x = walk.plain(call.args[0])
    rank = x.original.dim()
    given = call.args[1:] or tuple(call.kwargs.values())
    dims = [dim % rank for dim in (given[0] if isinstance(given[0], (tuple, list)) else given)]
    if call.name in ("transpose", "swapaxes", "swapdims"):
        one, other = dims
        dims = list(range(rank))
        dims[one], dims[other] = other, one
    if isinstance(x.form, Same):
        return Done(Value(call.result, walk.program.method("permute", x, *dims), reach=x.reach))
    if not isinstance(x.form, Line):
        raise RefusedError("it permutes an axis that is (image axis, signal axis) in one")
    axis = x.form.axis
    new = [dim - (dim > axis) for dim in dims if dim != axis]
    cell = walk.program.method("permute", x, *new) if new != sorted(new) else x.cell
    value = Value(call.result, cell, replace(x.form, axis=dims.index(axis)), x.reach)
    return Done(value, "permute" if cell is not x.cell else "nothing to permute", "the signal's axes")


def squeeze(walk: RunningConversion, call: NodeCall) -> Done:
    """``squeeze`` and ``unsqueeze``."""
    x = walk.plain(call.args[0])
    given = call.bound(("dim",)).get("dim")
    if isinstance(x.form, Same):
        same = () if given is None else (given,)
        return Done(Value(call.result, walk.program.method(call.name, x, *same), reach=x.reach))
    if not isinstance(x.form, Line):
        raise RefusedError("it changes axes of which one is (image axis, signal axis) in one")
    axis, rank, band = x.form.axis, x.original.dim(), x.form.band
    if call.name == "unsqueeze":
        at = given % (rank + 1)
        cell = walk.program.method("unsqueeze", x, at if at <= axis else at - 1)
        form: Form = Line(axis + (at <= axis), band)
    else:
        dims = range(rank) if given is None else [given % rank] if isinstance(given, int) else [d % rank for d in given]
        gone = [dim for dim in dims if x.original.shape[dim] == 1]
        rest = tuple(dim - (dim > axis) for dim in gone if dim != axis)
        cell = walk.program.method("squeeze", x, rest) if rest else x.cell
        form = Same() if axis in gone else Line(axis - sum(dim < axis for dim in gone), band)
    return Done(Value(call.result, cell, form, x.reach), call.name, "the signal's axes")


def join(walk: RunningConversion, call: NodeCall) -> Done:
    """``cat`` and ``stack``, of tensors that lie alike."""
    given = call.bound(("dim",), dim=call.kwargs.get("axis", 0))
    parts = call.args[0] if call.args else call.kwargs["tensors"]
    forms = {part.form for part in parts}
    reach = Reach.largest(part.reach for part in parts)
    if len(forms) > 1:
        parts = [walk.plain(part) for part in parts]
        if any(isinstance(part.form, Line) for part in parts):
            parts = [walk.image(part) for part in parts]
        forms = {part.form for part in parts}
    form = next(iter(forms))
    if len(forms) > 1 or isinstance(form, Merged):
        raise RefusedError("it joins tensors that lie differently along the axis that disappears")
    dim = given["dim"] % call.result.dim()
    if not isinstance(form, (Same, Line)):
        if dim != 1 or call.name == "stack":
            parts, form = [walk.plain(part) for part in parts], Same()
    elif isinstance(form, Line):
        stack = call.name == "stack"
        axis = form.axis + (stack and dim <= form.axis)
        if dim == axis and not stack:
            raise RefusedError(f"it joins along the {walk.options.axis}, which disappears")
        form = replace(form, axis=axis)
        dim -= dim > axis
    function = torch.stack if call.name == "stack" else torch.cat
    cell = walk.program.function(function, list(parts), dim)
    return Done(Value(call.result, cell, form, reach), function.__name__, "the signal's axes")


def split(walk: RunningConversion, call: NodeCall) -> Done:
    """``chunk`` and ``split``."""
    x = call.args[0]
    given = call.bound(("split_size" if call.name == "split" else "chunks", "dim"), dim=0)
    how = given.get("split_size", given.get("chunks", given.get("split_size_or_sections")))
    dim = given["dim"] % x.original.dim()
    x = walk.plain(x)
    if isinstance(x.form, Merged) or (isinstance(x.form, Line) and x.form.axis == dim):
        raise RefusedError(f"it splits the {walk.options.axis}, which disappears")
    new = dim - (isinstance(x.form, Line) and dim > x.form.axis)
    pieces = walk.program.method(call.name, x, how, new)
    values = tuple(
        Value(part, walk.program.function(operator.getitem, pieces, i), x.form, x.reach)
        for i, part in enumerate(call.result)
    )
    cells = tuple(value.cell for value in values)
    whole = NodeValue(tuple(cell.node for cell in cells), tuple(cell.value for cell in cells))
    return Done(Value(values, whole), call.name, "the signal's axes")


def reduce(walk: RunningConversion, call: NodeCall) -> Done:
    """``mean``, ``sum``, ``amax``, ``amin``, and others where the axis has size one."""
    x = walk.plain(call.args[0])
    given = call.bound(("dim", "keepdim"), keepdim=False)
    wanted = given.pop("dim", given.pop("axis", None))
    keep, rank = given.pop("keepdim"), x.original.dim()
    if isinstance(x.form, Same):
        target = call.target if not isinstance(call.target, str) else getattr(torch, call.target)
        return Done(Value(call.result, walk.program.function(target, x, *call.args[1:], **call.kwargs), reach=x.reach))
    dims = list(range(rank)) if wanted is None else [wanted] if isinstance(wanted, int) else list(wanted)
    dims = [dim % rank for dim in dims]
    if not isinstance(x.form, Line) or not x.form.band.is_full:
        raise RefusedError("it reduces an axis that is (image axis, signal axis) in one, or padded")
    axis, extent = x.form.axis, x.form.band.extent
    raster = walk.raster and 5 - walk.axis not in dims and axis in dims
    if raster:
        raise RefusedError("it reduces one axis of an image that lies line by line")
    rest = [dim - (dim > axis) for dim in dims if dim != axis]
    if axis in dims and extent > 1 and call.name not in REDUCTIONS:
        raise RefusedError(f"{call.name} over equal rows is another number than over one: take mean, sum, amax or amin")
    if not rest and call.name not in REDUCTIONS:
        raise RefusedError(f"{call.name} over the axis that disappears has no counterpart")
    if rest:
        cell = walk.program.method(call.name, x, dim=tuple(rest), keepdim=keep, **given)
    else:
        # what works in place on the result must not reach what was reduced
        cell = walk.program.method("clone", x)
    if axis in dims and call.name == "sum" and extent > 1:
        cell = walk.program.function(operator.mul, cell, extent)
    if axis in dims:
        form: Form = Line(axis, Band.full(1)) if keep else Same()
    else:
        form = Line(axis - (0 if keep else sum(dim < axis for dim in dims)), x.form.band)
    became = f"{call.name}({rest})" if rest else "nothing is left to reduce"
    return Done(Value(call.result, cell, form, x.reach), became, "the signal's axes")

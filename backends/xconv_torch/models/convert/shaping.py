"""Sizes, views and axes: what is said of the image's axes, said of the signal's."""

from __future__ import annotations

import operator
from math import prod
from typing import Any

from torch import nn

from xconv.models.conversion import RefusedError
from xconv.models.rows import Band
from xconv_torch.models.convert.program import Form, Line, Merged, NodeValue, Same, Value, constant
from xconv_torch.models.convert.walk import Done, NodeCall, RunningConversion


def sizes(walk: RunningConversion, call: NodeCall) -> Done:
    """``x.shape``, ``x.size()``, ``x.size(dim)``."""
    x = walk.plain(call.args[0])
    rank = x.original.dim()
    if not isinstance(x.form, (Same, Line)):
        raise RefusedError("it asks for the size of an axis that is (image axis, signal axis) in one")

    def size(dim: int) -> Value:
        original = x.original.shape[dim]
        if isinstance(x.form, Line):
            if dim == x.form.axis:
                return Value(original, NodeValue(original, original), is_extent=True)
            return Value(original, walk.program.method("size", x, dim - (dim > x.form.axis)))
        return Value(original, walk.program.method("size", x, dim))

    wanted = call.bound(("dim",) if call.name == "size" else ()).get("dim")
    if wanted is not None:
        return Done(size(wanted % rank))
    every = tuple(size(dim) for dim in range(rank))
    cells = tuple(value.cell for value in every)
    node = tuple(cell.node for cell in cells)
    return Done(Value(every, NodeValue(node, tuple(cell.value for cell in cells))))


def attribute(walk: RunningConversion, call: NodeCall) -> Done:
    """``getattr``: the shape, and what is the same in both programs."""
    name = call.args[1]
    if name == "shape":
        return sizes(walk, call)
    if name in ("ndim", "T", "mT", "H", "mH"):
        if name == "ndim":
            return Done(constant(call.result))
        raise RefusedError(f"{name!r} reverses axes: say which, with permute")
    return Done(Value(call.result, walk.program.function(getattr, *call.args)))


def numbers(walk: RunningConversion, call: NodeCall) -> Done:
    """Arithmetic on sizes."""
    if all(_is_constant(part) for part in (*call.args, *call.kwargs.values())):
        return Done(constant(call.result))
    return Done(Value(call.result, walk.program.function(call.target, *call.args, **call.kwargs)))


def _is_constant(part: Any) -> bool:
    return not isinstance(part, Value) or part.cell.node is part.cell.value


def getitem(walk: RunningConversion, call: NodeCall) -> Done:
    """Of sizes, of tuples of tensors, and of tensors."""
    x, index = call.args
    if not isinstance(x, Value):
        return Done(x[index] if isinstance(x[index], Value) else constant(x[index]))
    if isinstance(x.original, tuple) and isinstance(index, (int, slice)):
        items = x.original[index]
        if isinstance(items, Value):
            return Done(items)
        if isinstance(index, slice):
            cells = tuple(value.cell for value in items)
            cell = NodeValue(tuple(cell.node for cell in cells), tuple(cell.value for cell in cells))
            return Done(Value(items, cell))
    if not x.is_tensor:
        return Done(Value(call.result, walk.program.function(operator.getitem, x, index)))
    x = walk.plain(x)
    if isinstance(x.form, Same):
        return Done(Value(call.result, walk.program.function(operator.getitem, x, index), reach=x.reach))
    if not isinstance(x.form, Line):
        raise RefusedError("it indexes an axis that is (image axis, signal axis) in one")
    return _index(walk, call, x, index if isinstance(index, tuple) else (index,))


def _index(walk: RunningConversion, call: NodeCall, x: Value, index: tuple[Any, ...]) -> Done:
    assert isinstance(x.form, Line)
    used = sum(part is not None and part is not Ellipsis for part in index)
    if Ellipsis not in index:
        index = (*index, Ellipsis)
    at = next(i for i, part in enumerate(index) if part is Ellipsis)
    index = (*index[:at], *([slice(None)] * (x.original.dim() - used)), *index[at + 1 :])
    new: list[Any] = []
    dim, out, axis = 0, 0, None
    for part in index:
        if part is None:
            new.append(part)
            out += 1
            continue
        if dim == x.form.axis:
            if isinstance(part, slice):
                axis = out
            elif not isinstance(part, int):
                raise RefusedError("it picks rows of the axis that disappears by a tensor")
        else:
            if not isinstance(part, (int, slice)):
                raise RefusedError("it indexes with a tensor")
            new.append(part)
        out += isinstance(part, slice)
        dim += 1
    if not x.form.band.is_full:
        raise RefusedError("there is zero padding along the axis that disappears")
    cell = walk.program.function(operator.getitem, x, tuple(new))
    form: Form = Same() if axis is None else Line(axis, Band.full(call.result.shape[axis]))
    return Done(Value(call.result, cell, form, x.reach), "getitem", "the signal's axes")


def reshape(walk: RunningConversion, call: NodeCall) -> Done:
    """``flatten``, ``view``, ``reshape``, ``nn.Flatten``: the axis stays one, or is merged with others."""
    x = walk.plain(call.args[0])
    if call.name == "flatten" or isinstance(call.target, nn.Flatten):
        start, stop = (dim % x.original.dim() for dim in _range(call))
        if isinstance(x.form, Same):
            return _same(walk, call, x, start, stop)
        target: list[Any] = [0] * start + [-1] + [0] * (x.original.dim() - 1 - stop)
    else:
        given = call.args[1:] or (call.kwargs.get("shape", call.kwargs.get("size")),)
        first = given[0]
        target = list(first if isinstance(first, (tuple, list)) else _items(first) or given)
        if isinstance(x.form, Same):
            return Done(Value(call.result, walk.program.method("reshape", x, *target), reach=x.reach))
    if not isinstance(x.form, Line) or not x.form.band.is_full:
        raise RefusedError("it reshapes an axis that is (image axis, signal axis) in one, or padded")
    form = _where(x, call.result.shape, target)
    if call.name == "flatten" or isinstance(call.target, nn.Flatten):
        cell = _flattened(walk, x, start, stop)
    else:
        cell = walk.program.method("reshape", x, *_without(walk, target, form, x.form.band.extent))
    became = "nothing to flatten" if cell is x.cell else str(cell.node.target)
    return Done(Value(call.result, cell, form, x.reach), became, "the signal's axes")


def _range(call: NodeCall) -> tuple[int, int]:
    if call.is_module:
        return call.module.start_dim, call.module.end_dim
    given = call.bound(("start_dim", "end_dim"), start_dim=0, end_dim=-1)
    return given["start_dim"], given["end_dim"]


def _same(walk: RunningConversion, call: NodeCall, x: Value, start: int, stop: int) -> Done:
    if call.is_module:
        return Done(Value(call.result, walk.program.module(call.path, call.module, x), reach=x.reach), "kept", "kept")
    return Done(Value(call.result, walk.program.method("flatten", x, start, stop), reach=x.reach))


def _flattened(walk: RunningConversion, x: Value, start: int, stop: int) -> NodeValue:
    """Flatten what remains of a range of axes."""
    assert isinstance(x.form, Line)
    axis = x.form.axis
    first, last = start - (start > axis), stop - (stop >= axis)
    return walk.program.method("flatten", x, first, last) if last > first else x.cell


def _items(value: Any) -> list[Any] | None:
    """The sizes in a tuple of them."""
    return list(value.original) if isinstance(value, Value) and isinstance(value.original, tuple) else None


def _where(x: Value, shape: tuple[int, ...], target: list[Any]) -> Form:
    """Where the axis lies in another shape."""
    assert isinstance(x.form, Line)
    axis, extent = x.form.axis, x.form.band.extent
    before = prod(x.original.shape[:axis])
    places = [i for i in range(len(shape)) if prod(shape[:i]) == before and shape[i] == extent]
    if places:
        marked = [i for i in places if isinstance(target[i], Value) and target[i].is_extent]
        aligned = [i for i in places if len(shape) - i == x.original.dim() - axis]
        kept = [i for i in places if i == axis]
        return Line((marked or aligned or kept or places)[0], Band.full(extent))
    if extent == 1:
        return Same()
    for dim in range(len(shape)):
        ends = prod(shape[: dim + 1])
        if prod(shape[:dim]) <= before and ends % (before * extent) == 0 and before % prod(shape[:dim]) == 0:
            return Merged(dim, extent, ends // (before * extent))
    raise RefusedError("it cuts the axis that disappears into pieces")


def _without(walk: RunningConversion, target: list[Any], form: Form, extent: int) -> list[Any]:
    """The new shape: without the axis, and with the merged one divided by its extent."""
    if isinstance(form, Line):
        return [part for i, part in enumerate(target) if i != form.axis]
    if not isinstance(form, Merged):
        return target
    part = target[form.dim]
    if isinstance(part, Value) and not _is_constant(part):
        part = walk.program.function(operator.floordiv, part, extent)
    else:
        number = part.original if isinstance(part, Value) else part
        part = number if number == -1 else number // extent
    return [*target[: form.dim], part, *target[form.dim + 1 :]]

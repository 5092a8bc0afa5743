"""What may be wrong about how an operand is read: order, layout, groups, bias, precision, NaN."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from itertools import permutations
from typing import Any

import numpy as np

from xconv.core.bounds import round_to
from xconv.core.layouts import LAYOUTS
from xconv.core.reference import Floats
from xconv.parity.diagnosis.setting import Change, Setting

Changes = tuple[str, list[Change]]
"""A condition and the operands that it changes."""


def changes(setting: Setting) -> Iterator[Changes]:
    """All ways to read the operands that are tried."""
    yield from _kernels(setting)
    yield from _layouts(setting)
    yield from _groups(setting)
    yield from _late(setting)
    yield from _bias(setting)
    yield from _not_finite(setting)
    yield from _precision(setting)


def kernel_axes(setting: Setting, number: int) -> tuple[str, ...]:
    """The names of the axes of a weight.

    >>> from xconv.parity import Case
    >>> case = Case("", "conv1d", (2, 9, 3), ((4, 3, 5),), layout="NCW")
    >>> kernel_axes(Setting(case, "y", (), "float32", "normal", tuple(case.calls())), 0)
    ('out', 'in/groups', 'kernel')
    """
    call = setting.calls[number]
    if call.vertical is not None:
        names = ["kh", "kw", "in/groups", "out"]
    else:
        names = ["kernel", "in/groups", "out"] if call.direction == "forward" else ["kernel", "out/groups", "in"]
    return tuple(names[i] for i in np.argsort(call.weight_axes))


def _kernels(setting: Setting) -> Iterator[Changes]:
    """Flipped, and its numbers read in another order of axes."""
    flips: list[tuple[str, str, Change]] = []
    for number, name in enumerate(setting.case.weight_names):
        axes, shape = kernel_axes(setting, number), setting.operands[name].shape
        for axis, label in enumerate(axes):
            if label in ("kernel", "kh", "kw") and shape[axis] > 1:
                flip = partial(np.flip, axis=axis)
                flips.append((name, label, Change(name, flip, flip, moves=True)))
        for order in _orders(axes, shape):
            said = f"({', '.join(axes[i] for i in order)}) instead of ({', '.join(axes)})"
            yield f"{name} is read in the order {said}, without a transpose", [_read_as(name, shape, order)]
    one = len(setting.case.weight_names) == 1
    for name, label, change in flips:
        along = "" if label == "kernel" else f" along {label}"
        yield f"{'the kernel' if one else name} is flipped{along}", [change]
    if len(flips) > 1:
        both = "the kernel is flipped along kh and kw" if one else "both kernels are flipped"
        yield both, [change for *_, change in flips]


def _orders(axes: Sequence[str], shape: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
    """Other orders of a kernel's axes: all of three; of four those in use, and in and out or kh and kw swapped."""
    here = tuple(range(len(axes)))
    # with an axis of size 1 some are the same: the order of the other layout comes first
    found: Any = [here[::-1], (0, 2, 1), *permutations(here)]
    if len(axes) == 4:
        found = [(2, 3, 1, 0), (3, 2, 0, 1), (0, 1, 3, 2), (1, 0, 2, 3), (2, 3, 0, 1)]
    places = np.arange(int(np.prod(shape))).reshape(shape)
    seen = {places.tobytes()}
    for order in found:
        read = _read_as("", shape, order).do(places.astype(np.float64)).astype(places.dtype).tobytes()
        if order != here and read not in seen:
            seen.add(read)
            yield order


def _layouts(setting: Setting) -> Iterator[Changes]:
    """x, or the result, whose numbers are in the order of the other layout: axes that were renamed, not moved."""
    layout = setting.calls[0].layout
    names = [other.name for other in LAYOUTS.values() if len(other.name) == len(layout.name) and other is not layout]
    if len(layout.name) == 4:
        names.append({"NHWC": "NWHC", "NCHW": "NCWH"}[layout.name])
    for name, said in (("x", "x is read"), ("y", "the result is written")):
        shape = setting.operands[name].shape
        for other in names:
            order = tuple(layout.name.index(letter) for letter in other)
            text = f"{said} in the order {other} instead of {layout.name}, without a transpose"
            yield text, [_read_as(name, shape, order)]


def _read_as(name: str, shape: tuple[int, ...], order: tuple[int, ...]) -> Change:
    """An array whose memory is taken for one with its axes in another order."""
    other, back = tuple(shape[i] for i in order), np.argsort(order)

    def do(array: Floats) -> Floats:
        return np.transpose(np.reshape(array, other), back)

    def adjoint(array: Floats) -> Floats:
        return np.reshape(np.transpose(array, order), shape)

    return Change(name, do, adjoint, moves=True)


def _groups(setting: Setting) -> Iterator[Changes]:
    """Channels ordered by their place in the group and then by the group, and groups that see other channels."""
    call = setting.calls[0]
    groups = call.problem.groups
    if groups == 1:
        return
    channel = call.layout.to_channels_last[-1]
    for name, text, axis in _channel_axes(setting, channel):
        for said, order in _orders_of_channels(setting.operands[name].shape[axis], groups):
            # what is put in this order is the adjoint of "y"
            back = np.argsort(order)
            change = _taken(name, axis, back if name == "y" else order)
            yield f"{text} are ordered {said}", [change]
            if name == "y" and setting.array == "y" and setting.case.bias:
                yield f"{text} are ordered {said}, before the bias is added", [change, _taken("bias", 0, back)]
    yield (
        f"all {groups} groups see the input channels of the first one",
        [Change("x", partial(_first_group, channel, groups), partial(_onto_first_group, channel, groups))],
    )
    summed = partial(_summed_groups, channel, groups)
    yield f"groups is 1 instead of {groups}, with the kernel repeated for each group", [Change("x", summed, summed)]


def _channel_axes(setting: Setting, channel: int) -> Iterator[tuple[str, str, int]]:
    yield "y", "the channels of the result", channel
    yield "x", "the channels of x", channel
    for number, name in enumerate(setting.case.weight_names):
        axes = kernel_axes(setting, number)
        side = "out" if "out" in axes else "in"  # the one that holds all groups
        yield name, f"the {side}put channels of {name}", axes.index(side)


def _orders_of_channels(size: int, groups: int) -> Iterator[tuple[str, Any]]:
    """(group, channel) to (channel, group), and back as if it had been."""
    if 1 < groups < size:
        yield "(channel, group) instead of (group, channel)", np.arange(size).reshape(groups, -1).T.ravel()
        if groups * groups != size:
            yield "(group, channel) as if they were (channel, group)", np.arange(size).reshape(-1, groups).T.ravel()


def _taken(name: str, axis: int, order: Any) -> Change:
    return Change(name, partial(_take, axis, order), partial(_take, axis, np.argsort(order)), moves=True)


def _take(axis: int, order: Any, array: Floats) -> Floats:
    return np.asarray(np.take(array, order, axis))


def _grouped(axis: int, groups: int, array: Floats) -> Floats:
    return array.reshape(*array.shape[:axis], groups, -1, *array.shape[axis + 1 :])


def _first_group(axis: int, groups: int, x: Floats) -> Floats:
    first = np.take(_grouped(axis, groups, x), [0] * groups, axis)
    return first.reshape(x.shape)


def _onto_first_group(axis: int, groups: int, dx: Floats) -> Floats:
    parts = _grouped(axis, groups, dx)
    total = np.zeros_like(parts)
    np.moveaxis(total, axis, 0)[0] = parts.sum(axis)
    return total.reshape(dx.shape)


def _summed_groups(axis: int, groups: int, x: Floats) -> Floats:
    total = _grouped(axis, groups, x).sum(axis, keepdims=True)
    return np.repeat(total, groups, axis).reshape(x.shape)


def _late(setting: Setting) -> Iterator[Changes]:
    """The first place one element late, or early, where no pad makes up for it."""
    windows = {call.axis: call.problem for call in setting.calls}
    if setting.calls[0].vertical is not None:
        windows[1] = setting.calls[0].vertical
    layout = setting.calls[0].layout
    for axis, problem in windows.items():
        where = layout.to_channels_last[axis]
        along = f" along {layout.name[where]}" if len(windows) > 1 else ""
        if problem.padding_mode != "zeros":
            continue
        for by, pad, said in ((1, problem.padding[0], "late"), (-1, problem.padding[1], "early")):
            if pad == 0:
                change = Change("x", partial(_moved, where, by), partial(_moved, where, -by), moves=True)
                yield f"the kernel starts one element {said}{along}", [change]


def _moved(axis: int, by: int, array: Floats) -> Floats:
    """The elements ``by`` places earlier along an axis, and zeros where there are none."""
    moved = np.zeros_like(array)
    target, source = np.moveaxis(moved, axis, 0), np.moveaxis(array, axis, 0)
    if by > 0:
        target[:-by] = source[by:]
    else:
        target[-by:] = source[:by]
    return moved


def _bias(setting: Setting) -> Iterator[Changes]:
    for factor, said in ((0.0, "missing"), (2.0, "added twice"), (-1.0, "subtracted")):
        if setting.case.bias:
            scale = partial(np.multiply, factor)
            yield f"the bias is {said}", [Change("bias", scale, scale)]


def _not_finite(setting: Setting) -> Iterator[Changes]:
    for name, array in setting.operands.items():
        if not np.isfinite(array).all():
            yield f"NaN and infinity in {_said(name)} are taken for 0", [Change(name, _finite, np.asarray)]


def _finite(array: Floats) -> Floats:
    return np.where(np.isfinite(array), array, 0.0)


def _precision(setting: Setting) -> Iterator[Changes]:
    """Operands rounded to a narrower type, and summed as before."""
    if setting.kind == "integers" or setting.dtype not in ("float32", "float64"):
        return
    names = [name for name in setting.names if name != "bias" and setting.depends_on(name)]
    for dtype in ("TF32", "bfloat16", "float16"):
        rounded = [Change(name, partial(_rounded, dtype), np.asarray) for name in names]
        if len(names) > 1:
            yield f"the inputs are rounded to {dtype}", rounded
        for change in rounded:
            yield f"{_said(change.name)} is rounded to {dtype}", [change]
    cut = [Change(name, _cut_to_tf32, np.asarray) for name in names]
    yield "the inputs are cut off to TF32", cut


def _rounded(dtype: str, array: Floats) -> Floats:
    with np.errstate(over="ignore"):
        return _tf32(array, np.rint) if dtype == "TF32" else round_to(dtype, array)


def _cut_to_tf32(array: Floats) -> Floats:
    return _tf32(array, np.trunc)


def _tf32(array: Floats, to_integer: Any) -> Floats:
    """11 significant bits: float32 with 10 bits of fraction."""
    fraction, exponent = np.frexp(array)
    return np.asarray(np.ldexp(to_integer(np.ldexp(fraction, 11)), exponent - 11))


def _said(name: str) -> str:
    return "the gradient from above" if name == "y" else name

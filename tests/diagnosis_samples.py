"""Faults, injected by other means than those that find them: what docs/diagnosis.md lists."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from xconv.core import reference
from xconv.core.bounds import round_to
from xconv.core.reference import Floats
from xconv.parity import Case, Diagnosis, diagnose_case
from xconv.parity.expected import expected

CONV = Case("conv", "conv1d", (2, 17, 3), ((4, 3, 5),), {"padding": (2, 0)})
STEPS = Case("steps", "conv1d", (2, 17, 3), ((3, 3, 5),), {"stride": 2, "dilation": 3, "padding": 4})
SAME = Case("same", "conv1d", (2, 16, 3), ((3, 3, 5),), {"stride": 2, "padding": "same"})
WIDE = Case("wide", "conv1d", (2, 17, 3), ((3, 3, 5),), {"dilation": 2, "padding": "same"})
GROUPS = Case("groups", "conv1d", (2, 17, 6), ((3, 2, 12),), {"groups": 3, "padding": 1})
BORDERS = Case("borders", "conv1d", (2, 17, 3), ((5, 3, 5),), {"padding": "same", "padding_mode": "reflect"})
SQUARE = Case("square", "conv1d", (2, 17, 4), ((3, 4, 4),), {"padding": "same"})
VALID = Case("valid", "conv1d", (2, 17, 3), ((3, 3, 5),), {})
ROWS = Case("rows", "conv1d_rows", (2, 9, 9, 3), ((4, 3, 5),), {"padding": "same"}, True, "NHWC")
IMAGE = Case("image", "conv2d", (2, 13, 14, 3), ((3, 4, 3, 5),), {"padding": ((0, 2), (1, 2))}, True, "NHWC")
CHAIN = Case("chain", "spatially_separable_conv2d", (2, 9, 9, 3), ((4, 3, 4), (3, 4, 5)), {}, True, "NHWC")
TRANSPOSED = Case("transposed", "conv1d_transpose", (2, 11, 5), ((4, 3, 5),), {"stride": 2, "padding": (2, 1)})


def with_options(case: Case, **options: Any) -> Case:
    """The same case with other options."""
    return replace(case, options=case.options | options)


def result(case: Case, *operands: Floats, array: str = "y") -> Floats:
    """An array of a case by the reference, of x, the weights, the bias and the gradient from above."""
    return expected(case, operands, "float64", array != "y", "normal")[array].value


def fault(
    case: Case,
    wrong: Callable[..., Floats],
    array: str = "y",
    kind: str = "integers",
    dtype: str = "float32",
    spoilt: Callable[[list[Floats]], None] = lambda _: None,
) -> Diagnosis:
    """The diagnosis of an array that a function of the inputs gives instead of the right one."""
    inputs = case.inputs(kind, dtype)
    spoilt(inputs)
    with np.errstate(invalid="ignore"):
        computed = wrong(*inputs)
    return diagnose_case(case, array, computed, inputs, dtype, kind)


def other(case: Case, array: str = "y", **options: Any) -> Callable[..., Floats]:
    """The array with other options."""
    return lambda *inputs: result(with_options(case, **options), *inputs, array=array)


def of(case: Case, array: str = "y", **changes: Callable[[Floats], Floats]) -> Callable[..., Floats]:
    """The array of inputs that are changed first; "y" changes the result."""

    def wrong(x: Floats, w: Floats, b: Floats, dy: Floats) -> Floats:
        given = {"x": x, "w": w, "b": b, "dy": dy}
        given |= {name: change(given[name]) for name, change in changes.items() if name in given}
        wanted = result(case, *given.values(), array=array)
        return changes["y"](wanted) if "y" in changes else wanted

    return wrong


def in_order(*axes: int) -> Callable[[Floats], Floats]:
    """Memory in another order of axes, under the old shape."""
    return lambda array: array.transpose(axes).reshape(array.shape)


def read_in_order(*axes: int) -> Callable[[Floats], Floats]:
    """Memory taken for that of an array with its axes in another order."""
    return lambda a: a.reshape([a.shape[i] for i in axes]).transpose(np.argsort(axes))


def shuffled(groups: int, axis: int) -> Callable[[Floats], Floats]:
    """Torch's channel shuffle."""

    def shuffle(array: Floats) -> Floats:
        last = np.moveaxis(array, axis, -1)
        parts = last.reshape(*last.shape[:-1], groups, -1).swapaxes(-1, -2)
        return np.asarray(np.moveaxis(parts.reshape(last.shape), -1, axis), np.float64)

    return shuffle


def tf32(array: Floats) -> Floats:
    """The nearest number with 10 bits of fraction, by float32's own bits."""
    bits = array.astype(np.float32).view(np.uint32)
    return ((bits + 0xFFF + ((bits >> 13) & 1)) & 0xFFFFE000).view(np.float32).astype(np.float64)


def cut(array: Floats) -> Floats:
    """The 13 last bits of float32 dropped."""
    return (array.astype(np.float32).view(np.uint32) & 0xFFFFE000).view(np.float32).astype(np.float64)


def summed_in(dtype: str, case: Case) -> Callable[..., Floats]:
    """A valid convolution whose every partial sum is rounded."""

    def wrong(x: Floats, w: Floats, b: Floats, _: Floats) -> Floats:
        places = x.shape[1] - w.shape[0] + 1
        y = np.zeros((x.shape[0], places, w.shape[2]))
        for tap in range(w.shape[0]):
            for channel in range(w.shape[1]):
                products = x[:, tap : tap + places, channel, None] * w[tap, channel]
                y = round_to(dtype, y + round_to(dtype, products))
        return y + b

    return wrong


def put(index: Any, value: float) -> Callable[[Floats], Floats]:
    """A part overwritten."""

    def overwrite(array: Floats) -> Floats:
        array = array.copy()
        array[index] = value
        return array

    return overwrite


def spoil_x(inputs: list[Floats]) -> None:
    """A NaN in x."""
    inputs[0][0, 8, 1] = np.nan


def spread(y: Floats) -> Floats:
    """A NaN all along the signal that it is in, as one transform of the whole signal leaves it."""
    return np.where(np.isnan(y).any(1, keepdims=True), np.nan, y)


def first_group(x: Floats) -> Floats:
    return np.tile(x[..., :2], 3)


def all_groups(x: Floats) -> Floats:
    return np.tile(x[..., 0:2] + x[..., 2:4] + x[..., 4:6], 3)


def channels_first(x: Floats) -> Floats:
    return np.ascontiguousarray(x.transpose(0, 2, 1))


CASES: dict[str, Callable[[], Diagnosis]] = {
    "pad on the other side": lambda: fault(CONV, other(CONV, padding=(0, 2))),
    "the pads split in another way": lambda: fault(CONV, other(CONV, padding=(1, 1))),
    "symmetric pads for SAME with a stride": lambda: fault(SAME, other(SAME, padding=1)),
    "no padding": lambda: fault(CONV, other(CONV, padding=0)),
    "pad on the other side, gradient for x": lambda: fault(CONV, other(CONV, "dx", padding=(0, 2)), "dx"),
    "pad on the other side, gradient for the weight": lambda: fault(
        CONV, other(CONV, "dweight", padding=(0, 2)), "dweight"
    ),
    "pad on the other side, random data": lambda: fault(CONV, other(CONV, padding=(0, 2)), kind="normal"),
    "pad on the other side, one axis of conv2d": lambda: fault(IMAGE, other(IMAGE, padding=((2, 0), (1, 2)))),
    "pads on the other side, both axes of conv2d": lambda: fault(IMAGE, other(IMAGE, padding=((2, 0), (2, 1)))),
    "pad on the other side, transposed convolution": lambda: fault(TRANSPOSED, other(TRANSPOSED, padding=(1, 2))),
    "another border": lambda: fault(BORDERS, other(BORDERS, padding_mode="zeros")),
    "border element repeated by the reflection": lambda: fault(BORDERS, other(BORDERS, padding_mode="replicate")),
    "stride and dilation swapped": lambda: fault(STEPS, other(STEPS, stride=3, dilation=2)),
    "dilation ignored": lambda: fault(STEPS, other(STEPS, dilation=1)),
    "dilation ignored, SAME kept": lambda: fault(WIDE, other(WIDE, dilation=1)),
    "stride ignored": lambda: fault(STEPS, other(STEPS, stride=1)),
    "rows for columns": lambda: fault(
        ROWS,
        lambda x, w, b, _: reference.apply(
            Case("", "conv1d_columns", ROWS.x_shape, ROWS.weight_shapes, ROWS.options, True, "NHWC").calls()[0], x, w, b
        ),
    ),
    "kernel flipped": lambda: fault(CONV, of(CONV, w=np.flipud)),
    "kernel flipped, gradient for the weight": lambda: fault(CONV, of(CONV, "dweight", y=np.flipud), "dweight"),
    "kernel flipped along both axes of conv2d": lambda: fault(IMAGE, of(IMAGE, w=lambda w: w[::-1, ::-1])),
    "one kernel of a chain flipped": lambda: fault(
        CHAIN, lambda x, rows, columns, b, dy: result(CHAIN, x, rows, columns[::-1], b, dy)
    ),
    "kernel in and out swapped": lambda: fault(SQUARE, of(SQUARE, w=lambda w: w.swapaxes(1, 2))),
    "kernel reshaped from (out, in, kernel)": lambda: fault(CONV, of(CONV, w=read_in_order(2, 1, 0))),
    "x reshaped from channels first": lambda: fault(CONV, of(CONV, x=read_in_order(0, 2, 1))),
    "result reshaped to channels first": lambda: fault(CONV, of(CONV, y=in_order(0, 2, 1))),
    "result not transposed back": lambda: fault(CONV, of(CONV, y=channels_first)),
    "output channels of the kernel shuffled": lambda: fault(GROUPS, of(GROUPS, w=shuffled(3, 2))),
    "result shuffled": lambda: fault(GROUPS, of(GROUPS, y=shuffled(3, 2))),
    "result shuffled before the bias": lambda: fault(
        GROUPS, lambda x, w, b, dy: shuffled(3, 2)(result(GROUPS, x, w, 0 * b, dy)) + b
    ),
    "channels of x shuffled": lambda: fault(GROUPS, of(GROUPS, x=shuffled(3, 2))),
    "channels of x shuffled, the other way": lambda: fault(GROUPS, of(GROUPS, x=shuffled(2, 2))),
    "groups see the first group": lambda: fault(GROUPS, of(GROUPS, x=first_group)),
    "groups ignored": lambda: fault(GROUPS, of(GROUPS, x=all_groups)),
    "started one element late": lambda: fault(VALID, of(VALID, x=lambda x: np.pad(x[:, 1:], [(0, 0), (0, 1), (0, 0)]))),
    "one element short": lambda: fault(VALID, of(VALID, y=lambda y: y[:, :-1])),
    "one element long": lambda: fault(VALID, of(VALID, y=lambda y: np.pad(y, [(0, 0), (0, 1), (0, 0)], mode="edge"))),
    "moved by one, new border": lambda: fault(
        VALID, of(VALID, y=lambda y: np.concatenate([y[:, 1:], y[:, :1] + 3], axis=1))
    ),
    "pad on the other side, channels first": lambda: fault(
        replace(CONV, layout="NCW"), other(replace(CONV, layout="NCW"), padding=(0, 2))
    ),
    "kernel reshaped from (kernel, in, out), channels first": lambda: fault(
        replace(CONV, layout="NCW"), of(replace(CONV, layout="NCW"), w=read_in_order(2, 1, 0))
    ),
    "bias missing": lambda: fault(CONV, of(CONV, b=np.zeros_like)),
    "bias added twice": lambda: fault(CONV, of(CONV, b=lambda b: 2 * b)),
    "bias subtracted": lambda: fault(CONV, of(CONV, b=np.negative)),
    "gradient for the bias lost": lambda: fault(CONV, of(CONV, "dbias", y=np.zeros_like), "dbias"),
    "inputs rounded to TF32": lambda: fault(VALID, of(VALID, x=tf32, w=tf32), kind="normal"),
    "inputs cut off to TF32": lambda: fault(VALID, of(VALID, x=cut, w=cut), kind="normal"),
    "inputs rounded to bfloat16": lambda: fault(
        VALID, of(VALID, x=lambda x: round_to("bfloat16", x), w=lambda w: round_to("bfloat16", w)), kind="normal"
    ),
    "weight rounded to float16": lambda: fault(VALID, of(VALID, w=lambda w: round_to("float16", w)), kind="normal"),
    "inputs rounded to bfloat16, gradient for x": lambda: fault(
        VALID,
        of(VALID, "dx", w=lambda w: round_to("bfloat16", w), dy=lambda dy: round_to("bfloat16", dy)),
        "dx",
        kind="normal",
    ),
    "sums in bfloat16": lambda: fault(VALID, summed_in("bfloat16", VALID), kind="normal"),
    "float64 computed in float32": lambda: fault(VALID, summed_in("float32", VALID), kind="normal", dtype="float64"),
    "float16 with sums in float16": lambda: fault(VALID, summed_in("float16", VALID), kind="normal", dtype="float16"),
    "result rounded to float16": lambda: fault(VALID, of(VALID, y=lambda y: round_to("float16", y)), kind="normal"),
    "mean instead of a sum": lambda: fault(VALID, of(VALID, "dweight", dy=lambda dy: dy / dy.size), "dweight"),
    "gradient twofold": lambda: fault(VALID, of(VALID, "dx", dy=lambda dy: 2 * dy), "dx"),
    "gradient of the other sign": lambda: fault(VALID, of(VALID, "dx", dy=np.negative), "dx"),
    "gradient times 3": lambda: fault(VALID, of(VALID, "dx", dy=lambda dy: 3 * dy), "dx"),
    "NaN taken for 0": lambda: fault(VALID, of(VALID, x=np.nan_to_num), spoilt=spoil_x),
    "NaN taken for 0 in the result": lambda: fault(VALID, of(VALID, y=np.nan_to_num), spoilt=spoil_x),
    "NaN that spreads": lambda: fault(VALID, of(VALID, y=spread), spoilt=spoil_x),
    "last places not written, NaN": lambda: fault(VALID, of(VALID, y=put(np.s_[:, -2:], np.nan))),
    "last places not written, left over": lambda: fault(VALID, of(VALID, y=put(np.s_[:, -2:, 1], 77.0))),
    "nothing written": lambda: fault(VALID, of(VALID, y=np.zeros_like)),
}
"""Faults of a case, by name."""

"""Kernels from 2-D to 1-D, as arrays: which taps meet the signal, and the kernel that does the same in 1-D.

A kernel has the axes (gone, kept, in, out): the axis that disappears is the first.
"""

from __future__ import annotations

import numpy as np

from xconv.core.problem import dilated_extent, places, resolve_padding
from xconv.models.rows import Rows
from xconv_tensorflow.models.convert.state import Array, State


def window(state: State, kernel: int, stride: int, dilation: int, padding: str) -> tuple[int, int]:
    """What a padding puts before the rows of the axis that disappears, and how many places the kernel has.

    >>> window(State("image", True, 1), 3, 2, 1, "same"), window(State("image", True, 1), 3, 1, 1, "valid")
    ((1, 1), (0, 0))
    """
    extent = state.band.extent
    given = {"length": extent, "kernel": kernel, "stride": stride, "dilation": dilation}
    low, high = resolve_padding("to_1d", padding, **given)
    return low, places(extent + low + high, dilated_extent(kernel, dilation), stride)


def agreed(met: list[Rows], zeros_stay: bool = False) -> tuple[Rows, int, int, int] | None:
    """The taps that all output rows share, and the rows as (low, rows, high); None if they do not.

    ``zeros_stay``: rows that no tap meets may be at the ends, for they are zeros again.

    >>> agreed([(0, 1), (0, 1)]), agreed([(1,), (0, 1)]), agreed([(), (0,), ()], zeros_stay=True)
    (((0, 1), 0, 2, 0), None, ((0,), 1, 1, 1))
    """
    inner = [index for index, taps in enumerate(met) if taps]
    if not inner:
        return None
    first, last = inner[0], inner[-1]
    low, high = first, len(met) - 1 - last
    if (low or high) and not zeros_stay:
        return None
    if any(taps != met[first] for taps in met[first : last + 1]):
        return None
    return met[first], low, last - first + 1, high


def by_rule(kernel: Array, rule: str) -> Array:
    """A kernel without its first axis, by a rule that is not exact."""
    if rule == "row":
        kernel = kernel[[(len(kernel) - 1) // 2]]
    summed: Array = kernel.sum(0) / (len(kernel) if rule == "mean" else 1)
    return summed


def dense(kernel: Array, groups: int) -> Array:
    """A grouped kernel (..., in / groups, out) as one without groups."""
    if groups == 1:
        return kernel
    inside, outside = kernel.shape[-2], kernel.shape[-1] // groups
    full = np.zeros((*kernel.shape[:-2], inside * groups, outside * groups))
    for group in range(groups):
        out = slice(group * outside, (group + 1) * outside)
        full[..., group * inside : (group + 1) * inside, out] = kernel[..., out]
    return full


def depthwise_as_grouped(kernel: Array) -> Array:
    """(..., in, multiplier) as (..., 1, in * multiplier)."""
    return kernel.reshape(*kernel.shape[:-2], 1, -1)


def toeplitz(kernel: Array, inputs: list[list[int]], rows: int) -> Array:
    """(taps, kept, in, out) on ``rows`` rows in the channels; ``inputs[o][t]`` is the row that tap t of output o meets.

    Rows outside are zeros. The result is (kept, rows * in, outputs * out).
    """
    taps, kept, inside, outside = kernel.shape
    full = np.zeros((kept, rows, inside, len(inputs), outside))
    for out, met in enumerate(inputs):
        for tap in range(taps):
            if 0 <= met[tap] < rows:
                full[:, met[tap], :, out] += kernel[tap]
    return full.reshape(kept, rows * inside, len(inputs) * outside)

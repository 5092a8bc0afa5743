"""Kernels from 2-D to 1-D, as arrays: which taps meet the signal, and the kernel that does the same in 1-D.

A kernel has the axes (gone, kept, in, out): the axis that disappears is the first.
"""

from __future__ import annotations

import numpy as np

from xconv_tensorflow.models.convert.state import Array, State

Taps = tuple[int, ...]


def same_low(length: int, kernel: int, stride: int, dilation: int) -> int:
    """What "same" puts before the low end; the odd one goes to the high end."""
    total = max((-(-length // stride) - 1) * stride + (kernel - 1) * dilation + 1 - length, 0)
    return total // 2


def windows(
    state: State, kernel: int, stride: int, dilation: int = 1, padding: str = "valid"
) -> list[tuple[Taps, int]]:
    """For each output row: the taps that meet a row of the signal, and how many meet a row of zeros.

    >>> image = State("image", True, 1)
    >>> windows(image, 3, 2, padding="same"), windows(image, 3, 1)
    ([((1,), 0)], [])
    >>> windows(State("image", True, 1, rows=4), 2, 1)
    [((0, 1), 0), ((0, 1), 0), ((0, 1), 0)]
    """
    extent = state.low + state.rows + state.high
    if padding == "same":
        count, low = -(-extent // stride), same_low(extent, kernel, stride, dilation)
    else:
        count, low = max((extent - (kernel - 1) * dilation - 1) // stride + 1, 0), 0
    found = []
    for start in range(-low, -low + count * stride, stride):
        at = [start + tap * dilation for tap in range(kernel)]
        taps = tuple(tap for tap, row in enumerate(at) if state.low <= row < state.low + state.rows)
        found.append((taps, sum(0 <= row < extent for row in at) - len(taps)))
    return found


def transposed_windows(state: State, kernel: int, stride: int, dilation: int, low: int, count: int) -> list[Taps]:
    """For each output row of a transposed convolution, the taps that meet a row of the signal.

    >>> transposed_windows(State("image", True, 1), 2, 2, 1, 0, 2), transposed_windows(
    ...     State("image", True, 1), 3, 1, 1, 1, 1
    ... )
    ([(0,), (1,)], [(1,)])
    """
    rows = range(state.low, state.low + state.rows)
    return [
        tuple(
            tap
            for tap in range(kernel)
            if (out + low - tap * dilation) % stride == 0 and (out + low - tap * dilation) // stride in rows
        )
        for out in range(count)
    ]


def agreed(met: list[Taps], zeros_stay: bool = False) -> tuple[Taps, int, int, int] | None:
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


def named(taps: Taps, kernel: int) -> str:
    """A rule's name.

    >>> named((0,), 1), named((1,), 3), named((0, 1, 2), 3), named((1, 2), 3)
    ('squeeze', 'row 1 of 3', 'sum of 3 rows', 'sum of rows 1 to 2 of 3')
    """
    if kernel == 1:
        return "squeeze"
    if len(taps) == 1:
        return f"row {taps[0]} of {kernel}"
    return f"sum of {kernel} rows" if len(taps) == kernel else f"sum of rows {taps[0]} to {taps[-1]} of {kernel}"


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

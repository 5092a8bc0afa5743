"""Arrays that lie in another order than tiles read and write: channels first, kernels backwards.

They are turned a square of vectors at a time, into memory that is kept for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import TYPE_CHECKING

import numpy as np

from xconv.direct.processor import address
from xconv.direct.scratch import take_scratch

if TYPE_CHECKING:
    from xconv.core.formulation import Array
    from xconv.direct.formulation import Memory

IN_ORDER, FIRST, BACKWARDS = "in order", "channels first", "backwards"
"""Orders of memory: of the axes; with the channels before what is channels last; all axes backwards (a kernel's)."""


def to_channels_last(memory: Memory, array: Array, dtype: str, name: str) -> tuple[object, int]:
    """What holds the numbers of an array channels last, and where."""
    if memory.lies(array) != FIRST:
        array = memory.ordered(array)
        return array, memory.address(array)
    samples, *places, channels = array.shape
    last = take_scratch(name, prod(array.shape), dtype)
    transpose_memory(memory, memory.address(array), address(last), (samples, channels, prod(places)), dtype)
    return last, address(last)


def from_channels_last(memory: Memory, last: int, like: Array, shape: Sequence[int], dtype: str) -> Array:
    """An array of a channels-last shape that lies channels first, from the address of its numbers channels last."""
    samples, *places, channels = shape
    first, at = memory.empty(like, (samples, channels, *places))
    transpose_memory(memory, last, at, (samples, prod(places), channels), dtype)
    return memory.permuted(first, (0, *range(2, len(shape)), 1))


def kernel_in_order(memory: Memory, weight: Array, dtype: str) -> np.ndarray:
    """The numbers of a weight as (tap, input channel, output channel)."""
    if memory.lies(weight) != BACKWARDS:
        return memory.view(weight)
    taps, inputs, outputs = weight.shape
    count = taps * inputs * outputs
    rows, ordered = take_scratch("rows of a kernel", count, dtype), take_scratch("kernel", count, dtype)
    transpose_memory(memory, memory.address(weight), address(rows), (1, outputs, inputs * taps), dtype)
    found = ordered.reshape(taps, inputs, outputs)
    found[...] = rows.reshape(inputs, taps, outputs).swapaxes(0, 1)
    return found


def transpose_memory(memory: Memory, x: int, y: int, size: tuple[int, int, int], dtype: str) -> None:
    """Write the (lines, columns, rows) of (lines, rows, columns), from an address to another."""
    from xconv.direct.transposed import transpose

    transpose(x, y, size, dtype, memory.threads(), memory.team)

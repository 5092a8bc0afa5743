"""Orders of arrays in memory, and copies from those that tiles cannot read into those that they can.

Tiles read and write row-major arrays with the channels last. Arrays in two other orders that frameworks often give,
channels first and reversed axes, are transposed, a square of vectors at a time, into scratch memory.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from math import prod
from typing import TYPE_CHECKING

import numpy as np

from xconv.direct.processor import address
from xconv.direct.scratch import take_scratch

if TYPE_CHECKING:
    from xconv.core.formulation import Array
    from xconv.direct.formulation import Memory


class MemoryOrder(Enum):
    """In which order of its axes the numbers of an array lie one after the other, the last axis fastest.

    ``ROW_MAJOR``: the order of the axes. ``CHANNELS_FIRST``: the last axis, the channels, lies behind the samples and
    before the places, as in a channels-last view of a channels-first array. ``REVERSED``: the last axis first, as in a
    (tap, input, output) view of a kernel (output, input, tap). ``OTHER``: any other, or with gaps.
    """

    ROW_MAJOR = "row major"
    CHANNELS_FIRST = "channels first"
    REVERSED = "reversed"
    OTHER = "other"


ROW_MAJOR, CHANNELS_FIRST, REVERSED, OTHER = MemoryOrder  # a name costs a call less than an attribute of an Enum


def to_channels_last(memory: Memory, array: Array, dtype: str, name: str) -> tuple[object, int]:
    """An array of (samples, ..., channels) as row-major memory: what holds it, and the address of its first number.

    ``name`` is that of the scratch memory, which the next call with the same name overwrites.
    """
    if memory.memory_order(array) is not CHANNELS_FIRST:
        array = memory.to_row_major(array)
        return array, memory.address(array)
    samples, *places, channels = array.shape
    last = take_scratch(name, prod(array.shape), dtype)
    transpose_memory(memory, memory.address(array), address(last), (samples, channels, prod(places)), dtype)
    return last, address(last)


def from_channels_last(memory: Memory, last: int, like: Array, shape: Sequence[int], dtype: str) -> Array:
    """A new array of ``shape`` (samples, ..., channels) whose memory is channels first.

    Its numbers are copied from row-major memory at the address ``last``.
    """
    samples, *places, channels = shape
    first, at = memory.empty(like, (samples, channels, *places))
    transpose_memory(memory, last, at, (samples, prod(places), channels), dtype)
    return memory.permute(first, (0, *range(2, len(shape)), 1))


def order_kernel(memory: Memory, weight: Array, dtype: str) -> np.ndarray:
    """A weight (tap, input channel, output channel) as a NumPy array; a reversed one in scratch memory."""
    if memory.memory_order(weight) is not REVERSED:
        return memory.to_numpy(weight)
    taps, inputs, outputs = weight.shape
    count = taps * inputs * outputs
    rows, ordered = take_scratch("rows of a kernel", count, dtype), take_scratch("kernel", count, dtype)
    transpose_memory(memory, memory.address(weight), address(rows), (1, outputs, inputs * taps), dtype)
    found = ordered.reshape(taps, inputs, outputs)
    found[...] = rows.reshape(inputs, taps, outputs).swapaxes(0, 1)
    return found


def transpose_memory(memory: Memory, x: int, y: int, size: tuple[int, int, int], dtype: str) -> None:
    """Copy (lines, rows, columns) at address ``x`` to (lines, columns, rows) at address ``y``, both row-major."""
    from xconv.direct.transposed import transpose

    transpose(x, y, size, dtype, memory.threads(), memory.team)

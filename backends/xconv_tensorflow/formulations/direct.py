"""The formulation ``direct`` on TensorFlow: eager tensors as :mod:`xconv.direct` reads and writes them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from math import prod

import numpy as np
import tensorflow as tf

from xconv.direct.formulation import Direct
from xconv.direct.order import ROW_MAJOR, MemoryOrder
from xconv.direct.processor import address
from xconv.direct.team import run_in_pool
from xconv_tensorflow.formulations.shapes import Tensor, may_be_differentiated
from xconv_tensorflow.threads import threads

ALIGNMENT_BYTES = 64
"""Bytes to which TensorFlow's own kernels want memory to be aligned; they abort the process else."""

LARGE_BYTES = 1 << 24
"""Bytes from which TensorFlow's own memory is taken: an op takes longer than NumPy, but it keeps pages that it had."""


class EagerTensors:
    """Tensors that have a value, in the memory of the CPU."""

    team = staticmethod(run_in_pool)

    def wants_gradients(self, *arrays: Tensor | None) -> bool:
        del arrays
        return may_be_differentiated()

    def memory_order(self, array: Tensor) -> MemoryOrder:
        del array
        return ROW_MAJOR  # eager tensors have no other

    def to_row_major(self, array: Tensor) -> Tensor:
        return array

    def permute(self, array: Tensor, axes: tuple[int, ...]) -> Tensor:
        return tf.transpose(array, axes)

    def dtype(self, array: Tensor) -> str:
        return str(array.dtype.name)

    def address(self, array: Tensor) -> int:
        try:
            return address(array._numpy())  # which may be written, so that this is quicker
        except AttributeError:  # it is not public
            return address(np.asarray(array))

    def to_numpy(self, array: Tensor) -> np.ndarray:
        return np.asarray(array)

    def materialize(self, array: Tensor) -> Tensor:
        return array

    def empty(self, like: Tensor, shape: Sequence[int]) -> tuple[Tensor, int]:
        dtype = like.dtype
        size = prod(shape) * dtype.size
        if size >= LARGE_BYTES:
            large = tf.raw_ops.Empty(shape=tf.constant(shape), dtype=dtype, init=False)
            return large, self.address(large)
        memory = np.empty(size + ALIGNMENT_BYTES, np.uint8)
        begin = address(memory)
        start = -begin % ALIGNMENT_BYTES
        return _tensor(memory[start : start + size].view(dtype.as_numpy_dtype).reshape(shape)), begin + start

    def from_numpy(self, array: np.ndarray) -> Tensor:
        if array.flags.c_contiguous and array.size and address(array) % ALIGNMENT_BYTES == 0:
            return _tensor(array)
        return tf.convert_to_tensor(array)

    def threads(self) -> int:
        return self._threads

    @cached_property
    def _threads(self) -> int:
        return threads()  # there is a tensor already: it cannot change any more


def _tensor(array: np.ndarray) -> Tensor:
    """A tensor that keeps the array's memory, and does not copy it."""
    return tf.experimental.dlpack.from_dlpack(array.__dlpack__())


DIRECT = Direct(EagerTensors())

"""How fast this machine is: arithmetic by a matrix product, memory by a copy, measured by a worker in the same run.

A time is compared with the longer of two: of doing the layer's operations at the best matrix product's speed, and of
moving each of its arrays once at the speed of a copy. The longer one is the limit that binds. The fraction of it can
exceed 1: a method may need fewer operations than the direct one, and small arrays stay in a cache that is faster than
the memory that a copy of a large one is from.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from xconv.cost import Cost

SHAPES = ((1024, 1024, 1024), (2048, 512, 2048), (4096, 256, 1024))
"""Matrix products (m, k, n): the best one counts, as none is the best on every machine."""

COPIED_BYTES, REPEATS = 2**27, 7
"""A buffer larger than caches, and the runs of which the fastest counts: other programs only ever slow them down."""


@dataclass(frozen=True)
class Limits:
    """The most FLOP/s and bytes/s; 0 where it was not measured."""

    flops: float
    bytes: float

    @staticmethod
    def best(each: Sequence[Limits]) -> Limits:
        """The larger of each."""
        return Limits(max((one.flops for one in each), default=0.0), max((one.bytes for one in each), default=0.0))

    def fraction(self, cost: Cost, seconds: float) -> tuple[float, str]:
        """The least time over the time taken, and what binds: "compute", "memory", or "" if it is not known.

        >>> Limits(100e9, 10e9).fraction(Cost(0, 10**9, 10**8), 0.04)
        (0.5, 'compute')
        """
        if not (self.flops and self.bytes):
            return 0.0, ""
        compute, memory = cost.flops / self.flops, cost.bytes / self.bytes
        return max(compute, memory) / seconds, "compute" if compute >= memory else "memory"


def measure(framework: str, use_cpu_time: bool) -> Limits:
    """Measure in this process, with the threads that it has; "numpy" by NumPy's own matrix product and copy."""
    product, copy = WAYS.get(framework, (None, _numpy_copy))
    clock = time.process_time if use_cpu_time else time.perf_counter
    flops = 0.0
    for m, k, n in SHAPES if product else ():
        assert product is not None
        flops = max(flops, 2 * m * k * n / _fastest(product(m, k, n), clock))
    # a copy reads and writes
    return Limits(flops, 2 * COPIED_BYTES / _fastest(copy(), clock))


def _fastest(run: Callable[[], Any], clock: Callable[[], float]) -> float:
    run()
    taken = []
    for _ in range(REPEATS):
        start = clock()
        run()
        taken.append(clock() - start)
    return min(taken)


def _torch_product(m: int, k: int, n: int) -> Callable[[], Any]:
    import torch

    a, b, c = torch.rand(m, k), torch.rand(k, n), torch.empty(m, n)
    return lambda: torch.mm(a, b, out=c)


def _torch_copy() -> Callable[[], Any]:
    import torch

    # ones: pages that were never written would not be there yet
    source, target = torch.ones(COPIED_BYTES // 4), torch.ones(COPIED_BYTES // 4)
    return lambda: target.copy_(source)


def _tensorflow_product(m: int, k: int, n: int) -> Callable[[], Any]:
    import tensorflow as tf

    a, b = tf.random.uniform((m, k)), tf.random.uniform((k, n))
    return lambda: tf.matmul(a, b)


def _numpy_product(m: int, k: int, n: int) -> Callable[[], Any]:
    rng = np.random.default_rng(0)
    a, b, c = rng.random((m, k), "float32"), rng.random((k, n), "float32"), np.empty((m, n), "float32")
    return lambda: np.matmul(a, b, out=c)


def _numpy_copy() -> Callable[[], Any]:
    source, target = np.ones(COPIED_BYTES // 4, "float32"), np.ones(COPIED_BYTES // 4, "float32")
    return lambda: np.copyto(target, source)


WAYS: dict[str, tuple[Callable[[int, int, int], Callable[[], Any]] | None, Callable[[], Callable[[], Any]]]] = {
    "torch": (_torch_product, _torch_copy),
    "tensorflow": (_tensorflow_product, _numpy_copy),
    "numpy": (_numpy_product, _numpy_copy),
}
"""A matrix product and a copy for each framework."""

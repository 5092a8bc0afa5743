"""How fast this machine is: a matrix product, a copy, a fresh page, a transposition, measured in the same run.

A time is compared with the longer of two: of doing the layer's operations at the best matrix product's speed, and of
moving each of its arrays once at the speed of a copy. The longer one is the limit that binds. The fraction of it can
exceed 1: a method may need fewer operations than the direct one, and small arrays stay in a cache that is faster than
the memory that a copy of a large one is from.
"""

from __future__ import annotations

import itertools
import mmap
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from xconv.bench.usage import usage
from xconv.core.cost import Cost
from xconv.core.problem import ConvProblem
from xconv.direct.availability import unavailable
from xconv.system.validated import Quantity

SHAPES = ((1024, 1024, 1024), (2048, 512, 2048), (4096, 256, 1024))
"""Matrix products (m, k, n), by the framework and by xconv's own loops: the best counts, as none is so everywhere."""

COPIED_BYTES, REPEATS = 2**27, 7
"""A buffer larger than caches, and the runs of which the fastest counts: other programs only ever slow them down."""

TOUCHED_BYTES = 2**24
"""Fresh memory that is touched page by page."""

TRANSPOSED = (8, 16384, 256)
"""A batch of signals of as many bytes as are copied, from channels last to channels first."""


@dataclass(frozen=True)
class Limits:
    """The most FLOP/s, bytes/s of a copy, and bytes/s of a transposition; 0 where it was not measured.

    ``fault`` is the seconds that the first touch of a fresh page takes, the least that was seen.
    """

    flops: Quantity = 0.0
    bytes: Quantity = 0.0
    transposed: Quantity = 0.0
    fault: Quantity = 0.0

    @staticmethod
    def best(each: Sequence[Limits]) -> Limits:
        """The best of each."""

        def most(name: str) -> float:
            return max((getattr(one, name) for one in each), default=0.0)

        faults = [one.fault for one in each if one.fault]
        return Limits(most("flops"), most("bytes"), most("transposed"), min(faults, default=0.0))

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
    product, copy, transposition = WAYS.get(framework, NONE)
    clock = time.process_time if use_cpu_time else time.perf_counter
    flops = 0.0
    products = [product] if product else []
    if unavailable() is None:
        products.append(_compiled_product)
    for (m, k, n), each in itertools.product(SHAPES, products):
        flops = max(flops, 2 * m * k * n / fastest(each(m, k, n), clock))
    # a copy reads and writes
    copied = 2 * COPIED_BYTES / fastest(copy(), clock)
    transposed = 2 * COPIED_BYTES / fastest(transposition(), clock) if transposition else 0.0
    return Limits(flops, copied, transposed, _fault(clock))


def fastest(
    run: Callable[[], Any], clock: Callable[[], float], calls: int = 1, wait: Callable[[], None] | None = None
) -> float:
    """Seconds that ``calls`` calls take when they are fastest, until ``wait`` returns; one before them is not timed."""
    run()
    taken = []
    for _ in range(REPEATS):
        start = clock()
        for _ in range(calls):
            run()
        if wait is not None:
            wait()
        taken.append(clock() - start)
    return min(taken)


def _fault(clock: Callable[[], float]) -> float:
    """Seconds for each minor page fault that the first touch of fresh memory makes."""
    taken = []
    for _ in range(REPEATS):
        fresh = mmap.mmap(-1, TOUCHED_BYTES)
        before, start = usage().faults, clock()
        for place in range(0, TOUCHED_BYTES, mmap.PAGESIZE):
            fresh[place] = 1
        seconds, faults = clock() - start, usage().faults - before
        start = clock()
        for place in range(0, TOUCHED_BYTES, mmap.PAGESIZE):
            fresh[place] = 1  # the same once more, with every page there: the loop's own time
        if faults:
            taken.append(max(seconds - (clock() - start), 0.0) / faults)
        fresh.close()
    return min(taken, default=0.0)


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


def _compiled_product(m: int, k: int, n: int) -> Callable[[], Any]:
    """A pointwise convolution, on one thread."""
    from xconv.direct.prepared import prepare
    from xconv.direct.team import run_in_pool

    ready = prepare("forward", ConvProblem(1, m, 1, k, n, kernel=1), 1)
    rng = np.random.default_rng(0)
    a, b, c = rng.random((m, k), "float32"), rng.random((k, n), "float32"), np.empty((m, n), "float32")

    def run() -> None:
        kernel = ready.method.pack(b) if ready.packs_weight else b
        ready.run(a.ctypes.data, kernel.ctypes.data, None, c.ctypes.data, run_in_pool)

    return run


def _numpy_product(m: int, k: int, n: int) -> Callable[[], Any]:
    rng = np.random.default_rng(0)
    a, b, c = rng.random((m, k), "float32"), rng.random((k, n), "float32"), np.empty((m, n), "float32")
    return lambda: np.matmul(a, b, out=c)


def _numpy_copy() -> Callable[[], Any]:
    source, target = np.ones(COPIED_BYTES // 4, "float32"), np.ones(COPIED_BYTES // 4, "float32")
    return lambda: np.copyto(target, source)


def _torch_transposition() -> Callable[[], Any]:
    import torch

    source = torch.ones(TRANSPOSED)
    target = torch.ones(TRANSPOSED[0], *TRANSPOSED[:0:-1])
    return lambda: target.copy_(source.transpose(1, 2))


def _tensorflow_transposition() -> Callable[[], Any]:
    import tensorflow as tf

    source = tf.ones(TRANSPOSED)
    return lambda: tf.transpose(source, (0, 2, 1))


Product: TypeAlias = Callable[[int, int, int], Callable[[], Any]]
Way: TypeAlias = Callable[[], Callable[[], Any]]

WAYS: dict[str, tuple[Product, Way, Way | None]] = {
    "torch": (_torch_product, _torch_copy, _torch_transposition),
    "tensorflow": (_tensorflow_product, _numpy_copy, _tensorflow_transposition),
    "numpy": (_numpy_product, _numpy_copy, None),
}
"""A matrix product, a copy, and a transposition for each framework."""

NONE: tuple[None, Way, None] = (None, _numpy_copy, None)

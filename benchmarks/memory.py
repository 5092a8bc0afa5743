"""What the page faults of a large result cost, and what ``xconv.keep_freed_memory`` saves.

``python benchmarks/memory.py torch``: CPU time on one thread and minor page faults of one call, median of 9.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import threading
import time
from collections.abc import Callable
from typing import Any

from tabulate import tabulate

import xconv

BATCH, LENGTH, CHANNELS, KERNEL = 128, 8000, 32, 5  # of one channel; the result has 131 MB


def main() -> None:
    """Measure before, inside, in another thread inside, and after."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("framework", choices=["torch", "tensorflow"])
    parser.add_argument("--batch", type=int, default=BATCH, help="128: a result of 131 MB")
    parser.add_argument("--gradients", action="store_true", help="forward and backward of the input and the weight")
    arguments = parser.parse_args()
    make = {"torch": torch_call, "tensorflow": tensorflow_call}[arguments.framework]
    call = make(arguments.batch, arguments.gradients)
    rows = [("as it comes", *measured(call))]
    with xconv.keep_freed_memory():
        rows.append(("keep_freed_memory()", *measured(call)))
        thread = threading.Thread(target=lambda: rows.append(("the same, in another thread", *measured(call))))
        thread.start()
        thread.join()
    rows.append(("after it", *measured(call)))
    print(tabulate(rows, [arguments.framework, "CPU ms", "page faults"], tablefmt="pipe", floatfmt=".1f"))


def measured(call: Callable[[], object], calls: int = 9) -> tuple[float, int]:
    """Median milliseconds of CPU time, and page faults, of a call whose result is dropped, without the first two."""
    samples = []
    for _ in range(calls + 2):
        faults, start = resource.getrusage(resource.RUSAGE_SELF).ru_minflt, time.process_time()
        result = call()
        seconds = time.process_time() - start
        del result
        samples.append((seconds * 1e3, resource.getrusage(resource.RUSAGE_SELF).ru_minflt - faults))
    times, counts = zip(*samples[2:], strict=True)
    return statistics.median(times), int(statistics.median(counts))


def torch_call(batch: int, gradients: bool) -> Callable[[], object]:
    """The convolution in the layout that PyTorch likes."""
    import torch

    torch.set_num_threads(1)
    x = torch.randn(batch, 1, LENGTH, requires_grad=gradients)
    weight = torch.randn(CHANNELS, 1, KERNEL, requires_grad=gradients)

    def forward() -> torch.Tensor:
        result: torch.Tensor = xconv.conv1d(x, weight, layout="NCW")
        return result

    def both() -> object:
        return torch.autograd.grad(forward().square().sum(), [x, weight])

    return both if gradients else forward


def tensorflow_call(batch: int, gradients: bool) -> Callable[[], object]:
    """The convolution in the layout that TensorFlow likes."""
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    x, weight = tf.random.normal((batch, LENGTH, 1)), tf.random.normal((KERNEL, 1, CHANNELS))

    def forward() -> Any:
        return xconv.conv1d(x, weight)

    def both() -> Any:
        with tf.GradientTape() as tape:
            tape.watch([x, weight])
            loss = tf.reduce_sum(tf.square(forward()))
        return tape.gradient(loss, [x, weight])

    return both if gradients else forward


if __name__ == "__main__":
    main()

"""What first calls cost: of a process, and of 20 new layers that are trained a step, compiled and from files.

``python benchmarks/first_calls.py torch``: CPU time, and memory that stays; each row is a fresh process.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from tabulate import tabulate

LAYERS, CHANNELS, LENGTH, KERNEL = 20, 24, 200, 3


def main() -> None:
    """Twice with the same new folder for compiled code: the second process finds it there."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("framework", choices=["torch", "tensorflow"])
    parser.add_argument("--measure", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        print(*measured(arguments.framework))
        return
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for name in ("compiled", "from files"):
            command = [sys.executable, __file__, arguments.framework, "--measure"]
            done = subprocess.run(
                command, env={**os.environ, "XCONV_CACHE": folder}, stdout=subprocess.PIPE, text=True, check=True
            )
            rows.append((name, *map(float, done.stdout.split())))
    titles = [arguments.framework, "first call of a process, ms", "a layer, ms", "a layer, KiB"]
    print(tabulate(rows, titles, tablefmt="pipe", floatfmt=".1f"))


def measured(framework: str) -> tuple[float, float, float]:
    """The first call, with the import of xconv; a layer of the first training step, and what memory it leaves."""
    tensor, step = {"torch": torch_step, "tensorflow": tensorflow_step}[framework]()
    rng = np.random.default_rng(0)
    first = tensor(rng.standard_normal((2, LENGTH, 16), "float32"), False)
    kernel = tensor(rng.standard_normal((KERNEL, 16, 32), "float32"), False)
    x = tensor(rng.standard_normal((2, LENGTH, CHANNELS), "float32"), False)
    weights = [
        tensor(0.1 * rng.standard_normal((KERNEL, CHANNELS + n, CHANNELS + n + 1), "float32"), True)
        for n in range(LAYERS)
    ]
    start = time.process_time()
    import xconv

    xconv.conv1d(first, kernel)
    called, before = time.process_time(), resident()
    step(x, weights)
    layer = (time.process_time() - called) / LAYERS
    return (called - start) * 1e3, layer * 1e3, (resident() - before) / 1024 / LAYERS


def resident() -> int:
    """Bytes of memory that the process holds (Linux)."""
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def torch_step() -> tuple[Callable[..., Any], Callable[..., None]]:
    """How a tensor is made, and a step of training."""
    import torch

    torch.set_num_threads(1)

    def step(x: Any, weights: list[Any]) -> None:
        import xconv

        for weight in weights:
            x = xconv.conv1d(x, weight, padding="same")
        x.sum().backward()

    return lambda array, trained: torch.from_numpy(array).requires_grad_(trained), step


def tensorflow_step() -> tuple[Callable[..., Any], Callable[..., None]]:
    """How a tensor is made, and a step of training."""
    import tensorflow as tf

    def step(x: Any, weights: list[Any]) -> None:
        import xconv

        with tf.GradientTape() as tape:
            for weight in weights:
                x = xconv.conv1d(x, weight, padding="same")
            total = tf.reduce_sum(x)
        tape.gradient(total, weights)

    tf.reduce_sum(tf.ones(3))  # TensorFlow's own first op
    return lambda array, trained: tf.Variable(array) if trained else tf.constant(array), step


if __name__ == "__main__":
    main()

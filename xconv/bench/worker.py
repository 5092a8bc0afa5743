"""The process that computes for the arena: ``python -m xconv.bench.worker BACKEND THREADS DEVICE``.

It reads one JSON request a line and writes one JSON answer a line. What a framework prints goes to the standard error.
"""

from __future__ import annotations

import gc
import json
import os
import platform
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

import xconv
from xconv.backend import Backend
from xconv.bench import signals
from xconv.bench.catalogue import Layer
from xconv.bench.verify import pinned, verify


class Bench:
    """The prepared functions of one backend."""

    def __init__(self, backend: Backend, device: str) -> None:
        self.backend, self.device = backend, device
        self._functions: dict[int, Callable[[], Any]] = {}
        self._calls: dict[int, int] = {}

    def prepare(self, key: int, block: float, layer: dict[str, Any], **how: str) -> dict[str, Any]:
        """Build the inputs, check the result, make the first call, and see how many calls fill a block."""
        described = Layer(**layer)
        described = replace(
            described,
            x_shape=tuple(described.x_shape),
            weight_shapes=tuple(tuple(shape) for shape in described.weight_shapes),
        )
        gradients = how["direction"] != "forward"
        verify(self.backend, described, self.device, formulation=how["formulation"], gradients=gradients)
        function = self._function(described, how)
        first, second = self._seconds(function, 1), self._seconds(function, 1)
        calls = 1 if second > block else max(1, round(block / self._seconds(function, 3)))
        self._functions[key], self._calls[key] = function, calls
        return {"first_call": first}

    def time(self, key: int) -> dict[str, float]:
        """One block: an untimed call, unless calls are long, and then the timed ones."""
        function, calls = self._functions[key], self._calls[key]
        if calls > 1:
            function()
        self.backend.synchronize(self.device)
        gc.disable()
        cpu = time.process_time()
        wall = self._seconds(function, calls)
        cpu = time.process_time() - cpu
        gc.enable()
        return {"wall": wall, "cpu": cpu / calls}

    def _seconds(self, function: Callable[[], Any], calls: int) -> float:
        start = time.perf_counter()
        for _ in range(calls):
            function()
        self.backend.synchronize(self.device)
        return (time.perf_counter() - start) / calls

    def forget(self) -> dict[str, Any]:
        """Let all inputs go."""
        self._functions.clear()
        gc.collect()
        return {}

    def _function(self, layer: Layer, how: dict[str, str]) -> Callable[[], Any]:
        rng = np.random.default_rng(0)
        x = (
            signals.load(how["signal"], layer.x_shape)
            if how["signal"]
            else rng.standard_normal(layer.x_shape, "float32")
        )
        kernels = [rng.standard_normal(shape, "float32") for shape in layer.weight_shapes]
        tensors = [self.backend.from_numpy(array, self.device) for array in (x, *kernels)]
        options = {**layer.options, **pinned(layer, how["formulation"])}
        options = {name: tuple(v) if isinstance(v, list) else v for name, v in options.items()}
        operation = getattr(xconv, layer.operation)
        activate = self.backend.relu if how["activation"] == "relu" else _nothing

        def forward(*arrays: Any) -> Any:
            return activate(operation(*arrays, **options))

        if how["direction"] == "forward":
            return lambda: forward(*tensors)
        above = self.backend.from_numpy(
            rng.standard_normal(self.backend.shape(forward(*tensors)), "float32"), self.device
        )
        return lambda: self.backend.gradients(forward, tensors, above)


def _nothing(y: Any) -> Any:
    return y


def main() -> None:
    """Answer requests until the standard input ends."""
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # whatever a framework prints must not be taken for an answer
    name, threads, device = sys.argv[1], int(sys.argv[2]), sys.argv[3]
    backend = xconv.get_backend(name)
    backend.set_threads(threads)
    bench = Bench(backend, device)
    about = {"backend": name, "version": backend.version(), "threads": threads, "device": device}
    print(json.dumps({**about, "python": platform.python_version()}), file=answers)
    for line in sys.stdin:
        request = json.loads(line)
        try:
            answer = getattr(bench, request.pop("do"))(**request)
        except Exception as error:  # noqa: BLE001 - whatever went wrong is the contender's result
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), file=answers)


if __name__ == "__main__":
    main()

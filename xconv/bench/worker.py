"""The process that computes for the arena: ``python -m xconv.bench.worker FRAMEWORK THREADS DEVICE``.

It reads one JSON request a line and writes one JSON answer a line. What a framework prints goes to the standard error.
A framework with an xconv backend computes xconv's contenders and its own peers; one without, its peers alone.
"""

from __future__ import annotations

import gc
import platform
import sys
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import asdict
from typing import Any

import numpy as np

import xconv
from xconv.allocator import unavailable
from xconv.backend import Backend
from xconv.bench import limits, peers, signals
from xconv.bench.catalogue import Layer
from xconv.bench.peers.task import CannotError, task
from xconv.bench.peers.verify import verify_peer
from xconv.bench.verify import WrongResultError, pinned, verify
from xconv.child import serve


class Bench:
    """The prepared functions of one framework."""

    def __init__(self, framework: str, threads: int, device: str) -> None:
        self.framework, self.threads, self.device = framework, threads, device
        self.backend: Backend | None = None
        if not peers.is_peer(framework) or framework in xconv.backends():
            self.backend = xconv.get_backend(framework)
            self.backend.set_threads(threads)
            version = self.backend.version()
        else:
            ways = peers.load(framework)
            ways.set_threads(threads)
            version = ways.version()
        self.about = {"backend": framework, "version": version, "threads": threads, "device": device}
        self._functions: dict[int, Callable[[], Any]] = {}
        self._calls: dict[int, int] = {}
        self._kept: dict[int, bool] = {}

    def prepare(
        self, key: int, block: float, layer: dict[str, Any], way: str, opt_ins: bool, **how: str
    ) -> dict[str, Any]:
        """Build the inputs, check the result, make the first call, and see how many calls fill a block."""
        described = Layer(**layer)
        function = self._peer(described, way, how) if way else self._xconv(described, how, opt_ins)
        self._kept[key] = opt_ins and unavailable() is None
        first, second = self._seconds(function, 1), self._seconds(function, 1)
        calls = 1 if second > block else max(1, round(block / self._seconds(function, 3)))
        self._functions[key], self._calls[key] = function, calls
        return {"first_call": first, "chosen": "" if way else chosen(self._own, described, how)}

    @property
    def _own(self) -> Backend:
        if self.backend is None:
            raise ValueError(f"{self.framework} is no backend of xconv: a contender on it must name its way")
        return self.backend

    def time(self, key: int) -> dict[str, float]:
        """One block: an untimed call, unless calls are long, and then the timed ones."""
        function, calls = self._functions[key], self._calls[key]
        with xconv.keep_freed_memory() if self._kept[key] else nullcontext():
            if calls > 1 or self._kept[key]:
                function()
            self._synchronize()
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
        self._synchronize()
        return (time.perf_counter() - start) / calls

    def forget(self) -> dict[str, Any]:
        """Let all inputs go."""
        self._functions.clear()
        gc.collect()
        return {}

    def limits(self, use_cpu_time: bool) -> dict[str, float]:
        """What this machine can do in this process."""
        return asdict(limits.measure(self.framework, use_cpu_time))

    def _synchronize(self) -> None:
        # a peer's call is done when it returns, but for the two that may compute on a GPU, which are backends too
        if self.backend is not None:
            self.backend.synchronize(self.device)

    def _peer(self, layer: Layer, way: str, how: dict[str, str]) -> Callable[[], Any]:
        peer, gradients = peers.find(self.framework, way), how["direction"] != "forward"
        if not peer.takes(layer, how["direction"]):
            raise CannotError(f"it is not made for this {layer.operation}, {how['direction']}")
        build = peers.load(self.framework).WAYS[way]
        if how["activation"]:
            raise CannotError("peers have no activation")
        verify_peer(build, layer, method=peer.method, device=self.device, threads=self.threads, gradients=gradients)
        rng, arrays = _arrays(layer, how["signal"])
        shape = layer.x_shape
        for call in layer.calls:
            shape = call.result_shape(shape)
        above = rng.standard_normal(shape, "float32") if gradients else None
        return build(task(layer, arrays, above, device=self.device, threads=self.threads)).run

    def _xconv(self, layer: Layer, how: dict[str, str], opt_ins: bool) -> Callable[[], Any]:
        backend = self._own
        verify(backend, layer, self.device, formulation=how["formulation"], gradients=how["direction"] != "forward")
        rng, arrays = _arrays(layer, how["signal"])
        tensors = [backend.from_numpy(array, self.device) for array in arrays]
        options = {**layer.options, **pinned(layer, how["formulation"])}
        operation = getattr(xconv, layer.operation)
        activate = backend.relu if how["activation"] == "relu" else _nothing

        def forward(*arrays: Any) -> Any:
            return activate(operation(*arrays, **options))

        if how["direction"] == "forward":
            if opt_ins and len(layer.calls) == 1 and layer.calls[0].vertical is None and not how["activation"]:
                return self._packed(layer, tensors, forward)
            return lambda: forward(*tensors)
        above = backend.from_numpy(rng.standard_normal(backend.shape(forward(*tensors)), "float32"), self.device)
        return lambda: backend.gradients(forward, tensors, above)

    def _packed(self, layer: Layer, tensors: list[Any], forward: Callable[..., Any]) -> Callable[[], Any]:
        """The layer by a plan with a packed weight, which must agree on integers with the layer as it is called."""
        x, weight = tensors
        plan = xconv.plan(layer.calls[0], backend=self._own.name, device=self.device)
        rng = np.random.default_rng(0)
        whole = [
            self._own.from_numpy(rng.integers(-2, 3, shape, "int8").astype("float32"), self.device)
            for shape in (layer.x_shape, layer.weight_shapes[0])
        ]
        packed, wanted = plan.pack(whole[1])(whole[0]), forward(*whole)
        if not np.array_equal(self._own.to_numpy(packed), self._own.to_numpy(wanted)):
            raise WrongResultError(f"{layer.name}: the plan with a packed weight differs")
        ready = plan.pack(weight)
        return lambda: ready(x)


def chosen(backend: Backend, layer: Layer, how: dict[str, str]) -> str:
    """The formulation that computes the layer; with gradients also theirs, for x and for the weight.

    The only place of the benchmarks that knows what a plan looks like.
    """
    if layer.operation in ("conv2d", "conv2d_as_1d"):
        return "conv2d"
    if how["formulation"] != "auto":
        return how["formulation"]
    directions = ["forward", "input_gradient", "weight_gradient"]
    steps = []
    for call in layer.calls:
        plan = xconv.plan(call, backend=backend.name)
        # a transposed convolution computes the input gradient, and its gradients are the two others
        first = [call.direction, *(d for d in directions if d != call.direction)]
        names = [plan.chosen.formulation.name]
        if how["direction"] != "forward":
            adjoints = plan.chosen.adjoints
            names = [plan.chosen.trained.name] * 3 if adjoints is None else [adjoints[d].name for d in first]
        steps.append(names[0] if len(set(names)) == 1 else "/".join(names))
    return steps[0] if len(set(steps)) == 1 else ", ".join(steps)


def _arrays(layer: Layer, signal: str) -> tuple[np.random.Generator, list[np.ndarray]]:
    rng = np.random.default_rng(0)
    x = signals.load(signal, layer.x_shape) if signal else rng.standard_normal(layer.x_shape, "float32")
    return rng, [x, *(rng.standard_normal(shape, "float32") for shape in layer.weight_shapes)]


def _nothing(y: Any) -> Any:
    return y


def main() -> None:
    """Answer requests until the standard input ends."""
    bench = Bench(sys.argv[1], int(sys.argv[2]), sys.argv[3])

    def answer(request: dict[str, Any]) -> dict[str, Any]:
        try:
            found: dict[str, Any] = getattr(bench, request.pop("do"))(**request)
        except Exception as error:  # noqa: BLE001 - whatever went wrong is the contender's result
            said = str(error) if isinstance(error, CannotError) else f"{type(error).__name__}: {error}"
            found = {"error": said, "wrong": isinstance(error, WrongResultError)}
        return found

    serve({**bench.about, "python": platform.python_version()}, answer)


if __name__ == "__main__":
    main()

"""The process that computes for the arena: ``python -m xconv.bench.worker FRAMEWORK THREADS DEVICE``.

It reads one JSON request a line and writes one JSON answer a line. What a framework prints goes to the standard error.
A framework with an xconv backend computes xconv's contenders and its own peers; one without, its peers alone.
"""

from __future__ import annotations

import platform
import sys
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import asdict, replace
from typing import Any

import numpy as np

import xconv
from xconv.bench import limits, peers, signals
from xconv.bench.catalogue import Layer
from xconv.bench.peers.task import UnsupportedByPeerError, task
from xconv.bench.peers.verify import verify_peer
from xconv.bench.stopwatch import PreparedCall, Stopwatch, settle_allocator
from xconv.bench.verify import WrongResultError, channels_first, is_exact, layout_of, pinned, verify
from xconv.core.backend import Backend
from xconv.core.call import resolve_all
from xconv.core.layouts import LAYOUTS
from xconv.system.allocator import unavailable
from xconv.system.child import serve

CALLS_TOGETHER = 100
"""Calls that are timed together where each takes next to nothing."""

FEW_TAPS = 5
"""Of a kernel where what it computes is not wanted, only what the call costs."""

HOPELESS_RATIO = 5.0
"""A formulation that is expected to take this many times as long as the best is not measured."""


class Bench:
    """What one framework computes for the arena."""

    def __init__(self, framework: str, threads: int, device: str) -> None:
        self.framework, self.threads, self.device = framework, threads, device
        self.backend: Backend | None = None
        if not peers.is_peer(framework) or framework in xconv.backends():
            self.backend = xconv.get_backend(framework)
            self.backend.set_threads(threads)
            version, seen = self.backend.version(), self.backend.threads()
        else:
            ways = peers.load(framework)
            ways.set_threads(threads)
            version, seen = ways.version(), None  # it cannot be asked; the arena sees the cores that it uses
        self.about = {"backend": framework, "version": version, "threads": seen, "device": device}
        if seen not in (None, threads):
            raise RuntimeError(f"{framework} computes with {seen} threads where {threads} were asked for")
        self._dispatches: dict[str, float] = {}
        self._verified: set[str] = set()
        self._compiling = 0.0
        self.stopwatch = Stopwatch(self.prepared, self._synchronize)

    def answer(self, do: str, **request: Any) -> dict[str, Any]:
        """One request."""
        if do in ("prepare", "time", "forget"):
            found: dict[str, Any] = getattr(self.stopwatch, do)(**request)
            return found
        if do == "limits":
            return asdict(limits.measure(self.framework, **request))
        if do == "formulations":
            return {"formulations": formulations(self._own, Layer(**request["layer"]))}
        if do == "dispatch":
            return {"dispatch": self._dispatch(**request)}
        raise ValueError(f"a worker cannot {do!r}")

    def prepared(self, layer: dict[str, Any], way: str, verified: bool = True, **how: Any) -> PreparedCall:
        """Build the inputs, check the result, and give the function that is timed."""
        described = Layer(**layer)
        asked = repr((layer, way, sorted(how.items())))
        unknown = verified and asked not in self._verified
        prepared = self._peer(described, way, how, unknown) if way else self._xconv(described, how, unknown)
        if verified:
            self._verified.add(asked)  # it was right, and is deterministic
        return prepared

    def _dispatch(self, use_cpu_time: bool, layer: dict[str, Any], **how: Any) -> float:
        """Seconds of a call with next to nothing to compute: what the call itself costs, in this way and direction."""
        small, how = smallest(Layer(**layer)), {**how, "signal": ""}
        key = repr((small, sorted(how.items())))
        if key not in self._dispatches:
            prepared = self.prepared(asdict(small), **how, verified=False)
            clock = time.process_time if use_cpu_time else time.perf_counter
            with prepared.scope() if prepared.scope else nullcontext():
                self._dispatches[key] = (
                    limits.fastest(prepared.call, clock, CALLS_TOGETHER, self._synchronize) / CALLS_TOGETHER
                )
        return self._dispatches[key]

    @property
    def _own(self) -> Backend:
        if self.backend is None:
            raise ValueError(f"{self.framework} is no backend of xconv: a contender on it must name its way")
        return self.backend

    def _synchronize(self) -> None:
        # a peer's call is done when it returns, but for those that may compute on a GPU, which are backends too
        if self.backend is not None:
            self.backend.synchronize(self.device)

    def _peer(self, layer: Layer, way: str, how: dict[str, Any], verified: bool) -> PreparedCall:
        peer, gradients = peers.find(self.framework, way), how["direction"] != "forward"
        if not peer.takes(layer, how["direction"]):
            raise UnsupportedByPeerError(f"it is not made for this {layer.operation}, {how['direction']}")
        build = peers.load(self.framework).WAYS[way]
        if how["activation"]:
            raise UnsupportedByPeerError("peers have no activation")
        if verified:
            verify_peer(build, layer, method=peer.method, device=self.device, threads=self.threads, gradients=gradients)
        rng, arrays = _arrays(layer, how["signal"])
        shape = layer.x_shape
        for call in layer.calls:
            shape = call.result_shape(shape)
        above = rng.standard_normal(shape, "float32") if gradients else None
        run = build(task(layer, arrays, above, device=self.device, threads=self.threads)).run
        return PreparedCall(run, {"chosen": ""}, peak=self._peak(run))

    def _xconv(self, layer: Layer, how: dict[str, Any], verified: bool) -> PreparedCall:
        backend = self._own
        gradients = how["direction"] != "forward"
        asked = {"formulation": how["formulation"], "channels": how["channels"]}
        mode = how["mode"] if how["mode"] in ("eager", *backend.modes) else backend.modes[-1]
        if verified:
            verify(backend, layer, self.device, gradients=gradients, **asked)
        exact = mode == "eager" or is_exact(backend, layer, self.device, **asked)
        if verified and not exact:  # it need not give what it gives eagerly
            verify(backend, layer, self.device, gradients=gradients, mode=mode, **asked)
        rng, arrays = _arrays(layer, how["signal"])
        options = {**layer.options, **pinned(layer, how["formulation"]), **layout_of(layer, how["channels"])}
        if how["channels"] == "first":
            arrays = channels_first(arrays)
        tensors = [backend.from_numpy(np.ascontiguousarray(array), self.device) for array in arrays]
        operation = getattr(xconv, layer.operation)
        activate = backend.relu if how["activation"] == "relu" else _nothing

        def forward(*arrays: Any) -> Any:
            return activate(operation(*arrays, **options))

        function: Callable[[], Any]
        if gradients:
            above = backend.from_numpy(rng.standard_normal(backend.shape(forward(*tensors)), "float32"), self.device)
            differentiated = forward if mode == "eager" else self._compiled(mode, forward, tensors, exact, above)

            def function() -> Any:
                return backend.gradients(differentiated, tensors, above)

        elif mode != "eager":
            compiled = self._compiled(mode, forward, tensors, exact)

            def function() -> Any:
                return compiled(*tensors)

        elif how["opt_ins"] and len(layer.calls) == 1 and layer.calls[0].vertical is None and not how["activation"]:
            function = self._packed(layer, tensors, forward)
        else:

            def function() -> Any:
                return forward(*tensors)

        kept = how["opt_ins"] and unavailable() is None
        facts: dict[str, Any] = {}
        if mode == "eager":  # a compiler gets what can be traced, and may make something else of it
            facts["chosen"] = chosen(backend, layer, self.device, **_asked(how))
        else:
            facts["first_call"] = self._compiling  # it was called to be checked
        return PreparedCall(function, facts, xconv.keep_freed_memory if kept else None, self._peak(function))

    def _compiled(
        self, mode: str, forward: Callable[..., Any], tensors: list[Any], exact: bool, above: Any = None
    ) -> Callable[..., Any]:
        """The function as the framework's compiler makes it, which must give the same as it does eagerly, if ``exact``.

        With a cotangent ``above``, so must its gradients.
        """
        backend = self._own
        compiled = backend.compiled(forward, mode)
        rng = np.random.default_rng(0)
        whole = [
            backend.from_numpy(rng.integers(-2, 3, tuple(backend.shape(t)), "int8").astype("float32"), self.device)
            for t in tensors
        ]

        def computed(function: Callable[..., Any]) -> list[np.ndarray]:
            if above is None:
                return [backend.to_numpy(function(*whole))]
            ones = backend.from_numpy(np.ones(tuple(backend.shape(above)), "float32"), self.device)
            return [backend.to_numpy(array) for array in backend.gradients(function, whole, ones)]

        start = time.perf_counter()
        found = computed(compiled)
        self._compiling = time.perf_counter() - start
        if exact and not all(map(np.array_equal, found, computed(forward))):
            raise WrongResultError(f"compiled ({mode}) it differs from what it gives eagerly")
        return compiled

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

    def _peak(self, function: Callable[[], Any]) -> Callable[[], int] | None:
        backend = self.backend
        if backend is None or not self.device.startswith("cuda"):
            return None
        return lambda: backend.peak_bytes(function, self.device)


def formulations(backend: Backend, layer: Layer) -> list[str]:
    """Those that can compute a layer forward, the best expected first, without what is expected to be hopeless."""
    if not layer.row.takes_formulation:
        return []
    able = []
    for formulation in backend.formulations:
        if all(formulation.unsupported(call.direction, call.problem) is None for call in layer.calls):
            able.append(formulation.name)
    expected: dict[str, float] = {}
    for call in layer.calls:
        for name, s in xconv.plan(call, backend=backend.name).chosen.expected:
            expected[name] = expected.get(name, 0.0) + s
    if not expected:
        return able
    able = sorted((name for name in able if name in expected), key=lambda name: expected[name])
    return [name for name in able if expected[name] <= HOPELESS_RATIO * expected[able[0]]]


def _asked(how: dict[str, Any]) -> dict[str, str]:
    return {name: how[name] for name in ("direction", "formulation", "channels")}


def chosen(backend: Backend, layer: Layer, device: str, direction: str, formulation: str, channels: str) -> str:
    """The formulation that computes the layer; with gradients also theirs, for x and for the weight.

    The only place of the benchmarks that knows what a plan looks like.
    """
    if not layer.row.takes_formulation:
        return layer.row.formulation
    if formulation != "auto":
        return formulation
    directions = ["forward", "input_gradient", "weight_gradient"]
    steps = []
    for call in layer.calls:
        known = replace(call, layout=LAYOUTS[layout_of(layer, channels).get("layout", call.layout.name)])
        plan = xconv.plan(known, backend=backend.name, device=device)
        # a transposed convolution computes the input gradient, and its gradients are the two others
        first = [call.direction, *(d for d in directions if d != call.direction)]
        names = [plan.choices[d].formulation for d in (first if direction != "forward" else first[:1])]
        steps.append(names[0] if len(set(names)) == 1 else "/".join(names))
    return steps[0] if len(set(steps)) == 1 else ", ".join(steps)


def smallest(layer: Layer) -> Layer:
    """The same kind of layer with as little to compute as there can be: one channel, few taps, few outputs.

    >>> from xconv.bench import catalogue
    >>> smallest(catalogue("smoke")[2]).x_shape, smallest(catalogue("smoke")[2]).weight_shapes
    ((1, 3, 1), ((3, 1, 1),))
    """
    options = {name: value for name, value in layer.options.items() if name != "groups"}
    weights = tuple((*(min(taps, FEW_TAPS) for taps in shape[:-2]), 1, 1) for shape in layer.weight_shapes)
    calls = resolve_all(layer.operation, (1, *layer.x_shape[1:-1], 1), weights, **options)
    extents = [[call.problem for call in calls], [c.vertical for c in calls if c.vertical is not None]]
    longest = max((p.kernel - 1) * p.dilation + 1 for some in extents for p in some)
    shape = (1, *(min(size, longest) for size in layer.x_shape[1:-1]), 1)
    return replace(layer, name="smallest", x_shape=shape, weight_shapes=weights, options=options)


def _arrays(layer: Layer, signal: str) -> tuple[np.random.Generator, list[np.ndarray]]:
    rng = np.random.default_rng(0)
    x = signals.load(signal, layer.x_shape) if signal else rng.standard_normal(layer.x_shape, "float32")
    return rng, [x, *(rng.standard_normal(shape, "float32") for shape in layer.weight_shapes)]


def _nothing(y: Any) -> Any:
    return y


def main() -> None:
    """Answer requests until the standard input ends."""
    settle_allocator()
    bench = Bench(sys.argv[1], int(sys.argv[2]), sys.argv[3])

    def answer(request: dict[str, Any]) -> dict[str, Any]:
        try:
            return bench.answer(**request)
        except Exception as error:  # noqa: BLE001 - whatever went wrong is the contender's result
            said = str(error) if isinstance(error, UnsupportedByPeerError) else f"{type(error).__name__}: {error}"
            # only a wrong result is a failure of a peer: the rest is what it cannot do
            peer = request.get("way") and not isinstance(error, WrongResultError)
            return {"error": said, "cannot": bool(peer)}

    serve({**bench.about, "python": platform.python_version()}, answer)


if __name__ == "__main__":
    main()

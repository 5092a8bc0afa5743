"""Peers: what users would otherwise run, each framework's ways in a file of its own.

This module imports no framework. ``load`` does, and only the worker process of that framework calls it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from typing import Protocol

from xconv.bench.catalogue import Layer
from xconv.bench.peers.task import Built, PeerTask
from xconv.system.errors import nearest


@dataclass(frozen=True)
class Peer:
    """One way of one framework to compute a layer; its name is the two together.

    ``own``: what xconv on that framework replaces. ``forward_only``: it has no gradients. ``method``: "direct" must be
    right bit for bit on small integers, "fourier" within the bound of :mod:`xconv.bench.peers.verify`. ``opt_in``:
    takes part only when it is asked for by name. ``filters_only``: for one channel to one, without stride or dilation.
    ``never_transposed``: it has no transposed convolution with the same pads.
    ``modules``: what must be installed.
    """

    framework: str
    way: str
    modules: tuple[str, ...]
    own: bool = False
    forward_only: bool = False
    method: str = "direct"
    opt_in: bool = False
    filters_only: bool = False
    depthwise_only: bool = False
    never_transposed: bool = False

    @property
    def name(self) -> str:
        """The framework and the way."""
        return f"{self.framework} {self.way}"

    def is_installed(self) -> bool:
        """Whether its framework is there; nothing is imported."""
        return all(find_spec(module) is not None for module in self.modules)

    def takes(self, layer: Layer, direction: str) -> bool:
        """Whether anyone would use it for this kind of layer. What it then fails at is a row with the reason."""
        if self.forward_only and direction != "forward":
            return False
        calls = layer.calls
        problems = [call.problem for call in calls]
        if self.filters_only:
            plain = all(call.direction == "forward" and call.vertical is None for call in calls)
            steps = {(p.in_channels, p.out_channels, p.stride, p.dilation) for p in problems}
            return plain and steps == {(1, 1, 1, 1)}
        forward = all(call.direction == "forward" for call in calls)
        if self.never_transposed and not forward:
            return False
        return not self.depthwise_only or (forward and all(problem.depthwise for problem in problems))


_ONNX = ("onnxruntime", "onnx")

PEERS = (
    Peer("torch", "own", ("torch",), own=True),
    Peer("torch", "recipe", ("torch",), own=True),
    Peer("tensorflow", "own", ("tensorflow",), own=True),
    Peer("tensorflow", "depthwise", ("tensorflow",), own=True, depthwise_only=True),
    Peer("tensorflow", "keras", ("tensorflow",), own=True, never_transposed=True),
    Peer("tensorflow", "function", ("tensorflow",)),
    Peer("tensorflow", "XLA", ("tensorflow",)),
    Peer("jax", "jit", ("jax",)),
    Peer("onnxruntime", "session", _ONNX, forward_only=True),
    Peer("onnxruntime", "bound", _ONNX, forward_only=True, opt_in=True),
    Peer("scipy", "correlate1d", ("scipy",), forward_only=True, filters_only=True),
    Peer("scipy", "fftconvolve", ("scipy",), forward_only=True, filters_only=True, method="fourier"),
    Peer("scipy", "oaconvolve", ("scipy",), forward_only=True, filters_only=True, method="fourier"),
)


class PeerModule(Protocol):
    """What each file of this package has, under the same names."""

    WAYS: dict[str, Callable[[PeerTask], Built]]
    """By the name of the way: prepare everything that a user prepares once, and return what is then timed."""

    def set_threads(self, count: int) -> None:
        """Compute with that many threads; before the framework's first computation."""

    def version(self) -> str:
        """The framework's version."""


def load(framework: str) -> PeerModule:
    """A framework's ways. Imports the framework."""
    module: PeerModule = import_module(f"xconv.bench.peers.on_{framework}")
    return module


def is_peer(framework: str) -> bool:
    """Whether there are ways for a framework of this name."""
    return any(peer.framework == framework for peer in PEERS)


def find(framework: str, way: str) -> Peer:
    """The peer of that name.

    >>> find("jax", "jit").name
    'jax jit'
    """
    for peer in PEERS:
        if (peer.framework, peer.way) == (framework, way):
            return peer
    known = [peer.name for peer in PEERS]
    raise ValueError(f"no peer is called {f'{framework} {way}'!r}; there are: {', '.join(known)}")


def choose(asked: str = "installed") -> tuple[list[Peer], list[Peer]]:
    """The peers that take part, and those left out because they are not installed.

    Args:
        asked: "installed" (all that are there), "all", "none", or names, comma-separated: a framework ("jax") or one
            way of it ("onnxruntime bound").

    Raises:
        ValueError: a name is unknown, or what was asked for by name is not installed.

    >>> [peer.name for peer in choose("scipy fftconvolve")[0]]
    ['scipy fftconvolve']
    """
    if asked == "none":
        return [], []
    usual = [peer for peer in PEERS if not peer.opt_in]
    if asked in ("installed", "all"):
        installed, absent = _split(usual)
        if absent and asked == "all":
            raise ValueError(_missing(absent))
        return installed, absent
    chosen: list[Peer] = []
    for name in (part.strip() for part in asked.split(",")):
        named = [peer for peer in PEERS if peer.name == name or (peer.framework == name and not peer.opt_in)]
        if not named:
            known = sorted({peer.framework for peer in PEERS} | {peer.name for peer in PEERS})
            raise ValueError(f"no peer is called {name!r}; there are: {', '.join(known)}{_hint(name, known)}")
        chosen += [peer for peer in named if peer not in chosen]
    installed, absent = _split(chosen)
    if absent:
        raise ValueError(_missing(absent))
    return installed, []


def thread_settings(framework: str, threads: int) -> dict[str, str]:
    """What the environment of a worker must say before the framework is imported."""
    count = str(threads)
    settings = {
        "OMP_NUM_THREADS": count,
        "MKL_NUM_THREADS": count,
        "OPENBLAS_NUM_THREADS": count,
        "TF_NUM_INTRAOP_THREADS": count,
        "TF_NUM_INTEROP_THREADS": count,
        "TF_CPP_MIN_LOG_LEVEL": "3",
    }
    if framework == "jax":
        # NPROC sizes XLA's thread pools; TensorFlow reads XLA_FLAGS too, and must not get these
        settings["NPROC"] = count
        many = "true" if threads > 1 else "false"
        flags = f"--xla_cpu_multi_thread_eigen={many} intra_op_parallelism_threads={count}"
        settings["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {flags}".strip()
        settings["JAX_PLATFORMS"] = os.environ.get("JAX_PLATFORMS", "cpu")
    return settings


def _split(peers: Sequence[Peer]) -> tuple[list[Peer], list[Peer]]:
    installed = [peer for peer in peers if peer.is_installed()]
    return installed, [peer for peer in peers if peer not in installed]


def _missing(absent: Sequence[Peer]) -> str:
    names = ", ".join(peer.name for peer in absent)
    return f"not installed: {names} (pip install 'xconv[all,peers]')"


def _hint(name: str, known: Sequence[str]) -> str:
    close = nearest(name, list(known))
    return f". {close}" if close else ""

"""Who computes a layer, and how: what the arena times here."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Annotated, Any

from msgspec import Meta

from xconv.bench.arena import Place
from xconv.bench.catalogue import Layer
from xconv.bench.peers import thread_settings
from xconv.core.cost import Cost, cost

DIRECTIONS = ("forward", "forward+backward")
MODES = ("eager", "compiled")
LAYOUTS = ("last", "first")


@dataclass(frozen=True)
class Contender:
    """A layer, who computes it, and how.

    Attributes:
        label: its name in the tables.
        backend: the name of an xconv backend, or with a ``way`` of the framework of a peer.
        layer: shapes and options.
        direction: "forward" or "forward+backward".
        activation: "" or "relu", applied to the result.
        signal: the name of a real input instead of random numbers (:mod:`xconv.bench.signals`), or "".
        formulation: of xconv.
        way: of a peer, which xconv takes no part in (:mod:`xconv.bench.peers`); "" for xconv.
        opt_ins: whether xconv gets what a user must ask for: kept memory, and where the weight is constant a plan with
            a packed weight.
        mode: of xconv: "eager" or "compiled" (``torch.compile``, ``tf.function``, ``jax.jit``).
        channels: where the caller's arrays have them: "last" or "first".
    """

    label: str
    backend: str
    layer: Layer
    direction: Annotated[
        str, Meta(pattern=r"^forward(\+backward)?$", description='"forward" or "forward+backward"')
    ] = "forward"
    activation: Annotated[str, Meta(pattern="^(relu)?$", description='"" or "relu"')] = ""
    signal: str = ""
    formulation: str = "auto"
    way: Annotated[str, Meta(description="the way of a peer; empty for xconv")] = ""
    opt_ins: bool = False
    mode: Annotated[str, Meta(description="eager, compiled, or one compiler of the backend")] = "eager"
    channels: Annotated[str, Meta(pattern="^(last|first)$", description='"last" or "first"')] = "last"

    @property
    def peer(self) -> str:
        """The peer's name, or nothing for xconv itself."""
        return f"{self.backend} {self.way}" if self.way else ""

    @property
    def identity(self) -> str:
        """The same text for the same work done the same way, also in another run."""
        return json.dumps([self.label, self.backend, self.request()], sort_keys=True)

    def cost(self) -> Cost:
        """Operations and bytes of one call: a backward pass is two more convolutions.

        Returns:
            Parameters, multiply-accumulates and bytes.
        """
        once = Cost(0, 0, 0)
        for call in self.layer.calls:
            once += cost(call)
        if self.direction == "forward":
            return once
        return Cost(once.parameters, 3 * once.macs, 3 * once.bytes)

    def place(self, threads: int, device: str) -> Place:
        """A process for each framework, xconv or peer, and mode; formulations and layouts of the same share one.

        So do opt-ins, which leave the allocator in another state.

        Args:
            threads: that the process computes with.
            device: "cpu", "cuda:0", ...

        Returns:
            The process, and the environment that it starts with.
        """
        who = self.way or ("xconv" if self.mode == "eager" else f"xconv {self.mode}")
        who += " with opt-ins" if self.opt_ins else ""
        settings = tuple(thread_settings(self.backend, threads).items())
        arguments = (self.backend, str(threads), device)
        return Place(f"{self.backend} {who}", "xconv.bench.worker", arguments, settings)

    def request(self) -> dict[str, Any]:
        """What the worker prepares.

        Returns:
            What can be written as JSON.
        """
        described = asdict(self)
        del described["label"], described["backend"]
        return described

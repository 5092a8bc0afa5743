"""A layer of the user's own: which backend and which form is fastest for it?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from xconv.bench.arena import Arena
from xconv.bench.catalogue import Layer
from xconv.bench.contender import Contender
from xconv.bench.peers import Peer
from xconv.bench.running import Session
from xconv.bench.suites import OWN, Question, theirs
from xconv.core.call import resolve_all

MOST_FORMULATIONS = 3
"""Formulations that are measured beside what xconv takes by itself: those that are expected to be the fastest."""


def own_layer(operation: str, x_shape: Sequence[int], kernel: Sequence[int], options: dict[str, Any]) -> Layer:
    """The layer, with options that say no more than the default left out.

    Raises:
        ArgumentError: the shapes or options do not fit; as from the operation itself.
    """
    defaults = {"stride": 1, "dilation": 1, "groups": 1, "padding": "valid"}
    said = {name: value for name, value in options.items() if value != defaults[name]}
    resolve_all(operation, tuple(x_shape), (tuple(kernel),), **said)
    words = " ".join(f"{name} {value}" for name, value in said.items())
    name = f"{'x'.join(map(str, x_shape))} by {'x'.join(map(str, kernel))} {words}".strip()
    return Layer(name, OWN, "the command line", operation, tuple(x_shape), (tuple(kernel),), said, OWN)


def question(layer: Layer, direction: str, peers: Sequence[Peer], session: Session) -> Question:
    """All forms of a layer as one group: each backend's choice, its formulations, compilers, layouts; and peers."""
    found = Question(f"{layer.name} ({layer.operation})", OWN, ())
    contenders: list[Contender] = []
    for backend in session.backends:
        plain = Contender(f"xconv on {backend}", backend, layer)
        contenders.append(plain)
        contenders += [
            replace(plain, label=f"xconv on {backend}, {name}", formulation=name)
            for name in _forms(session.arena, plain)
        ]
        contenders += [
            replace(plain, label=f"xconv on {backend}, compiled", mode="compiled"),
            replace(plain, label=f"xconv on {backend}, channels first", channels="first"),
        ]
    contenders += theirs(layer, "forward", peers)
    both = [*contenders, *(replace(c, direction="forward+backward") for c in contenders if _can_train(c, peers))]
    return replace(found, contenders=tuple(both)).of(direction)


def _can_train(contender: Contender, peers: Sequence[Peer]) -> bool:
    named = [peer for peer in peers if peer.name == contender.peer]
    return not contender.way or named[0].takes(contender.layer, "forward+backward")


def _forms(arena: Arena, contender: Contender) -> list[str]:
    answer = arena.ask(contender, do="formulations", layer=contender.request()["layer"])
    found: list[str] = answer.get("formulations", [])
    return found[:MOST_FORMULATIONS]

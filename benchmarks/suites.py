"""What the suites have in common: contenders for every backend and direction."""

from __future__ import annotations

from collections.abc import Sequence

from xconv.bench import Contender, Layer

DIRECTIONS = ("forward", "forward+backward")


def everyone(
    layers: Sequence[tuple[str, Layer]], backends: Sequence[str], *, activation: str = "", signal: str = ""
) -> list[Contender]:
    """Each (word, layer) on each backend in each direction; the word tells the layers of one group apart."""
    return [
        Contender(" ".join(filter(None, (backend, word, direction))), backend, layer, direction, activation, signal)
        for direction in DIRECTIONS
        for word, layer in layers
        for backend in backends
    ]

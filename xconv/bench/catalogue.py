"""The catalogue: real layers as data, each with the paper it is from."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Annotated, Any, TypeAlias

from msgspec import Meta

from xconv.core.call import Call, resolve_all
from xconv.core.operations import Operation, find
from xconv.system.child import as_tuples
from xconv.system.validated import Size

TIERS = ("smoke", "default", "full")

Shape: TypeAlias = Annotated[tuple[Size, ...], Meta(min_length=3, max_length=4)]


@dataclass(frozen=True)
class Layer:
    """A layer of a known model. Shapes are channels last; ``chosen`` says which sizes are not the model's own.

    Attributes:
        name: of the layer.
        domain: what the model is for.
        source: where the sizes are from.
        operation: the name of the operation.
        x_shape: of the input with the batch.
        weight_shapes: of the kernel, or of both.
        options: as the operation takes them.
        tier: the smallest tier that it is in: "smoke", "default" or "full".
        chosen: which sizes are not the model's own.
    """

    name: str
    domain: str
    source: str
    operation: str
    x_shape: Shape
    weight_shapes: Annotated[tuple[Shape, ...], Meta(min_length=1, max_length=2)]
    options: dict[str, Any]
    tier: str
    chosen: Annotated[str, Meta(description="which sizes are not the model's own")] = ""

    def __post_init__(self) -> None:
        """What JSON made lists of are tuples again: the layer is the same before and after it was sent."""
        for name in ("options", "x_shape", "weight_shapes"):
            object.__setattr__(self, name, as_tuples(getattr(self, name)))

    @property
    def row(self) -> Operation:
        """The operation's row in the table."""
        return find(self.operation, "Layer")

    @property
    def calls(self) -> list[Call]:
        """The layer as calls: one, or two where it is separable."""
        return resolve_all(self.operation, self.x_shape, self.weight_shapes, **self.options)


@cache
def _all() -> tuple[Layer, ...]:
    data = json.loads(files("xconv.bench").joinpath("catalogue.json").read_text("utf-8"))
    return tuple(
        Layer(
            name=entry["name"],
            domain=entry["domain"],
            source=entry["source"],
            operation=entry["operation"],
            x_shape=entry["x"],
            weight_shapes=entry["weights"],
            options=entry["options"],
            tier=entry["tier"],
            chosen=entry.get("chosen", ""),
        )
        for entry in data["cases"]
    )


def catalogue(tier: str = "full") -> list[Layer]:
    """The layers of a tier and of the smaller ones.

    >>> [layer.name for layer in catalogue("smoke")][:2]
    ['seed_long', 'seed_short']
    >>> len(catalogue("full")) > len(catalogue("default")) > len(catalogue("smoke"))
    True
    """
    within = TIERS[: TIERS.index(tier) + 1]
    return [layer for layer in _all() if layer.tier in within]

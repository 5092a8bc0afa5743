"""A model as neutral layers, in the order in which they run: what is the same for every framework."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol

from xconv.models.flattening import Flattening, Seen, flattenings
from xconv.models.neutral import Layer, Numbers

Make = Callable[[int, Seen | None, Flattening | None], Layer]
"""The layer of a number in neutral form, with how it ran and what its features were flattened from."""


class Run(Protocol):
    """A model that is run on zeros while its layers are watched."""

    def watched(self) -> Sequence[tuple[Any, Seen]]:
        """The layers without parts in the order in which they run."""

    def sent(self, sender: int, values: Numbers) -> Mapping[int, Numbers]:
        """The features that each later layer gets if the result of the sender is this, channels last."""


def as_run(
    owners: Sequence[Any], run: Run, make: Make, shape: tuple[int, ...]
) -> tuple[tuple[Layer, ...], bool | None]:
    """The layers in the order of their first run, and whether the model's first input, of a shape, is channels last.

    ``owners`` are the framework's layers that hold the weights, as they are registered; what did not run comes last.
    """
    events = run.watched()
    seen = [one for _, one in events]
    flat = flattenings(seen, run.sent)
    first: dict[int, int] = {}
    for i, (owner, _) in enumerate(events):
        first.setdefault(id(owner), i)
    at = [first.get(id(owner), len(events)) for owner in owners]
    order = sorted(range(len(owners)), key=lambda number: (at[number], number))
    made = []
    for number in order:
        ran = at[number] < len(events)
        made.append(make(number, seen[at[number]] if ran else None, flat.get(at[number])))
    return tuple(made), _channels_last(seen, shape)


def as_registered(count: int, make: Make) -> tuple[Layer, ...]:
    """The layers of a model that was not run."""
    layers = [make(number, None, None) for number in range(count)]
    doubt = "its features may be flattened from the convolutions before it, in the framework's own order"
    after = False
    for i, layer in enumerate(layers):
        if layer.kind == "dense" and after:
            layers[i] = replace(layer, doubt=doubt)
        after = after or layer.kind in ("conv", "conv_transpose")
    return tuple(layers)


def _channels_last(seen: Sequence[Seen], shape: tuple[int, ...]) -> bool | None:
    """How the input lies, by what the first layer that knows channels gets of it."""
    first = next((one for one in seen if one.knows_channels), None)
    if first is None or len(shape) < 2:
        return None
    ways = {True: first.given, False: (first.given[-1], *first.given[:-1])}
    own = not first.channels_first
    return own if shape == ways[own] else not own if shape == ways[not own] else None

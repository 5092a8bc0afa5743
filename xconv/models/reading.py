"""A model as neutral layers, in the order in which they run: what is the same for every framework."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol

from xconv.models.flattening import THROUGH, Flattening, LayerShapes, flattenings
from xconv.models.neutral import NeutralLayer, Numbers, Reading

Make = Callable[[int, LayerShapes | None, Flattening | None], NeutralLayer]
"""The layer of a number in neutral form, with how it ran and what its features were flattened from."""


class WatchedModel(Protocol):
    """A model that is run on zeros while its layers are watched."""

    def watched(self) -> Sequence[tuple[Any, LayerShapes]]:
        """The layers without parts in the order in which they run."""

    def sent(self, sender: int, values: Numbers) -> Mapping[int, Numbers]:
        """The features that each later layer gets if the result of the sender is this, channels last."""


def as_run(
    owners: Sequence[Any], run: WatchedModel, make: Make, shape: tuple[int, ...]
) -> tuple[tuple[NeutralLayer, ...], bool | None]:
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


def read(
    owners: Sequence[Any],
    shapes: Sequence[tuple[int, ...]] | None,
    run: Callable[[Sequence[tuple[int, ...]]], WatchedModel],
    make: Make,
    vocabulary: int | None,
    dtype: str,
) -> Reading:
    """A model that is run on inputs of these shapes (without the batch), or, without shapes, as it is registered."""
    if shapes is None:
        return Reading(as_registered(len(owners), make), None, vocabulary, dtype)
    layers, channels_last = as_run(owners, run(shapes), make, shapes[0])
    return Reading(layers, channels_last, vocabulary, dtype)


def sent(
    run: Callable[[Callable[[Any, Any, Any], Any]], None],
    sender: int,
    replaced: Callable[[Any], Any],
    features: Callable[[Any], Numbers],
    passing: Callable[[Any], str],
) -> dict[int, Numbers]:
    """The features that each later layer gets if a layer's result is another one.

    Args:
        run: the model, with a function of (layer, given, gave) whose result stands in for ``gave`` unless it is None.
        sender: the layer's number, in the order in which they run.
        replaced: from its result to the other one.
        features: of an input of rank 2, the numbers of its first sample.
        passing: the kind of a layer; what each number alone goes through gives back what it got.
    """
    found: dict[int, Numbers] = {}
    count = -1

    def send(layer: Any, given: Any, gave: Any) -> Any:
        nonlocal count
        count += 1
        if count == sender:
            return replaced(gave)
        if count < sender:
            return None
        if len(given.shape) == 2:
            found[count] = features(given)
        return given if passing(layer) in THROUGH and given.shape == gave.shape else None

    run(send)
    return found


def channels_last(shape: tuple[int, ...], first: bool) -> tuple[int, ...]:
    """A shape without the batch whose channels are first, or last already.

    >>> channels_last((3, 8, 9), True), channels_last((8, 9, 3), False)
    ((8, 9, 3), (8, 9, 3))
    """
    return (*shape[1:], shape[0]) if first and shape else shape


def as_registered(count: int, make: Make) -> tuple[NeutralLayer, ...]:
    """The layers of a model that was not run."""
    layers = [make(number, None, None) for number in range(count)]
    doubt = "its features may be flattened from the convolutions before it, in the framework's own order"
    after = False
    for i, layer in enumerate(layers):
        if layer.kind == "dense" and after:
            layers[i] = replace(layer, doubt=doubt)
        after = after or layer.kind in ("conv", "conv_transpose")
    return tuple(layers)


def _channels_last(seen: Sequence[LayerShapes], shape: tuple[int, ...]) -> bool | None:
    """How the input lies, by what the first layer that knows channels gets of it."""
    first = next((one for one in seen if one.knows_channels), None)
    if first is None or len(shape) < 2:
        return None
    ways = {True: first.given, False: (first.given[-1], *first.given[:-1])}
    own = not first.channels_first
    return own if shape == ways[own] else not own if shape == ways[not own] else None

"""Which layers of two models belong together, and whether one can hold what the other has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from xconv.core.bounds import round_to
from xconv.models.neutral import IDENTITY, ORDER, NeutralLayer, Numbers
from xconv.system.errors import ArgumentError, nearest

OPERATION = "port_weights"

Pair = tuple[NeutralLayer, NeutralLayer]
"""A layer of the source, and the one of the target that gets its weights."""


def matched(
    source: Sequence[NeutralLayer], target: Sequence[NeutralLayer], names: Mapping[str, str] | None
) -> list[Pair]:
    """The layers with weights of two models, by name or by their order.

    Raises:
        ArgumentError: a layer has no partner, or one of another kind or shape.
    """
    if names is not None:
        pairs = [(_named(source, one, "source"), _named(target, other, "target")) for one, other in names.items()]
    else:
        pairs = _in_order(source, target)
    for pair in pairs:
        found = misfit(*pair)
        if found is not None:
            raise found
    return pairs


def leaks(source: Sequence[NeutralLayer], target: Sequence[NeutralLayer]) -> list[Pair]:
    """Layers without weights that have a setting, where both models have as many."""
    one, other = ([layer for layer in layers if _is_bare(layer)] for layers in (source, target))
    fits = len(one) == len(other) and all(a.kind == b.kind for a, b in zip(one, other, strict=True))
    return list(zip(one, other, strict=True)) if fits else []


def misfit(source: NeutralLayer, target: NeutralLayer) -> ArgumentError | None:
    """Why the weights of one layer cannot be another one's: its kind, shapes or groups; None if they can."""
    for layer, argument in ((source, "source"), (target, "target")):
        if layer.kind == "unknown":
            expected = "a convolution, dense layer, norm, embedding or PReLU"
            return _error(argument, f"{layer}: {layer.doubt}", expected, "leave it out by naming all others in names=")
    if source.kind != target.kind:
        got, hint = f"{_what(target)}", "layers are matched in the order in which they run; pair them by names="
        return _error("target", got, f"a partner of {_what(source)} of the source", hint)
    # an array may be missing on one side, which stands for zeros or ones
    for name in (name for name in source.arrays if name in target.arrays):
        one, other = source.arrays[name].shape, target.arrays[name].shape
        if one != other and name != "alpha":
            order = f" {ORDER[source.kind]}" if name in ("kernel", "table") else ""
            return _error(
                "target",
                f"{target} with a {name} of shape {other}{order}",
                f"{one}, as source {source} has it",
                _how_to_fit(source, target, name),
            )
    return None


def fitted(source: NeutralLayer, target: NeutralLayer) -> dict[str, Numbers]:
    """The source's arrays as the target needs them.

    Raises:
        ArgumentError: the target cannot hold them: it has no bias, a PReLU of fewer numbers, a narrower dtype.
    """
    for name, array in source.arrays.items():
        if name not in target.arrays and not (array == IDENTITY.get(name)).all():
            got, expected = f"{target} without {name}", f"one with it, as source {source} has"
            raise ArgumentError(OPERATION, "target", got, expected, f"build it with {_WITH.get(name, name)}")
    made = {}
    for name, own in target.arrays.items():
        array = source.arrays[name] if name in source.arrays else np.full(own.shape, IDENTITY[name], own.dtype)
        if name == "alpha":
            array = _alpha(source, target, array, own.shape)
        if not np.array_equal(round_to(target.dtype, array), array, equal_nan=True):
            raise ArgumentError(
                OPERATION,
                "target",
                f"{target} in {target.dtype}, which does not hold {name} exactly",
                f"at least {source.dtype}, as source {source} has it",
                "cast the source to the narrower dtype first, so that what is lost is seen there",
            )
        made[name] = array
    return made


def written(source: NeutralLayer, target: NeutralLayer) -> NeutralLayer:
    """The target's layer as it will be, with the source's weights and the settings that belong to them."""
    settings = {name: source.options[name] for name in ("epsilon", "slope") if name in source.options}
    return replace(target, arrays=fitted(source, target), options={**target.options, **settings})


def _error(*parts: str) -> ArgumentError:
    error: ArgumentError = ArgumentError(OPERATION, *parts)
    return error


_WITH = {
    "bias": "a bias (bias=True, use_bias=True)",
    "beta": "a shift (affine=True, center=True)",
    "gamma": "a scale (affine=True, scale=True)",
}


def _in_order(source: Sequence[NeutralLayer], target: Sequence[NeutralLayer]) -> list[Pair]:
    """In the order in which they run; where that does not fit, in that in which they are registered."""
    ran = [[layer for layer in layers if not _is_bare(layer)] for layers in (source, target)]
    registered = [sorted(layers, key=lambda layer: layer.number) for layers in ran]
    for one, other in (ran, registered):
        pairs = list(zip(one, other, strict=False))
        if len(one) == len(other) and all(misfit(*pair) is None for pair in pairs):
            return pairs
    one, other = ran
    pairs = list(zip(one, other, strict=False))
    wrong = next((error for error in (misfit(*pair) for pair in pairs) if error is not None), None)
    if wrong is not None:
        raise wrong
    longer, where = (one, "target") if len(one) > len(other) else (other, "source")
    raise ArgumentError(
        OPERATION,
        where,
        f"{min(len(one), len(other))} layers with weights, all of which have a partner",
        f"{len(longer)}: a partner of {_what(longer[len(pairs)])}",
        "names= says which layers belong together, and leaves out the others",
    )


def _named(layers: Sequence[NeutralLayer], path: Any, whose: str) -> NeutralLayer:
    by_path = {layer.path: layer for layer in layers}
    if path not in by_path:
        known = nearest(str(path), by_path) or f"its layers with weights are {', '.join(map(repr, by_path))}"
        raise ArgumentError(OPERATION, "names", repr(path), f"a layer with weights of the {whose}", known)
    return by_path[path]


def _is_bare(layer: NeutralLayer) -> bool:
    return not layer.arrays and layer.kind != "unknown"


def _what(layer: NeutralLayer) -> str:
    shapes = ", ".join(f"{name} {array.shape}" for name, array in layer.arrays.items())
    return f"{layer} with {shapes}"


def _how_to_fit(source: NeutralLayer, target: NeutralLayer, name: str) -> str:
    if source.kind == "dense" and name == "kernel" and source.arrays[name].shape[1] == target.arrays[name].shape[1]:
        seen = [str(layer.flattened or layer.arrays[name].shape[:1]) for layer in (source, target)]
        return f"the features come from {seen[0]} in the source and from {seen[1]} in the target: is the input as long?"
    if source.kind == "conv" and source.options.get("groups") != target.options.get("groups"):
        return f"the source has groups={source.options.get('groups')}, the target {target.options.get('groups')}"
    return "build it with the sizes of the source; if it is another layer's partner, pair them by names="


def _alpha(source: NeutralLayer, target: NeutralLayer, array: Numbers, shape: tuple[int, ...]) -> Numbers:
    """A PReLU's slopes: what is shared on one side is repeated on the other, or all the same there."""
    rank = max(array.ndim, len(shape))
    one, other = ((1,) * (rank - len(sizes)) + sizes for sizes in (array.shape, shape))
    wide = array.reshape(one)
    for axis, (have, want) in enumerate(zip(one, other, strict=True)):
        first = np.take(wide, [0], axis)
        if have == want:
            continue
        if want == 1 and np.array_equal(np.broadcast_to(first, wide.shape), wide):
            wide = first
        elif have != 1:
            raise ArgumentError(
                OPERATION,
                "target",
                f"{target} with slopes of shape {shape}, channels last",
                f"{array.shape}, as source {source} has it",
                "one slope for each channel is PReLU(num_parameters=C), and PReLU(shared_axes=[1]) on (N, W, C)",
            )
    return np.array(np.broadcast_to(wide, other)).reshape(shape)

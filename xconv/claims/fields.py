"""What stacked layers see, what they cost beside dense ones, and what becomes of a pattern that moves."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from xconv.claims.result import Asked, ClaimOutcome, Trial, differing, told
from xconv.core.registry import get_backend
from xconv.models.field_report import receptive_field
from xconv.models.initial import initial_weights
from xconv.models.networks import network
from xconv.models.spec import Conv1D, Dense, Flatten, MaxPool, Network
from xconv.models.training import predict

LENGTH = 100
STACKS = (
    Network("kernel 3, kernel 3", (LENGTH, 1), (Conv1D(2, 3), Conv1D(2, 3))),
    Network("kernel 5, kernel 3", (LENGTH, 1), (Conv1D(2, 5), Conv1D(2, 3))),
    Network("kernel 3 stride 2, kernel 3", (LENGTH, 1), (Conv1D(2, 3, stride=2), Conv1D(2, 3))),
    Network("kernel 3, pool 2, kernel 3, pool 2", (LENGTH, 1), (Conv1D(2, 3), MaxPool(2), Conv1D(2, 3), MaxPool(2))),
    Network("kernel 3, kernel 3 dilation 4", (LENGTH, 1), (Conv1D(2, 3), Conv1D(2, 3, dilation=4))),
)
GROWN = ((STACKS[0], STACKS[1]), (STACKS[0], STACKS[2]))
"""Two networks of which the second has a larger kernel, or a larger stride."""


def growing(
    asked: Asked, stacks: Sequence[Network] = STACKS, grown: Sequence[tuple[Network, Network]] = GROWN, depth: int = 10
) -> ClaimOutcome:
    """Change each element of the input in turn, see which outputs change, and compare with the formula."""
    trials: list[Trial] = []
    for one in stacks:
        formula = one.resolved[-1].receptive_field[0]
        for name in asked.backends:
            seen, said = _seen(one, name), _said(one, name)
            found = f"{seen} are seen, and {said} told of the model"
            trials.append(Trial(f"{name}: {one.name}", f"{formula} by the formula", found, seen == said == formula))
    for small, large in grown:
        before, after = (each.resolved[-1].receptive_field[0] for each in (small, large))
        trials.append(Trial(f"{small.name} to {large.name}", "grows", f"from {before} to {after}", after > before))
    deep = Network("deep", (1000, 1), tuple(Conv1D(1, 3) for _ in range(depth)))
    fields = [1, *(one.receptive_field[0] for one in deep.resolved)]
    steps = sorted({b - a for a, b in pairwise(fields)})
    found = f"{', '.join(map(str, steps))} each, {fields[-1]} in all"
    trials.append(
        Trial(f"{depth} layers of kernel 3, stride 1", "each adds as little as the first", found, steps == [2])
    )
    sentence = (
        "It is 1 + sum((k - 1) * d * product of the earlier strides), as the outputs that change show: "
        f"{depth} layers of kernel 3 see {fields[-1]} elements."
    )
    return ClaimOutcome(tuple(trials), sentence)


def _seen(one: Network, backend: str) -> int:
    """Elements from the first to the last that the middle output depends on; no weight is below zero, nor any input."""
    weights = {name: np.abs(array) + 0.1 for name, array in initial_weights(one).items()}
    length = one.input_shape[0]
    x = np.concatenate([np.zeros((1, length, 1)), np.eye(length)[:, :, None]]).astype("float32")
    y = predict(one, weights, x, backend)
    middle = y.shape[1] // 2
    places = np.flatnonzero((y[1:, middle] != y[0, middle]).any(axis=-1))
    return int(places[-1] - places[0] + 1)


def _said(one: Network, backend: str) -> Any:
    module = get_backend(backend).module("models.networks")
    shape = (1, *one.input_shape) if module.LAYOUTS[3] == "NWC" else (1, *one.input_shape[::-1])
    return receptive_field(module.build(one, initial_weights(one)), shape).size


PAIRS = (
    (network("pattern_conv"), network("pattern_mlp")),
    (network("single"), Network("MLP", (20, 1), (Flatten(), Dense(32, "relu"), Dense(10, "softmax")))),
    (network("stacked"), Network("MLP", (100, 1), (Flatten(), Dense(128, "relu"), Dense(10, "softmax")))),
    (
        Network("the first layer of stacked", (100, 1), (Conv1D(64, 3),)),
        Network("a dense layer to as many values", (100, 1), (Flatten(), Dense(98 * 64))),
    ),
)
"""Networks with convolutions, and MLPs with as many hidden units as those have filters, or as many results."""


def fewer_parameters(asked: Asked, pairs: Sequence[tuple[Network, Network]] = PAIRS) -> ClaimOutcome:
    """Count the parameters of whole networks, heads included."""
    del asked
    trials = [
        Trial(
            f"{conv.name} against {'an MLP' if mlp.name == 'MLP' else mlp.name}",
            f"fewer than {mlp.parameters:,}",
            f"{conv.parameters:,}",
            conv.parameters < mlp.parameters,
        )
        for conv, mlp in pairs
    ]
    held = sum(bool(trial.holds) for trial in trials)
    stacked = network("stacked")
    head = stacked.resolved[-1]
    sentence = (
        f"{held} of {len(trials)} have fewer. What sits behind the convolution decides: of the "
        f"{stacked.parameters:,} parameters of 'stacked' {head.parameters:,} are in its dense layer."
    )
    return ClaimOutcome(tuple(trials), sentence)


MOVED = (
    (Conv1D(4, 9), 20),
    (Conv1D(4, 9, stride=4), 20),
    (Conv1D(4, 9, stride=4), 6),
    (Conv1D(4, 9, padding="same"), 59),
)
"""A layer, and by how far a pattern moves: inside, by whole strides, by part of one, and up to the end."""


def translation(asked: Asked, moved: Sequence[tuple[Conv1D, int]] = MOVED) -> ClaimOutcome:
    """Move a pattern of nine samples, and compare the results where they see it."""
    trials: list[Trial] = []
    alike: dict[bool, dict[str, None]] = {}
    for layer, by in moved:
        one = Network("one", (LENGTH, 1), (layer,))
        x = np.zeros((2, LENGTH, 1), "float32")
        first = 32
        pattern = np.random.default_rng(0).integers(1, 9, 9)
        x[0, first : first + 9, 0] = pattern
        x[1, first + by : first + by + 9, 0] = pattern
        rng = np.random.default_rng(1)
        # integers, so that what is the same is the same in every bit
        weights = {name: rng.integers(-8, 9, a.shape).astype("float32") for name, a in initial_weights(one).items()}
        low = one.resolved[0].pads[0][0]
        reach = range(-(-(first + low - 8) // layer.stride), (first + low + 8) // layer.stride + 1)
        step = by // layer.stride
        for name in asked.backends:
            early, late = predict(one, weights, x, name)
            inside = [place for place in reach if place + step < len(late)]
            different = differing(early[list(reach)], late[[place + step for place in inside]])
            what = f"stride {layer.stride}, padding {layer.padding!r}, moved by {by}"
            alike.setdefault(different == 0, {})[what] = None
            found = (
                "a part of the answer is beyond the border"
                if different is None
                else told(different, early[list(reach)].size)
            )
            trials.append(Trial(f"{name}: {what}", f"the same, {by / layer.stride:g} places on", found, different == 0))
    said = (True, "moves along"), (False, "does not")
    sides = [f"{words}: {'; '.join(alike[same])}" for same, words in said if same in alike]
    return ClaimOutcome(tuple(trials), f"The answer to nine samples of {LENGTH} {', and '.join(sides)}.")

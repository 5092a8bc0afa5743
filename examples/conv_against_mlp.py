"""A convolution against an MLP: parameters, what an output sees, and a pattern that moves.

python examples/conv_against_mlp.py
"""

from __future__ import annotations

from typing import Any

import numpy as np
from tabulate import tabulate

from xconv import models
from xconv.models import Adam, Conv1D, MaxPool, Network

BACKENDS = ("torch", "tensorflow")


def patterns(rng: np.random.Generator, count: int, first: int, last: int) -> tuple[Any, Any]:
    """(N, 100, 1): one of three patterns of nine samples, which begins from first to last, in a little noise."""
    t = np.arange(9) / 8
    shapes = np.stack([np.sin(2 * np.pi * t), np.cos(2 * np.pi * t), np.sin(4 * np.pi * t)])
    labels = rng.integers(0, 3, count)
    x = rng.normal(0, 0.1, (count, 100, 1))
    for i, (label, start) in enumerate(zip(labels, rng.integers(first, last + 1, count), strict=True)):
        x[i, start : start + 9, 0] += shapes[label]
    return x.astype("float32"), labels


def features_move_along() -> str:
    """The first layer's result for a pattern, and for the same pattern 20 samples later, away from the borders."""
    layer = Network("layer", (100, 1), models.network("pattern_conv").layers[:1])
    x = np.zeros((2, 100, 1), "float32")
    x[0, 30:39, 0] = x[1, 50:59, 0] = np.random.default_rng(0).standard_normal(9)
    apart = []
    for backend in BACKENDS:
        early, late = models.predict(layer, models.initial_weights(layer), x, backend)
        assert early[22:39].any()
        apart.append(f"{np.abs(early[22:39] - late[42:59]).max():g} in {backend}")
    return "the answer moves along with the pattern; largest difference: " + ", ".join(apart)


def accuracies(backend: str) -> list[list[Any]]:
    """Trained on patterns in the first half; right answers there, and in the second half."""
    rng = np.random.default_rng(1)
    x, labels = patterns(rng, 300, 0, 40)
    tests = patterns(rng, 500, 0, 40), patterns(rng, 500, 51, 91)
    rows = []
    for name in ("pattern_conv", "pattern_mlp"):
        network = models.network(name)
        done = models.train(
            network, models.initial_weights(network, 1), x, np.eye(3, dtype="float32")[labels],
            loss="categorical_crossentropy", optimizer=Adam(0.01), steps=300, batch=50, backend=backend,
        )  # fmt: skip
        right = [(models.predict(network, done.weights, a, backend).argmax(-1) == b).mean() for a, b in tests]
        rows.append([name, network.parameters, network.macs, backend, *(f"{100 * one:.1f}" for one in right)])
    return rows


def main() -> None:
    """Print what is counted, and what is measured."""
    conv, mlp = (models.network(name) for name in ("pattern_conv", "pattern_mlp"))
    print(models.summary(conv, mlp))
    first = conv.resolved[0]
    width = int(np.prod(first.output_shape))
    print(
        f"\na dense layer from 100 to the convolution's {width:,} values would have {100 * width + width:,} parameters"
    )
    print(f"instead of {first.parameters}\n")
    layers = Conv1D(8, 3), Conv1D(8, 3), Conv1D(8, 3, stride=2), MaxPool(2), Conv1D(8, 3), Conv1D(8, 3, dilation=4)
    print(models.summary(Network("stacked, strided, pooled, dilated", (100, 1), layers)))
    print("\n" + features_move_along() + "\n")
    headers = ["network", "parameters", "MACs", "framework", "seen places (%)", "places never seen (%)"]
    print(tabulate([row for backend in BACKENDS for row in accuracies(backend)], headers, intfmt=","))


if __name__ == "__main__":
    main()

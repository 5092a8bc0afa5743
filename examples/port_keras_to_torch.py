"""A Keras model's weights in a torch model: ported, compared, and what goes wrong by hand.

python examples/port_keras_to_torch.py

Both models are written as their frameworks' users write them. Padding "same" with a stride needs (0, 1) zeros at this
length, which torch's ``padding=1`` does not give; and torch flattens channels first, so that the transposed matrix of
the dense layer has the right shape and its rows in the wrong order. ``xconv.port_weights`` knows both.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import torch
from torch import nn

import xconv
from xconv.testing import assert_parity, compare


def in_keras() -> Any:
    """(N, 100, 3) to ten classes."""
    return keras.Sequential(
        [
            keras.Input((100, 3)),
            keras.layers.Conv1D(16, 5, padding="causal", activation="relu", name="causal"),
            keras.layers.BatchNormalization(name="norm"),
            keras.layers.Conv1D(32, 3, strides=2, padding="same", activation="relu", name="down"),
            keras.layers.Flatten(),
            keras.layers.Dense(10, name="head"),
        ]
    )


def in_torch() -> nn.Sequential:
    """The same for (N, 3, 100)."""
    causal, down = nn.Conv1d(3, 16, 5), nn.Conv1d(16, 32, 3, stride=2)
    front = nn.ConstantPad1d((4, 0), 0.0), causal, nn.ReLU(), nn.BatchNorm1d(16)
    return nn.Sequential(*front, nn.ConstantPad1d((0, 1), 0.0), down, nn.ReLU(), nn.Flatten(), nn.Linear(32 * 50, 10))


def main() -> None:
    """Port, check, and show what the plain transposition of the last matrix would have done."""
    keras.utils.set_random_seed(0)
    source, target = in_keras(), in_torch()
    print(xconv.port_weights(source, target))
    x = np.random.default_rng(0).standard_normal((8, 100, 3)).astype("float32")
    found = assert_parity(source, target, x, layouts=("NWC", "NCW"), gradients=False)
    print(f"\nanother batch agrees: {found.ok}")

    head = target[-1]
    assert isinstance(head, nn.Linear)
    with torch.no_grad():
        head.weight.copy_(torch.from_numpy(source.get_layer("head").get_weights()[0].T))
    by_hand = compare(source, target, x, layouts=("NWC", "NCW"), gradients=False)
    print(f"with the last matrix only transposed: {by_hand.ok}, off by {by_hand.rows[0].error:.2f}")
    assert not by_hand.ok


if __name__ == "__main__":
    main()

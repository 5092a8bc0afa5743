"""Weights from torch to Keras and back: every row of the table, both ways, bit for bit; and what does not fit."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
import pytest
import torch
from keras import layers
from torch import nn
from torch.nn import functional as F

import xconv

pytestmark = pytest.mark.filterwarnings("ignore:.*__array__ implementation:DeprecationWarning")


def shuffled(model: Any, seed: int = 0) -> Any:
    """The model with random numbers everywhere, variances above zero."""
    rng = np.random.default_rng(seed)
    if isinstance(model, nn.Module):
        for name, value in model.state_dict().items():
            if value.is_floating_point():
                numbers = rng.uniform(0.5, 1.5, tuple(value.shape)) * (1 if "var" in name else rng.choice([-1, 1], 1))
                value.copy_(torch.from_numpy(numbers))
        return model.eval()
    for variable in model.variables:
        if "seed" not in variable.name:
            numbers = rng.uniform(0.5, 1.5, tuple(variable.shape))
            variable.assign(numbers * (1 if "variance" in variable.name else rng.choice([-1, 1])))
    return model


def state(model: Any) -> list[np.ndarray]:
    if isinstance(model, nn.Module):
        return [value.detach().to(torch.float64).numpy().copy() for value in model.state_dict().values()]
    return [np.array(keras.ops.convert_to_numpy(value)).astype(np.float64) for value in model.weights]


def same(one: list[np.ndarray], other: list[np.ndarray]) -> bool:
    return len(one) == len(other) and all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


def sequential(shape: tuple[int, ...], *parts: Any) -> Any:
    return keras.Sequential([keras.Input(shape, dtype=keras.config.dtype_policy().compute_dtype), *parts])


class Permuted(nn.Module):
    """A convolution whose result is flattened position by position, as Keras does."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.head = nn.Conv1d(3, 4, 3), nn.Linear(6 * 4, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = self.head(torch.tanh(self.conv(x)).permute(0, 2, 1).flatten(1))
        return y


class Pooled(nn.Module):
    """Everything but the weights in functions, as many models are written."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c = nn.Conv2d(2, 3, 3), nn.Linear(3 * 2 * 3, 6), nn.Linear(6, 6)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.max_pool2d(F.gelu(self.a(x)), 2)
        y: torch.Tensor = self.c(F.relu(self.b(x.view(x.shape[0], -1))))
        return y


Rows = dict[str, tuple[tuple[int, ...], Callable[[], Any], Callable[[], Any]]]
ROWS: Rows = {
    "conv1d, grouped": (
        (4, 12),
        lambda: nn.Sequential(nn.Conv1d(4, 6, 3, groups=2, dilation=2)),
        lambda: sequential((12, 4), layers.Conv1D(6, 3, groups=2, dilation_rate=2)),
    ),
    "conv2d": (
        (2, 7, 8),
        lambda: nn.Sequential(nn.Conv2d(2, 3, (2, 3), stride=(2, 1))),
        lambda: sequential((7, 8, 2), layers.Conv2D(3, (2, 3), strides=(2, 1))),
    ),
    "depthwise 1d": (
        (3, 9),
        lambda: nn.Sequential(nn.Conv1d(3, 6, 3, groups=3)),
        lambda: sequential((9, 3), layers.DepthwiseConv1D(3, depth_multiplier=2)),
    ),
    "depthwise 2d": (
        (3, 6, 7),
        lambda: nn.Sequential(nn.Conv2d(3, 6, (2, 3), groups=3)),
        lambda: sequential((6, 7, 3), layers.DepthwiseConv2D((2, 3), depth_multiplier=2)),
    ),
    "separable 1d": (
        (3, 9),
        lambda: nn.Sequential(nn.Conv1d(3, 6, 3, groups=3, bias=False, padding=1), nn.Conv1d(6, 4, 1)),
        lambda: sequential((9, 3), layers.SeparableConv1D(4, 3, depth_multiplier=2, padding="same")),
    ),
    "separable 2d": (
        (3, 6, 7),
        lambda: nn.Sequential(nn.Conv2d(3, 3, (2, 3), groups=3, bias=False), nn.Conv2d(3, 4, 1)),
        lambda: sequential((6, 7, 3), layers.SeparableConv2D(4, (2, 3))),
    ),
    "transposed 1d": (
        (3, 7),
        lambda: nn.Sequential(nn.ConvTranspose1d(3, 4, 4, stride=2, padding=1)),
        lambda: sequential((7, 3), layers.Conv1DTranspose(4, 4, strides=2, padding="same")),
    ),
    "transposed 2d": (
        (3, 5, 4),
        lambda: nn.Sequential(nn.ConvTranspose2d(3, 2, (3, 2), stride=(2, 1))),
        lambda: sequential((5, 4, 3), layers.Conv2DTranspose(2, (3, 2), strides=(2, 1))),
    ),
    "dense": ((5,), lambda: nn.Sequential(nn.Linear(5, 5)), lambda: sequential((5,), layers.Dense(5))),
    "dense along the last axis": (
        (6, 4),
        lambda: nn.Sequential(nn.Linear(4, 3)),
        lambda: sequential((6, 4), layers.Dense(3)),
    ),
    "flattened from 1d": (
        (3, 8),
        lambda: nn.Sequential(nn.Conv1d(3, 4, 3), nn.Sigmoid(), nn.Flatten(), nn.Linear(24, 24), nn.Linear(24, 2)),
        lambda: sequential(
            (8, 3),
            layers.Conv1D(4, 3, activation="sigmoid"),
            layers.Flatten(),
            layers.Dense(24),
            layers.Dense(2),
        ),
    ),
    "flattened from 2d, pooled in functions": (
        (2, 6, 8),
        Pooled,
        lambda: sequential(
            (6, 8, 2),
            layers.Conv2D(3, 3, activation="gelu"),
            layers.MaxPooling2D(2),
            layers.Flatten(),
            layers.Dense(6, activation="relu"),
            layers.Dense(6),
        ),
    ),
    "flattened position by position": (
        (3, 8),
        Permuted,
        lambda: sequential((8, 3), layers.Conv1D(4, 3, activation="tanh"), layers.Flatten(), layers.Dense(5)),
    ),
    "norms of flattened features": (
        (2, 4),
        lambda: nn.Sequential(
            nn.Conv1d(2, 3, 1), nn.Flatten(), *(nn.BatchNorm1d(12), nn.LayerNorm(12), nn.PReLU(12)), nn.Linear(12, 2)
        ),
        lambda: sequential(
            (4, 2),
            layers.Conv1D(3, 1),
            layers.Flatten(),
            layers.BatchNormalization(),
            layers.LayerNormalization(),
            layers.PReLU(),
            layers.Dense(2),
        ),
    ),
    "batch norm": (
        (3, 8),
        lambda: nn.Sequential(nn.Conv1d(3, 4, 3), nn.BatchNorm1d(4)),
        lambda: sequential((8, 3), layers.Conv1D(4, 3), layers.BatchNormalization()),
    ),
    "layer norm over the channels": (
        (6, 4),
        lambda: nn.Sequential(nn.LayerNorm(4)),
        lambda: sequential((6, 4), layers.LayerNormalization()),
    ),
    "layer norm over a whole map": (
        (3, 8),
        lambda: nn.Sequential(nn.Conv1d(3, 4, 3), nn.LayerNorm((4, 6))),
        lambda: sequential((8, 3), layers.Conv1D(4, 3), layers.LayerNormalization(axis=[1, 2])),
    ),
    "group norm": (
        (3, 8),
        lambda: nn.Sequential(nn.Conv1d(3, 4, 3), nn.GroupNorm(2, 4), nn.InstanceNorm1d(4, affine=True)),
        lambda: sequential(
            (8, 3), layers.Conv1D(4, 3), layers.GroupNormalization(2), layers.GroupNormalization(groups=-1)
        ),
    ),
    "prelu with one slope a channel": (
        (3, 8),
        lambda: nn.Sequential(nn.Conv1d(3, 4, 3), nn.PReLU(4)),
        lambda: sequential((8, 3), layers.Conv1D(4, 3), layers.PReLU(shared_axes=[1])),
    ),
    "leaky relu": (
        (3, 8),
        lambda: nn.Sequential(nn.Conv1d(3, 4, 3), nn.LeakyReLU()),
        lambda: sequential((8, 3), layers.Conv1D(4, 3), layers.LeakyReLU()),
    ),
}


UNMOVED = ("dense along the last axis", "layer norm over the channels")
"""Rows whose data lies the same way in both frameworks."""

CLOSE = 1e-7
"""In float64, where sums of some ten products are off by 1e-14, and TensorFlow's gelu by 1e-8 (it holds the root of 2
in float32). Weights in a wrong order are off by as much as the numbers themselves."""


def outputs(model: Any, x: np.ndarray, moved: bool) -> np.ndarray:
    """On an input as torch takes it, the result as torch gives it."""
    if isinstance(model, nn.Module):
        with torch.no_grad():
            found: np.ndarray = model(torch.from_numpy(x)).numpy()
            return found
    y = np.array(model(np.moveaxis(x, 1, -1) if moved else x, training=False))
    return np.moveaxis(y, -1, 1) if moved and y.ndim > 2 else y


@pytest.fixture
def in_float64() -> Iterator[None]:
    """Keras layers that are made are in float64."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("float64")
    yield
    keras.config.set_dtype_policy(before)


@pytest.mark.usefixtures("in_float64")
@pytest.mark.parametrize("row", ROWS)
def test_a_row_of_the_table(row: str) -> None:
    """Both ways; back again the numbers are the same, bit for bit."""
    shape, by_torch, by_keras = ROWS[row]
    moved = row not in UNMOVED
    x = np.random.default_rng(3).standard_normal((2, *shape))
    makers = (lambda: by_torch().double()), by_keras
    for there, back in (makers, makers[::-1]):
        source, target, again = shuffled(there(), 1), shuffled(back(), 2), shuffled(there(), 3)
        given = (*shape[1:], shape[0]) if moved and not isinstance(source, nn.Module) else shape
        before, wanted = state(source), outputs(source, x, moved)
        assert not same(before, state(again))
        found = xconv.port_weights(source, target, input_shape=given, check=False)
        np.testing.assert_allclose(outputs(target, x, moved), wanted, rtol=CLOSE, atol=CLOSE)
        xconv.port_weights(target, again, check=False)
        assert same(state(source), before)
        assert same(state(again), before)
        np.testing.assert_array_equal(outputs(again, x, moved), wanted)
        assert all(row.kind and row.source and row.target for row in found.rows)

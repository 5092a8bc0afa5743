"""Weights from torch to Keras and back: every row of the table, both ways, bit for bit; and what does not fit."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import keras
import numpy as np
import pytest
import torch
from keras import layers
from torch import nn
from torch.nn import functional as F

import xconv
from tests.ported import original, port
from xconv.core.bounds import UNIT_ROUNDOFF, gamma
from xconv.models import matching
from xconv.models.neutral import NeutralLayer
from xconv.testing import ParityError

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


def sequential(shape: tuple[int | None, ...], *parts: Any) -> Any:
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

OPERATIONS = 1000
"""More than lie between an input and an output of any row: in float64 that many roundings make 1e-13."""

FLOAT32_CONSTANT = ("flattened from 2d, pooled in functions", "leaky relu")
"""Rows whose functions hold a constant in float32 in TensorFlow (gelu's root of 2, the slope): off by its roundoff."""


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
    makers: list[Callable[[], Any]] = [lambda: by_torch().double(), by_keras]
    for there, back in (makers, makers[::-1]):
        source, target, again = shuffled(there(), 1), shuffled(back(), 2), shuffled(there(), 3)
        given = (*shape[1:], shape[0]) if moved and not isinstance(source, nn.Module) else shape
        before, wanted = state(source), outputs(source, x, moved)
        assert not same(before, state(again))
        found = xconv.port_weights(source, target, input_shape=given, check=False)
        close = UNIT_ROUNDOFF["float32"] if row in FLOAT32_CONSTANT else gamma(OPERATIONS, "float64")
        assert np.abs(outputs(target, x, moved) - wanted).max() <= close * max(np.abs(wanted).max(), 1.0)
        xconv.port_weights(target, again, check=False)
        assert same(state(source), before)
        assert same(state(again), before)
        np.testing.assert_array_equal(outputs(again, x, moved), wanted)
        assert all(row.kind and row.source and row.target for row in found.rows)


def test_a_whole_model_and_its_check() -> None:
    model, other = original(), shuffled(port(original()), 7)
    norm: Any = model[1]
    norm.eps = 2e-3
    found = xconv.port_weights(model, other, input_shape=(5, 40))
    assert found.parity.ok
    assert [(row.source, row.target, row.kind) for row in found.rows] == [
        ("0", "conv_a", "conv"),
        ("1", "norm_a", "batch_norm"),
        ("3", "conv_b", "conv"),
        ("4", "norm_b", "batch_norm"),
        ("8", "head", "dense"),
    ]
    text = str(found)
    for words in (
        "(out, in/groups, kernel) -> (kernel, in/groups, out)",
        "(6, 5, 3) -> (3, 5, 6)",
        "(out, (C, *spatial)) -> ((*spatial, C), out)",
        "epsilon 1e-05 is set to 0.002",
        "momentum 0.1 / 0.01 (used in training only)",
        "within bound",
    ):
        assert words in text
    assert other.get_layer("norm_a").epsilon == 2e-3
    # and back, where the Keras model knows its input
    again = shuffled(original(), 8).train()
    assert xconv.port_weights(other, again).parity.ok
    assert same(state(again), state(model))
    assert all(module.training for module in again.modules())
    assert not any(module._forward_hooks for module in again.modules())
    assert not any("call" in vars(layer) for layer in other._flatten_layers())


def test_a_wrong_flatten_order_is_named_by_the_check(monkeypatch: pytest.MonkeyPatch) -> None:
    """A plain transposition has the right shape."""
    monkeypatch.setattr("xconv.models.reading.flattenings", lambda seen, send: {})
    model = shuffled(nn.Sequential(nn.Conv1d(3, 4, 3), nn.Flatten(), nn.Linear(24, 2)), 1)
    other = shuffled(sequential((8, 3), layers.Conv1D(4, 3), layers.Flatten(), layers.Dense(2, name="head")), 2)
    before = state(other)
    with pytest.raises(ParityError, match="flatten order: f and g flatten their axes in different orders") as caught:
        xconv.port_weights(model, other)
    assert "the first to depart is '2' / 'head'" in str(caught.value)
    assert any("the target has its own weights again" in note for note in caught.value.__notes__)
    assert same(state(other), before)


def test_a_forgotten_epsilon_is_named_by_the_check(monkeypatch: pytest.MonkeyPatch) -> None:
    def without_settings(source: NeutralLayer, target: NeutralLayer) -> NeutralLayer:
        return replace(matching.written(source, target), options=target.options)

    monkeypatch.setattr("xconv.models.weights.written", without_settings)
    model = shuffled(nn.Sequential(nn.Conv1d(3, 4, 3), nn.BatchNorm1d(4)), 1)
    other = shuffled(sequential((9, 3), layers.Conv1D(4, 3), layers.BatchNormalization()), 2)
    before = state(other)
    with pytest.raises(ParityError, match=r"epsilon differs: 1e-05 / 0\.001"):
        xconv.port_weights(model, other)
    assert same(state(other), before)


def test_settings_are_put_back_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """The models differ in what no layer shows: the target must not keep the source's epsilon."""
    model = shuffled(nn.Sequential(nn.Conv1d(3, 4, 3), nn.BatchNorm1d(4), nn.LeakyReLU(), nn.Tanh()), 1)
    other = shuffled(sequential((9, 3), layers.Conv1D(4, 3), layers.BatchNormalization(), layers.LeakyReLU()), 2)
    before = state(other)
    with pytest.raises(ParityError):
        xconv.port_weights(model, other)
    assert same(state(other), before)
    assert other.layers[1].epsilon == 1e-3
    assert other.layers[2].negative_slope == pytest.approx(0.3)


def strided(padding: int = 1) -> Any:
    return shuffled(nn.Sequential(nn.Conv1d(3, 4, 3, stride=2, padding=padding)), 1)


def test_fixed_pads_are_checked_at_the_length() -> None:
    """'same' with a stride of 2 pads (1, 1) at 17 elements, and (0, 1) at 16."""
    at_17 = shuffled(sequential((17, 3), layers.Conv1D(4, 3, strides=2, padding="same")), 2)
    found = xconv.port_weights(at_17, strided(), check=False)
    assert found.rows[0].remark == "right at length 17; at 18 'same' would pad (0, 1), not (1, 1)"
    at_16 = shuffled(sequential((16, 3), layers.Conv1D(4, 3, strides=2, padding="same", name="down")), 2)
    target = strided()
    before = state(target)
    with pytest.raises(xconv.ArgumentError) as caught:
        xconv.port_weights(at_16, target)
    for words in (
        "'0' (Conv1d) with pads (1, 1) at length 16",
        "pads (0, 1) at length 16",
        "source 'down' (Conv1D) has them with padding 'same'",
        "the pads of 'same' depend on the length",
        "F.pad(x, (0, 1))",
    ):
        assert words in str(caught.value)
    assert same(state(target), before)
    padded = nn.Sequential(nn.ConstantPad1d((0, 1), 0.0), *strided(0).children())
    found = xconv.port_weights(at_16, padded)
    assert found.parity.ok
    assert found.rows[0].remark == "padded outside of the layer: it gets 17 elements instead of 16"
    with pytest.raises(xconv.ArgumentError, match=r"pads \(0, 1\) at length 16, 8 places.*pads \(1, 1\) at length 16"):
        xconv.port_weights(strided(), at_16)
    # a pad that no kernel reaches makes no difference
    unreached = shuffled(nn.Sequential(nn.Conv1d(3, 4, 2, stride=2, padding=0)), 1)
    xconv.port_weights(shuffled(sequential((16, 3), layers.Conv1D(4, 2, strides=2, padding="same"))), unreached)
    unknown = xconv.port_weights(
        sequential((None, 3), layers.Conv1D(4, 3, strides=2, padding="same")), strided(), check=False
    )
    assert unknown.rows[0].remark == "its pads were not compared: that takes input_shape"


class Sliced(nn.Module):
    def __init__(self, padding: int, cut: int) -> None:
        super().__init__()
        self.up, self.cut = nn.ConvTranspose1d(3, 4, 3, stride=2, padding=padding), cut

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = self.up(x)
        return y[..., : y.shape[-1] - self.cut]


def test_a_transposed_convolution_that_torch_must_slice() -> None:
    """Kernel 3, stride 2, 'same': the odd element is cropped at the high end, which no padding of torch's does."""
    model = shuffled(sequential((6, 3), layers.Conv1DTranspose(4, 3, strides=2, padding="same")))
    found = xconv.port_weights(model, shuffled(Sliced(0, 1)))
    assert found.parity.ok
    assert found.rows[0].remark == "gives 13 elements instead of 12; the rest must be sliced off"
    crops_one = shuffled(nn.Sequential(nn.ConvTranspose1d(3, 4, 3, stride=2, padding=1, output_padding=1)))
    with pytest.raises(xconv.ArgumentError, match=r"without its first 1 of 12 elements.*without its first 0"):
        xconv.port_weights(model, crops_one)


def halved(name: str) -> tuple[Any, Any]:
    """A small model of each framework in a dtype."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(name)
    by_keras = sequential(
        (40, 3),
        layers.Conv1D(4, 3),
        layers.MaxPooling1D(2),
        layers.BatchNormalization(),
        layers.Flatten(),
        layers.Dense(2),
    )
    keras.config.set_dtype_policy(before)
    by_torch = nn.Sequential(
        nn.Conv1d(3, 4, 3), nn.MaxPool1d(2), nn.BatchNorm1d(4), nn.Flatten(), nn.Linear(19 * 4, 2)
    ).to(getattr(torch, name))
    return shuffled(by_torch, 1), shuffled(by_keras, 2)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64"])
def test_dtypes(dtype: str) -> None:
    by_torch, by_keras = halved(dtype)
    before = state(by_torch)
    assert xconv.port_weights(by_torch, by_keras, input_shape=(3, 40)).parity.ok
    shuffled(by_torch, 5)
    found = xconv.port_weights(by_keras, by_torch, check=False)
    assert same(state(by_torch), before)
    assert "doubt" not in str(found)
    assert not any("not found" in row.remark for row in found.rows)


def test_a_narrower_target_is_refused_where_it_would_round() -> None:
    source, target = halved("float32")[0], halved("bfloat16")[1]
    before = state(target)
    with pytest.raises(xconv.ArgumentError, match="in bfloat16, which does not hold kernel exactly, expected at least"):
        xconv.port_weights(source, target, input_shape=(3, 40))
    assert same(state(target), before)
    assert xconv.port_weights(source.bfloat16().float(), target, input_shape=(3, 40)).parity.ok

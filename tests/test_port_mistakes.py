"""Models whose weights do not fit each other: both layers are named, and nothing is written. And matching itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
import torch
from keras import layers
from torch import nn

import xconv
from tests.test_port_weights import same, sequential, shuffled, state
from xconv.testing import assert_parity, on

pytestmark = pytest.mark.filterwarnings("ignore:.*__array__ implementation:DeprecationWarning")

Maker = Callable[[], Any]


def conv_and_dense(**options: Any) -> Any:
    return nn.Sequential(nn.Conv1d(3, 4, 3, **options), nn.Flatten(), nn.Linear(24, 2))


MISTAKES: dict[str, tuple[Maker, Maker, str]] = {
    "another shape": (
        conv_and_dense,
        lambda: sequential((8, 3), layers.Conv1D(5, 3, name="a"), layers.Flatten(), layers.Dense(2)),
        r"target: got 'a' \(Conv1D\) with a kernel of shape \(3, 3, 5\) \(kernel, in/groups, out\), expected"
        r" \(3, 3, 4\), as source '0' \(Conv1d\) has it.*build it with the sizes of the source",
    ),
    "another length": (
        conv_and_dense,
        lambda: sequential((8, 3), layers.Conv1D(4, 3, padding="same"), layers.Flatten(), layers.Dense(2)),
        r"the features come from \(6, 4\) in the source and from \(8, 4\) in the target: is the input as long\?",
    ),
    "another kind": (
        conv_and_dense,
        lambda: sequential(
            (8, 3), layers.Conv1D(4, 3), layers.BatchNormalization(name="n"), layers.Flatten(), layers.Dense(2)
        ),
        r"'n' \(BatchNormalization\) with gamma \(4,\).*a partner of '2' \(Linear\).*by names=",
    ),
    "too few": (
        conv_and_dense,
        lambda: sequential((8, 3), layers.Conv1D(4, 3)),
        r"target: got 1 layers with weights.*expected 2: a partner of '2' \(Linear\)",
    ),
    "too many": (
        lambda: nn.Sequential(nn.Conv1d(3, 4, 3)),
        lambda: sequential((8, 3), layers.Conv1D(4, 3), layers.Conv1D(4, 3, name="more")),
        r"source: got 1 layers.*a partner of 'more' \(Conv1D\)",
    ),
    "other groups": (
        conv_and_dense,
        lambda: sequential((8, 3), layers.DepthwiseConv1D(3, depth_multiplier=4), layers.Flatten(), layers.Dense(2)),
        r"the source has groups=1, the target 3",
    ),
    "another stride": (
        lambda: nn.Sequential(nn.Conv1d(3, 4, 3, stride=2)),
        lambda: sequential((8, 3), layers.Conv1D(4, 3, strides=1, name="a")),
        r"'a' \(Conv1D\) with stride 1, expected 2, as source '0' \(Conv1d\) has it",
    ),
    "other borders": (
        lambda: nn.Sequential(nn.Conv1d(3, 4, 3, padding=1, padding_mode="reflect")),
        lambda: sequential((8, 3), layers.Conv1D(4, 3, padding="same")),
        r"padding_mode 'zeros', expected 'reflect'",
    ),
    "no bias": (
        conv_and_dense,
        lambda: sequential((8, 3), layers.Conv1D(4, 3, use_bias=False, name="a"), layers.Flatten(), layers.Dense(2)),
        r"'a' \(Conv1D\) without bias, expected one with it, as source '0'.*use_bias=True",
    ),
    "a bias within a separable layer": (
        lambda: nn.Sequential(nn.Conv1d(3, 3, 3, groups=3), nn.Conv1d(3, 4, 1)),
        lambda: sequential((8, 3), layers.SeparableConv1D(4, 3, name="s")),
        r"'s\.depthwise' \(SeparableConv1D\) without bias",
    ),
    "slopes for each place": (
        lambda: nn.Sequential(nn.Conv1d(3, 4, 3), nn.PReLU(4)),
        lambda: sequential((8, 3), layers.Conv1D(4, 3), layers.PReLU(name="p", shared_axes=[1, 2])),
        r"'p' \(PReLU\) with slopes of shape \(1,\), channels last, expected \(4,\).*shared_axes=\[1\]",
    ),
    "no known kind": (
        lambda: nn.Sequential(nn.LSTM(3, 4)),
        lambda: sequential((8, 3), layers.Conv1D(4, 3)),
        r"source: got '0' \(LSTM\): no kind of layer whose weights are known",
    ),
    "no known kind in the target": (
        lambda: nn.Sequential(nn.Conv1d(3, 4, 3)),
        lambda: sequential((8, 3), layers.LSTM(4)),
        r"target: got 'lstm.*/lstm_cell' \(LSTMCell\): no kind of layer",
    ),
    "a weight that is computed": (
        lambda: nn.Sequential(nn.utils.parametrizations.weight_norm(nn.Conv1d(3, 4, 3))),
        lambda: sequential((8, 3), layers.Conv1D(4, 3)),
        r"remove the parametrization first",
    ),
    "statistics of the batch": (
        lambda: nn.Sequential(nn.BatchNorm1d(3, track_running_stats=False)),
        lambda: sequential((8, 3), layers.BatchNormalization()),
        r"it keeps no statistics",
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_what_does_not_fit_is_named(mistake: str) -> None:
    by_torch, by_keras, words = MISTAKES[mistake]
    source, target = shuffled(by_torch(), 1), shuffled(by_keras(), 2)
    before = state(target)
    with pytest.raises(xconv.ArgumentError, match=words):
        xconv.port_weights(source, target, input_shape=None if "LSTM" in words else (3, 8), check=False)
    assert same(state(target), before)


def test_what_is_no_model_and_no_shape_is_named() -> None:
    one, other = nn.Sequential(nn.Conv1d(3, 4, 3)), sequential((8, 3), layers.Conv1D(4, 3))
    variable = sequential((None, 3), layers.Conv1D(4, 3), layers.Flatten())
    for arguments, options, words in (
        ((print, other), {}, "source: got a builtin_function_or_method, expected a torch.nn.Module or a Keras"),
        ((one, 3), {}, "target: got a int"),
        ((one, keras.Sequential([layers.Conv1D(4, 3)])), {}, "target: got a model without a value for sequential"),
        ((nn.LazyConv1d(4, 3), other), {}, "source: got a model without a value for weight"),
        ((one, nn.Sequential(nn.Conv1d(3, 4, 3))), {}, "input_shape: got None.*check=False"),
        ((one, variable), {}, "input_shape: got None"),
        (
            (one, other),
            {"input_shape": (3, 9)},
            r"input_shape: got \(\(3, 9\),\) for the source, expected \(\(8, 3\),\)",
        ),
        ((one, other), {"input_shape": "abc"}, "input_shape: got 'abc', expected the sizes"),
        ((one, other), {"input_shape": (0, 3)}, r"input_shape: got \(0, 3\)"),
        ((one, variable), {"input_shape": (5, 8)}, r"input_shape: got on \(5, 8\) the source raises Given groups=1"),
        ((one, other), {"names": {"1": "x"}}, "names: got '1', expected a layer with weights of the source.*are '0'"),
        ((one, other), {"names": {"0": "conv"}}, "names: got 'conv', expected a layer with weights of the target"),
    ):
        with pytest.raises(xconv.ArgumentError, match=words):
            xconv.port_weights(*arguments, **options)
    flat = sequential((None, 3), layers.Conv1D(4, 3), layers.GlobalAveragePooling1D(), layers.Dense(2))
    with pytest.raises(
        xconv.ArgumentError, match=r"input_shape: got None, expected sizes: '2' \(Linear\): its features"
    ):
        xconv.port_weights(nn.Sequential(nn.Conv1d(3, 4, 3), nn.Flatten(), nn.Linear(4, 2)), flat, check=False)


class Branches(nn.Module):
    """Two branches that are registered in one order, and run in another."""

    def __init__(self, order: str) -> None:
        super().__init__()
        self.order = order
        for name in sorted(order):
            setattr(self, name, nn.Conv1d(3, 4, 3 if name == "a" else 1, padding=int(name == "a")))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        found: list[torch.Tensor] = [getattr(self, name)(x) for name in self.order]
        return torch.stack(found).sum(0)


class Backwards(nn.Module):
    """Two layers of one shape, the last of which is registered first."""

    def __init__(self) -> None:
        super().__init__()
        self.last, self.first = nn.Conv1d(3, 3, 1), nn.Conv1d(3, 3, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = self.last(self.first(x))
        return y


def test_the_order_of_running_counts_then_that_of_registration_then_names() -> None:
    one, other = shuffled(Branches("ab"), 1), shuffled(Branches("ba"), 2)
    found = xconv.port_weights(one, other, input_shape=(3, 8), check=False)
    assert [(row.source, row.target) for row in found.rows] == [("a", "a"), ("b", "b")]
    assert same(state(one), state(other))
    forwards = shuffled(nn.Sequential(nn.Conv1d(3, 3, 1), nn.Conv1d(3, 3, 1)), 3)
    found = xconv.port_weights(shuffled(Backwards(), 4), forwards, input_shape=(3, 8), check=False)
    assert [(row.source, row.target) for row in found.rows] == [("first", "0"), ("last", "1")]
    # all of one shape, and not run: only names can tell
    three = [shuffled(nn.ModuleDict({"p": nn.Conv1d(3, 3, 1), "q": nn.Conv1d(3, 3, 1)}), seed) for seed in (3, 4)]
    xconv.port_weights(*three, names={"p": "q", "q": "p"}, check=False)
    assert same(state(three[0])[:2], state(three[1])[2:])
    only = [shuffled(nn.Sequential(nn.Conv1d(3, 3, 1), nn.Conv1d(3, 3, 1)), seed) for seed in (3, 4)]
    kept = state(only[1])[2:]
    found = xconv.port_weights(*only, names={"0": "0"}, check=False)
    assert same(state(only[1]), [*state(only[0])[:2], *kept])
    assert found.notes == ["not ported, of the source: '1'", "not ported, of the target: '1'"]


def test_what_is_missing_stands_for_zeros_and_ones() -> None:
    source = shuffled(nn.Sequential(nn.Conv1d(3, 4, 3, bias=False), nn.BatchNorm1d(4, affine=False)), 1)
    target = shuffled(sequential((8, 3), layers.Conv1D(4, 3), layers.BatchNormalization()), 2)
    found = xconv.port_weights(source, target)
    assert found.parity.ok
    assert [row.remark for row in found.rows] == [
        "the source has no bias: it is zeros",
        "epsilon 0.001 is set to 1e-05; momentum 0.1 / 0.01 (used in training only); the source has no gamma: it is"
        " ones; the source has no beta: it is zeros",
    ]
    # zeros and ones may then be left out again
    back = shuffled(nn.Sequential(nn.Conv1d(3, 4, 3, bias=False), nn.BatchNorm1d(4, affine=False)), 3)
    xconv.port_weights(target, back, check=False)
    assert same(state(back), state(source))


def test_slopes_are_repeated_and_shared() -> None:
    shared = shuffled(nn.Sequential(nn.Conv1d(3, 4, 3), nn.PReLU()), 1)
    full = shuffled(sequential((8, 3), layers.Conv1D(4, 3), layers.PReLU()), 2)
    assert xconv.port_weights(shared, full).parity.ok
    again = shuffled(nn.Sequential(nn.Conv1d(3, 4, 3), nn.PReLU()), 3)
    xconv.port_weights(full, again, check=False)
    assert same(state(again), state(shared))


def test_an_embedding_takes_integers() -> None:
    class Text(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.table, self.conv, self.head = nn.Embedding(11, 5), nn.Conv1d(5, 4, 3), nn.Linear(4 * 6, 2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            y: torch.Tensor = self.head(self.conv(self.table(x).transpose(1, 2)).relu().flatten(1))
            return y

    other = keras.Sequential(
        [
            keras.Input((8,), dtype="int32"),
            layers.Embedding(11, 5),
            layers.Conv1D(4, 3, activation="relu"),
            layers.Flatten(),
            layers.Dense(2),
        ]
    )
    one = shuffled(Text(), 1)
    assert xconv.port_weights(one, other, input_shape=(8,)).parity.ok
    again = shuffled(Text(), 2)
    xconv.port_weights(other, again, check=False)
    assert same(state(again), state(one))


def test_keras_to_keras_with_parts_channels_first_and_several_inputs() -> None:
    def model(first: bool) -> Any:
        where = "channels_first" if first else "channels_last"
        a, b = keras.Input((3, 8) if first else (8, 3)), keras.Input((5,))
        inner = sequential((3, 8) if first else (8, 3), layers.Conv1D(4, 3, data_format=where))
        axis = 1 if first else -1
        x = layers.PReLU(shared_axes=[2 if first else 1])(layers.BatchNormalization(axis=axis)(inner(a)))
        x = layers.Dense(24)(layers.Flatten()(x))  # as many as features, whose order the bias has nothing to do with
        return keras.Model([a, b], layers.Add()([x, layers.Dense(24)(b)]))

    one, other = shuffled(model(True), 1), shuffled(model(False), 2)
    found = xconv.port_weights(one, other, check=False)
    x = np.random.default_rng(0).standard_normal((2, 3, 8), dtype="float32")
    z = np.ones((2, 5), "float32")
    first = on("tensorflow", lambda x, z: one([x, z], training=False))
    last = on("tensorflow", lambda x, z: other([tf.transpose(x, (0, 2, 1)), z], training=False))
    assert_parity(first, last, x, z)
    assert "in another order" in str(found)
    again = shuffled(model(True), 3)
    xconv.port_weights(other, again, check=False)
    assert same(state(again), state(one))
    assert xconv.port_weights(one, shuffled(model(True), 3)).parity.ok


def test_what_predict_has_traced_is_traced_again() -> None:
    model = shuffled(sequential((8, 3), layers.Conv1D(4, 3), layers.BatchNormalization()), 1)
    model.layers[1].moving_variance.assign(np.full(4, 1e-3))
    other = keras.Sequential([keras.Input((8, 3)), layers.Conv1D(4, 3), layers.BatchNormalization(epsilon=1e-5)])
    x = np.random.default_rng(0).standard_normal((2, 8, 3)).astype("float32")
    other.predict(x, verbose=0)
    xconv.port_weights(model, other, check=False)
    # the other epsilon would change it by a factor of 1.4
    assert_parity(model, on("numpy", lambda x: other.predict(x, verbose=0)), x)


def test_a_doubtful_order_is_remarked() -> None:
    """Numbers do not come through a softmax; the usual order is assumed, and said to be."""

    class Odd(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.head = nn.Conv1d(3, 4, 3), nn.Linear(24, 2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            y: torch.Tensor = self.head(torch.softmax(self.conv(x), 1).flatten(1))
            return y

    other = shuffled(
        sequential((8, 3), layers.Conv1D(4, 3, activation="softmax"), layers.Flatten(), layers.Dense(2)), 2
    )
    found = xconv.port_weights(shuffled(Odd(), 1), other)
    assert found.parity.ok
    assert "source: the order of its input features was not found; (6, 4), flattened as usual" in found.rows[1].remark

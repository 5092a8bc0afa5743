"""Two frameworks train alike: agreement that proves something, and faults that are found and named."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import keras
import numpy as np
import pytest
import torch

import xconv_tensorflow.models.networks as on_keras
import xconv_torch.models.networks as on_torch
from xconv import models
from xconv.models import (
    SGD,
    Adam,
    AveragePool,
    BatchNorm,
    Conv1D,
    Conv2D,
    Dense,
    Flatten,
    Fold,
    MaxPool,
    Network,
    agreement,
    ties,
)
from xconv.models.steps import first_steps
from xconv.testing import ComparedArray
from xconv.testing.tolerance import RUNS

SERIES = Network(
    "series",
    (12, 3),
    (Conv1D(4, 3, "relu", padding="same"), MaxPool(2), Flatten(), Dense(5, "tanh"), Dense(3, "softmax")),
)
IMAGES = Network(
    "images",
    (8, 7, 2),
    (
        Conv2D(4, (3, 2), padding="same", bias=False), BatchNorm(), AveragePool(2), Fold(),
        Conv1D(3, 2, "relu", padding="causal", dilation=2), BatchNorm(1e-2, 0.5), Flatten(), Dense(4),
    ),
)  # fmt: skip
NORMED = Network("normed", (12, 3), (Conv1D(4, 3, bias=False), BatchNorm(), Flatten(), Dense(4)))
FEW: dict[str, Any] = {"runs": 3, "steps": 6}


def of(found: agreement.Agreement, verdict: str) -> set[str]:
    return {row.array for row in found.parity.rows if row.verdict == verdict}


@pytest.mark.parametrize(
    ("network", "optimizer", "form"),
    [
        (SERIES, Adam(0.01), "logits"),
        (SERIES, SGD(0.1, 0.5), "probabilities"),
        (IMAGES, Adam(0.01), "logits"),
    ],
    ids=["series", "probabilities", "images"],
)
def test_both_train_alike(network: Network, optimizer: Any, form: str) -> None:
    found = models.agree(network, optimizer, runs=4, form=form)
    assert found.ok, str(found)
    names = {row.array for row in found.parity.rows}
    assert {f"gradient of {name}" for name in network.trained_weights} <= names
    assert {f"change of {name}, {side} in float32" for name in network.weight_shapes for side in "fg"} <= names
    assert len(found.losses) == 20
    assert found.losses[-1] < found.losses[0]
    # the tolerance is one of rounding errors: float64's is far below what float32 shows
    assert found.worst("change").bound < 1e-10
    row = agreement.table([found]).splitlines()[-1]
    assert row.startswith(network.name)
    assert row.endswith("agree")


def flattened_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(on_torch, "rows", lambda *_: None)


def keras_adam(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(on_keras, "KerasAdam", keras.optimizers.Adam)


def torch_epsilon(monkeypatch: pytest.MonkeyPatch) -> None:
    made = on_torch.made
    monkeypatch.setattr(on_torch, "made", lambda given, module: made(replace(given, epsilon=1e-8), module))


def norm_epsilon(monkeypatch: pytest.MonkeyPatch) -> None:
    layer = on_keras._layer

    def other(one: Any, dtype: str) -> Any:
        return layer(replace(one, layer=BatchNorm(1e-5)) if isinstance(one.layer, BatchNorm) else one, dtype)

    monkeypatch.setattr(on_keras, "_layer", other)


def unbiased_variance(monkeypatch: pytest.MonkeyPatch) -> None:
    var_mean = torch.var_mean
    monkeypatch.setattr(torch, "var_mean", lambda x, axes, correction: var_mean(x, axes, correction=1))


Fault = Callable[[pytest.MonkeyPatch], None]


@pytest.mark.parametrize(
    ("fault", "network", "agrees", "differs", "said"),
    [
        (flattened_alike, SERIES, "", "output", "flatten order: f and g flatten their axes in different orders"),
        (norm_epsilon, NORMED, "", "output", "epsilon differs: 0.001 / 1e-05"),
        (norm_epsilon, IMAGES, "", "output", "the first layer to depart is 'batch_norm_1'"),
        (keras_adam, SERIES, "gradient of dense_1.kernel", "change of dense_1.kernel", "tensorflow is that of Adam with"
         " epsilon 1e-07 added to sqrt(v), as in Keras"),
        (torch_epsilon, SERIES, "gradient of dense_1.kernel", "change of dense_1.kernel", "torch is that of Adam with"
         " epsilon 1e-08 added to sqrt(v / (1 - b2^t)), as in torch"),
        (unbiased_variance, IMAGES, "loss", "change of batch_norm_1.moving_variance", ""),
    ],
    ids=lambda value: value.__name__ if callable(value) else "",
)  # fmt: skip
def test_a_fault_is_found_and_named(
    fault: Fault, network: Network, agrees: str, differs: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    fault(monkeypatch)
    found = models.agree(network, Adam(0.01), **FEW)
    assert not found.ok
    wrong = of(found, "MISMATCH")
    assert differs in wrong
    assert agrees not in wrong
    assert said in str(found)


def test_a_training_that_is_none_proves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    still = models.agree(SERIES, SGD(0.0), **FEW)
    assert not still.ok
    assert {"loss falls", "change of conv1d_1.kernel"} <= of(still, "mistrusted")
    assert "the loss does not fall" in str(still)
    wild = models.agree(SERIES, SGD(500.0), **FEW)
    assert "loss falls" in of(wild, "mistrusted")
    initial = models.initial_weights

    def dead(network: Network, seed: int = 0) -> Any:
        return {**initial(network, seed), "conv1d_1.bias": np.full(4, -100.0, "float32")}

    monkeypatch.setattr(agreement, "initial_weights", dead)
    silent = models.agree(SERIES, SGD(0.1), **FEW)
    assert not silent.ok
    assert {"output varies", "gradient of conv1d_1.kernel"} <= of(silent, "mistrusted")


def test_a_tie_that_float32_decides_otherwise_is_no_mismatch() -> None:
    # the weaker by 1e-9 in float64, and in float32 the same: any rounding decides
    inputs = [np.array([1.0, 2.0, 3.0], "float32"), np.array([1.0, 2.0, 3.0], "float32")]

    def side(a: Any, b: Any) -> dict[str, Any]:
        wins = a.sum() + (1e-9 if a.dtype == np.float64 else -1e-9) > b.sum()
        return {"result": np.full(4, 1.0 if wins else 0.0) + a.sum() * 1e-3}

    def row(name: str) -> ComparedArray:
        return ComparedArray(f"{name}, f in float32", "MISMATCH", 1.0, 1e-7, 1e7, (0,), "far")

    rows = [row("result"), ComparedArray("result, g in float32", "within bound")]
    found = ties.judge_ties_again(rows, [side, side], inputs, seed=0)
    assert found[0].verdict == "within bound"
    assert "decides a tie" in found[0].detail
    assert 1 / 20 < found[0].error / found[0].bound < 1

    def wrong(a: Any, b: Any) -> dict[str, Any]:
        return {"result": np.full(4, (a + b).sum()) * (1 + 1e-4 * (a.dtype == np.float32))}

    found = ties.judge_ties_again(rows, [wrong, wrong], inputs, seed=0)
    assert found[0].verdict == "MISMATCH"
    assert "do not explain it either" in found[0].detail
    assert RUNS >= 17  # a tie that no run decides otherwise has a chance of 2^-17


def test_a_step_that_nothing_explains_is_said_to_be_so() -> None:
    start = {"dense_1.kernel": np.ones((4, 1))}
    gradient = {"dense_1.kernel": np.arange(1.0, 5.0)[:, None]}
    moved = {"dense_1.kernel": 1 - 0.5 * gradient["dense_1.kernel"]}
    odd = {"dense_1.kernel": 1 - 0.5 * gradient["dense_1.kernel"] ** 2}
    done = {
        "a": models.training.Training(np.zeros(1), gradient, moved),
        "b": models.training.Training(np.zeros(1), gradient, odd),
    }
    text = first_steps(Adam(0.5), start, done)
    assert text.splitlines() == [
        "the first step of a is that of SGD, rate 0.5",
        "the first step of b is that of no formula that is known here",
    ]

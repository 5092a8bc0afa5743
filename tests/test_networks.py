"""Networks without a framework: what follows from them, and what each framework builds and trains from them."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from xconv import ArgumentError, get_backend, models
from xconv.core import reference
from xconv.core.bounds import gamma
from xconv.core.call import resolve
from xconv.models import (
    SGD,
    Adam,
    AveragePool,
    BatchNorm,
    Conv1D,
    Conv2D,
    Dense,
    Dropout,
    Flatten,
    Fold,
    MaxPool,
    Network,
)
from xconv.models.initial import Weights
from xconv.models.training import batches
from xconv.testing import assert_parity, on

BACKENDS = ("torch", "tensorflow")

EVERYTHING = Network(
    "everything",
    (9, 8, 2),
    (
        Conv2D(4, (3, 2), "tanh", stride=(1, 2), padding="same", bias=False), BatchNorm(2e-3, 0.75),
        AveragePool((2, 1)), Dropout(0.0), Fold(), Conv1D(5, 2, "relu", padding="causal", dilation=2), MaxPool(2, 1),
        Flatten(), Dense(6, "sigmoid"), Dense(3, "softmax"),
    ),
)  # fmt: skip
"""Every kind of layer; a dense one after Flatten, and one that is not."""


def drawn(network: Network, seed: int = 0, dtype: str = "float64") -> Weights:
    """Weights without zeros, each with its own numbers."""
    rng = np.random.default_rng(seed)
    found = models.initial_weights(network, seed, dtype)
    for name, array in found.items():
        if not name.endswith("kernel"):
            found[name] = (array + rng.uniform(0.1, 0.5, array.shape)).astype(dtype)
    return found


def forward(network: Network, weights: Weights, x: Any) -> Any:
    """The network in NumPy, from the definitions of its layers."""
    for one in network.resolved:
        layer, own = one.layer, {name: weights[f"{one.name}.{name}"] for name in one.weights}
        if isinstance(layer, (Conv1D, Conv2D)):
            x = convolved(layer, x, own["kernel"]) + own.get("bias", 0.0)
        elif isinstance(layer, Dense):
            x = x @ own["kernel"] + own.get("bias", 0.0)
        elif isinstance(layer, (MaxPool, AveragePool)):
            x = pooled(layer, x)
        elif isinstance(layer, BatchNorm):
            x = (x - own["moving_mean"]) / np.sqrt(own["moving_variance"] + layer.epsilon) * own["gamma"] + own["beta"]
        elif isinstance(layer, (Flatten, Fold)):
            x = x.reshape(len(x), *one.output_shape)
        x = activated(getattr(layer, "activation", "linear"), x)
    return x


def convolved(layer: Conv1D | Conv2D, x: Any, kernel: Any) -> Any:
    options: Any = {"stride": layer.stride, "padding": layer.padding, "dilation": layer.dilation}
    call = resolve(layer.kind, x.shape, kernel.shape, **options)
    if call.vertical is None:
        return reference.forward(call.problem, 1, x, kernel)
    return reference.conv2d(call.vertical, call.problem, x, kernel)


def pooled(layer: MaxPool | AveragePool, x: Any) -> Any:
    axes = x.ndim - 2
    window = layer.window if isinstance(layer.window, tuple) else (layer.window,) * axes
    stride = window if layer.stride is None else layer.stride
    steps = stride if isinstance(stride, tuple) else (stride,) * axes
    seen = np.lib.stride_tricks.sliding_window_view(x, window, tuple(range(1, axes + 1)))
    seen = seen[(slice(None), *(slice(None, None, step) for step in steps))]
    inside = tuple(range(x.ndim, seen.ndim))
    return seen.max(inside) if isinstance(layer, MaxPool) else seen.mean(inside)


def activated(name: str, x: Any) -> Any:
    exponential = np.exp(x - x.max(-1, keepdims=True))
    return {
        "linear": x,
        "relu": np.maximum(x, 0),
        "sigmoid": 1 / (1 + np.exp(-x)),
        "tanh": np.tanh(x),
        "softmax": exponential / exponential.sum(-1, keepdims=True),
    }[name]


def inputs(network: Network, examples: int = 4) -> Any:
    return np.random.default_rng(5).standard_normal((examples, *network.input_shape))


@pytest.mark.parametrize("name", BACKENDS)
def test_a_network_computes_its_definition(name: str) -> None:
    module = get_backend(name).module("models.networks")
    built = {dtype: module.build(EVERYTHING, drawn(EVERYTHING), dtype) for dtype in ("float32", "float64")}

    def named(arrays: Any) -> Weights:
        return dict(zip(EVERYTHING.weight_shapes, arrays, strict=True))

    def computed(x: Any, *arrays: Any) -> Any:
        model = built[x.dtype.name]
        module.load(EVERYTHING, model, named(arrays))
        result = module.predict(EVERYTHING, model, x)
        assert result.dtype == x.dtype
        return result

    def defined(x: Any, *arrays: Any) -> Any:
        return forward(EVERYTHING, named(arrays), x).astype(x.dtype)

    weights = drawn(EVERYTHING, dtype="float32")
    x = inputs(EVERYTHING).astype("float32")
    assert_parity(on("numpy", defined), on("numpy", computed), x, *weights.values(), gradients=False, runs=5)


@pytest.mark.parametrize("name", BACKENDS)
def test_weights_come_out_as_they_went_in(name: str) -> None:
    module, weights = get_backend(name).module("models.networks"), drawn(EVERYTHING)
    model = module.build(EVERYTHING, weights, "float64")
    back = module.weights_of(EVERYTHING, model)
    assert list(back) == list(EVERYTHING.weight_shapes)
    assert all(np.array_equal(back[key], weights[key]) for key in weights)
    back["conv1d_1.kernel"][:] = 7  # a copy
    assert np.array_equal(module.weights_of(EVERYTHING, model)["conv1d_1.kernel"], weights["conv1d_1.kernel"])


@pytest.mark.parametrize("name", [name for name in models.names if not name.startswith("small")])
def test_counts_and_shapes_are_the_frameworks_own(name: str) -> None:
    import torch

    network = models.network(name)
    weights = models.initial_weights(network)
    module = get_backend("torch").module("models.networks").build(network, weights)
    model = get_backend("tensorflow").module("models.networks").build(network, weights)
    assert sum(p.numel() for p in module.parameters()) == network.parameters
    assert model.count_params() == network.parameters
    for one in network.resolved:
        assert tuple(model.get_layer(one.name).output.shape[1:]) == one.output_shape
    with torch.no_grad():
        channels_first = (2, network.input_shape[-1], *network.input_shape[:-1])
        assert tuple(module(torch.zeros(channels_first)).shape) == (2, *network.output_shape)
    assert network.source


def test_the_articles_numbers() -> None:
    assert models.network("time_series_classifier").parameters == 5 * 3 * 32 + 32 + 48 * 32 + 1
    assert models.network("image_classifier").parameters == 27 * 32 + 32 + 15 * 15 * 32 * 10 + 10
    pair = [models.network(name) for name in ("small_2d", "small_1d")]
    assert [one.resolved[0].macs for one in pair] == [62 * 62 * 27 * 32, 4094 * 9 * 32]
    assert [one.resolved[0].receptive_field for one in pair] == [(3, 3), (3,)]
    assert models.network("sensors").resolved[0].kernel_shape == (5, 3, 64)
    assert [one.receptive_field for one in models.network("stacked").resolved[:4]] == [(3,), (4,), (8,), (10,)]


@pytest.mark.parametrize(
    ("shape", "layers"),
    [
        ((60, 1), (Conv1D(1, 3), AveragePool(2), Conv1D(1, 3, dilation=2), AveragePool(3, 2), Conv1D(1, 2, stride=2))),
        ((20, 30, 1), (Conv2D(1, (3, 2)), AveragePool((1, 2)), Conv2D(1, (2, 3), stride=(2, 1)))),
        ((20, 4, 1), (Conv2D(1, (2, 3)), Fold(), Conv1D(1, 3, stride=2), AveragePool(2))),
    ],
)
def test_the_receptive_field_is_what_an_output_answers_to(shape: tuple[int, ...], layers: tuple[Any, ...]) -> None:
    network = Network("field", shape, layers)
    weights = {name: np.ones(size) for name, size in network.weight_shapes.items()}
    ones = np.eye(int(np.prod(shape))).reshape(-1, *shape)
    difference = models.predict(network, weights, ones) - models.predict(network, weights, 0 * ones[:1])
    axes = len(network.output_shape) - 1
    middle = (slice(None), *(size // 2 for size in network.output_shape[:-1]), 0)
    seen = np.argwhere(np.abs(difference[middle]).reshape(shape) > 0)
    extent = tuple(int(n) for n in np.ptp(seen, axis=0)[:axes] + 1)
    assert extent == network.resolved[-1].receptive_field


def test_the_summary_of_a_pair_stands_side_by_side() -> None:
    text = str(models.summary(models.network("small_2d"), models.network("small_1d")))
    lines = text.splitlines()
    assert lines[0] == "small_2d, input (64, 64, 3) | small_1d, input (4096, 3)"
    assert "(3, 3, 3, 32)" in lines[3]
    assert "(3, 3, 32)" in lines[3].partition("|")[2]
    totals = ["total", "308,426", "3,628,736", "|", "total", "655,370", "1,834,112"]
    assert lines[-1].split() == totals


def test_the_start_is_glorot_uniform_and_seeded() -> None:
    network = models.network("spectrogram_classifier")
    weights = models.initial_weights(network, 3)
    kernel = weights["conv1d_2.kernel"]
    limit = np.sqrt(6 / (3 * 32 + 3 * 64))
    assert 0.99 * limit < np.abs(kernel).max() <= limit
    # the variance of a uniform number is a third of its square; that of the mean of n squares is 4/45 of its square / n
    assert abs(np.square(kernel).mean() - limit**2 / 3) <= 5 * limit**2 * np.sqrt(4 / 45 / kernel.size)
    assert not np.any(weights["conv1d_2.bias"])
    assert np.array_equal(kernel, models.initial_weights(network, 3)["conv1d_2.kernel"])
    assert not np.array_equal(kernel, models.initial_weights(network, 4)["conv1d_2.kernel"])


LINE = Network("line", (4, 1), (Flatten(), Dense(2)))
STEPS = 30


def by_hand(optimizer: SGD | Adam, x: Any, y: Any, weights: Weights) -> tuple[list[float], Weights]:
    """Least squares by the formulas that the optimisers' documentation states."""
    w = np.vstack([weights["dense_1.kernel"], weights["dense_1.bias"]])
    flat = np.hstack([x.reshape(len(x), -1), np.ones((len(x), 1))])
    m, v, losses = np.zeros_like(w), np.zeros_like(w), []
    for t in range(1, STEPS + 1):
        residual = flat @ w - y
        losses.append(float(np.square(residual).mean()))
        g = 2 * flat.T @ residual / residual.size
        if isinstance(optimizer, SGD):
            m = optimizer.momentum * m - optimizer.learning_rate * g
            w = w + m
            continue
        m = optimizer.beta_1 * m + (1 - optimizer.beta_1) * g
        v = optimizer.beta_2 * v + (1 - optimizer.beta_2) * g * g
        hats = m / (1 - optimizer.beta_1**t), v / (1 - optimizer.beta_2**t)
        w = w - optimizer.learning_rate * hats[0] / (np.sqrt(hats[1]) + optimizer.epsilon)
    return losses, {"dense_1.kernel": w[:-1], "dense_1.bias": w[-1]}


@pytest.mark.parametrize("name", BACKENDS)
@pytest.mark.parametrize("optimizer", [SGD(0.125), SGD(0.01, 0.9), Adam(0.01), Adam(0.05, 0.8, 0.99, 0.3)], ids=str)
def test_an_optimiser_is_its_formula(name: str, optimizer: SGD | Adam) -> None:
    x, y = inputs(LINE, 7), np.random.default_rng(1).standard_normal((7, 2))
    start = drawn(LINE)
    kept = {key: array.copy() for key, array in start.items()}
    losses, weights = by_hand(optimizer, x, y, start)
    done = models.train(LINE, start, x, y, loss="mean_squared_error", optimizer=optimizer, steps=STEPS, backend=name)
    assert losses[-1] < 0.9 * losses[0]
    # some 50 roundings of numbers near 1 in each step, which a convex loss does not amplify
    bound = STEPS * gamma(50, "float64")
    assert np.abs(done.losses - losses).max() <= bound
    assert all(np.abs(done.weights[key] - weights[key]).max() <= bound for key in weights)
    assert all(np.array_equal(start[key], kept[key]) for key in kept)


LOSSES = [
    ("binary_crossentropy", "sigmoid", "logits"),
    ("binary_crossentropy", "sigmoid", "probabilities"),
    ("binary_crossentropy", "linear", "logits"),
    ("categorical_crossentropy", "softmax", "logits"),
    ("categorical_crossentropy", "softmax", "probabilities"),
    ("categorical_crossentropy", "linear", "logits"),
    ("mean_squared_error", "tanh", "logits"),
]


@pytest.mark.parametrize("name", BACKENDS)
@pytest.mark.parametrize(("loss", "activation", "form"), LOSSES)
def test_a_loss_is_its_formula(name: str, loss: str, activation: str, form: str) -> None:
    network = Network("head", (3, 1), (Flatten(), Dense(3, activation)))
    rng = np.random.default_rng(2)
    # the first example's logits are so far apart that probabilities are 0 and 1
    z = np.vstack([[60.0, -60.0, 5.0], rng.standard_normal((3, 3))])
    y = np.eye(3)[[1, 0, 1, 2]] if loss == "categorical_crossentropy" else rng.permuted(np.arange(12) % 2).reshape(4, 3)
    y = y.astype("float64")
    p = activated({"binary_crossentropy": "sigmoid", "categorical_crossentropy": "softmax"}.get(loss, "tanh"), z)
    if form == "probabilities":
        p = np.clip(p, 1e-7, 1 - 1e-7)
    if loss == "binary_crossentropy":
        log_p, log_not = -np.logaddexp(0, -z), -np.logaddexp(0, z)
        if form == "probabilities":
            log_p, log_not = np.log(p), np.log1p(-p)
        wanted = -(y * log_p + (1 - y) * log_not).mean()
    elif loss == "categorical_crossentropy":
        log_p = z - np.log(np.exp(z).sum(-1, keepdims=True)) if form == "logits" else np.log(p)
        wanted = -(y * log_p).sum(-1).mean()
    else:
        wanted = np.square(p - y).mean()
    weights = {"dense_1.kernel": np.eye(3), "dense_1.bias": np.zeros(3)}
    done = models.train(
        network, weights, z[..., None], y, loss=loss, optimizer=SGD(0.0), steps=1, backend=name, form=form
    )
    # 1 - (1 - 1e-7) is 1e-7 up to u, and so its logarithm is known up to u / 1e-7 absolutely
    assert (
        abs(done.losses[0] - wanted) <= gamma(64, "float64") * abs(wanted) + (form == "probabilities") * 2.0**-53 / 1e-7
    )


def test_each_example_is_seen_once_an_epoch() -> None:
    found = batches(10, 4, 5, seed=1)
    assert sorted(np.concatenate(found).tolist()) == sorted([*range(10)] * 2)
    assert [part.tolist() for part in batches(3, None, 2)] == [[0, 1, 2]] * 2
    assert not np.array_equal(np.concatenate(found)[:10], np.concatenate(batches(10, 4, 5, seed=2))[:10])


@pytest.mark.parametrize("name", BACKENDS)
def test_dropout_acts_while_training_only(name: str) -> None:
    network = Network("drop", (50, 1), (Flatten(), Dropout(0.5), Dense(1)))
    weights = {"dense_1.kernel": np.ones((50, 1)), "dense_1.bias": np.zeros(1)}
    x, y = np.ones((2, 50, 1)), np.zeros((2, 1))
    assert np.array_equal(models.predict(network, weights, x, name), [[50], [50]])
    done = models.train(network, weights, x, y, loss="mean_squared_error", optimizer=SGD(0.0), steps=8, backend=name)
    assert len({*done.losses.tolist(), 2500.0}) > 2  # two may be alike by chance


def train(**options: Any) -> Any:
    network = options.pop("network", LINE)
    given: dict[str, Any] = {
        "weights": models.initial_weights(network, dtype="float64"), "x": inputs(network), "y": np.zeros((4, 2)),
        "loss": "mean_squared_error", "optimizer": SGD(), "steps": 1,
    }  # fmt: skip
    return models.train(network, **{**given, **options})


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Network("a", (5,), (Flatten(),)), r"Network: input_shape: got \(5,\), expected \(W, C\) or"),
        (lambda: Network("a", (5, 1), ()), "Network: layers: got none"),
        (lambda: Network("a", (5, 1), (Conv1D(4, 9),)), r"layer conv1d_1: .*"),
        (lambda: Network("a", (5, 5, 1), (Conv1D(4, 3),)), r"layer conv1d_1: .*Fold\(\)"),
        (lambda: Network("a", (5, 1), (Conv2D(4, 3),)), r"layer conv2d_1: .*\(H, W, C\)"),
        (lambda: Network("a", (5, 1), (Conv1D(4, 3, "rleu"),)), "conv1d_1: activation: .*did you mean 'relu'"),
        (lambda: Network("a", (5, 1), (Conv1D(4, 3, padding="full"),)), "conv1d_1: padding: got 'full'"),
        (lambda: Network("a", (9, 1), (Conv1D(4, 3, stride=2, dilation=2),)), "Keras has no such layer"),
        (lambda: Network("a", (5, 1), (Conv1D(0, 3),)), "conv1d_1: filters: got 0"),
        (lambda: Network("a", (5, 1), (MaxPool(6),)), "max_pool1d_1: got a window of"),
        (lambda: Network("a", (5, 1), (Dense(3),)), r"layer dense_1: .*Flatten\(\) before it"),
        (lambda: Network("a", (5, 1), (Fold(),)), "layer fold_1: "),
        (lambda: Network("a", (5, 1), (Dropout(1.0),)), "layer dropout_1: got rate=1.0"),
        (lambda: Network("a", (5, 1), (BatchNorm(0.0),)), "layer batch_norm_1: got epsilon=0.0"),
        (lambda: models.network("stakced"), "network: name: .*did you mean 'stacked'"),
        (lambda: SGD(-1.0), "SGD: learning_rate: got -1.0"),
        (lambda: Adam(beta_1=1.0), "Adam: beta_1: got 1.0"),
        (lambda: train(x=np.zeros((4, 1, 4))), "train: x: .*channels last"),
        (lambda: train(y=np.zeros(4, int)), "train: y: .*one-hot"),
        (lambda: train(y=np.zeros((4, 2), "float32")), "train: y: got float32"),
        (lambda: train(loss="mse"), "train: loss: got 'mse'"),
        (lambda: train(loss="categorical"), "did you mean 'categorical_crossentropy'"),
        (lambda: train(form="odds"), "train: form: got 'odds'"),
        (lambda: train(loss="binary_crossentropy", form="probabilities"), "ends in logits"),
        (
            lambda: train(network=Network("a", (4, 1), (Flatten(), Dense(2, "tanh"))), loss="binary_crossentropy"),
            "after",
        ),
        (lambda: train(weights={}), "train: weights: got no 'dense_1.bias'"),
        (lambda: train(weights={"dense_1.kernel": np.zeros((2, 4)), "dense_1.bias": np.zeros(2)}), "channels last"),
        (lambda: train(optimizer="adam"), "train: optimizer: got 'adam'"),
        (lambda: models.agree(Network("a", (4, 1), (Flatten(), Dropout(0.1), Dense(1)))), "other numbers"),
        (lambda: models.agree(Network("a", (4, 1), (Conv1D(1, 3),))), "agree: network: .*one axis"),
        (lambda: models.agree(LINE, examples=1), "agree: examples: got 1"),
    ],
)
def test_what_does_not_fit_is_refused(make: Any, words: str) -> None:
    with pytest.raises(ArgumentError, match=words):
        make()


def test_the_accuracy_example_says_what_seeds_show(tmp_path: Path) -> None:
    path = Path(__file__).parent.parent / "examples" / "one_or_two_dimensions.py"
    example: Any = runpy.run_path(str(path))
    task = example["TASKS"][0]
    even = {(backend, side): [0.5, 0.6, 0.55] for backend in BACKENDS for side in ("1-D", "2-D")}
    assert "no difference that these seeds show" in example["finding"](task, even)
    better = {key: [value + 0.2 * (key[1] == "2-D") + 0.01 * i for i, value in enumerate(even[key])] for key in even}
    assert "+20.0 +- 0.0 percentage points over 3 seeds: 2-D is more accurate" in example["finding"](task, better)
    example["plot"]({"a": even, "b": better}, str(tmp_path / "accuracy.png"))
    assert (tmp_path / "accuracy.png").read_bytes().startswith(b"\x89PNG")
    for one in example["TASKS"]:
        x, labels = one.draw(np.random.default_rng(0), 200)
        assert x.shape[1:] == one.one.input_shape
        assert x[0].size == np.prod(one.two.input_shape)
        assert set(labels) == set(range(one.one.output_shape[0]))

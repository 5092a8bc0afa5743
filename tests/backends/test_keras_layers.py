"""xconv's Keras layers are layers like Keras' own: weights, configuration, files, training."""

from __future__ import annotations

import contextlib
import doctest
import importlib
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import xconv

with contextlib.suppress(ImportError):
    importlib.import_module("torch")  # before TensorFlow, which has crashed otherwise (pytorch#93884)
tf: Any = importlib.import_module("tensorflow")
keras: Any = importlib.import_module("keras")
layers: Any = importlib.import_module("xconv_tensorflow.layers")


def integers(*shape: int) -> np.ndarray:
    return np.random.default_rng(sum(shape)).integers(-2, 3, shape).astype("float32")


def with_integers(layer: Any) -> Any:
    """Weights whose sums are exact, so that the order in which they are computed cannot matter."""
    layer.set_weights([integers(*weight.shape) for weight in layer.weights])
    return layer


# ours, Keras' own, its arguments that differ, what both are, and the shape of an input
OWN: list[tuple[str, str, tuple[Any, Any], dict[str, Any], tuple[int, ...]]] = [
    ("Conv1D", "Conv1D", (3, 3), {"padding": "SAME", "strides": 2, "groups": 2}, (2, 20, 6)),
    ("Conv1D", "Conv1D", ((3,), (3,)), {"padding": "causal", "dilation_rate": (2,), "use_bias": False}, (2, 20, 6)),
    ("Conv1D", "Conv1D", (3, 3), {"activation": "relu"}, (2, 20, 6)),
    ("Conv2DAs1D", "Conv1D", (3, 3), {"padding": "same"}, (2, 20, 6)),
    ("Conv1DRows", "Conv2D", (3, (1, 3)), {"padding": "same"}, (2, 7, 9, 6)),
    ("Conv1DColumns", "Conv2D", (3, (3, 1)), {"padding": "valid"}, (2, 7, 9, 6)),
    ("Conv1DTranspose", "Conv1DTranspose", (5, 5), {"padding": "same", "strides": 3}, (2, 20, 6)),
    ("Conv1DTranspose", "Conv1DTranspose", (2, 2), {"strides": 4}, (2, 20, 6)),  # a kernel shorter than the stride
    ("Conv1DTranspose", "Conv1DTranspose", (5, 5), {"strides": 3, "output_padding": 1}, (2, 20, 6)),
]


@pytest.mark.parametrize(("ours", "theirs", "kernels", "options", "shape"), OWN, ids=str)
def test_keras_own_layer_has_the_same_weights_numbers_and_configuration(
    ours: str, theirs: str, kernels: tuple[Any, Any], options: dict[str, Any], shape: tuple[int, ...]
) -> None:
    seeded = {"kernel_initializer": keras.initializers.GlorotUniform(seed=3)}
    layer = getattr(layers, ours)(4, kernels[0], **options, **seeded)
    own = getattr(keras.layers, theirs)(4, kernels[1], **options, **seeded)
    layer.build(shape)
    own.build(shape)
    assert [weight.name for weight in layer.weights] == [weight.name for weight in own.weights]
    for one, other in zip(layer.get_weights(), own.get_weights(), strict=True):
        assert np.array_equal(one, other)
    missing = own.get_config().keys() - layer.get_config().keys()
    # Keras' own quantization and low-rank updates
    assert missing <= {"lora_rank", "lora_alpha", "quantization_config"}
    if theirs != "Conv2D":
        for name in layer.get_config().keys() & own.get_config().keys() - {"name", "groups", "output_padding"}:
            assert layer.get_config()[name] == own.get_config()[name], name
    own.set_weights(with_integers(layer).get_weights())
    x = integers(*shape)
    assert np.array_equal(layer(x), own(x))
    assert layer.compute_output_shape((None, *shape[1:])) == tuple(own.compute_output_shape((None, *shape[1:])))
    assert layer.count_params() == own.count_params()


EVERY: dict[str, tuple[tuple[Any, ...], dict[str, Any], tuple[int, ...]]] = {
    "Conv1D": ((6, 3), {"strides": 2, "dilation_rate": 2, "padding": (3, 1), "activation": "relu"}, (4, 20, 3)),
    "Conv2DAs1D": ((6, 3), {"padding": "same_lower", "padding_mode": "circular"}, (4, 20, 3)),
    "Conv1DRows": ((6, 3), {"padding": "full", "groups": 3, "kernel_constraint": "max_norm"}, (4, 7, 9, 3)),
    "Conv1DColumns": ((6, 3), {"padding": 1, "data_format": "channels_first", "formulation": "taps"}, (4, 3, 9, 7)),
    "SpatiallySeparableConv2D": (
        (6, (3, 2)),
        {
            "padding": ("same", (1, 0)),
            "middle_filters": 2,
            "rows_regularizer": "l2",
            "columns_initializer": "he_normal",
        },
        (4, 7, 9, 3),
    ),
    "Conv1DTranspose": ((6, 3), {"strides": 2, "groups": 3, "output_padding": 1, "use_bias": False}, (4, 20, 3)),
}


@pytest.fixture(params=EVERY)
def case(request: pytest.FixtureRequest) -> tuple[Any, np.ndarray]:
    given, options, shape = EVERY[request.param]
    layer = getattr(layers, request.param)(*given, **options)
    layer.build((None, *shape[1:]))
    return with_integers(layer), integers(*shape)


def test_configuration_makes_the_same_layer(case: tuple[Any, np.ndarray]) -> None:
    layer, x = case
    twin = type(layer).from_config(layer.get_config())
    assert twin.get_config() == layer.get_config()
    assert not twin.built
    twin.build(x.shape)
    twin.set_weights(layer.get_weights())
    assert twin.options == layer.options
    assert np.array_equal(twin(x), layer(x))


def test_models_with_unknown_sizes_are_cloned_saved_and_compiled(case: tuple[Any, np.ndarray], tmp_path: Path) -> None:
    layer, x = case
    channels = x.ndim - 1 if layer.data_format == "channels_last" else 1
    inputs = keras.Input(tuple(size if axis == channels else None for axis, size in enumerate(x.shape) if axis))
    model = keras.Model(inputs, layer(inputs))
    wanted = layer(x)
    assert model.output_shape == layer.compute_output_shape((None, *inputs.shape[1:]))
    assert model.output_shape[channels] == 6
    twin = keras.models.clone_model(model)
    twin.set_weights(model.get_weights())
    assert np.array_equal(twin(x), wanted)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert loaded.layers[-1].get_config() == layer.get_config()
    assert np.array_equal(loaded.predict(x, verbose=0), wanted)
    # with known sizes the shape is known, and is right
    known = type(layer).from_config(layer.get_config())
    assert known(keras.KerasTensor(x.shape)).shape == tuple(wanted.shape)
    for jit in (False, True):
        function = tf.function(layer, jit_compile=jit)
        assert np.array_equal(function(tf.constant(x)), wanted)


def test_a_process_that_imported_the_layers_loads_a_model(tmp_path: Path) -> None:
    model = keras.Sequential(
        [keras.Input((None, 3)), layers.Conv1D(4, 5, padding=(4, 0), activation="relu"), layers.Conv1DTranspose(2, 3)]
    )
    with_integers(model)
    model.save(tmp_path / "model.keras")
    x = integers(2, 20, 3)
    np.save(tmp_path / "x.npy", x)
    code = (
        "import sys, numpy as np\n"
        "import xconv_tensorflow.layers\n"  # without xconv before it
        "import keras\n"
        "model = keras.models.load_model(sys.argv[1] + '/model.keras')\n"
        "np.save(sys.argv[1] + '/y.npy', model(np.load(sys.argv[1] + '/x.npy')))\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert np.array_equal(np.load(tmp_path / "y.npy"), model(x))


@pytest.mark.parametrize("jit_compile", [True, False])
def test_fit_ends_where_keras_own_layer_does(jit_compile: bool) -> None:
    """One step of gradient descent on integers, with exact sums: the same bits."""
    x, y = integers(4, 16, 3), integers(4, 16, 2)
    found = []
    for kind in (layers.Conv1D, keras.layers.Conv1D):
        model = keras.Sequential([keras.Input((16, 3)), kind(4, 3, padding="same"), kind(2, 3, padding="same")])
        with_integers(model)
        model.compile(keras.optimizers.SGD(2.0**-10), "mse", jit_compile=jit_compile)
        model.fit(x, y, batch_size=4, epochs=1, verbose=0)
        found.append(model.get_weights())
    assert not np.array_equal(found[0][0], integers(*found[0][0].shape))
    for one, other in zip(*found, strict=True):
        assert np.array_equal(one, other)


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16", "float64"])
def test_dtype_policies(policy: str) -> None:
    layer = layers.Conv1D(4, 5, padding="causal", dtype=policy)
    x = integers(2, 20, 3)
    layer.build(x.shape)
    with_integers(layer)
    y = layer(x)
    computing = {"mixed_bfloat16": "bfloat16", "mixed_float16": "float16", "float64": "float64"}[policy]
    assert y.dtype == computing
    assert layer.kernel.dtype == ("float64" if policy == "float64" else "float32")
    assert layer(keras.KerasTensor((2, 20, 3))).dtype == computing
    plain = layers.Conv1D(4, 5, padding="causal")
    plain.build(x.shape)
    plain.set_weights(layer.get_weights())
    assert np.array_equal(tf.cast(y, "float64"), tf.cast(tf.cast(plain(x), computing), "float64"))  # rounded once
    model = keras.Sequential([layer, keras.layers.GlobalAveragePooling1D(), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    before = layer.get_weights()[0].copy()
    model.fit(x, np.ones((2, 1)), epochs=1, verbose=0)
    assert np.isfinite(layer.get_weights()[0]).all()
    assert not np.array_equal(before, layer.get_weights()[0])


def test_regularizers_constraints_and_initializers() -> None:
    layer = layers.Conv1D(
        4,
        3,
        kernel_initializer="ones",
        bias_initializer=keras.initializers.Constant(2.0),
        kernel_regularizer=keras.regularizers.L1(0.5),
        activity_regularizer=keras.regularizers.L1(1.0),
        kernel_constraint="non_neg",
    )
    y = layer(np.ones((1, 3, 2), "float32"))
    assert np.array_equal(y, np.full((1, 1, 4), 3 * 2 + 2))
    assert [float(loss) for loss in layer.losses] == [8.0 * 4, 0.5 * 3 * 2 * 4]  # of the result, of the kernel
    model = keras.Sequential([layer])
    model.compile(keras.optimizers.SGD(10.0), "mse")
    model.fit(np.ones((1, 3, 2)), np.zeros((1, 1, 4)), verbose=0)
    assert np.array_equal(layer.get_weights()[0], np.zeros((3, 2, 4)))  # one long step below zero, and back


def test_the_separable_layer_draws_two_kernels_of_one_initializer() -> None:
    """One without a seed gives the same numbers each time it is asked."""
    layer = layers.SpatiallySeparableConv2D(
        3,
        5,
        rows_initializer=(shared := keras.initializers.GlorotUniform()),
        columns_initializer=shared,
    )
    layer.build((None, None, None, 3))
    rows, columns = layer.rows_kernel.numpy(), layer.columns_kernel.numpy()
    assert rows.shape == (1, 5, 3, 3)
    assert columns.shape == (5, 1, 3, 3)
    assert not np.array_equal(rows.ravel(), columns.ravel())


def test_the_separable_layer_is_two_of_keras() -> None:
    layer = layers.SpatiallySeparableConv2D(4, (3, 5), strides=2, padding="same", middle_filters=2)
    layer.build((None, 9, 11, 3))
    with_integers(layer)
    rows = keras.layers.Conv2D(2, (1, 5), strides=(1, 2), padding="same", use_bias=False)
    columns = keras.layers.Conv2D(4, (3, 1), strides=(2, 1), padding="same")
    rows.build((None, 9, 11, 3))
    columns.build((None, 9, 6, 2))
    rows.set_weights(layer.get_weights()[:1])
    columns.set_weights(layer.get_weights()[1:])
    # TensorFlow's own convolution does not take unequal strides everywhere, so one of them is taken from the result
    assert np.array_equal(layer(x := integers(2, 9, 11, 3)), columns(rows(x)))


def test_an_error_is_the_operations_own() -> None:
    """Keras makes new errors of the first part of old ones; ours stay as they are, eager, traced and symbolic."""
    layer = layers.Conv1D(4, 5)
    layer.build((None, None, 3))
    text = r"conv1d: weight: got a kernel that spans 5 elements on axis W of length 2, expected .* Hint: pad the input"
    for x in (np.ones((1, 2, 3), "float32"), keras.KerasTensor((None, 2, 3))):
        with pytest.raises(xconv.ArgumentError, match=text) as caught:
            layer(x)
        assert caught.value.argument == "weight"
    with pytest.raises(xconv.ArgumentError, match=text):
        tf.function(layer)(tf.ones((1, 2, 3)))
    with pytest.raises(ValueError, match=r"expected axis -?[0-9]+ of input shape to have value 3"):
        layer(np.ones((1, 9, 2), "float32"))
    with pytest.raises(xconv.ArgumentError, match=r"Conv1D: input_shape: got \(None, None\), expected 3 axes"):
        layers.Conv1D(4, 5).build((None, None))
    with pytest.raises(xconv.ArgumentError, match=r"Conv1D: input_shape: got \(None, 9, None\), .* on axis 2"):
        layers.Conv1D(4, 5).build((None, 9, None))
    with pytest.raises(xconv.ArgumentError, match=text):
        layers.Conv1D(4, 5).build((None, 2, 3))
    with pytest.raises(xconv.ArgumentError, match=r"Conv1D: dtype: got 'int32', expected one of float32"):
        layers.Conv1D(4, 5, dtype="int32")


def test_the_data_format_is_that_of_keras_configuration() -> None:
    before = keras.config.image_data_format()
    keras.config.set_image_data_format("channels_first")
    try:
        layer = layers.Conv1D(4, 5)
        assert layer(integers(2, 3, 20)).shape == (2, 4, 16)
        assert layer.get_config()["data_format"] == "channels_first"
    finally:
        keras.config.set_image_data_format(before)


def test_exported_for_serving(tmp_path: Path) -> None:
    model = keras.Sequential([keras.Input((None, 3)), layers.Conv1D(4, 3, padding="same", groups=1)])
    with_integers(model)
    model.export(tmp_path / "served", verbose=False)
    served = tf.saved_model.load(tmp_path / "served")
    for length in (9, 20):
        x = integers(2, length, 3)
        assert np.array_equal(served.serve(x), model(x))


def test_a_models_layers_are_seen_as_they_compute() -> None:
    layer = layers.Conv1D(8, 5, strides=2, padding="same", dtype="float64")
    [call] = layer.calls((2, 101, 3))
    assert call.result_shape((2, 101, 3)) == tuple(layer(np.ones((2, 101, 3))).shape)
    assert call.problem.dtype == "float64"
    assert xconv.plan(call, backend="tensorflow").problem == call.problem
    # Keras makes the result of a kernel that is shorter than its stride longer
    model = keras.Sequential([layer, keras.layers.Conv1DTranspose(4, 2, strides=3), layers.Conv2DAs1D(2, 3)])
    found = xconv.convolutions(model, (2, 101, 3))
    assert [(each.operation, each.problem.length) for each in found] == [
        ("conv1d", 101),
        ("conv1d_transpose", 153),
        ("conv2d_as_1d", 153),
    ]
    assert found[0] == call


def test_the_examples_in_the_documentation() -> None:
    assert doctest.testmod(layers).failed == 0

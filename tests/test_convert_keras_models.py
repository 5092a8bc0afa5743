"""A Keras model that is converted, as a whole: its head, its weights, its policy, and what is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.test_convert_keras import AXES, SHAPE, cases, checked, model_of, pair, proof, randomized
from xconv import to_1d
from xconv.core.bounds import gamma
from xconv.system.errors import ArgumentError


def vgg(top: bool) -> Any:
    """A narrow VGG."""
    import keras
    from keras import layers

    stack: list[Any] = [keras.Input((32, 32, 3))]
    for block, width in enumerate((4, 6), 1):
        stack += [
            layers.Conv2D(width, 3, padding="same", activation="relu", name=f"block{block}_conv{i}") for i in (1, 2)
        ]
        stack.append(layers.MaxPooling2D(2, 2, name=f"block{block}_pool"))
    if top:
        stack += [layers.Flatten(), layers.Dense(9, "relu", name="fc1"), layers.Dense(7, "softmax", name="predictions")]
    return randomized(keras.Sequential(stack, name="vgg"))


def test_a_new_head_on_the_old_weights() -> None:
    model = vgg(top=False)
    result = to_1d(model, input_shape=(50, 3), head=10)
    assert result.model.output_shape == (None, 10)
    found = proof(result.report)
    assert found, found  # what feeds the head is the same
    assert result.report.counts() == {"exact": 4, "exact if": 2, "heuristic": 1, "refused": 0}
    assert [layer.name for layer in result.model.layers[:-2]] == [layer.name for layer in model.layers]
    kernel = np.asarray(model.get_layer("block2_conv1").kernel)
    assert np.array_equal(result.model.get_layer("block2_conv1").kernel, kernel[1])
    assert any("block1_pool, block2_pool" in text for text in result.report.warnings)
    assert result.report.receptive_field is not None
    # convolutions of 3, pools of 2: 1 + 2 + 2 + 1 + 4 + 4 + 2
    assert (result.report.receptive_field.before, result.report.receptive_field.after) == ((16, 16), 16)


def test_a_head_for_another_length() -> None:
    model = vgg(top=True)
    with pytest.raises(
        ArgumentError, match=r"'fc1' \(Dense\): it was trained for 384 features, here are 72; give head="
    ):
        to_1d(model, input_shape=(50, 3))
    result = to_1d(model, input_shape=(50, 3), head=10)
    assert result.model.output_shape == (None, 10)
    assert result.model.layers[-1].activation.__name__ == "softmax"
    assert [step.rule for step in result.report.steps[-2:]] == ["new weights", "new head"]
    assert proof(result.report)  # up to fc1


def test_a_signal_of_other_channels() -> None:
    from keras import layers

    model = model_of(lambda x: layers.Conv2D(6, 3, strides=2)(layers.ZeroPadding2D(1)(x)), (None, None, 3))
    with pytest.raises(ArgumentError, match=r"input_shape: got 2 channels, expected 3.*channels='mean'"):
        to_1d(model, input_shape=(20, 2))
    for rule in ("mean", "repeat"):
        checked(model, (20, 2), channels=rule)
        checked(model, (20, 5), channels=rule)
    one = checked(model, (20, 1), channels="mean").model.layers[-1].kernel
    three = np.asarray(model.layers[-1].kernel)[1]
    assert np.all(np.abs(np.asarray(one)[:, 0] - three.sum(1)) <= 2 * gamma(3) * np.abs(three).sum(1))
    new = to_1d(model, input_shape=(20, 2), channels="new")
    assert new.report.counts()["heuristic"] == 1
    assert proof(new.report).verdict == "heuristic"
    early = model_of(lambda x: layers.Conv2D(6, 1)(layers.BatchNormalization()(x)), (None, None, 3))
    with pytest.raises(ArgumentError, match=r"BatchNormalization\): its weights are for 3 channels"):
        to_1d(early, input_shape=(20, 2), channels="mean")


def test_what_is_refused_is_listed() -> None:
    from keras import layers

    def build(x: Any) -> Any:
        x = layers.Conv2D(4, 3, name="valid")(x)
        return layers.Lambda(lambda y: y, name="custom")(layers.Permute((2, 1, 3), name="turn")(x))

    with pytest.raises(ArgumentError) as found:
        to_1d(model_of(build, (None, None, 4)), input_shape=SHAPE)
    text = str(found.value)
    assert "'valid' (Conv2D): its kernel is larger than the 1 rows" in text
    assert "'turn' (Permute): it exchanges axes" in text
    assert "'custom' (Lambda): nothing is known of its function" in text


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (lambda layers, x: layers.BatchNormalization()(layers.ZeroPadding2D(1)(x)), "rows of zeros .* reach it"),
        (lambda layers, x: layers.ZeroPadding2D(1)(x), "the output: rows of zeros are left"),
        (lambda layers, x: layers.UpSampling2D(2, interpolation="bilinear")(x), "interpolates"),
        (lambda layers, x: layers.BatchNormalization(axis=1)(x), "along the axis that disappears"),
        (lambda layers, x: layers.Conv2DTranspose(3, 2, strides=2)(x), "1 of 2 output rows|others see less"),
        (lambda layers, x: layers.Resizing(8, 8)(x), "it is for images"),
        (lambda layers, x: layers.TimeDistributed(layers.Dense(2))(x), "no rule is known"),
        (lambda layers, x: layers.Conv2D(3, 2, dilation_rate=2, padding="same")(x), "its bias alone"),
        (lambda layers, x: layers.PReLU()(x), "it has 8 rows of slopes"),
    ],
)
def test_what_has_no_meaning_is_refused(build: Any, words: str) -> None:
    from keras import layers

    with pytest.raises(ArgumentError, match=words):
        to_1d(model_of(lambda x: build(layers, x), (8, 21, 4)), input_shape=SHAPE)


def test_what_is_no_graph_of_one_image_is_refused() -> None:
    import keras
    from keras import layers

    class Own(keras.Model):  # type: ignore[misc]
        def call(self, x: Any) -> Any:
            return x

    first, second = keras.Input((None, None, 4)), keras.Input((None, None, 4))
    for model, words in (
        (Own(), "call method of its own.*keras.Model"),
        (keras.Sequential([layers.Conv2D(3, 3)]), "without weights.*keras.Input"),
        (keras.Model([first, second], layers.Add()([first, second])), "one input"),
        (model_of(layers.Conv1D(3, 3), (20, 4)), "one input|2-D network"),
    ):
        with pytest.raises(ArgumentError, match=words):
            to_1d(model, input_shape=SHAPE)
    model = model_of(layers.Conv2D(3, 3))
    with pytest.raises(ArgumentError, match="expected 8: 4 for each of 2 rows"):
        to_1d(model, input_shape=SHAPE, embedding="folded", size=2)
    with pytest.raises(ArgumentError, match="divisor of"):
        to_1d(model, input_shape=SHAPE, embedding="raster", size=5)


def test_the_model_is_left_as_it_was() -> None:
    model = model_of(lambda x: cases()["branches"](cases()["squeeze and excite"](x, pair), pair))
    model.compile("sgd", "mse")
    config = model.get_config()
    before = [np.asarray(variable).copy() for variable in model.variables]
    nodes = [(len(op._inbound_nodes), len(op._outbound_nodes)) for op in model.operations]
    result = checked(model)
    assert model.get_config() == config
    assert all(np.array_equal(a, b) for a, b in zip(before, model.variables, strict=True))
    assert [(len(op._inbound_nodes), len(op._outbound_nodes)) for op in model.operations] == nodes
    assert not result.model.compiled
    names = {layer.name for layer in result.model.layers}
    assert {layer.name for layer in model.layers} <= names
    shared = {id(variable) for variable in model.variables} & {id(variable) for variable in result.model.variables}
    assert not shared


def test_shared_layers_and_nested_models_stay_so() -> None:
    import keras
    from keras import layers

    inside = keras.Input((None, None, 4))
    block = keras.Model(inside, layers.ReLU()(layers.Conv2D(4, 3, padding="same", name="conv")(inside)), name="block")
    shared = layers.Conv2D(4, 3, padding="same", name="shared")
    model = model_of(lambda x: layers.Add()([block(shared(x)), block(block(shared(shared(x))))]))
    result = checked(model)
    paths = [step.path for step in result.report.steps]
    assert paths.count("block/conv") == 1
    assert result.model.count_params() == 2 * (3 * 4 * 4 + 4) == result.report.parameters[1]
    assert result.report.parameters[0] == model.count_params()
    assert [layer.name for layer in result.model.get_layer("block").layers][1] == "conv"


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "float64"])
def test_the_dtype_policy_is_kept(policy: str) -> None:
    import keras
    from keras import layers

    given = keras.Input((None, None, 4))
    model = randomized(
        keras.Model(
            given,
            layers.Dense(3, dtype="float32")(
                layers.GlobalMaxPooling2D(dtype=policy)(layers.Conv2D(5, 3, padding="same", dtype=policy)(given))
            ),
        )
    )
    result = checked(model)
    assert [layer.dtype_policy.name for layer in result.model.layers] == [
        layer.dtype_policy.name for layer in model.layers
    ]


def test_channels_first() -> None:
    from keras import layers

    # nowhere as many channels as elements: there Keras 3.15.1 adds a bias of (1, channels, 1) along the other axis
    form: dict[str, Any] = {"data_format": "channels_first"}

    def build(x: Any) -> Any:
        x = layers.ReLU()(
            layers.BatchNormalization(axis=1)(
                layers.Conv2D(5, 3, strides=2, use_bias=False, **form)(layers.ZeroPadding2D(1, **form)(x))
            )
        )
        x = layers.MaxPooling2D(3, 2, padding="same", **form)(x)
        x = layers.Concatenate(axis=1)([x, layers.DepthwiseConv2D(3, padding="same", **form)(x)])
        return layers.Dense(3)(layers.GlobalAveragePooling2D(**form)(x))

    for axis in AXES:
        checked(model_of(build, (4, None, None)), (4, 21), axis=axis)


def test_a_proof_can_fail() -> None:
    from keras import layers

    model = model_of(lambda x: layers.Dense(3)(layers.GlobalAveragePooling2D()(layers.Conv2D(5, 3, padding="same")(x))))
    result = to_1d(model, input_shape=SHAPE)
    kernel = result.model.layers[1].kernel
    wrong = np.asarray(kernel).copy()
    wrong[1, 2, 3] *= 1 + 2.0**-23  # one weight, by its last bit
    kernel.assign(wrong)
    assert proof(result.report).verdict == "differ"
    constant = model_of(
        lambda x: layers.Activation("sigmoid")(layers.Dense(3, activation="relu")(layers.GlobalMaxPooling2D()(x) * 0.0))
    )
    assert proof(to_1d(constant, input_shape=SHAPE).report).verdict == "proves nothing"


def test_a_real_network() -> None:
    import keras

    model = keras.applications.MobileNetV2(alpha=0.35, weights=None, include_top=False, input_shape=(None, None, 3))
    result = checked(randomized(model), (40, 3))
    assert result.report.counts()["exact if"] == 4  # depthwise layers with strides, whose padding is for even sizes
    assert result.report.parameters[1] < result.report.parameters[0]

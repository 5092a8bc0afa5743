"""2-D Keras models become 1-D ones that compute the same, or are refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from xconv import to_1d
from xconv.bounds import gamma
from xconv.errors import ArgumentError
from xconv.models.conversion import Conversion, Report
from xconv.testing import assert_parity, on

SHAPE = (21, 4)
AXES = ("height", "width")


def proof(report: Report) -> Any:
    return report.verify()


def randomized(model: Any) -> Any:
    """The model with all weights random, also biases and statistics."""
    rng = np.random.default_rng(7)
    for variable in model.variables:
        if "seed" in variable.path or "count" in variable.path:
            continue
        positive = "variance" in variable.path or "gamma" in variable.path
        low, high = (0.5, 1.5) if positive else (-0.4, 0.4)
        variable.assign(rng.uniform(low, high, variable.shape))
    return model


def model_of(build: Callable[[Any], Any], shape: Any = (None, None, 4)) -> Any:
    import keras

    given = keras.Input(shape)
    return randomized(keras.Model(given, build(given)))


def checked(model: Any, shape: tuple[int, int] = SHAPE, **options: Any) -> Conversion:
    """A conversion that is exact layer by layer, and proven."""
    result = to_1d(model, input_shape=shape, **options)
    counts = result.report.counts()
    assert counts["heuristic"] == counts["refused"] == 0, str(result.report)
    found = proof(result.report)
    assert found, f"{found}\n{result.report}"
    assert all(len(tensor.shape) <= 3 for tensor in result.model.outputs)
    return result


def pair(gone: Any, kept: Any) -> tuple[Any, Any]:
    """(height, width), if the height goes."""
    return gone, kept


def cases() -> dict[str, Callable[[Any, Callable[[int, int], Any]], Any]]:
    """Layers of each kind on an image; ``p`` orders a pair (gone, kept) as (height, width)."""
    import keras
    from keras import layers, ops

    def squeeze_excite(x: Any, p: Any) -> Any:
        s = layers.Reshape((1, 1, 4))(layers.GlobalAveragePooling2D()(x))
        s = layers.Conv2D(2, 1, activation="silu")(s)
        return layers.Multiply()([x, layers.Conv2D(4, 1, activation="sigmoid")(s)])

    def branches(x: Any, p: Any) -> Any:
        one, two = layers.Conv2D(4, p(3, 1), padding="same")(x), layers.Conv2D(4, p(1, 3), padding="same")(x)
        joined = layers.Concatenate(axis=3)([one, two, layers.Average()([one, two])])
        return layers.Subtract()([joined, layers.Maximum()([joined, layers.Conv2D(12, 1)(x)])])

    def adapted(x: Any, p: Any) -> Any:
        layer = layers.Normalization(axis=-1)
        layer.adapt(np.random.default_rng(0).normal(3, 2, (5, 6, 7, 4)))
        return layer(x)

    return {
        "same": lambda x, p: layers.Conv2D(5, 3, padding="same", activation="relu")(x),
        "even kernel, strides": lambda x, p: layers.Conv2D(5, p(4, 2), strides=p(3, 3), padding="same")(x),
        "dilated": lambda x, p: layers.Conv2D(5, 3, dilation_rate=p(2, 3), padding="same")(x),
        "grouped": lambda x, p: layers.Conv2D(6, 3, groups=2, padding="same", use_bias=False)(x),
        "one row, valid": lambda x, p: layers.Conv2D(5, p(1, 4))(x),
        "depthwise": lambda x, p: layers.DepthwiseConv2D(3, strides=2, depth_multiplier=2, padding="same")(x),
        "separable": lambda x, p: layers.SeparableConv2D(5, p(5, 3), depth_multiplier=2, padding="same")(x),
        "padded, valid": lambda x, p: layers.Conv2D(5, 7, strides=2)(layers.ZeroPadding2D(3)(x)),
        "padded unevenly": lambda x, p: layers.Conv2D(5, p(2, 3))(layers.ZeroPadding2D(p((0, 1), (2, 1)))(x)),
        "rows of zeros stay": lambda x, p: layers.Conv2D(5, 3)(
            layers.Conv2D(4, 1, use_bias=False)(layers.ZeroPadding2D(1)(x))
        ),
        "transposed": lambda x, p: layers.Conv2DTranspose(5, p(3, 4), strides=p(1, 3), padding="same")(x),
        "transposed, valid": lambda x, p: layers.Conv2DTranspose(5, p(1, 3), strides=p(1, 2))(x),
        "batch norm": lambda x, p: layers.BatchNormalization(axis=3)(x),
        "layer norm": lambda x, p: layers.LayerNormalization()(x),
        "group norm": lambda x, p: layers.GroupNormalization(2)(x),
        "unit norm": lambda x, p: layers.UnitNormalization()(x),
        "normalization": adapted,
        "rescaling": lambda x, p: layers.Rescaling(0.5, 1.0)(x),
        "max pool, same": lambda x, p: layers.MaxPooling2D(3, 2, padding="same")(x),
        "average pool, same": lambda x, p: layers.AveragePooling2D(3, 2, padding="same")(x),
        "relu, padded max pool": lambda x, p: layers.MaxPooling2D(3, 2)(layers.ZeroPadding2D(1)(layers.ReLU()(x))),
        "leaky relu, padded max pool": lambda x, p: layers.MaxPooling2D(3, 2)(
            layers.ZeroPadding2D(1)(layers.ReLU(negative_slope=0.5)(x))
        ),
        "padded max pool": lambda x, p: layers.MaxPooling2D(3, 2)(layers.ZeroPadding2D(1)(x)),
        "padded average pool": lambda x, p: layers.AveragePooling2D(3, 2)(layers.ZeroPadding2D(1)(x)),
        "global pools": lambda x, p: layers.Concatenate()(
            [layers.GlobalAveragePooling2D()(x), layers.GlobalMaxPooling2D()(x)]
        ),
        "global pool that keeps its axes": lambda x, p: x * layers.GlobalMaxPooling2D(keepdims=True)(x),
        "mean": lambda x, p: ops.mean(x, axis=[1, 2]),
        "cropping": lambda x, p: layers.Cropping2D(p((0, 0), (2, 1)))(x),
        "cropped zeros": lambda x, p: layers.Cropping2D(p((1, 1), (0, 1)))(layers.ZeroPadding2D(1)(x)),
        "upsampling": lambda x, p: layers.Conv2D(3, p(1, 3))(layers.UpSampling2D(p(2, 3))(x)),
        "prelu": lambda x, p: layers.PReLU(shared_axes=[1, 2])(x),
        "activations": lambda x, p: layers.LeakyReLU()(layers.ELU()(layers.Activation("gelu")(layers.Dropout(0.5)(x)))),
        "softmax": lambda x, p: layers.Softmax()(layers.Activation("softmax")(x)),
        "spatial dropout": lambda x, p: layers.SpatialDropout2D(0.5)(x),
        "squeeze and excite": squeeze_excite,
        "branches": branches,
        "operators": lambda x, p: ops.relu6(x + 3.0) * x / 6.0 - x,
        "dense on channels": lambda x, p: layers.Dense(3, activation="relu")(x),
        "flatten, dense": lambda x, p: layers.Dense(3)(layers.Flatten()(layers.Conv2D(2, 3, padding="same")(x))),
        "nested": lambda x, p: keras.Sequential([keras.Input((None, None, 4)), layers.Conv2D(3, 3, padding="same")])(x),
    }


@pytest.mark.parametrize("axis", AXES)
@pytest.mark.parametrize("name", list(cases()))
def test_layers_on_an_axis_of_size_one(name: str, axis: Any) -> None:
    def p(gone: Any, kept: Any) -> Any:
        return (gone, kept) if axis == "height" else (kept, gone)

    if name == "flatten, dense":
        shape: Any = (1, 21, 4) if axis == "height" else (21, 1, 4)
    else:
        shape = (None, None, 4)
    checked(model_of(lambda x: cases()[name](x, p), shape), axis=axis)


def test_the_models_themselves_agree_in_float32() -> None:
    # not by the proof's own float64 runs: the models as users call them
    model = model_of(lambda x: cases()["branches"](cases()["squeeze and excite"](x, pair), pair))
    result = checked(model)
    signal = np.random.default_rng(1).standard_normal((3, *SHAPE), dtype=np.float32)
    assert_parity(
        on("tensorflow", lambda x: model(x[:, None])[:, 0]),
        on("tensorflow", result.model),
        signal,
        runs=5,
        gradients=False,
    )


@pytest.mark.parametrize("axis", AXES)
def test_an_image_that_is_constant(axis: Any) -> None:
    from keras import layers

    def build(x: Any) -> Any:
        x = layers.MaxPooling2D(2)(layers.Conv2D(5, 3, activation="relu")(x))
        x = layers.BatchNormalization()(layers.DepthwiseConv2D(2)(x))
        return layers.Dense(3)(layers.Dropout(0.5)(layers.Flatten()(x)))

    shape: Any = (12, 21, 4) if axis == "height" else (21, 12, 4)
    result = checked(model_of(build, shape), embedding="constant", axis=axis, size=12)
    rules = [step.rule for step in result.report.steps]
    assert rules[0] == "sum of 3 rows"
    assert rules[-1] == "sum over 4 rows"


def test_a_border_of_zeros_is_not_exact() -> None:
    from keras import layers

    model = model_of(layers.Conv2D(5, 3, padding="same"))
    with pytest.raises(ArgumentError, match="4 of 6 output rows see 3 rows of the signal"):
        to_1d(model, input_shape=SHAPE, embedding="constant", size=6)
    kernel = np.asarray(model.layers[1].kernel)
    for rule, wanted in (("sum", kernel.sum(0)), ("row", kernel[1]), ("mean", kernel.mean(0))):
        result = to_1d(model, input_shape=SHAPE, embedding="constant", size=6, kernel_rule=rule)
        bound = 2 * gamma(kernel.shape[0] + 1) * np.abs(kernel).sum(0)  # sums of as many terms, in any order
        assert np.all(np.abs(np.asarray(result.model.layers[1].kernel) - wanted) <= bound)
        assert result.report.counts()["heuristic"] == 1
        assert proof(result.report).verdict == "heuristic"


def folded_cases() -> dict[str, Callable[[Any, Callable[[Any, Any], Any]], Any]]:
    from keras import layers

    return {
        "spanning": lambda x, p: layers.Conv2D(5, p(6, 3), activation="relu")(x),
        "toeplitz": lambda x, p: layers.Conv2D(3, p(3, 4), strides=2, padding="same")(x),
        "two": lambda x, p: layers.Conv2D(2, p(4, 1))(layers.Conv2D(3, 3, activation="relu", dilation_rate=p(1, 2))(x)),
        "grouped": lambda x, p: layers.Conv2D(4, 3, groups=2, padding="same")(x),
        "depthwise": lambda x, p: layers.DepthwiseConv2D(3, depth_multiplier=2)(layers.ZeroPadding2D(1)(x)),
        "separable": lambda x, p: layers.SeparableConv2D(3, 3, padding="same")(x),
        "transposed": lambda x, p: layers.Conv2DTranspose(3, p(3, 4), strides=2, padding="same")(x),
        "batch norm": lambda x, p: layers.BatchNormalization()(x),
        "pools": lambda x, p: layers.AveragePooling2D(p(3, 2))(layers.MaxPooling2D(p(2, 3), strides=p(2, 1))(x)),
        "pool of the kept axis": lambda x, p: layers.MaxPooling2D(p(1, 2), padding="same")(x),
        "global": lambda x, p: layers.Dense(2)(layers.GlobalAveragePooling2D()(x)),
        "global, flattened": lambda x, p: layers.Flatten()(layers.GlobalMaxPooling2D(keepdims=True)(x)),
        "flatten, dense": lambda x, p: layers.Dense(3)(layers.Flatten()(layers.Conv2D(2, 3, padding="same")(x))),
        "dense on channels": lambda x, p: layers.Dense(3)(x),
    }


@pytest.mark.parametrize("axis", AXES)
@pytest.mark.parametrize("name", list(folded_cases()))
def test_an_axis_folded_into_the_channels(name: str, axis: Any) -> None:
    def p(gone: Any, kept: Any) -> Any:
        return (gone, kept) if axis == "height" else (kept, gone)

    model = model_of(lambda x: folded_cases()[name](x, p), (*p(6, 13), 2))
    result = checked(model, (13, 12), embedding="folded", axis=axis, size=6)
    rules = {"spanning": "reshape", "toeplitz": "Toeplitz kernel", "batch norm": "repeat for each row"}
    if name in rules:
        assert result.report.steps[0].rule == rules[name]


def test_an_image_line_by_line() -> None:
    """The pair of (64, 64, 3) and (4096, 3) that tutorials show: the same layers, but nothing of it is exact."""
    import keras
    from keras import layers

    model = keras.Sequential(
        [
            keras.Input((64, 64, 3)),
            layers.Conv2D(32, 3, activation="relu"),
            layers.MaxPooling2D(2),
            layers.Flatten(),
            layers.Dense(10, activation="softmax"),
        ]
    )
    options: dict[str, Any] = {"embedding": "raster", "size": 64, "input_shape": (4096, 3), "head": 10}
    with pytest.raises(ArgumentError, match=r"vertical neighbours lie a line apart.*kernel_rule"):
        to_1d(model, **options)
    result = to_1d(model, **options, kernel_rule="row")
    assert [tuple(layer.output.shape) for layer in result.model.layers] == [
        (None, 4094, 32),
        (None, 2047, 32),
        (None, 65504),
        (None, 10),
    ]
    assert isinstance(result.model, keras.Sequential)
    assert [step.verdict for step in result.report.steps] == ["heuristic", "heuristic", "exact", "heuristic"]
    assert any("no 1-D signal" in text for text in result.report.warnings)
    assert np.array_equal(result.model.layers[0].kernel, model.layers[0].kernel[1])
    assert proof(result.report).verdict == "heuristic"


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
    for options, words in (
        ({"embedding": "folded", "size": 2}, "expected 8: 4 for each of 2 rows"),
        ({"embedding": "raster", "size": 5}, "divisor of"),
    ):
        with pytest.raises(ArgumentError, match=words):
            to_1d(model, input_shape=SHAPE, **options)  # type: ignore[arg-type]


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

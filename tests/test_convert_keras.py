"""2-D Keras models become 1-D ones that compute the same, or are refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from xconv import to_1d
from xconv.core.bounds import gamma
from xconv.models.conversion import Conversion, Report
from xconv.system.errors import ArgumentError
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

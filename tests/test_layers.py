"""Layers of both frameworks from one list of options: the same kernels, numbers, gradients, shapes and errors."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from inspect import signature
from typing import Any, TypeAlias

import numpy as np
import pytest

import xconv
from xconv.core.bounds import Enclosure
from xconv.core.operations import layers
from xconv.core.reference import Floats
from xconv.models.layers import LayerOptions
from xconv.parity import Case
from xconv.parity.check import transforms
from xconv.parity.comparison import compare
from xconv.parity.expected import expected

Arrays: TypeAlias = dict[str, Floats]

FRAMEWORKS = ("torch", "tensorflow")

CONFIGURATIONS = [
    LayerOptions("Conv1D", 3, 8, 5, "NWC"),
    LayerOptions("Conv1D", 6, 4, 3, "NCW", stride=2, padding="same", groups=2),
    LayerOptions("Conv1D", 6, 12, 3, "NWC", dilation=2, padding="causal", groups=6, bias=False),
    LayerOptions("Conv1D", 3, 5, 4, "NWC", stride=2, dilation=3, padding="same_lower", padding_mode="reflect"),
    LayerOptions("Conv1D", 3, 5, 4, "NCW", padding=(3, 1), formulation="taps"),
    LayerOptions("Conv2DAs1D", 3, 5, 4, "NWC", padding="full"),
    LayerOptions("Conv2DAs1D", 4, 6, 3, "NCW", stride=3, padding=2, padding_mode="circular"),
    LayerOptions("Conv1DRows", 6, 4, 3, "NCHW", stride=2, padding="same", groups=2),
    LayerOptions("Conv1DRows", 3, 5, 1, "NHWC", padding="valid", bias=False),
    LayerOptions("Conv1DColumns", 3, 5, 4, "NHWC", dilation=2, padding="causal", padding_mode="replicate"),
    LayerOptions("Conv1DColumns", 4, 4, 3, "NCHW", padding=1, groups=4),
    LayerOptions("SpatiallySeparableConv2D", 3, 5, (3, 4), "NHWC", middle_channels=2, padding="same"),
    LayerOptions("SpatiallySeparableConv2D", 4, 6, 3, "NCHW", groups=2, stride=(1, 2), padding=("full", (2, 0))),
    LayerOptions("Conv1DTranspose", 6, 4, 3, "NWC", stride=2, padding="same", groups=2),
    LayerOptions("Conv1DTranspose", 3, 5, 4, "NCW", stride=3, padding=(1, 2), output_padding=2, dilation=2),
]


def said(options: LayerOptions) -> str:
    given = [options.layer, options.layout, f"k{options.kernel_size}", str(options.padding), options.padding_mode]
    return "-".join(given).replace(" ", "")


def case_of(options: LayerOptions) -> Case:
    """A layer as a parity case of its operation, for its inputs and for what is expected of them."""
    sizes = {"N": 2, "H": 9, "W": 14, "C": options.in_channels or 0}
    shape = tuple(sizes[axis] for axis in ("NWC" if len(options.layout) == 3 else "NHWC"))
    given = {name: value for name, value in options.arguments.items() if name != "layout"}
    weights = tuple(options.kernels().values())
    return Case(said(options), options.operation, shape, weights, given, options.bias, options.layout)


def in_layer(options: LayerOptions, channels_last: bool, kernels: Sequence[Floats]) -> list[Floats]:
    """Kernels in the options' layout as a framework's layer keeps them."""
    turned = [k if options.channels_last == channels_last else k.transpose(2, 1, 0) for k in kernels]
    shapes = options.weight_shapes(channels_last).values()
    return [kernel.reshape(shape) for kernel, shape in zip(turned, shapes, strict=True)]


def as_called(options: LayerOptions, channels_last: bool, kernel: Floats) -> Floats:
    """The other way."""
    flat = kernel.reshape([size for axis, size in enumerate(kernel.shape) if axis != _flat(options, kernel)])
    return flat if options.channels_last == channels_last else flat.transpose(2, 1, 0)


def _flat(options: LayerOptions, kernel: Floats) -> int | None:
    if kernel.ndim == 3:
        return None
    spatial = [0, 1] if kernel.shape in options.weight_shapes(channels_last=True).values() else [2, 3]
    return next(axis for axis in spatial if kernel.shape[axis] == 1)


def by_torch(options: LayerOptions, dtype: str, x: Floats, weights: Sequence[Floats], dy: Floats) -> Arrays:
    import torch

    kind = getattr(torch, dtype)
    layer = xconv.get_backend("torch").module("layers").from_options(options, dtype=kind)
    parameters = dict(layer.named_parameters())
    arrays = in_layer(options, False, weights[: len(options.kernels())]) + list(weights[len(options.kernels()) :])
    layer.load_state_dict({name: torch.tensor(a) for name, a in zip(parameters, arrays, strict=True)})
    given = torch.tensor(x, dtype=kind, requires_grad=True)
    y = layer(given)
    y.backward(torch.tensor(dy, dtype=kind))
    assert y.dtype == kind
    found = {"y": y, "dx": given.grad, **{f"d{name}": value.grad for name, value in parameters.items()}}
    values = {name: value.detach().double().numpy() for name, value in found.items()}
    return {name: as_called(options, False, value) if "weight" in name else value for name, value in values.items()}


def by_tensorflow(options: LayerOptions, dtype: str, x: Floats, weights: Sequence[Floats], dy: Floats) -> Arrays:
    import tensorflow as tf

    layer = xconv.get_backend("tensorflow").module("layers").from_options(options, dtype=dtype)
    arrays = in_layer(options, True, weights[: len(options.kernels())]) + list(weights[len(options.kernels()) :])
    layer.set_weights(arrays)
    given = tf.constant(x, dtype)
    with tf.GradientTape() as tape:
        tape.watch(given)
        y = layer(given)
    assert y.dtype == dtype
    variables = [weight.value for weight in layer.trainable_weights]
    gradients = tape.gradient(y, [given, *variables], tf.constant(dy, dtype))
    names = ["dx", *(f"d{name}" for name in [*options.kernels(), *(["bias"] if options.bias else [])])]
    found = {"y": y, **dict(zip(names, gradients, strict=True))}
    values = {name: tf.cast(value, "float64").numpy() for name, value in found.items()}
    return {name: as_called(options, True, value) if "weight" in name else value for name, value in values.items()}


BY = {"torch": by_torch, "tensorflow": by_tensorflow}


def computed(
    options: LayerOptions, framework: str, kind: str, dtype: str = "float32"
) -> tuple[Arrays, dict[str, Enclosure]]:
    """What the layer of a framework computes, and what it should."""
    case, backend = case_of(options), xconv.get_backend(framework)
    inputs = case.inputs(kind, dtype)
    with backend.exact_float32():
        found = BY[framework](options, dtype, inputs[0], inputs[1:-1], inputs[-1])
    lengths = transforms(backend, case, dtype, "cpu", options.formulation)
    return found, expected(case, inputs, dtype, kind=kind, lengths=lengths)


@pytest.mark.parametrize("framework", FRAMEWORKS)
@pytest.mark.parametrize("options", CONFIGURATIONS, ids=said)
def test_integers_agree_bit_for_bit(options: LayerOptions, framework: str) -> None:
    found, wanted = computed(options, framework, "integers")
    findings = [compare(name, found[name], wanted[name], "float32", exactly=True) for name in wanted]
    assert found.keys() == wanted.keys()
    assert all(finding.verdict == "exact" for finding in findings), findings


@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16"])
@pytest.mark.parametrize("options", CONFIGURATIONS[::2], ids=said)
def test_both_frameworks_are_within_the_bound_and_so_near_each_other(options: LayerOptions, dtype: str) -> None:
    results = {}
    for framework in FRAMEWORKS:
        found, wanted = computed(options, framework, "normal", dtype)
        findings = [compare(name, found[name], wanted[name], dtype, exactly=False) for name in wanted]
        assert all(finding.ok for finding in findings), (framework, findings)
        results[framework] = found
    for name, bound in wanted.items():
        assert (np.abs(results["torch"][name] - results["tensorflow"][name]) <= 2 * bound.error).all()


@pytest.mark.parametrize("options", CONFIGURATIONS, ids=said)
def test_shapes_are_known_before_anything_is_computed(options: LayerOptions) -> None:
    case = case_of(options)
    x_shape, *_, y = case.passed_shapes()[0], case.inputs("integers", "float32")[-1]
    assert options.output_shape(x_shape) == y.shape
    lengths = {axis for axis, letter in enumerate(options.layout) if letter in "NHW"}
    unknown = tuple(None if axis in lengths else size for axis, size in enumerate(x_shape))
    assert options.output_shape(unknown) == tuple(
        None if axis in lengths else size for axis, size in enumerate(y.shape)
    )
    one = (None, *x_shape[1:])
    assert options.output_shape(one) == (None, *y.shape[1:])
    assert replace(options, in_channels=None).output_shape(one) == (None, *y.shape[1:])
    calls = options.calls(x_shape)
    assert [call.operation for call in calls] == [call.operation for call in case.calls()]


# What does not fit: the layer, what is said wrongly, and of which argument, in xconv's words.
GOOD: dict[str, Any] = {"in_channels": 6, "out_channels": 4, "kernel_size": 3}
WRONG: list[tuple[str, dict[str, Any], str]] = [
    ("Conv1D", {"out_channels": 0}, "out_channels"),
    ("Conv1D", {"out_channels": 4.0}, "out_channels"),
    ("Conv1D", {"kernel_size": (3, 3)}, "kernel_size"),
    ("Conv1D", {"kernel_size": -1}, "kernel_size"),
    ("Conv1D", {"stride": 0}, "stride"),
    ("Conv1D", {"stride": True}, "stride"),
    ("Conv1D", {"dilation": "two"}, "dilation"),
    ("Conv1D", {"padding": "casual"}, "padding"),
    ("Conv1D", {"padding": (1, -1)}, "padding"),
    ("Conv1D", {"padding": (1, 2, 3)}, "padding"),
    ("Conv1D", {"padding_mode": "symmetric"}, "padding_mode"),
    ("Conv1D", {"groups": 3}, "groups"),
    ("Conv1D", {"groups": 4}, "groups"),
    ("Conv1D", {"groups": 0}, "groups"),
    ("Conv1D", {"bias": "zeros"}, "bias"),
    ("Conv2DAs1D", {"formulation": "taps"}, "formulation"),
    ("Conv1DRows", {"stride": (1, 2)}, "stride"),
    ("Conv1DColumns", {"padding": "vald"}, "padding"),
    ("SpatiallySeparableConv2D", {"kernel_size": (3, 3, 3)}, "kernel_size"),
    ("SpatiallySeparableConv2D", {"stride": (1, 0)}, "stride"),
    ("SpatiallySeparableConv2D", {"padding": ("same", "sane")}, "padding"),
    ("SpatiallySeparableConv2D", {"middle_channels": 3, "groups": 2}, "groups"),
    ("SpatiallySeparableConv2D", {"middle_channels": 0}, "middle_channels"),
    ("Conv1DTranspose", {"output_padding": 2, "stride": 2}, "output_padding"),
    ("Conv1DTranspose", {"output_padding": 1, "stride": 2, "padding": "same"}, "output_padding"),
    ("Conv1DTranspose", {"padding_mode": "reflect"}, "padding_mode"),
    ("Conv1DTranspose", {"groups": 5}, "groups"),
]


@pytest.mark.parametrize(("layer", "wrong", "argument"), WRONG, ids=lambda part: str(part).replace(" ", ""))
def test_what_does_not_fit_is_refused_alike(
    layer: str, wrong: dict[str, Any], argument: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same error of both constructors, but for what an argument is called; and before a tensor is made."""
    torch_layers, keras_layers = (xconv.get_backend(name).module("layers") for name in FRAMEWORKS)
    words: dict[str, str] = xconv.get_backend("tensorflow").module("layers.convolution").WORDS
    given = {**GOOD, **wrong}

    def no_tensor(*arguments: Any, **options: Any) -> Any:
        raise AssertionError("a tensor was made")

    monkeypatch.setattr("torch.empty", no_tensor)
    monkeypatch.setattr("keras.layers.Layer.add_weight", no_tensor)
    with pytest.raises(xconv.ArgumentError) as in_torch:
        getattr(torch_layers, layer)(**given)
    of_keras = {words.get(name, name): value for name, value in given.items() if name != "in_channels"}

    def made_and_built() -> None:  # what has to do with the input's channels is found when these are known
        made = getattr(keras_layers, layer)(**of_keras)
        made.build((*(None,) * (len(made.options.layout) - 1), GOOD["in_channels"]))

    with pytest.raises(xconv.ArgumentError) as in_keras:
        made_and_built()
    assert in_torch.value.operation == in_keras.value.operation == layer
    assert in_torch.value.argument == argument
    assert str(in_keras.value) == str(in_torch.value.renamed(layer, words))


def test_an_unknown_formulation_and_layout_are_refused() -> None:
    torch_layers, keras_layers = (xconv.get_backend(name).module("layers") for name in FRAMEWORKS)
    with pytest.raises(xconv.ArgumentError, match=r"Conv1D: formulation: got 'tabs', .* did you mean 'taps'\?"):
        torch_layers.Conv1D(3, 4, 5, formulation="tabs")
    with pytest.raises(xconv.ArgumentError, match=r"Conv1D: formulation: got 'tabs', .* did you mean 'taps'\?"):
        keras_layers.Conv1D(4, 5, formulation="tabs")
    with pytest.raises(xconv.ArgumentError, match="Conv1DRows: layout: got 'NCW', expected one of 'NHWC', 'NCHW'"):
        torch_layers.Conv1DRows(3, 4, 5, layout="NCW")
    with pytest.raises(xconv.ArgumentError, match=r"data_format: got 'NCW', .*'channels_last', 'channels_first'"):
        keras_layers.Conv1D(4, 5, data_format="NCW")


@pytest.mark.parametrize("layer", [name for name in layers() if name != "Conv2DAs1D"])
def test_a_named_formulation_is_the_one_that_computes(layer: str) -> None:
    """One that cannot compute a stride says so, in both frameworks."""
    options = LayerOptions(layer, 3, 4, 5, "NWC" if layer in ("Conv1D", "Conv1DTranspose") else "NHWC", stride=2)
    x = np.ones((1, 20, 20, 3)[-len(options.layout) :], "float32")
    for framework in FRAMEWORKS:
        backend = xconv.get_backend(framework)
        able = backend.module("layers").from_options(options)
        unable = backend.module("layers").from_options(replace(options, formulation="fft"))
        assert able(backend.from_numpy(x, "cpu")) is not None
        with pytest.raises(xconv.UnsupportedError, match="formulation 'fft'"):
            unable(backend.from_numpy(x, "cpu"))


def test_every_layer_is_in_both_rooms_and_says_how_it_is_computed() -> None:
    for framework in FRAMEWORKS:
        module = xconv.get_backend(framework).module("layers")
        assert {*module.__all__} == {*layers(), "from_options"}
        for name in layers():
            kind = getattr(module, name)
            assert kind.layer == kind.__name__ == name
            assert {"formulation", "padding_mode", "groups"} <= signature(kind).parameters.keys()


def test_options_are_plain_values() -> None:
    """What is kept is hashed, packed and written: integers of any kind, lists and tuples of one become plain."""
    given = LayerOptions("Conv1D", np.int64(3), 4, (5,), "NCW", stride=[2], padding=[np.int32(1), 2])  # type: ignore[arg-type]
    assert given == LayerOptions("Conv1D", 3, 4, 5, "NCW", stride=2, padding=(1, 2))
    assert type(given.in_channels) is type(given.padding[0]) is int
    assert hash(given) == hash(replace(given))


def test_a_size_that_is_not_known_is_not_shown_as_a_number() -> None:
    options = LayerOptions("Conv1D", 3, 4, 5, "NWC")
    with pytest.raises(xconv.ArgumentError, match=r"x: got shape \(\?, \?, 7\)"):
        options.output_shape((None, None, 7))


def test_keras_layers_compute_on_the_backend_that_keras_has() -> None:
    """An operation belongs to the arrays it is given: on torch's, Keras' layers train without TensorFlow."""
    code = """
import sys
import numpy as np
from xconv_tensorflow.layers import Conv1D
import keras
model = keras.Sequential([keras.Input((None, 3)), Conv1D(2, 3, padding="causal", kernel_initializer="ones")])
model.compile("sgd", "mse")
model.fit(np.ones((1, 4, 3)), np.ones((1, 4, 2)), verbose=0)
model.layers[0].set_weights([np.ones((3, 3, 2)), np.zeros(2)])
print(keras.backend.backend(), *np.unique(model.predict(np.ones((1, 4, 3)), verbose=0)), "tensorflow" in sys.modules)
"""
    environment = {**os.environ, "KERAS_BACKEND": "torch"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, env=environment)
    assert done.stdout.split() == ["torch", "3.0", "6.0", "9.0", "False"], done.stderr[-2000:]

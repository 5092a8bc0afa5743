"""What is TensorFlow's own: functions with unknown sizes, XLA, variables, Keras mixed precision."""

from __future__ import annotations

import contextlib
import importlib
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

import xconv
from xconv.core import reference
from xconv.core.call import resolve

with contextlib.suppress(ImportError):
    importlib.import_module("torch")  # before TensorFlow, which has crashed otherwise (pytorch#93884)
tf: Any = importlib.import_module("tensorflow")

RNG = np.random.default_rng(5)


def integers(*shape: int) -> np.ndarray:
    return RNG.integers(-2, 3, shape).astype("float32")


# What TensorFlow refuses or gets wrong on the CPU, in one table: operation, x, weight, options.
GAPS: dict[str, tuple[str, tuple[int, ...], tuple[int, ...], dict[str, Any]]] = {
    "grouped": ("conv1d", (2, 20, 6), (3, 3, 4), {"groups": 2}),
    "dilated": ("conv1d", (2, 20, 3), (3, 3, 4), {"dilation": 2, "padding": "same"}),
    "stride and dilation": ("conv1d", (2, 20, 3), (3, 3, 4), {"stride": 2, "dilation": 3, "padding": "causal"}),
    "channels first": ("conv1d", (2, 3, 20), (4, 3, 3), {"layout": "NCW", "padding": 1}),
    "channels-first map": ("conv1d_columns", (2, 3, 12, 9), (4, 3, 3), {"layout": "NCHW", "stride": 2}),
    "depthwise, unequal strides": ("conv1d_columns", (2, 12, 9, 4), (3, 1, 4), {"groups": 4, "stride": 2}),
    "depthwise, stride and dilation": ("conv1d", (2, 20, 4), (3, 1, 8), {"groups": 4, "stride": 2, "dilation": 2}),
    "empty batch": ("conv1d", (0, 20, 3), (3, 3, 4), {"padding": "same"}),
    "zero length": ("conv1d", (2, 0, 3), (3, 3, 4), {"padding": "same"}),
    "asymmetric": ("conv1d", (2, 20, 3), (3, 3, 4), {"padding": (3, 1)}),
    "grouped 2-D": ("conv2d", (2, 12, 9, 4), (3, 2, 2, 6), {"groups": 2, "padding": "same"}),
    "dilated 2-D": ("conv2d", (2, 12, 9, 3), (3, 2, 3, 4), {"dilation": (2, 3), "stride": (1, 2), "padding": "same"}),
    "plain 2-D": ("conv2d", (2, 12, 9, 3), (3, 2, 3, 4), {"stride": (1, 2), "padding": "same"}),
    "empty 2-D": ("conv2d", (0, 12, 9, 3), (3, 2, 3, 4), {"stride": (1, 2), "padding": "same"}),
    "grouped map": ("conv1d_columns", (2, 12, 9, 6), (3, 3, 4), {"groups": 2}),
    "borders": ("conv1d_rows", (2, 12, 9, 6), (3, 3, 4), {"groups": 2, "padding": 2, "padding_mode": "circular"}),
    "pointwise, stride": ("conv1d", (2, 20, 3), (1, 3, 4), {"stride": 2, "padding": (1, 0)}),
    "pointwise, stride, rows": ("conv1d_rows", (2, 12, 9, 3), (1, 3, 4), {"stride": 3}),
    "pointwise, stride, 2-D": ("conv2d", (2, 12, 9, 3), (1, 1, 3, 4), {"stride": (2, 1), "padding": (1, 0)}),
    "pointwise, stride, transposed": ("conv1d_transpose", (2, 9, 3), (1, 4, 3), {"stride": 2, "output_padding": 1}),
    "transposed grouped": ("conv1d_transpose", (2, 9, 4), (3, 3, 4), {"groups": 2, "stride": 2, "dilation": 2}),
}
MODES = ("eager", "function", "unknown", "unknown batch", "xla", "pinned")


@pytest.fixture(params=MODES)
def mode(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.mark.parametrize("gap", GAPS)
def test_gap_is_closed(gap: str, mode: str) -> None:
    """Values, gradients and gradients of gradients, bit for bit, in every mode."""
    operation, x_shape, w_shape, options = GAPS[gap]
    call = resolve(operation, x_shape, w_shape, **options)
    x, w, v = integers(*x_shape), integers(*w_shape), integers(*x_shape)
    pinned = mode == "pinned" and operation not in ("conv2d", "conv1d_transpose")
    how = {"formulation": "conv2d"} if pinned else {}

    def everything(x: Any, w: Any, v: Any) -> Any:
        with tf.GradientTape() as outer:
            outer.watch((x, w))
            with tf.GradientTape() as tape:
                tape.watch((x, w))
                y = getattr(xconv, operation)(x, w, **options, **how)
            dx, dw = tape.gradient(y, (x, w), y)
        return y, dx, dw, *outer.gradient(dx, (x, w), v)

    function = everything
    if mode == "function":
        function = tf.function(everything)
    elif mode == "xla":
        function = tf.function(everything, jit_compile=True)
    elif mode.startswith("unknown"):
        known = range(1, len(x_shape)) if mode == "unknown batch" else [call.layout.to_channels_last[-1]]
        spatial = [size if i in known else None for i, size in enumerate(x_shape)]
        unknown = tf.TensorSpec(spatial, tf.float32)
        function = tf.function(everything, input_signature=[unknown, tf.TensorSpec(w_shape, tf.float32), unknown])
    y, dx, dw, ddx, ddw = (np.asarray(a) for a in function(*map(tf.constant, (x, w, v))))

    wanted, z = reference.apply(call, x, w), reference.apply(call, v, w)
    assert np.array_equal(y, wanted)
    assert np.array_equal(dx, reference.input_adjoint(call, wanted, w))
    assert np.array_equal(dw, reference.weight_adjoint(call, x, wanted))
    assert np.array_equal(ddx, reference.input_adjoint(call, z, w))
    assert np.array_equal(ddw, reference.weight_adjoint(call, x, z) + reference.weight_adjoint(call, v, wanted))


@pytest.mark.parametrize("padding", ["valid", "same", "same_lower", "causal", "full", 2, (3, 0)])
@pytest.mark.parametrize("stride", [1, 3])
@pytest.mark.parametrize("padding_mode", ["zeros", "reflect", "replicate", "circular"])
def test_unknown_batch_and_length(padding: Any, stride: int, padding_mode: str) -> None:
    w = integers(3, 4, 5)
    options = {"padding": padding, "stride": stride, "padding_mode": padding_mode}
    w_tensor = tf.constant(w)
    traced = tf.function(
        lambda x: xconv.conv1d(x, w_tensor, **options), input_signature=[tf.TensorSpec((None, None, 4), tf.float32)]
    )
    for n, length in ((1, 16), (2, 17), (3, 18), (0, 19)):
        x = integers(n, length, 4)
        wanted = reference.apply(resolve("conv1d", x.shape, w.shape, **options), x, w)
        y = traced(tf.constant(x)).numpy()
        assert y.shape == wanted.shape
        assert np.array_equal(y, wanted)


def test_bias_and_activation_fuse_safely() -> None:
    """Grappler fuses a bias into a grouped convolution, and then cannot run it: the fence holds."""
    x, w, b = integers(2, 12, 9, 6), integers(3, 3, 4), integers(4)

    @tf.function
    def function(x: Any, w: Any, b: Any) -> Any:
        y = xconv.conv1d_columns(x, w, groups=2, formulation="conv2d")
        return tf.nn.relu(tf.nn.bias_add(y, b))

    call = resolve("conv1d_columns", x.shape, w.shape, groups=2)
    assert np.array_equal(function(*map(tf.constant, (x, w, b))), np.maximum(reference.apply(call, x, w) + b, 0))


def test_graph_holds_one_convolution() -> None:
    function = tf.function(lambda x, w: xconv.conv1d(x, w, padding="same"))
    graph = function.get_concrete_function(tf.zeros((2, 20, 3)), tf.zeros((3, 3, 4))).graph
    assert [op.type for op in graph.get_operations() if op.type == "Conv2D"] == ["Conv2D"]
    shapes = {"ExpandDims", "Squeeze", "Const", "Placeholder", "Identity", "Conv2D"}
    assert {op.type for op in graph.get_operations()} <= shapes


POINTWISE = [gap for gap in GAPS if gap.startswith("pointwise")]


@pytest.mark.parametrize("gap", POINTWISE)
def test_no_pointwise_convolution_has_a_stride(gap: str) -> None:
    """The gradient for its weight writes out of its bounds, with oneDNN on AVX-512."""
    operation, x_shape, w_shape, options = GAPS[gap]

    def gradients(x: Any, w: Any) -> Any:
        with tf.GradientTape() as tape:
            tape.watch((x, w))
            y = getattr(xconv, operation)(x, w, **options)
        return tape.gradient(y, (x, w), y)

    graph = tf.function(gradients).get_concrete_function(tf.zeros(x_shape), tf.zeros(w_shape)).graph
    found = [op for op in graph.get_operations() if op.type.startswith("Conv2D")]
    assert {op.type for op in found} >= {"Conv2DBackpropFilter"}
    assert {stride for op in found for stride in op.get_attr("strides")} == {1}


@pytest.mark.parametrize(
    ("x_shape", "w_shape", "options", "named"),
    [
        ((2, 20, 8), (3, 8, 8), {"padding": "same"}, b"SAME"),
        ((2, 20, 8), (4, 8, 8), {"padding": "same"}, b"SAME"),
        ((2, 20, 8), (3, 8, 8), {"padding": "valid"}, b"VALID"),
        ((2, 20, 8), (4, 8, 8), {"padding": "same_lower"}, b"EXPLICIT"),
        ((2, 20, 2), (3, 2, 8), {"padding": "same"}, b"EXPLICIT"),  # Eigen is faster with few input channels,
        ((2, 20, 8), (3, 8, 64), {"padding": "same"}, b"EXPLICIT"),  # or many output channels,
        ((2, 20, 8), (3, 8, 8), {"padding": 1, "stride": 2}, b"EXPLICIT"),
        ((2, 20, 96), (9, 96, 8), {"padding": "same"}, b"EXPLICIT"),
        ((2, 80, 8), (41, 8, 8), {"padding": "same"}, b"EXPLICIT"),  # and oneDNN very slow with long kernels
    ],
)
def test_pads_have_the_name_with_which_gradients_are_fast(
    x_shape: tuple[int, ...], w_shape: tuple[int, ...], options: dict[str, Any], named: bytes
) -> None:
    function = tf.function(lambda x, w: xconv.conv1d(x, w, formulation="conv2d", **options))
    graph = function.get_concrete_function(tf.zeros(x_shape), tf.zeros(w_shape)).graph
    assert [op.get_attr("padding") for op in graph.get_operations() if op.type == "Conv2D"] == [named]


def test_variables_are_read_and_trained() -> None:
    x, w = tf.constant(integers(2, 20, 4)), tf.Variable(integers(3, 2, 6))
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(xconv.conv1d(x, w, groups=2) ** 2)
    gradient = tape.gradient(loss, w)
    assert gradient.shape == w.shape
    assert float(tf.reduce_max(tf.abs(gradient))) > 0


def test_inside_keras() -> None:
    """A Keras layer that uses it trains under fit, in mixed precision too."""
    keras = tf.keras

    @keras.utils.register_keras_serializable("xconv_tests")
    class Layer(keras.layers.Layer):  # type: ignore[misc, name-defined]
        def build(self, shape: Any) -> None:
            self.w = self.add_weight(shape=(3, shape[-1], 4))

        def call(self, x: Any) -> Any:
            return xconv.conv1d(x, tf.cast(tf.convert_to_tensor(self.w), x.dtype), padding="causal", dilation=2)

    for policy in ("float32", "mixed_bfloat16"):
        model = keras.Sequential([Layer(dtype=policy), keras.layers.GlobalAveragePooling1D(), keras.layers.Dense(1)])
        model.compile("sgd", "mse")
        history = model.fit(RNG.standard_normal((8, 20, 3)), RNG.standard_normal((8, 1)), epochs=2, verbose=0)
        assert np.isfinite(history.history["loss"]).all()


def test_devices_of_symbolic_and_eager_tensors() -> None:
    backend = xconv.get_backend("tensorflow")
    assert backend.device(tf.zeros(1)) == "cpu"

    @tf.function
    def traced(x: Any) -> Any:
        assert backend.device(x) is None
        return x

    traced(tf.zeros(1))


def test_exact_float32_restores_what_was_set() -> None:
    backend = xconv.get_backend("tensorflow")
    before = tf.config.experimental.tensor_float_32_execution_enabled()
    with backend.exact_float32():
        assert not tf.config.experimental.tensor_float_32_execution_enabled()
    assert tf.config.experimental.tensor_float_32_execution_enabled() == before


@pytest.mark.parametrize(
    ("shape", "kernel", "options", "words"),
    [
        ((1, 2, 4), (5, 4, 2), {}, "spans 5"),
        ((1, 2, 4), (5, 2, 2), {"groups": 2}, "spans 5"),
        ((1, 3, 4), (1, 2, 2), {"groups": 2, "padding": 4, "padding_mode": "reflect"}, "reflect"),
        ((1, 3, 4), (2, 4, 2), {"padding": 4, "padding_mode": "circular"}, "circular"),
    ],
)
def test_what_does_not_fit_an_unknown_length_is_refused_when_it_runs(
    shape: tuple[int, ...], kernel: tuple[int, ...], options: dict[str, Any], words: str
) -> None:
    w = tf.ones(kernel)
    function = tf.function(
        lambda x: xconv.conv1d(x, w, **options), input_signature=[tf.TensorSpec((None, None, 4), tf.float32)]
    )
    with pytest.raises(tf.errors.InvalidArgumentError, match=words):
        function(tf.ones(shape))
    assert function(tf.ones((1, 20, 4))).shape[0] == 1


def test_tensors_that_cannot_be_convolved() -> None:
    w = tf.ones((2, 1, 1))
    with pytest.raises(xconv.ArgumentError, match="RaggedTensor"):
        xconv.conv1d(tf.ragged.constant([[[1.0], [2.0]], [[1.0]]]), w)
    unknown = tf.function(lambda x: xconv.conv1d(x, w), input_signature=[tf.TensorSpec(None, tf.float32)])
    with pytest.raises(xconv.ArgumentError, match="unknown rank"):
        unknown(tf.ones((1, 5, 1)))
    unknown = tf.function(lambda x: xconv.conv1d(x, w), input_signature=[tf.TensorSpec((1, 5, None), tf.float32)])
    with pytest.raises(xconv.ArgumentError, match="known number of channels"):
        unknown(tf.ones((1, 5, 1)))


def test_numpy_inside_a_function_is_refused() -> None:
    with pytest.raises(xconv.UnsupportedError, match="pass a tensor"):
        tf.function(lambda: xconv.conv1d(np.ones((1, 5, 1), "f4"), np.ones((2, 1, 1), "f4"), backend="tensorflow"))()


def test_results_stay_on_their_device() -> None:
    """With two logical devices, which is what two GPUs look like."""
    code = """
import tensorflow as tf
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
import xconv
with tf.device("CPU:1"):
    x, w = tf.ones((2, 9, 4)), tf.ones((3, 2, 4))
y = xconv.conv1d(x, w, groups=2)
with tf.device("CPU:1"):
    v = tf.ones((3, 4, 4))
z = xconv.conv1d(x, v)
print(y.device[-5:], z.device[-5:])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.split() == ["CPU:1", "CPU:1"], done.stderr[-1000:]


@pytest.mark.parametrize("padding", ["valid", "same"])
@pytest.mark.parametrize("stride", [1, 2, 3])
def test_against_keras_layers(padding: str, stride: int) -> None:
    """The same integer weights give the same bits."""
    keras, x = tf.keras, tf.constant(integers(2, 20, 6))
    layer = keras.layers.Conv1D(4, 3, strides=stride, padding=padding, groups=2, bias_initializer="ones")
    layer.build(x.shape)
    layer.kernel.assign(integers(3, 3, 4))
    options: dict[str, Any] = {"stride": stride, "padding": padding}
    assert np.array_equal(layer(x), xconv.conv1d(x, layer.kernel, layer.bias, groups=2, **options))
    up = keras.layers.Conv1DTranspose(4, 5, strides=stride, padding=padding, bias_initializer="ones")
    up.build(x.shape)
    up.kernel.assign(integers(5, 4, 6))
    assert np.array_equal(up(x), xconv.conv1d_transpose(x, up.kernel, up.bias, **options))


def test_causal_against_keras() -> None:
    x = tf.constant(integers(2, 20, 6))
    layer = tf.keras.layers.Conv1D(4, 3, dilation_rate=2, padding="causal")
    layer.build(x.shape)
    layer.kernel.assign(integers(3, 6, 4))
    assert np.array_equal(layer(x), xconv.conv1d(x, layer.kernel, padding="causal", dilation=2))


@pytest.mark.parametrize(("jit_compile", "convolutions"), [(True, False), (False, True)])
@pytest.mark.parametrize("groups", [8, 1])
def test_xla_has_loops_where_its_convolution_is_slow(groups: int, jit_compile: bool, convolutions: bool) -> None:
    """Also for the gradients, also where the compiled function calls another."""

    def gradients(x: Any, w: Any) -> Any:
        with tf.GradientTape() as tape:
            tape.watch((x, w))
            y = tf.function(lambda x, w: xconv.conv1d(x, w, groups=groups, padding="same"))(x, w)
        return tape.gradient(y, (x, w))

    x, w = tf.zeros((2, 4000, groups)), tf.zeros((3, 1, groups))
    graph = tf.function(gradients, jit_compile=jit_compile).get_concrete_function(x, w).graph
    nodes = graph.as_graph_def()
    found = [node.op for part in (nodes.node, *(f.node_def for f in nodes.library.function)) for node in part]
    assert any("Conv" in kind for kind in found) == convolutions


def test_a_single_channel_under_xla_gets_a_loop_for_more_taps_than_a_dense_layer() -> None:
    def taken(outputs: int) -> set[str]:
        function = tf.function(xconv.conv1d, jit_compile=True)
        graph = function.get_concrete_function(tf.zeros((2, 400, 1)), tf.zeros((25, 1, outputs))).graph
        return {op.type for op in graph.get_operations()}

    assert "Conv2D" not in taken(1)
    assert "Conv2D" in taken(8)


@pytest.mark.parametrize("formulation", ["auto", "conv2d", "conv1d", "taps"])
@pytest.mark.parametrize(
    ("operation", "x_shape", "weight_shape", "options"),
    [
        ("conv1d", (2, 0, 3), (3, 3, 2), {"padding": "same"}),
        ("conv1d", (2, 0, 3), (3, 3, 2), {"padding": "same", "stride": 2}),
        ("conv1d", (2, 0, 3), (3, 3, 2), {"padding": 3, "stride": 2}),
        ("conv1d_columns", (2, 0, 3, 3), (3, 3, 2), {"padding": 3}),
        ("conv1d", (0, 9, 3), (3, 3, 2), {"padding": 1}),
        ("conv1d_transpose", (2, 0, 3), (3, 2, 3), {"padding": "same", "stride": 2}),
    ],
    ids=str,
)
def test_unknown_sizes_that_turn_out_empty(
    operation: str, x_shape: tuple[int, ...], weight_shape: tuple[int, ...], options: dict[str, Any], formulation: str
) -> None:
    if operation == "conv1d_transpose" and formulation in ("conv1d", "conv2d"):
        return  # they have no input gradient with a stride and unknown sizes
    x, w, b = tf.zeros(x_shape), tf.ones(weight_shape), tf.constant([1.0, 2.0])
    signature = [tf.TensorSpec((*(None,) * (len(x_shape) - 1), x_shape[-1])), tf.TensorSpec(weight_shape)]
    traced = tf.function(
        lambda x, w: getattr(xconv, operation)(x, w, b, formulation=formulation, **options), input_signature=signature
    )
    with tf.GradientTape() as tape:
        tape.watch([x, w])
        y = traced(x, w)
    dx, dw = tape.gradient(y, [x, w])
    shape = xconv.resolve(operation, x_shape, weight_shape, **options).result_shape(x_shape)
    assert np.array_equal(y, np.broadcast_to([1, 2], shape))
    assert dx.shape == x.shape
    assert not dw.numpy().any()

"""`xconv.testing`: right ports pass, wrong ones are caught with the right words, and nothing is taken on trust."""

from __future__ import annotations

import importlib.util
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import torch
from torch.nn import functional as F

import xconv
from tests.ported import LAYOUTS, X, original, port
from xconv.testing import ParityError, assert_parity, compare, on
from xconv.testing.callables import FrameworkCallable
from xconv.testing.evidence import Side, gather
from xconv.testing.judge import BOTH, NONE

RNG = np.random.default_rng(7)
W = RNG.standard_normal((7, 5, 3)).astype("float32")
W_TORCH, W_TF = torch.from_numpy(W.copy()), tf.constant(W.transpose(2, 1, 0))


def by_torch(x: torch.Tensor) -> torch.Tensor:
    return F.conv1d(x, W_TORCH)


def by_tensorflow(x: tf.Tensor) -> tf.Tensor:
    return tf.nn.conv1d(x, W_TF, 1, "VALID")


def by_numpy(x: np.ndarray) -> np.ndarray:
    windows = np.lib.stride_tricks.sliding_window_view(x, 3, axis=2)
    result: np.ndarray = np.einsum("ncwk,ock->now", windows, W)
    return result


def need(package: str) -> None:
    if importlib.util.find_spec(package) is None:
        pytest.skip(f"{package} is not installed (pip install {package})")


def test_torch_and_numpy() -> None:
    found = assert_parity(by_torch, by_numpy, X)
    assert found.method.startswith(BOTH)
    assert [row.array for row in found.rows] == ["result", "result, f in float32", "result, g in float32"]
    assert found.rows[0].bound < 1e-12  # float64's


def test_torch_and_tensorflow_with_gradients() -> None:
    found = assert_parity(by_torch, by_tensorflow, X, layouts=LAYOUTS)
    assert "gradient for input 0" in [row.array for row in found.rows]
    assert (
        assert_parity(by_torch, by_tensorflow, X, layouts=LAYOUTS, gradients=False).rows[-1].array.startswith("result")
    )
    assert found.properties()["version of torch"] == torch.__version__
    assert "flag tensorflow TF32" in found.properties()


@pytest.mark.parametrize("by_xla", [False, True])
def test_a_tf_function(by_xla: bool) -> None:
    assert assert_parity(by_torch, tf.function(by_tensorflow, jit_compile=by_xla), X, layouts=LAYOUTS).ok


def test_torch_and_jax() -> None:
    need("jax")
    import jax
    from jax import numpy as jnp

    kernel = jnp.asarray(W)

    def by_jax(x: Any) -> Any:
        return jax.lax.conv_general_dilated(x, kernel, (1,), "VALID", dimension_numbers=("NCW", "OIW", "NCW"))

    for one in (by_jax, jax.jit(by_jax)):
        found = assert_parity(by_torch, one, X)
        assert found.method.startswith(BOTH)
        assert len(found.rows) == 6
    assert not jax.config.jax_enable_x64


def test_torch_and_onnx(tmp_path: Path) -> None:
    need("onnx")
    need("onnxruntime")
    import onnx
    import onnxruntime
    from onnx import TensorProto, helper, numpy_helper

    def saved(pads: list[int]) -> Any:
        node = helper.make_node("Conv", ["x", "w"], ["y"], pads=pads)
        ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [None] * 3) for name in "xy"]
        graph = helper.make_graph([node], "layer", ends[:1], ends[1:], [numpy_helper.from_array(W, "w")])
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)

    model = saved([0, 0])
    onnx.save(model, tmp_path / "layer.onnx")
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    for given in (model, tmp_path / "layer.onnx", str(tmp_path / "layer.onnx"), session):
        found = assert_parity(by_torch, given, X)
        assert found.method.startswith("f in float64")
        assert any("g has no float64 run: the types of a model" in note for note in found.notes)
    with pytest.raises(ParityError, match="consistent with a shift by"):
        assert_parity(lambda x: F.conv1d(F.pad(x, (1, 1)), W_TORCH), saved([2, 0]), X)


def test_a_right_port_of_a_model() -> None:
    model = original()
    found = assert_parity(model, port(model), X, layouts=LAYOUTS)
    assert found.method.startswith(BOTH)
    assert found.layers == ""
    # TensorFlow's gelu holds the root of 2 in float32
    assert any("as if a constant was rounded to float32" in note for note in found.notes)
    assert not compare(model, port(model), X, layouts=LAYOUTS, strict=True, walk=False).ok


def test_operations_of_xconv_are_functions_like_any_other() -> None:
    kernel = W.transpose(2, 1, 0).copy()
    assert assert_parity(
        lambda x: xconv.conv1d(x, W_TORCH, layout="NCW"), lambda x: xconv.conv1d(x, W_TF), X, layouts=LAYOUTS
    ).ok
    assert assert_parity(by_numpy, lambda x: xconv.conv1d(x, kernel), X, layouts=LAYOUTS).ok


@pytest.mark.parametrize("scale", [1 + 1e-6, 1 - 1e-6])
def test_a_millionth_is_caught_in_float64(scale: float) -> None:
    """Float32 rounding hides it, and float64's does not."""
    with pytest.raises(ParityError, match="does not shrink with the unit roundoff, so the difference is real"):
        assert_parity(by_torch, lambda x: by_numpy(x) * scale, X)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (lambda x: F.conv1d(F.pad(x, (2, 0)), W_TORCH), "consistent with a shift by"),
        (lambda x: F.conv1d(F.pad(x, (1, 1)), W_TORCH.flip(2)), "of 840 elements are off"),
        (lambda x: F.conv1d(F.pad(x, (1, 1)), W_TORCH).transpose(1, 2), r"f has shape \(3, 7, 40\), g \(3, 40, 7\)"),
        (lambda x: F.conv1d(F.pad(x, (1, 1)), W_TORCH) + 0.1, "0.1 apart"),
        (lambda x: F.conv1d(F.pad(x, (1, 1)), W_TORCH)[:, :, 1:], "MISMATCH"),
        (lambda x: F.conv1d(F.pad(x, (1, 1)), W_TORCH) / 0, "nan|inf"),
    ],
)
def test_wrong_functions(wrong: Any, words: str) -> None:
    def right(x: torch.Tensor) -> torch.Tensor:
        return F.conv1d(F.pad(x, (1, 1)), W_TORCH)

    with pytest.raises(ParityError, match=words) as caught:
        assert_parity(right, wrong, X)
    assert "result" in str(caught.value)


def test_gelu_by_erf_and_by_tanh() -> None:
    assert assert_parity(F.gelu, tf.nn.gelu, X).ok
    assert not compare(F.gelu, lambda x: tf.nn.gelu(x, approximate=True), X).ok


def rounded_to_11_bits(x: np.ndarray) -> np.ndarray:
    """As TF32 keeps of a float32, but for float64."""
    if x.dtype == np.float64:
        return x
    bits = x.view(np.uint32)
    return ((bits + np.uint32(0x1000)) & np.uint32(0xFFFFE000)).view(np.float32)


def test_rounding_of_inputs_to_tf32_is_caught() -> None:
    """In float64 both agree: it is the float32 result that is too far from its own."""
    found = compare(by_torch, lambda x: by_numpy(rounded_to_11_bits(x)), X)
    verdicts = {row.array: row.verdict for row in found.rows}
    assert verdicts == {
        "result": "within bound",
        "result, f in float32": "within bound",
        "result, g in float32": "MISMATCH",
    }
    assert "further from the float64 result than its rounding errors explain" in str(found)
    narrow = on("numpy", lambda x: by_numpy(rounded_to_11_bits(x.astype(np.float32))).astype(np.float32))
    for f in (by_torch, lambda x: by_torch(x).float()):
        assert not compare(f, narrow, X).ok


def test_one_side_in_float64_and_none() -> None:
    def narrow(x: np.ndarray) -> np.ndarray:
        return by_numpy(x).astype(np.float32)

    one = assert_parity(by_torch, narrow, X)
    assert one.method.startswith("f in float64")
    assert any("g has no float64 run: given float64, its result is float32" in note for note in one.notes)
    none = assert_parity(lambda x: by_torch(x).float(), narrow, X)
    assert none.method.startswith(NONE)
    for f in (by_torch, lambda x: by_torch(x).float()):
        assert not compare(f, lambda x: narrow(x) * np.float32(1.0001), X).ok


def test_float32_inside_of_float64_is_seen() -> None:
    def hidden(x: np.ndarray) -> np.ndarray:
        return by_numpy(x).astype(np.float32).astype(x.dtype)

    found = assert_parity(by_torch, hidden, X)
    assert any("it rounds to float32 inside" in note for note in found.notes)


def test_other_orders_of_summation_pass() -> None:
    """A long sum, one number after the other and in pairs: in float32 1e-4 apart, which no fixed tolerance allows."""
    x = np.random.default_rng(3).standard_normal((4, 20_000)).astype("float32")

    def in_order(x: np.ndarray) -> np.ndarray:
        total: np.ndarray = np.cumsum(x, axis=1)[:, -1]
        return total

    for seed in range(3):
        assert assert_parity(lambda x: np.sum(x, axis=1), in_order, x, seed=seed).ok
        assert assert_parity(in_order, lambda x: torch.sum(x, 1), x, seed=seed).ok


@pytest.mark.parametrize(("terms", "count"), [(1000, 200), (4000, 100), (20_000, 20)])
def test_the_estimate_is_as_large_as_the_errors(terms: int, count: int) -> None:
    """From float64 to within a factor of 2 for sums of any length; from float32's small step it is a few times less."""
    x = np.random.default_rng(0).standard_normal((count, terms)).astype("float32")

    def in_order(x: np.ndarray) -> np.ndarray:
        total: np.ndarray = np.cumsum(x, axis=1)[:, -1]
        return total

    def root_mean_square(values: np.ndarray) -> float:
        return float(np.sqrt(np.mean(np.square(values))))

    error = root_mean_square(in_order(x) - in_order(x.astype(np.float64)))
    spreads = []
    for f in (in_order, lambda x: in_order(x).astype(np.float32)):
        side = Side(FrameworkCallable("f", on("numpy", f)), [x], None, lambda _, array: array)
        spreads.append(root_mean_square(gather(side, side.run(), 17, 0).spread("result")))
    assert 0.5 < error / spreads[0] < 2
    assert error / spreads[1] < (2.5 if terms <= 4000 else 4)


@pytest.mark.parametrize("seed", range(4))
def test_a_long_product_one_term_after_the_other(seed: int) -> None:
    """Most of its rounding errors stay the same when an input moves to its neighbour."""
    rng = np.random.default_rng(seed)
    x, w = (rng.standard_normal(shape).astype("float32") for shape in ((5, 4000), (4000, 7)))
    by_matrix = torch.from_numpy(w.copy())

    def in_order(x: np.ndarray) -> np.ndarray:
        total: np.ndarray = np.add.accumulate(x[:, :, None] * w, axis=1)[:, -1]
        return total

    assert assert_parity(lambda x: x @ by_matrix, in_order, x).ok
    assert assert_parity(lambda x: (x @ by_matrix).float(), lambda x: in_order(x).astype(np.float32), x).ok


def test_constants_that_cancel() -> None:
    """2.4 is rounded to float32, and most of it cancels: what is left has a large relative error."""
    x = (2.4 + X / 50).astype("float32")
    assert assert_parity(lambda x: torch.exp(x - 2.4), on("numpy", lambda x: np.exp(x - 2.4)), x).ok


def test_integers_are_exact() -> None:
    found = assert_parity(lambda x: torch.argmax(x, 1), lambda x: np.argmax(x, 1), X)
    assert [row.verdict for row in found.rows] == ["exact"]
    with pytest.raises(ParityError, match="elements differ"):
        assert_parity(lambda x: torch.argmax(x, 1), lambda x: np.argmax(-x, 1), X)


def test_results_may_be_named_and_nested() -> None:
    found = assert_parity(
        lambda x: {"a": torch.exp(x), "b": (torch.sin(x), x.argmax(1))},
        lambda x: {"a": np.exp(x), "b": (np.sin(x), x.argmax(1))},
        X,
    )
    assert {"result['a']", "result['b'][0]", "result['b'][1]"} <= {row.array for row in found.rows}
    with pytest.raises(ParityError, match=r"only f has result\['b'\]"):
        assert_parity(lambda x: {"a": torch.exp(x), "b": x}, lambda x: {"a": np.exp(x)}, X)


def test_several_inputs() -> None:
    y = RNG.standard_normal((3, 4)).astype("float32")
    ids = np.array([2, 0, 1])
    assert assert_parity(
        lambda x, y, i: F.conv1d(x, W_TORCH).sum(2)[:, :4] * y[i],
        lambda x, y, i: tf.reduce_sum(tf.nn.conv1d(x, W_TF, 1, "VALID"), 1)[:, :4] * tf.gather(y, i),
        X,
        y,
        ids,
        layouts=(("NCW", None, None), ("NWC", None, None)),
    ).ok


def test_errors_are_rows() -> None:
    def wrong(x: np.ndarray) -> np.ndarray:
        raise ValueError("no such axis")

    with pytest.raises(ParityError, match=r"g raises ValueError: no such axis"):
        assert_parity(by_torch, wrong, X)


def test_a_frameworks_own_functions_are_known() -> None:
    assert assert_parity(torch.tanh, np.tanh, X).ok
    assert assert_parity(tf.math.exp, torch.exp, X).ok


def unclear(x: Any) -> Any:
    return x * 2


@pytest.mark.parametrize(
    ("f", "words"),
    [
        (unclear, r'say which arrays it takes: xconv\.testing\.on\("torch", unclear\)'),
        (lambda x: torch.from_numpy(x).numpy(), r'xconv\.testing\.on\("torch", f\)'),
        (lambda x: torch.tensor(tf.nn.relu(x)), "it refers to tensorflow and torch"),
        (3, "got a int"),
        ("model.h5", r"the path of a saved model"),
    ],
)
def test_whose_a_function_is_must_be_certain(f: Any, words: str) -> None:
    with pytest.raises(xconv.ArgumentError, match=words):
        assert_parity(f, by_numpy, X)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"layouts": ("NCW", "NHWC")}, "two layouts of the same axes"),
        ({"layouts": "NCW"}, "two layouts of the same axes"),
        ({"layouts": (("NCW", "NCW"), "NWC")}, "a layout for each of 1 inputs"),
        ({"gradients": "yes"}, "True, False or 'auto'"),
        ({"gradients": True}, "True, and a callable of numpy"),
        ({"runs": 2}, "an integer >= 3"),
        ({"false_alarm": 0}, "a probability"),
    ],
)
def test_wrong_options(options: dict[str, Any], words: str) -> None:
    with pytest.raises(xconv.ArgumentError, match=words):
        compare(by_torch, by_numpy, X, **options)


def test_random_states_stay() -> None:
    torch.manual_seed(11)
    tf.random.set_seed(11)
    np.random.seed(11)
    random.seed(11)

    def draw() -> list[float]:
        return [float(torch.rand(())), float(np.random.rand()), random.random(), float(tf.random.uniform(()))]

    wanted = draw()
    torch.manual_seed(11)
    tf.random.set_seed(11)
    np.random.seed(11)
    random.seed(11)
    compare(
        lambda x: F.dropout(x, 0.5) * (np.random.rand() + random.random()),
        lambda x: tf.nn.dropout(x, 0.5),
        X,
    )
    assert draw() == wanted


def test_inputs_are_not_written_to() -> None:
    x = X.copy()

    def doubles(x: Any) -> Any:
        x *= 2
        return x

    assert assert_parity(on("torch", doubles), on("numpy", doubles), x).ok
    assert np.array_equal(x, X)

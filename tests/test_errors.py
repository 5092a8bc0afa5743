"""Bad input: one error type, one message on every backend, before a framework is reached."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any, NamedTuple

import numpy as np
import pytest

import xconv
from xconv.core.backend import Backend


class Bad(NamedTuple):
    """A call that must be refused, and the words that its error must hold."""

    name: str
    operation: str
    x: Any
    weight: Any
    options: dict[str, Any]
    argument: str
    says: tuple[str, ...]
    bias: Any = None


def f32(*shape: int) -> np.ndarray:
    return np.ones(shape, "float32")


NWC, KIO = (2, 20, 3), (5, 3, 8)
NHWC, KHW = (2, 12, 14, 3), (3, 3, 3, 8)

TABLE = [
    Bad("rank 4", "conv1d", f32(2, 20, 20, 3), f32(*KIO), {}, "x", ("(2, 20, 20, 3)", "3 axes", "conv1d_rows")),
    Bad("rank 1", "conv1d", f32(20), f32(*KIO), {}, "x", ("(20,)", "3 axes")),
    Bad("unbatched", "conv1d", f32(20, 3), f32(*KIO), {}, "x", ("x[None]",)),
    Bad("unbatched map", "conv1d_rows", f32(12, 14, 3), f32(*KIO), {}, "x", ("x[None]", "conv1d")),
    Bad("signal to columns", "conv1d_columns", f32(*NWC), f32(*KIO), {}, "x", ("4 axes",)),
    Bad("signal to conv2d", "conv2d", f32(*NWC), f32(*KHW), {}, "x", ("4 axes", "conv1d")),
    Bad("unbatched transpose", "conv1d_transpose", f32(20, 8), f32(*KIO), {}, "x", ("x[None]",)),
    Bad("weight rank", "conv1d", f32(*NWC), f32(1, 5, 3, 8), {}, "weight", ("3 axes", "conv2d")),
    Bad("weight rank 2", "conv1d", f32(*NWC), f32(5, 3), {}, "weight", ("(5, 3)", "3 axes")),
    Bad("1-D kernel to conv2d", "conv2d", f32(*NHWC), f32(*KIO), {}, "weight", ("4 axes", "conv1d_rows")),
    Bad("empty kernel", "conv1d", f32(*NWC), f32(0, 3, 8), {}, "weight", (">= 1",)),
    Bad("no outputs", "conv1d", f32(*NWC), f32(5, 3, 0), {}, "weight", (">= 1",)),
    Bad("bias rank", "conv1d", f32(*NWC), f32(*KIO), {}, "bias", ("one axis",), f32(1, 8)),
    Bad("bias length", "conv1d", f32(*NWC), f32(*KIO), {}, "bias", ("length 7", "length 8"), f32(7)),
    Bad("bias of other layout", "conv1d", f32(*NWC), f32(8, 3, 5), {}, "bias", ("other layout",), f32(8)),
    Bad("bias of transpose", "conv1d_transpose", f32(2, 20, 8), f32(*KIO), {}, "bias", ("length 3",), f32(8)),
    Bad("channels", "conv1d", f32(2, 20, 4), f32(*KIO), {}, "x", ("4 channels", "3 channels")),
    Bad("channels first", "conv1d", f32(2, 3, 20), f32(*KIO), {}, "x", ("layout='NCW'", "(out, in/groups, kernel)")),
    Bad("channels last", "conv1d", f32(*NWC), f32(8, 3, 5), {"layout": "NCW"}, "x", ("layout='NWC'",)),
    Bad("map channels first", "conv1d_rows", f32(2, 3, 12, 14), f32(*KIO), {}, "x", ("layout='NCHW'",)),
    Bad("conv2d channels first", "conv2d", f32(2, 3, 12, 14), f32(*KHW), {}, "x", ("NCHW", "(out, in/groups, kh, kw)")),
    Bad("groups would fit", "conv1d", f32(2, 20, 6), f32(*KIO), {}, "x", ("groups=2 would fit",)),
    Bad("groups and outputs", "conv1d", f32(2, 20, 9), f32(*KIO), {"groups": 3}, "groups", ("output channels",)),
    Bad("groups zero", "conv1d", f32(*NWC), f32(*KIO), {"groups": 0}, "groups", (">= 1",)),
    Bad("groups and inputs", "conv1d_transpose", f32(2, 20, 8), f32(*KIO), {"groups": 3}, "groups", ("divisor",)),
    Bad("kernel too long", "conv1d", f32(2, 4, 3), f32(*KIO), {}, "weight", ("spans 5", "length 4", "padding='same'")),
    Bad("dilated too long", "conv1d", f32(*NWC), f32(*KIO), {"dilation": 6}, "weight", ("spans 25", "dilation 6")),
    Bad("3x3 on width 1", "conv2d", f32(2, 100, 1, 1), f32(3, 3, 1, 4), {}, "weight", ("axis W of length 1",)),
    Bad("column too long", "conv1d_columns", f32(2, 2, 14, 3), f32(*KIO), {}, "weight", ("axis H of length 2",)),
    Bad("stride zero", "conv1d", f32(*NWC), f32(*KIO), {"stride": 0}, "stride", ("got 0", ">= 1")),
    Bad("stride negative", "conv1d", f32(*NWC), f32(*KIO), {"stride": -1}, "stride", ("-1",)),
    Bad("stride float", "conv1d", f32(*NWC), f32(*KIO), {"stride": 1.5}, "stride", ("1.5", "integer")),
    Bad("stride pair", "conv1d", f32(*NWC), f32(*KIO), {"stride": (1, 2)}, "stride", ("(1, 2)",)),
    Bad("stride bool", "conv1d", f32(*NWC), f32(*KIO), {"stride": True}, "stride", ("True",)),
    Bad("stride triple", "conv2d", f32(*NHWC), f32(*KHW), {"stride": (1, 2, 3)}, "stride", ("pair",)),
    Bad("dilation zero", "conv1d", f32(*NWC), f32(*KIO), {"dilation": 0}, "dilation", ("1 means no dilation",)),
    Bad("padding negative", "conv1d", f32(*NWC), f32(*KIO), {"padding": -1}, "padding", (">= 0", "slice")),
    Bad("padding pair negative", "conv1d", f32(*NWC), f32(*KIO), {"padding": (1, -2)}, "padding", (">= 0",)),
    Bad("padding triple", "conv1d", f32(*NWC), f32(*KIO), {"padding": (1, 2, 3)}, "padding", ("pair",)),
    Bad("padding float", "conv1d", f32(*NWC), f32(*KIO), {"padding": 0.5}, "padding", ("0.5",)),
    Bad("padding name", "conv1d", f32(*NWC), f32(*KIO), {"padding": "casual"}, "padding", ("did you mean 'causal'?",)),
    Bad("padding case", "conv1d", f32(*NWC), f32(*KIO), {"padding": "SAME"}, "padding", ("did you mean 'same'?",)),
    Bad("padding nested", "conv2d", f32(*NHWC), f32(*KHW), {"padding": (1, (2, -1))}, "padding", (">= 0",)),
    Bad("mode", "conv1d", f32(*NWC), f32(*KIO), {"padding_mode": "reflekt"}, "padding_mode", ("mean 'reflect'?",)),
    Bad(
        "reflect",
        "conv1d",
        f32(2, 4, 3),
        f32(*KIO),
        {"padding": 4, "padding_mode": "reflect"},
        "padding",
        ("at most 3",),
    ),
    Bad(
        "circular",
        "conv1d",
        f32(2, 4, 3),
        f32(*KIO),
        {"padding": 5, "padding_mode": "circular"},
        "padding",
        ("at most 4",),
    ),
    Bad(
        "replicate of nothing",
        "conv1d",
        f32(2, 0, 3),
        f32(*KIO),
        {"padding": 4, "padding_mode": "replicate"},
        "x",
        ("length 0",),
    ),
    Bad(
        "transpose mode",
        "conv1d_transpose",
        f32(2, 20, 8),
        f32(*KIO),
        {"padding_mode": "reflect"},
        "padding_mode",
        ("zeros",),
    ),
    Bad(
        "transpose crops all", "conv1d_transpose", f32(2, 1, 8), f32(*KIO), {"padding": 3}, "padding", ("at least one",)
    ),
    Bad(
        "output padding negative",
        "conv1d_transpose",
        f32(2, 20, 8),
        f32(*KIO),
        {"stride": 2, "output_padding": -1},
        "output_padding",
        ("got -1", "0 to 1"),
    ),
    Bad(
        "output padding of same",
        "conv1d_transpose",
        f32(2, 20, 8),
        f32(*KIO),
        {"stride": 2, "padding": "same", "output_padding": 1},
        "output_padding",
        ("length * stride",),
    ),
    Bad("stride array", "conv1d", f32(*NWC), f32(*KIO), {"stride": np.array(1.9)}, "stride", ("1.9", "integer")),
    Bad(
        "output padding",
        "conv1d_transpose",
        f32(2, 20, 8),
        f32(*KIO),
        {"stride": 2, "output_padding": 2},
        "output_padding",
        ("0 to 1",),
    ),
    Bad("layout", "conv1d", f32(*NWC), f32(*KIO), {"layout": "NLC"}, "layout", ("'NWC'", "did you mean")),
    Bad("layout of maps", "conv1d", f32(*NWC), f32(*KIO), {"layout": "NHWC"}, "layout", ("conv1d_rows",)),
    Bad("layout number", "conv1d", f32(*NWC), f32(*KIO), {"layout": 3}, "layout", ("got 3",)),
    Bad("mixed dtypes", "conv1d", f32(*NWC), f32(*KIO).astype("float64"), {}, "weight", ("float64", "float32")),
    Bad("bias dtype", "conv1d", f32(*NWC), f32(*KIO), {}, "bias", ("float64",), np.ones(8)),
    Bad("integers", "conv1d", np.ones(NWC, "int64"), np.ones(KIO, "int64"), {}, "x", ("int64", "convert")),
    Bad("booleans", "conv1d", np.ones(NWC, bool), f32(*KIO), {}, "x", ("bool",)),
    Bad(
        "separable channels",
        "spatially_separable_conv2d",
        f32(*NHWC),
        [f32(3, 4, 2), f32(3, 2, 5)],
        {},
        "x",
        ("4 channels",),
    ),
    Bad(
        "separable middle",
        "spatially_separable_conv2d",
        f32(*NHWC),
        [f32(3, 3, 2), f32(3, 4, 5)],
        {},
        "x",
        ("4 channels",),
    ),
    Bad(
        "separable column",
        "spatially_separable_conv2d",
        f32(*NHWC),
        [f32(3, 3, 2), f32(15, 2, 5)],
        {},
        "weight_columns",
        ("axis H",),
    ),
]

NUMPY_ONLY = [
    Bad("ragged list", "conv1d", [[[1.0], [2.0]], [[1.0]]], f32(1, 1, 1), {}, "x", ("ragged", "one length")),
    Bad("text", "conv1d", np.full(NWC, "a"), f32(*KIO), {}, "x", ("dtype str",)),
    Bad("objects", "conv1d", np.full(NWC, None), f32(*KIO), {}, "x", ("dtype object",)),
    Bad("complex", "conv1d", np.ones(NWC, "complex64"), f32(*KIO), {}, "x", ("complex64",)),
    Bad("masked", "conv1d", np.ma.masked_less(f32(*NWC), 0), f32(*KIO), {}, "x", ("masked", "filled")),
    Bad("no array", "conv1d", "signal.wav", f32(*KIO), {}, "x", ("str", "NumPy array")),
    Bad("no weight", "conv1d", f32(*NWC), None, {}, "weight", ("NoneType",)),
    Bad("a number", "conv1d", 3.0, f32(*KIO), {}, "x", ("float",)),
    Bad("device", "conv1d", f32(*NWC), f32(*KIO), {"device": "gpu"}, "device", ("'gpu'", "'cuda'")),
]


def call(bad: Bad, *arrays: Any, **how: Any) -> Any:
    return getattr(xconv, bad.operation)(*arrays, **bad.options, **how)


def arrays_of(bad: Bad) -> list[Any]:
    weights = bad.weight if bad.operation.startswith("spatially") else [bad.weight]
    return [bad.x, *weights, bad.bias]


def test_the_table_is_long_enough() -> None:
    assert len(TABLE) >= 40
    assert len({bad.name for bad in TABLE + NUMPY_ONLY}) == len(TABLE + NUMPY_ONLY)


@pytest.mark.parametrize("bad", TABLE + NUMPY_ONLY, ids=lambda bad: bad.name)
def test_refused_with_a_reason(backend: Backend, bad: Bad) -> None:
    with pytest.raises(xconv.ArgumentError) as caught:
        call(bad, *arrays_of(bad), backend=backend.name)
    error = caught.value
    assert (error.operation, error.argument) == (bad.operation, bad.argument)
    for words in bad.says:
        assert words in str(error)


@pytest.mark.parametrize("bad", TABLE, ids=lambda bad: bad.name)
def test_tensors_get_the_same_message(backend: Backend, bad: Bad) -> None:
    with pytest.raises(xconv.ArgumentError) as plain:
        call(bad, *arrays_of(bad))
    tensors = [None if array is None else backend.from_numpy(array, "cpu") for array in arrays_of(bad)]
    with pytest.raises(xconv.ArgumentError) as caught:
        call(bad, *tensors)
    assert str(caught.value) == str(plain.value)


def test_no_framework_is_imported_to_refuse() -> None:
    code = """
import json, sys
sys.path.insert(0, "tests")
import test_errors, xconv
names = []
for bad in test_errors.TABLE + test_errors.NUMPY_ONLY:
    try:
        test_errors.call(bad, *test_errors.arrays_of(bad))
    except xconv.ArgumentError:
        names.append(bad.name)
print(json.dumps([len(names), [m for m in ("torch", "tensorflow") if m in sys.modules]]))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout.splitlines()[-1]) == [len(TABLE + NUMPY_ONLY), []]


def test_unknown_formulation(backend: Backend) -> None:
    with pytest.raises(xconv.ArgumentError, match="did you mean 'conv2d'"):
        xconv.conv1d(f32(*NWC), f32(*KIO), formulation="conv2", backend=backend.name)


def test_absent_device(backend: Backend) -> None:
    with pytest.raises(xconv.ArgumentError, match=r"device: got 'cuda:9', expected one .* cpu"):
        xconv.conv1d(f32(*NWC), f32(*KIO), device="cuda:9", backend=backend.name)


def test_absent_backend() -> None:
    with pytest.raises(xconv.BackendError, match="did you mean 'torch'"):
        xconv.conv1d(f32(*NWC), f32(*KIO), backend="troch")


def test_tensors_keep_their_backend_and_device(backend: Backend, loaded: dict[str, Backend]) -> None:
    x, w = backend.from_numpy(f32(*NWC), "cpu"), backend.from_numpy(f32(*KIO), "cpu")
    assert backend.shape(xconv.conv1d(x, w, backend=backend.name, device="cpu")) == (2, 16, 8)
    with pytest.raises(xconv.ArgumentError, match="device: got 'cuda'"):
        xconv.conv1d(x, w, device="cuda")
    for other in loaded:
        if other != backend.name:
            with pytest.raises(xconv.ArgumentError, match=f"backend: got '{other}'"):
                xconv.conv1d(x, w, backend=other)


def test_arrays_of_two_frameworks(loaded: dict[str, Backend]) -> None:
    owned = {name: backend.from_numpy(f32(*NWC), "cpu") for name, backend in loaded.items()}
    owned["numpy"] = f32(*NWC)
    for name, x in owned.items():
        for other, backend in loaded.items():
            if name != other:
                with pytest.raises(xconv.ArgumentError, match=f"weight: got an array of {other}, .* of {name}"):
                    xconv.conv1d(x, backend.from_numpy(f32(*KIO), "cpu"))

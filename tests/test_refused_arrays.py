"""What is an array to its framework and cannot be convolved: refused by its name, first and when a call was kept."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import xconv
from tests.every_call import EVERY, arrays, operands
from xconv.core.backend import Backend
from xconv.parity import Case

Kinds = dict[str, tuple[Callable[[Any], Any], str]]
"""How such a thing is made of an array of the framework, and what is said of it."""


def of_torch() -> Kinds:
    import torch

    def parts(x: Any) -> list[Any]:
        return [x] if x.ndim == 1 else [*x]

    return {
        "nested": (lambda x: torch.nested.nested_tensor(parts(x)), "a nested tensor"),
        "jagged": (lambda x: torch.nested.nested_tensor(parts(x), layout=torch.jagged), "a nested tensor"),
        "lazy parameter": (
            lambda _: torch.nn.UninitializedParameter(),
            "an UninitializedParameter, .*call its",
        ),
        "lazy buffer": (lambda _: torch.nn.UninitializedBuffer(), "an UninitializedBuffer, .*call its"),
        "sparse": (lambda x: x.to_sparse(), r"layout torch.sparse_coo, .*x\.to_dense\(\)"),
        "csr": (lambda x: x.reshape(1, -1).to_sparse_csr(), r"layout torch.sparse_csr, .*x\.to_dense\(\)"),
        "mkldnn": (lambda x: x.to_mkldnn(), r"layout torch._mkldnn, .*x\.to_dense\(\)"),
        "quantized": (lambda x: torch.quantize_per_tensor(x, 0.1, 0, torch.qint8), r"quantized .*x\.dequantize\(\)"),
        "masked": (lambda x: torch.masked.masked_tensor(x, x > 0), "a masked tensor"),
        "complex": (lambda x: x + 1j, "complex64, .*imaginary"),
        "conjugated": (lambda x: (x + 1j).conj(), "complex64"),
        "8 bits": (lambda x: x.to(torch.float8_e4m3fn), "float8_e4m3fn, .*convert"),
        "on meta": (lambda x: x.to("meta"), "an array on"),
        "a module": (lambda _: torch.nn.Conv1d(3, 5, 3), "got a Conv1d"),
        "a dtype": (lambda _: torch.float32, "got a dtype"),
        "storage": (lambda x: x.untyped_storage(), "got a UntypedStorage"),
    }


def of_tensorflow() -> Kinds:
    import tensorflow as tf

    return {
        "slices": (
            lambda x: tf.IndexedSlices(x, tf.range(x.shape[0]), tf.constant(x.shape)),
            r"an IndexedSlices, .*convert_to_tensor",
        ),
        "spec": (lambda x: tf.TensorSpec(x.shape), "a TensorSpec, .*pass a tensor"),
        "ragged": (lambda x: tf.RaggedTensor.from_tensor(x[None]), r"a RaggedTensor, .*x\.to_tensor"),
        "sparse": (tf.sparse.from_dense, r"a SparseTensor, .*to_dense"),
        "complex": (lambda x: tf.cast(x, tf.complex64), "complex64"),
        "quantized": (lambda x: tf.quantization.quantize(x, -1, 1, tf.qint8).output, "qint8"),
        "texts": (tf.strings.as_string, "string"),
        "handle": (lambda x: tf.Variable(x).handle, "resource"),
        "a layer": (lambda _: tf.keras.layers.Dense(1), "got a Dense"),
        "a dataset": (tf.data.Dataset.from_tensors, "got a _TensorDataset"),
    }


def of_jax() -> Kinds:
    import jax
    from jax.experimental import sparse

    def deleted(x: Any) -> Any:
        other = jax.device_put(np.array(x))
        other.delete()
        return other

    return {
        "struct": (lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), "a ShapeDtypeStruct, .*pass an array"),
        "sparse": (sparse.BCOO.fromdense, r"a BCOO, .*x\.todense"),
        "deleted": (deleted, "an array that was deleted"),
        "complex": (lambda x: x + 1j, "complex64"),
        "keys": (lambda x: jax.random.key(x.ndim), "key<fry>"),
        "a dtype": (lambda _: jax.numpy.float32, "got a _ScalarMeta"),
    }


OF = {"torch": of_torch, "tensorflow": of_tensorflow, "jax": of_jax}


@pytest.mark.parametrize("case", EVERY, ids=lambda case: case.name)
def test_each_kind_is_refused_by_its_name_in_each_place(backend: Backend, case: Case) -> None:
    good, said = arrays(backend, case), list[list[str]]()
    names = ["x", *case.weight_names, "bias"]
    for _ in range(2):  # before the call is known, and after
        said.append([])
        for kind, (make, says) in OF[backend.name]().items():
            for place, name in enumerate(names):
                given = [*good[:place], make(good[place]), *good[place + 1 :]]
                with pytest.raises(xconv.ArgumentError, match=says) as caught:
                    case.run(*given)
                # where it is merely somewhere else, what follows x is named
                assert caught.value.argument == name or kind == "on meta", kind
                said[-1].append(str(caught.value))
        case.run(*good)
    assert said[0] == said[1]


NUMPY: Kinds = {
    "objects": (lambda x: x.astype(object), "dtype object, .*astype"),
    "records": (lambda x: np.zeros(x.shape, [("left", "f4")]), "dtype void32, .*fields"),
    "a record array": (lambda x: np.zeros(x.shape, [("left", "f4")]).view(np.recarray), "dtype record32, .*fields"),
    "masked": (np.ma.masked_array, "a masked array, .*filled"),
    "complex": (lambda x: x + 1j, "dtype complex"),
    "more digits": (lambda x: x.astype(np.longdouble), "dtype .*, expected"),
    "dates": (lambda x: x.astype("int64").astype("datetime64[s]"), "dtype datetime64"),
    "texts": (lambda x: x.astype(str), "dtype str"),
    "a dtype": (lambda _: np.float32, "got type"),
    "a generator": (lambda _: np.random.default_rng(), "got Generator"),
    "a dictionary": (lambda x: {"x": x}, "got dict"),
}


@pytest.mark.parametrize("kind", NUMPY)
@pytest.mark.parametrize("case", EVERY, ids=lambda case: case.name)
def test_so_are_numpy_s(case: Case, kind: str) -> None:
    good, (make, says) = [array.astype("float32") for array in operands(case)], NUMPY[kind]
    if kind == "more digits" and np.longdouble is np.float64:
        return
    for place, name in enumerate(["x", *case.weight_names, "bias"]):
        with pytest.raises(xconv.ArgumentError, match=says) as caught:
            case.run(*good[:place], make(good[place]), *good[place + 1 :])
        assert caught.value.argument == name


@pytest.mark.parametrize("name", ["x", "weight", "bias"])
def test_in_a_graph_of_tensorflow_too(backend: Backend, name: str) -> None:
    """Where composite tensors are symbolic, and a rank may not be known."""
    if backend.name != "tensorflow":
        return
    import tensorflow as tf

    case = EVERY[0]
    good = dict(zip(["x", "weight", "bias"], arrays(backend, case), strict=True))

    def called(x: Any, weight: Any, bias: Any) -> Any:
        return case.run(x, weight, bias)

    function = tf.function(called)
    for kind in ("slices", "ragged", "sparse"):
        make, says = of_tensorflow()[kind]
        with pytest.raises(xconv.ArgumentError, match=rf"conv1d: {name}: got {says.partition(',')[0]}"):
            function(**{**good, name: make(good[name])})
    unknown = tf.function(
        lambda value: case.run(*{**good, name: value}.values()), input_signature=[tf.TensorSpec(None, tf.float32)]
    )
    with pytest.raises(xconv.ArgumentError, match=f"conv1d: {name}: got a tensor of unknown rank, .*ensure_shape"):
        unknown(good[name])


def test_a_variable_of_any_shape_has_one_when_it_is_read(backend: Backend) -> None:
    if backend.name != "tensorflow":
        return
    import tensorflow as tf

    case = EVERY[0]
    x, weight, bias = arrays(backend, case)
    free = tf.Variable(x, shape=tf.TensorShape(None))
    assert np.array_equal(case.run(free, weight, bias), case.run(x, weight, bias))

"""The arrays of a call: whose they are, whether they belong together, and back again."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from xconv.core.backend import Backend
from xconv.core.formulation import Array
from xconv.core.mistakes import of_dtype
from xconv.core.problem import DTYPES, Size
from xconv.core.registry import DEFAULT, backends, get_backend, is_of_models, name_of_array, tensor_of
from xconv.system.errors import ArgumentError, BackendError

_DEVICE = re.compile(r"cpu|cuda(:\d+)?")


@dataclass
class CallArrays:
    """The arrays of one call, checked to be of one framework, one dtype and one device.

    NumPy arrays stay what they are until :meth:`load`, so that a mistake in their shapes reaches no framework.
    """

    operation: str
    arrays: dict[str, Array]
    owner: str
    backend: Backend | None
    device: str
    dtype: str

    def shape(self, name: str) -> tuple[Size, ...] | None:
        """The sizes of an array, or None where it was not given."""
        array = self.arrays[name]
        if array is None:
            return None
        return tuple(array.shape) if self.backend is None else self.backend.shape(array)

    def load(self) -> Backend:
        """Bring NumPy arrays to the framework that computes them; a framework's own are there already."""
        if self.backend is not None:
            return self.backend
        try:
            backend = get_backend(self.owner)
        except BackendError as error:
            others = sorted({*backends()} - {self.owner}, key=lambda name: (name != DEFAULT, name))
            raise BackendError(f"{error}" + (f"; or pass backend={others[0]!r}" if others else "")) from error
        if self.device != "cpu" and self.device not in backend.devices():
            raise ArgumentError(
                self.operation,
                "device",
                repr(self.device),
                f"one that backend {self.owner!r} has here: {', '.join(backend.devices())}",
            )
        self.arrays = {
            name: None if array is None else backend.from_numpy(array, self.device)
            for name, array in self.arrays.items()
        }
        return backend

    def close(self, result: Array) -> Array:
        """The result as the type that came in."""
        if self.backend is not None:
            return result
        return get_backend(self.owner).to_numpy(result)


def collect(operation: str, arrays: dict[str, Any], backend: str | None, device: str | None) -> CallArrays:
    """Find the backend of a call from its arrays, and refuse arrays that do not belong together.

    Raises:
        ArgumentError: an argument is no array, or two differ in framework, dtype or device.
        BackendError: the backend is not there.
    """
    if backend is not None and not isinstance(backend, str):
        raise ArgumentError(operation, "backend", repr(backend), f"a name: one of {', '.join(map(repr, backends()))}")
    arrays = {name: _as_array(operation, name, value) for name, value in arrays.items()}
    owner = name_of_array(arrays["x"])
    for name, value in arrays.items():
        if value is not None and name_of_array(value) != owner:
            raise ArgumentError(
                operation,
                name,
                f"an array of {name_of_array(value)}",
                f"an array of {owner}, as x is",
                "convert one of them; a gradient does not flow from one framework to the other",
            )
    if owner == "numpy":
        return _of_numpy(operation, arrays, DEFAULT if backend is None else backend, device)
    if backend not in (None, owner):
        raise ArgumentError(
            operation, "backend", repr(backend), f"{owner!r} or nothing: x is an array of {owner}", "pass NumPy arrays"
        )
    found = get_backend(str(owner))
    for name, value in arrays.items():
        refused = None if value is None else found.unusable(value)
        if refused is not None:
            raise ArgumentError(operation, name, refused[0], "a dense array of known rank", refused[1])
    arrays = {name: None if value is None else found.prepare(value) for name, value in arrays.items()}
    dtype = _one_dtype(operation, {name: found.dtype(value) for name, value in arrays.items() if value is not None})
    places = {name: found.device(value) for name, value in arrays.items() if value is not None}
    for name, place in places.items():
        if place is not None and places["x"] is not None and place != places["x"]:
            raise ArgumentError(
                operation, name, f"an array on {place}", f"one on {places['x']}, as x is", "move one of them"
            )
    if device is not None and places["x"] is not None and _device(operation, device) != places["x"]:
        raise ArgumentError(
            operation, "device", repr(device), f"nothing: x is an array on {places['x']}", "move x and the weight there"
        )
    return CallArrays(operation, arrays, str(owner), found, places["x"] or "", dtype)


def _of_numpy(operation: str, arrays: dict[str, Any], owner: str, device: str | None) -> CallArrays:
    dtype = _one_dtype(operation, {name: array.dtype.name for name, array in arrays.items() if array is not None})
    for name, array in arrays.items():
        if array is not None and hasattr(array, "mask"):
            raise ArgumentError(
                operation, name, "a masked array", "an array without a mask", "fill it: x.filled(0) or x.filled(nan)"
            )
        if array is not None and not (array.dtype.isnative and _whole_strides(array)):
            arrays[name] = array.astype(array.dtype.newbyteorder("="), order="C")
    return CallArrays(operation, arrays, owner, None, _device(operation, "cpu" if device is None else device), dtype)


def _whole_strides(array: Any) -> bool:
    return all(stride % array.itemsize == 0 for stride in array.strides)


def _as_array(operation: str, name: str, value: Any) -> Any:
    if value is None and name == "bias":
        return None
    if isinstance(value, (list, tuple)):
        import numpy as np

        try:
            return np.asarray(value)
        except ValueError as error:
            raise ArgumentError(
                operation, name, "a ragged list", "rows of one length", "pad the shorter rows to one length"
            ) from error
    value = tensor_of(value)
    owner = name_of_array(value)  # of what a framework has made its backend says whether it is an array
    if owner is None or (owner == "numpy" and not (hasattr(value, "shape") and hasattr(value, "dtype"))):
        hint = "to build a model of it, call a layer on it (docs/layers.md)" if is_of_models(value) else ""
        expected = "a NumPy array or a tensor of an installed framework"
        raise ArgumentError(operation, name, type(value).__name__, expected, hint)
    return value


def _one_dtype(operation: str, dtypes: dict[str, str]) -> str:
    for name, dtype in dtypes.items():
        if dtype not in DTYPES:
            raise ArgumentError(operation, name, f"dtype {dtype}", f"one of {', '.join(DTYPES)}", of_dtype(dtype))
    for name, dtype in dtypes.items():
        if dtype != dtypes["x"]:
            hint = "convert one of them"
            if {dtype, dtypes["x"]} == {"float32", "float64"}:
                hint += "; float64 is what NumPy makes: .astype('float32')"
            raise ArgumentError(operation, name, f"dtype {dtype}", f"{dtypes['x']}, as x has it", hint)
    return dtypes["x"]


def _device(operation: str, device: str) -> str:
    if not isinstance(device, str) or not _DEVICE.fullmatch(device):
        raise ArgumentError(operation, "device", repr(device), "'cpu', 'cuda' or 'cuda:0', 'cuda:1', ...")
    return "cuda:0" if device == "cuda" else device

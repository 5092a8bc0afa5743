"""Saved ONNX models on NumPy arrays, by ONNX Runtime."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np
import onnxruntime

from xconv.system.errors import ArgumentError
from xconv.testing.frameworks import Array, FrameworkAdapter


class Onnx(FrameworkAdapter):
    """A path, a ``ModelProto`` or an ``InferenceSession``. The types of a model are fixed: no float64, no gradients."""

    name = "onnx"
    has_float64 = False

    def __init__(self) -> None:
        self._session: Any = None

    def owns(self, value: object) -> bool:
        """Nothing that could be moved."""
        del value
        return False

    def run(self, f: Any, inputs: Sequence[Array], training: bool) -> list[tuple[str, Array]]:
        """The results in the model's order: one is called "result", as it is elsewhere."""
        del training
        if self._session is None:
            self._session = f if isinstance(f, onnxruntime.InferenceSession) else _opened(f)
        wanted = self._session.get_inputs()
        if len(wanted) != len(inputs):
            known = ", ".join(item.name for item in wanted)
            raise ArgumentError("assert_parity", "inputs", f"{len(inputs)} arrays", f"{len(wanted)}: {known}")
        given = {item.name: np.ascontiguousarray(array) for item, array in zip(wanted, inputs, strict=True)}
        found = self._session.run(None, given)
        names = ["result"] if len(found) == 1 else [f"result[{i}]" for i in range(len(found))]
        return list(zip(names, map(np.asarray, found), strict=True))

    def versions(self) -> dict[str, str]:
        """ONNX Runtime's."""
        return {"onnxruntime": str(onnxruntime.__version__)}


def _opened(model: Any) -> Any:
    source = os.fspath(model) if isinstance(model, (str, os.PathLike)) else model.SerializeToString()
    return onnxruntime.InferenceSession(source, providers=["CPUExecutionProvider"])

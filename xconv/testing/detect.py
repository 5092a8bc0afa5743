"""Whose a callable is, where that is certain."""

from __future__ import annotations

import importlib.util
import os
import sys
import types
from typing import Any

from xconv.system.errors import ArgumentError
from xconv.testing.closures import names, python_function, reachable, referred, top

FRAMEWORKS = ("torch", "tensorflow", "keras", "jax", "numpy", "onnx")
OF_MODULE = {
    "torch": "torch",
    "tensorflow": "tensorflow",
    "keras": "keras",
    "jax": "jax",
    "jaxlib": "jax",
    "numpy": "numpy",
    "scipy": "numpy",
    "onnx": "onnx",
    "onnxruntime": "onnx",
}
NEEDS = {
    "torch": ("torch", "torch"),
    "tensorflow": ("tensorflow", "tensorflow"),
    "keras": ("keras", "keras"),
    "jax": ("jax", "jax"),
    "onnx": ("onnxruntime", "onnxruntime"),
}


def owner_of(module: str) -> str | None:
    """The framework of a top-level module; Keras is TensorFlow's where TensorFlow computes it, else its own.

    >>> owner_of("jaxlib"), owner_of("json")
    ('jax', None)
    """
    found = OF_MODULE.get(module)
    if found == "keras":
        loaded = sys.modules.get("keras")
        by = loaded.config.backend() if loaded is not None else os.environ.get("KERAS_BACKEND", "tensorflow")
        return "tensorflow" if by == "tensorflow" else "keras"
    return found


CROSSINGS = {"from_numpy", "numpy"}
"""Attributes by which a function goes from one framework to another: what it takes is then not certain."""


def framework_of(argument: str, f: Any) -> str:
    """The name of a callable's framework.

    Raises:
        ArgumentError: it is not callable, or not certain whose it is; the text says what to write.

    >>> import numpy as np
    >>> framework_of("f", lambda x: np.tanh(x) + 1)
    'numpy'
    """
    if isinstance(f, (str, os.PathLike)):
        if not str(f).endswith((".onnx", ".ort")):
            raise ArgumentError("assert_parity", argument, repr(str(f)), "the path of a saved model, 'model.onnx'")
        return "onnx"
    for kind in type(f).__mro__:
        owner = owner_of(top(kind))
        if owner is not None and type(f).__module__ != "torch._dynamo.eval_frame":
            return owner
    if not callable(f):
        raise ArgumentError(
            "assert_parity",
            argument,
            f"a {type(f).__name__}",
            "a function, a layer, a model or the path of an .onnx file",
        )
    found = _candidates(f)
    if len(found) == 1:
        return next(iter(found))
    what = getattr(f, "__name__", type(f).__name__)
    seen = f"it refers to {' and '.join(sorted(found))}" if found else "nothing in it says so"
    say = next(iter(sorted(found - {"numpy"})), "torch")
    raise ArgumentError(
        "assert_parity",
        argument,
        f"a function {what!r} whose framework is not certain ({seen})",
        "a callable of one framework",
        f'say which arrays it takes: xconv.testing.on("{say}", {argument if "<" in what else what})',
    )


def check_installed(argument: str, name: str) -> None:
    """Refuse a framework that is not there."""
    module, package = NEEDS.get(name, ("numpy", "numpy"))
    if importlib.util.find_spec(module) is None:
        raise ArgumentError(
            "assert_parity", argument, f"a callable of {name}", f"{module} to be installed", f"pip install {package}"
        )


def _candidates(f: Any) -> set[str]:
    inner = python_function(f)
    own = owner_of(top(inner)) or _of_builtin(inner)
    if own is not None:  # a framework's own function
        return {own}
    annotated = {
        owner
        for value in getattr(inner, "__annotations__", {}).values()
        if (owner := _of_annotation(value)) is not None
    }
    if len(annotated) == 1:
        return annotated
    found: set[str] = set()
    crossing = False
    for value in reachable(f):
        for kind in type(value).__mro__:
            if top(kind) in OF_MODULE:
                found.add(str(owner_of(top(kind))))
                break  # a layer of Keras is one of torch too, where torch computes it
        if not isinstance(value, types.FunctionType):
            continue
        for name, other in referred(value).items():
            if isinstance(other, types.ModuleType):
                found |= {owner for owner in (owner_of(other.__name__.partition(".")[0]),) if owner}
            elif callable(other) and top(other) in OF_MODULE:
                found.add(str(owner_of(top(other))))
            del name
        crossing = crossing or bool(names(value.__code__) & CROSSINGS - set(value.__globals__))
        found |= {str(owner_of(name)) for name in _imports(value.__code__) if name in OF_MODULE}
    if crossing:
        return found | {"numpy"}
    # NumPy's constants are used in every framework's functions
    return found if len(found) == 1 else found - {"numpy"}


def _of_builtin(f: Any) -> str | None:
    """A function in C may not say its module, as torch.tanh does not: it is looked for where it should be."""
    name = getattr(f, "__name__", "")
    for module in OF_MODULE:
        if isinstance(f, types.BuiltinFunctionType) and getattr(sys.modules.get(module), name, None) is f:
            return owner_of(module)
    return None


def _imports(code: types.CodeType) -> set[str]:
    """The top-level modules that are imported inside a function."""
    import dis

    found = {str(step.argval).partition(".")[0] for step in dis.get_instructions(code) if step.opname == "IMPORT_NAME"}
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            found |= _imports(constant)
    return found


def _of_annotation(value: Any) -> str | None:
    text = value if isinstance(value, str) else f"{top(value)}."
    head = text.strip("\"'").partition(".")[0]
    return owner_of({"tf": "tensorflow", "np": "numpy", "jnp": "jax"}.get(head, head))

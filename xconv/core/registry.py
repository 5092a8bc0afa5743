"""Where the installed backends are found.

A backend registers under the entry-point group ``xconv.backends`` with a light module: importing it imports no
framework. The framework is loaded when an array of it arrives, or when it is asked for by name.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import entry_points
from typing import Any

from xconv.core.backend import Backend
from xconv.system.errors import BackendError, nearest

DEFAULT = "torch"
"""The entry point that computes NumPy arrays when no ``backend=`` is given."""


@dataclass(frozen=True)
class BackendSpec:
    """What the core knows of a backend before its framework is imported.

    Attributes:
        name: as an argument ``backend`` takes it.
        array_modules: the top-level modules in which the framework defines its array types.
        requires: the module that must be importable.
        install: the command that makes it so.
        load: returns the one :class:`Backend`; written as ``from ... import BACKEND; return BACKEND`` it can run
            inside ``torch.compile``.
    """

    name: str
    array_modules: tuple[str, ...]
    requires: str
    install: str
    load: Callable[[], Backend]
    model_modules: tuple[str, ...] = ()
    """The top-level modules in which the framework defines its models; its backend knows their convolutions."""

    def installed(self) -> bool:
        """Whether the framework is there (it is not imported to find out).

        Returns:
            Whether the module that it requires is found.
        """
        return importlib.util.find_spec(self.requires) is not None


def _registered() -> tuple[dict[str, BackendSpec], dict[str, str]]:
    specs: dict[str, BackendSpec] = {}
    broken: dict[str, str] = {}
    for point in entry_points(group="xconv.backends"):
        try:
            specs[point.name] = point.load()
        except Exception as error:  # noqa: BLE001 - a stranger's broken package must not break `import xconv`
            broken[point.name] = f"{type(error).__name__}: {error}"
    return specs, broken


# Read once, at import: inside torch.compile the entry points of the environment could not be read.
_SPECS, _BROKEN = _registered()
_OF_MODULE = {module: name for name, spec in _SPECS.items() for module in spec.array_modules}


def backends() -> list[str]:
    """The names of the backends that are installed and whose framework is there.

    Returns:
        Names in the order of the alphabet.

    >>> "torch" in backends() or "tensorflow" in backends()
    True
    """
    return sorted(name for name, spec in _SPECS.items() if spec.installed())


def known(name: str) -> BackendSpec:
    """What is known of the backend of that name before it is loaded.

    Raises:
        BackendError: no backend is registered under that name.
    """
    if not isinstance(name, str):
        raise BackendError(f"a backend is asked for by its name, not by {name!r}; known: {', '.join(sorted(_SPECS))}")
    spec = _SPECS.get(name)
    if spec is None:
        if name in _BROKEN:
            raise BackendError(f"backend {name!r} is registered but could not be loaded: {_BROKEN[name]}")
        hint = nearest(name, _SPECS)
        names = ", ".join(sorted(_SPECS)) or "none"
        raise BackendError(f"no backend is called {name!r}; known: {names}." + (f" Hint: {hint}" if hint else ""))
    return spec


def get_backend(name: str) -> Backend:
    """The backend of that name; its framework is imported if it was not.

    Args:
        name: "torch", "tensorflow", "jax", or another one that is registered.

    Returns:
        The one instance of the backend.

    Raises:
        BackendError: no such backend, or its framework is missing or fails to load; the text says what to install.

    >>> get_backend("torch").name
    'torch'
    """
    spec = known(name)
    try:
        return spec.load()
    except Exception as error:
        if spec.installed() or not isinstance(error, ImportError):
            raise BackendError(f"backend {name!r} is installed but failed to load: {error}") from error
        raise BackendError(f"backend {name!r} needs {spec.requires}, which is not installed: {spec.install}") from error


def name_of_model(value: object) -> str | None:
    """The name of the backend that knows a kind of model, or None."""
    modules = [kind.__module__.partition(".")[0] for kind in type(value).__mro__]
    for name, spec in _SPECS.items():
        if any(module in spec.model_modules for module in modules) and callable(value):
            return name
    return None


def tensor_of(value: Any) -> Any:
    """A variable of models that several frameworks can compute (a ``keras.Variable``) as the tensor that it holds.

    Anything else as it is.
    """
    if name_of_array(value) is not None or not is_of_models(value):
        return value
    held = getattr(value, "value", None)
    return value if held is None or name_of_array(held) is None else held


def is_of_models(value: object) -> bool:
    """Whether a type comes with a framework's models, as Keras' symbolic tensors and variables do."""
    modules = {kind.__module__.partition(".")[0] for kind in value.__class__.__mro__}
    return any(modules & set(spec.model_modules) - set(spec.array_modules) for spec in _SPECS.values())


def name_of_array(value: object) -> str | None:
    """The name of the backend that owns an array: "numpy" for NumPy's own, None for what is no known array."""
    for kind in value.__class__.__mro__:  # torch.compile cannot read it of the type() of a parameter
        module = kind.__module__.partition(".")[0]
        if module in _OF_MODULE:
            return _OF_MODULE[module]
        if module == "numpy":
            return "numpy"
    return None

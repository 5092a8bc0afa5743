"""What is asked of a framework: to run a callable of its own on NumPy arrays, to copy one with other numbers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

Array: TypeAlias = npt.NDArray[Any]
Change: TypeAlias = Callable[[Array], Array]
"""What is done to the numbers of a parameter."""


class UnsupportedCallableError(Exception):
    """What a callable cannot do here; the text says why."""


class FrameworkAdapter(ABC):
    """One framework. Nothing here keeps anything of the callables but copies of Keras layers."""

    name: str
    differentiates = False
    has_float64 = True

    @abstractmethod
    def owns(self, value: object) -> bool:
        """Whether a value is an array, a layer or a model of the framework."""

    @abstractmethod
    def run(self, f: Any, inputs: Sequence[Array], training: bool) -> list[tuple[str, Array]]:
        """The named results of a callable."""

    def run_with_gradients(
        self, f: Any, inputs: Sequence[Array], cotangents: Mapping[str, Array], training: bool
    ) -> tuple[list[tuple[str, Array]], list[Array | None]]:
        """Its results, and for each input the gradient of their products with cotangents (None for integers)."""
        del f, inputs, cotangents, training
        raise UnsupportedCallableError(f"{self.name} has no gradients")

    def converted(self, value: Any, change: Change, wide: bool) -> Any:
        """A copy of what :meth:`owns` says yes to, its floats changed; with ``wide`` it computes in float64."""
        del change, wide
        return value

    def compiled(self, value: Any) -> tuple[Callable[..., Any], Callable[[Any], Any]] | None:
        """The Python function in a compiled one, and what compiles it again; None for any other value."""
        del value
        return None

    def precision(self, wide: bool) -> AbstractContextManager[Any]:
        """What must be entered for float64."""
        del wide
        return nullcontext()

    def kept_state(self) -> AbstractContextManager[Any]:
        """Puts the framework's own random state back."""
        return nullcontext()

    @abstractmethod
    def versions(self) -> dict[str, str]:
        """Of the packages that compute."""

    def flags(self) -> dict[str, str]:
        """The framework's switches that change results."""
        return {}


class NumPy(FrameworkAdapter):
    """Functions of NumPy arrays."""

    name = "numpy"

    def owns(self, value: object) -> bool:
        """Whether it is an array of floats."""
        return isinstance(value, np.ndarray) and value.dtype.kind == "f"

    def run(self, f: Any, inputs: Sequence[Array], training: bool) -> list[tuple[str, Array]]:
        """The named results of a function."""
        del training
        return [(name, np.array(leaf)) for name, leaf in leaves(f(*map(np.copy, inputs)))]

    def converted(self, value: Any, change: Change, wide: bool) -> Any:
        """Another array."""
        del wide
        return change(value)

    def versions(self) -> dict[str, str]:
        """NumPy's."""
        return {"numpy": np.__version__}


def leaves(result: Any, name: str = "result") -> Iterator[tuple[str, Any]]:
    """The arrays of a result by name; tuples, lists and dicts may be nested.

    >>> [name for name, _ in leaves((1, {"a": 2}))]
    ['result[0]', "result[1]['a']"]
    """
    if isinstance(result, Mapping):
        for key, value in result.items():
            yield from leaves(value, f"{name}[{key!r}]")
    elif isinstance(result, (tuple, list)):
        for i, value in enumerate(result):
            yield from leaves(value, f"{name}[{i}]")
    elif result is not None:
        yield name, result

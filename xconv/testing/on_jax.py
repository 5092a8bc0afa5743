"""JAX functions on NumPy arrays."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from xconv.testing.frameworks import Array, Change, FrameworkAdapter, leaves


class Jax(FrameworkAdapter):
    """Functions of JAX arrays, jitted or not. JAX has no random state."""

    name = "jax"
    differentiates = True

    def owns(self, value: object) -> bool:
        """Whether it is an array."""
        return isinstance(value, jax.Array)

    def run(self, f: Any, inputs: Sequence[Array], training: bool) -> list[tuple[str, Array]]:
        """The named results of a function."""
        del training
        return _named(f(*map(jnp.array, inputs)))

    def run_with_gradients(
        self, f: Any, inputs: Sequence[Array], cotangents: Mapping[str, Array], training: bool
    ) -> tuple[list[tuple[str, Array]], list[Array | None]]:
        """By ``jax.vjp``."""
        del training
        arrays = [jnp.array(array) for array in inputs]
        floats = [i for i, array in enumerate(inputs) if array.dtype.kind == "f"]

        def of_floats(*given: Any) -> Any:
            replaced = list(arrays)
            for i, array in zip(floats, given, strict=True):
                replaced[i] = array
            found = dict(leaves(f(*replaced)))
            rest = {name: leaf for name, leaf in found.items() if name not in cotangents}
            return {name: found[name] for name in cotangents}, (rest, list(found))

        values, pull_back, (rest, order) = jax.vjp(of_floats, *(arrays[i] for i in floats), has_aux=True)
        above = {name: jnp.asarray(array, values[name].dtype) for name, array in cotangents.items()}
        gradients: list[Array | None] = [None] * len(inputs)
        for i, gradient in zip(floats, pull_back(above), strict=True):
            gradients[i] = np.array(gradient)
        return [(name, np.array({**rest, **values}[name])) for name in order], gradients

    def converted(self, value: Any, change: Change, wide: bool) -> Any:
        """Another array."""
        del wide
        return jnp.asarray(change(np.asarray(value))) if jnp.issubdtype(value.dtype, jnp.floating) else value

    def compiled(self, value: Any) -> tuple[Callable[..., Any], Callable[[Any], Any]] | None:
        """The function in one that ``jax.jit`` made (its static arguments are not known)."""
        if type(value).__module__.startswith("jaxlib") and hasattr(value, "__wrapped__"):
            return value.__wrapped__, jax.jit
        return None

    def precision(self, wide: bool) -> AbstractContextManager[Any]:
        """JAX has float64 only where it is asked for."""
        if not wide:
            return nullcontext()
        if hasattr(jax, "enable_x64"):
            return jax.enable_x64(True)  # type: ignore[no-any-return]
        from jax.experimental import enable_x64  # before JAX 0.9

        return enable_x64()  # type: ignore[no-any-return]

    def versions(self) -> dict[str, str]:
        """JAX'."""
        return {"jax": jax.__version__}

    def flags(self) -> dict[str, str]:
        """What it may round to on its own account."""
        return {"jax matmul precision": str(jax.config.jax_default_matmul_precision)}


def _named(result: Any) -> list[tuple[str, Array]]:
    return [(name, np.array(leaf)) for name, leaf in leaves(result)]

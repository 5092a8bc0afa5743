"""JAX for xconv: arrays, devices, gradients, compilers."""

from __future__ import annotations

import os
from collections.abc import Callable, Hashable, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from types import MappingProxyType
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import enable_x64, lax
from jax._src.array import ArrayImpl  # the type of arrays that are there; `jax.Array` is of tracers too
from jax.core import Tracer

from xconv.core.backend import Backend
from xconv.core.epilogue import add_bias
from xconv.core.formulation import Formulation
from xconv.core.lowering import Lowering
from xconv.core.problem import ConvProblem, Size
from xconv.core.target import EAGER, XLA, Target
from xconv.system.cores import allowed_cores
from xconv.system.errors import UnsupportedError
from xconv_jax.formulations import FORMULATIONS, conv2d
from xconv_jax.formulations.shapes import Array
from xconv_jax.refused import refused
from xconv_jax.rules import rule


class JaxBackend(Backend):
    """Every formulation is built of steps that JAX differentiates, batches and traces itself.

    A float64 array can be there while JAX itself works in float32: then its computations are put into a scope of
    ``jax.enable_x64``, and the global switch is left alone.
    """

    name = "jax"
    formulations: Sequence[Formulation] = FORMULATIONS
    modes = ("jit",)
    mode_execution = MappingProxyType({"jit": XLA})

    # --- arrays ---

    def unusable(self, array: Array) -> tuple[str, str] | None:
        return refused(array)

    def prepare(self, array: Array) -> Array:
        return array

    def shape(self, array: Array) -> tuple[Size, ...]:
        return tuple(array.shape)

    def dtype(self, array: Array) -> str:
        return str(array.dtype)

    def device(self, array: Array) -> str | None:
        if isinstance(array, Tracer):  # it has no place yet
            return None
        places = {_name(device) for device in array.devices()}
        return places.pop() if len(places) == 1 else None

    def from_numpy(self, array: np.ndarray, device: str) -> Array:
        with enable_x64(True):  # integers too: what is refused is refused as what it was
            return jax.device_put(array, _device(device))

    def to_numpy(self, array: Array) -> np.ndarray:
        if isinstance(array, Tracer):
            raise UnsupportedError(
                "a NumPy array inside a JAX transformation has no value to come back as: pass a jax.Array"
            )
        return np.array(array)  # a copy: JAX's own memory must not be written

    def permute(self, array: Array, axes: tuple[int, ...]) -> Array:
        return array.transpose(axes)

    def narrow(self, array: Array, axis: int, start: Size, size: Size) -> Array:
        return lax.slice_in_dim(array, start, start + size, axis=axis)

    def flip(self, array: Array, axis: int) -> Array:
        return lax.rev(array, (axis,))

    def repeat(self, array: Array, axis: int, times: Size) -> Array:
        sizes = list(array.shape)
        sizes[axis] = times
        return jnp.broadcast_to(array, sizes)

    def concatenate(self, arrays: Sequence[Array], axis: int) -> Array:
        return lax.concatenate(list(arrays), axis)

    def zeros(self, shape: tuple[Size, ...], *parents: Array) -> Array:
        first = parents[0]
        with _scope(first):
            zeros = jnp.zeros(shape, first.dtype)
            return zeros if isinstance(first, Tracer) else jax.device_put(zeros, first.sharding)

    def cast(self, array: Array, dtype: str) -> Array:
        with _scope(array, dtype):
            return lax.convert_element_type(array, jnp.dtype(dtype))

    def accumulator(self, array: Array) -> str | None:
        # everywhere: a sum over taps would round each tap, and what is traced does not know its device
        return "float32" if array.dtype in (jnp.float16, jnp.bfloat16) else None

    # --- planning ---

    def execution(self, *arrays: Array | None) -> str:
        return XLA if any(isinstance(array, Tracer) for array in arrays) else EAGER

    def default_device(self) -> str:
        chosen = jax.config.jax_default_device  # a device, the name of a platform, or nothing
        return _name(chosen if hasattr(chosen, "platform") else jax.devices(chosen)[0])

    def rule(self, direction: str, problem: ConvProblem, target: Target) -> tuple[str, str]:
        return rule(direction, problem)

    differentiated = ("conv1d", "conv2d", "taps")

    def threads(self) -> int:
        return int(os.environ.get("NPROC", "0")) or allowed_cores()

    eager_types = (ArrayImpl,)

    # --- lowering ---

    def signature(self, x: Array, weight: Array, bias: Array | None) -> Hashable | None:
        parts: list[Hashable] = []
        for array in (x, weight, bias):
            if array is not None:
                if array.__class__ is not ArrayImpl or array.is_deleted():
                    return None
                parts += [array.shape, array.dtype, array.sharding]
        return (len(parts), *parts)

    def lowered(self, lowering: Lowering) -> Callable[[Array, Array, Array | None], Array] | None:
        # the program that has run, where `run` does nothing but call it
        call, problem = lowering.plan.call, lowering.plan.problem
        plain = call.layout.channels_last and problem.padding_mode == "zeros"
        single = problem.stride > 1 and problem.output_length == 1
        if not plain or single or problem.is_empty or problem.dtype != "float32":
            return None
        return partial(_computed, lowering.form(call.direction), call.direction, problem, call.axis)

    def compute(
        self,
        lowering: Lowering,
        direction: str,
        problem: ConvProblem,
        axis: int,
        a: Array,
        b: Array,
        bias: Array | None,
    ) -> Array:
        with _scope(a):
            return _computed(lowering.form(direction), direction, problem, axis, a, b, bias)

    def conv2d(
        self,
        lowering: Lowering,
        vertical: ConvProblem,
        horizontal: ConvProblem,
        x: Array,
        weight: Array,
        bias: Array | None,
    ) -> Array:
        with _scope(x):
            return _computed_2d(vertical, horizontal, x, weight, bias)

    # --- for parity checks and benchmarks ---

    def devices(self) -> list[str]:
        return ["cpu", *(f"cuda:{i}" for i in range(len(_gpus())))]

    def synchronize(self, device: str) -> None:
        # what a thread enqueues on a device runs in that order, also where its result has been dropped since
        place = _device(device)
        _marker(jax.device_put(np.float32(0), place)).block_until_ready()
        for array in jax.live_arrays():  # what other threads enqueued
            if place in array.devices():
                array.block_until_ready()

    def gradients(
        self, function: Callable[..., Array], inputs: Sequence[Array], cotangent: Array, differentiable: bool = False
    ) -> list[Array]:
        with _scope(cotangent, *inputs):
            _, pull_back = jax.vjp(function, *inputs)
            return list(pull_back(cotangent))

    def relu(self, array: Array) -> Array:
        with _scope(array):
            return jax.nn.relu(array)

    def compiled(self, function: Callable[..., Array], mode: str) -> Callable[..., Array]:
        traced = jax.jit(function)

        def scoped(*arrays: Array) -> Array:
            with _scope(*arrays):
                return traced(*arrays)

        return scoped

    def release(self) -> None:
        jax.clear_caches()  # some 5 MB for each shape

    def exact_float32(self) -> AbstractContextManager[None]:
        scope: AbstractContextManager[None] = jax.default_matmul_precision("highest")
        return scope

    def set_threads(self, count: int) -> None:
        os.environ["NPROC"] = str(count)  # what XLA's thread pools go by when they are made

    def version(self) -> str:
        return str(jax.__version__)


@partial(jax.jit, static_argnums=(0, 1, 2, 3))
def _computed(
    form: Formulation, direction: str, problem: ConvProblem, axis: int, a: Array, b: Array, bias: Array | None
) -> Array:
    """One direction by a formulation, as one program. Precision and dtypes in force are of jit's key."""
    return form.compute(direction, problem, axis, a, b, bias)


@partial(jax.jit, static_argnums=(0, 1))
def _computed_2d(vertical: ConvProblem, horizontal: ConvProblem, x: Array, weight: Array, bias: Array | None) -> Array:
    return add_bias(conv2d(vertical, horizontal, x, weight), bias)


_marker = jax.jit(lambda x: x + 1)


def _scope(*arrays: Any) -> AbstractContextManager[Any]:
    """A scope in which float64 is float64, if an array (or a dtype's name) is of it and JAX would make it float32."""
    wide = any(array == "float64" if isinstance(array, str) else array.dtype == np.float64 for array in arrays)
    return enable_x64(True) if wide and not jax.config.jax_enable_x64 else nullcontext()


def _gpus() -> list[Any]:
    try:
        return list(jax.devices("gpu"))
    except RuntimeError:  # no such platform
        return []


def _device(name: str) -> Any:
    return jax.devices("cpu")[0] if name == "cpu" else _gpus()[int(name.partition(":")[2] or 0)]


def _name(device: Any) -> str:
    if device.platform == "gpu":
        return f"cuda:{_gpus().index(device)}"
    return str(device.platform)


BACKEND = JaxBackend()

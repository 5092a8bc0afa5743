"""TensorFlow for xconv: arrays, devices, gradients, compilers."""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace
from functools import cache, cached_property, partial
from types import MappingProxyType
from typing import Any, TypeAlias

import numpy as np
import tensorflow as tf

from xconv.core.adjoints import ADJOINTS, operands
from xconv.core.backend import Backend
from xconv.core.borders import largest_pad
from xconv.core.epilogue import add_bias
from xconv.core.formulation import Formulation
from xconv.core.lowering import Lowering
from xconv.core.plan import Plan
from xconv.core.problem import ConvProblem, Size
from xconv.core.strides import decimated, without_stride
from xconv.core.target import EAGER, GRAPH, XLA, Target
from xconv.planning import estimate
from xconv.system.errors import UnsupportedError
from xconv_tensorflow.formulations import DIRECT, FORMULATIONS, conv2d, native_pads, shapes
from xconv_tensorflow.refused import refused
from xconv_tensorflow.rules import ranked, symbolic_device, under_xla
from xconv_tensorflow.threads import threads

Tensor: TypeAlias = Any


class TensorFlowBackend(Backend):
    """Where TensorFlow has a gradient it is used; where it has none, or refuses it, the other directions are it."""

    name = "tensorflow"
    formulations: Sequence[Formulation] = FORMULATIONS
    modes = ("function", "xla")
    mode_execution = MappingProxyType({"function": GRAPH, "xla": XLA})

    # --- arrays ---

    def prepare(self, array: Tensor) -> Tensor:
        return array if isinstance(array, tf.Tensor) else tf.convert_to_tensor(array)

    def shape(self, array: Tensor) -> tuple[Size, ...]:
        sizes = array.shape.as_list()
        if None not in sizes:
            return tuple(sizes)
        dynamic = tf.shape(array)
        return tuple(dynamic[i] if size is None else size for i, size in enumerate(sizes))

    def dtype(self, array: Tensor) -> str:
        return str(array.dtype.name)

    def device(self, array: Tensor) -> str | None:
        if tf.is_symbolic_tensor(array):  # it has no place yet
            return None
        kind, _, index = array.device.rpartition("device:")[2].partition(":")
        return "cpu" if kind.lower() == "cpu" else f"cuda:{index or 0}"

    def from_numpy(self, array: np.ndarray, device: str) -> Tensor:
        with tf.device(_tf_device(device)):
            return tf.convert_to_tensor(array)

    def to_numpy(self, array: Tensor) -> np.ndarray:
        if tf.is_symbolic_tensor(array):
            raise UnsupportedError("a NumPy array inside a tf.function has no value to come back as: pass a tensor")
        return np.array(array)  # a copy: TensorFlow's own memory must not be written

    def permute(self, array: Tensor, axes: tuple[int, ...]) -> Tensor:
        return tf.transpose(array, axes)

    def narrow(self, array: Tensor, axis: int, start: Size, size: Size) -> Tensor:
        return array[(slice(None),) * axis + (slice(start, start + size),)]

    def flip(self, array: Tensor, axis: int) -> Tensor:
        return tf.reverse(array, [axis])

    def repeat(self, array: Tensor, axis: int, times: Size) -> Tensor:
        counts = [1] * len(array.shape)
        counts[axis] = times
        return tf.tile(array, counts)

    def concatenate(self, arrays: Sequence[Tensor], axis: int) -> Tensor:
        return tf.concat(arrays, axis)

    def zeros(self, shape: tuple[Size, ...], *parents: Tensor) -> Tensor:
        zeros = tf.zeros(shape, parents[0].dtype)
        # no constant: its gradients are zeros, not missing; of no element of a parent, so that it catches no NaN
        for parent in parents:
            zeros = zeros + tf.reduce_sum(tf.reshape(parent, [-1])[:0])
        return zeros

    def cast(self, array: Tensor, dtype: str) -> Tensor:
        return tf.cast(array, dtype)

    def unusable(self, array: Tensor) -> tuple[str, str] | None:
        return refused(array)

    def fits(self, problem: ConvProblem, x: Tensor) -> Tensor:
        checks = [
            tf.debugging.Assert(
                tf.logical_or(problem.padded_length >= problem.extent, problem.is_empty_same),
                [f"xconv: the kernel spans {problem.extent} elements, the padded input has", problem.padded_length],
            )
        ]
        length, mode = problem.length, problem.padding_mode
        most = largest_pad(mode, length)
        if most is not None:
            text = f"xconv: padding_mode {mode!r} pads by more than the input has, which is"
            checks.append(tf.debugging.Assert(tf.maximum(*problem.padding) <= most, [text, length]))
        with tf.control_dependencies([check for check in checks if check is not None]):
            return tf.identity(x)

    def accumulator(self, array: Tensor) -> str | None:
        # everywhere: the sum over taps would round each tap, and conv2d's own gradients are not all to be had
        return "float32" if array.dtype in (tf.float16, tf.bfloat16) else None

    # --- planning ---

    def execution(self, *arrays: Tensor | None) -> str:
        if not tf.executing_eagerly():
            return XLA if under_xla() else GRAPH
        return EAGER if all(map(_is_plain, arrays)) else GRAPH

    without_memory = GRAPH

    def default_device(self) -> str:
        return symbolic_device()

    def has_memory(self, target: Target) -> bool:
        return target.execution == EAGER and target.device == "cpu"

    def runs_op_by_op(self, target: Target) -> bool:
        return target.execution != XLA  # a graph of TensorFlow's own takes as long as its ops one by one

    def plans_gradients(self, target: Target) -> bool:
        return True

    def rule(self, direction: str, problem: ConvProblem, target: Target) -> tuple[str, str]:
        able = {form.name for form in self.formulations if form.unsupported(direction, problem) is None}
        ranking = ranked(direction, problem, by_xla=target.execution == XLA)
        found = next(((name, why) for name, why in ranking if name in able), None)
        if found is None and DIRECT.name in able and self.has_memory(target):
            found = DIRECT.name, "TensorFlow's own ops count in 32 bits"
        if found is None:
            raise UnsupportedError(f"TensorFlow cannot compute this {direction}: its ops count in 32 bits")
        return found

    def own(self, direction: str, problem: ConvProblem, target: Target) -> str:
        return "conv2d"

    differentiated = ("conv2d",)

    def estimates(
        self, forms: Sequence[Formulation], direction: str, problem: ConvProblem, layout: str, target: Target
    ) -> dict[str, float]:
        if target.device != "cpu":
            return {}
        return estimate.seconds("xconv_tensorflow", forms, direction, problem, layout)

    def threads(self) -> int:
        return threads()

    def folded_2d(self, vertical: ConvProblem, horizontal: ConvProblem) -> ConvProblem | None:
        """Groups and dilations, whose gradients TensorFlow lacks: the vertical taps become channels."""
        if vertical.groups == vertical.dilation == horizontal.dilation == 1:
            return None
        return replace(
            horizontal.padded() if horizontal.padding_mode != "zeros" else horizontal,
            in_channels=vertical.kernel * vertical.in_channels,
        )

    # --- lowering ---

    eager_types = (tf.__internal__.EagerTensor,)

    def signature(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Hashable | None:
        kind, parts = self.eager_types[0], [self._threads_in_use]
        if not tf.executing_eagerly():
            return None
        for array in (x, weight, bias):
            if array is not None:
                if array.__class__ is not kind:
                    return None
                parts += [array._shape_tuple(), array.dtype, array.device]
        return (len(parts), *parts)

    @cached_property
    def _threads_in_use(self) -> int:
        return self.threads()  # there is a tensor already: it cannot change any more

    def lowered(self, lowering: Lowering) -> Callable[[Tensor, Tensor, Tensor | None], Tensor] | None:
        plan = lowering.plan
        return DIRECT.lower(plan.call, lowering) if plan.chosen.formulation == DIRECT.name else None

    def packed(self, plan: Plan, weight: Tensor) -> Callable[..., Tensor] | None:
        if plan.chosen.formulation != DIRECT.name or self.execution(weight) != EAGER:
            return None
        return DIRECT.pack(plan.call, weight)

    def compute(
        self,
        lowering: Lowering,
        direction: str,
        problem: ConvProblem,
        axis: int,
        a: Tensor,
        b: Tensor,
        bias: Tensor | None,
    ) -> Tensor:
        with _beside(a):
            if problem.decimates:
                return without_stride(shapes, partial(self.compute, lowering), direction, problem, axis, a, b, bias)
            if lowering.by_framework:
                return lowering.form(direction).compute(direction, problem, axis, a, b, bias)

            def computed(wanted: str, a: Tensor, b: Tensor, bias: Tensor | None = None) -> Tensor:
                now = lowering if self.execution(a, b) == EAGER else lowering.in_graph
                return now.form(wanted).compute(wanted, problem, axis, a, b, bias)

            return _linked(computed, direction, a, b, bias)

    def conv2d(
        self,
        lowering: Lowering,
        vertical: ConvProblem,
        horizontal: ConvProblem,
        x: Tensor,
        weight: Tensor,
        bias: Tensor | None,
    ) -> Tensor:
        if not vertical.groups == vertical.dilation == horizontal.dilation == 1:
            return self._conv2d_by_rows(lowering, vertical, horizontal, x, weight, bias)
        vertical, x = decimated(shapes, vertical, 1, x)
        horizontal, x = decimated(shapes, horizontal, 2, x)
        if not (native_pads(vertical) and native_pads(horizontal)):
            x = tf.pad(x, [[0, 0], list(vertical.padding), list(horizontal.padding), [0, 0]])
            vertical, horizontal = vertical.padded(), horizontal.padded()
        compute = partial(conv2d, vertical, horizontal)
        with _beside(x):
            if vertical.is_static and horizontal.is_static:
                return add_bias(compute("forward", x, weight), bias)
            return add_bias(_linked(compute, "forward", x, weight), bias)

    def _conv2d_by_rows(
        self,
        lowering: Lowering,
        vertical: ConvProblem,
        horizontal: ConvProblem,
        x: Tensor,
        weight: Tensor,
        bias: Tensor | None,
    ) -> Tensor:
        """The vertical taps folded into the channels: one 1-D problem along the rows, with all its gradients."""
        groups, kh = vertical.groups, vertical.kernel
        padded = tf.pad(x, [[0, 0], list(vertical.padding), [0, 0], [0, 0]])
        span = (vertical.output_length - 1) * vertical.stride + 1
        shifted = [padded[:, t * vertical.dilation : t * vertical.dilation + span : vertical.stride] for t in range(kh)]
        # channels in the order (group, tap, channel of the group), so that each group stays together
        parts = [part for group in zip(*(tf.split(s, groups, -1) for s in shifted), strict=True) for part in group]
        folded = tf.concat(parts, -1)
        kernel = tf.transpose(weight, (1, 0, 2, 3))
        kernel = tf.reshape(kernel, (horizontal.kernel, kh * vertical.group_in, vertical.out_channels))
        outer = horizontal.outer if not vertical.is_static else folded.shape[0] * folded.shape[1]
        problem = replace(horizontal, outer=outer, in_channels=kh * vertical.in_channels)
        return self.compute(lowering, "forward", problem, 2, folded, kernel, bias)

    # --- for parity checks and benchmarks ---

    def devices(self) -> list[str]:
        return ["cpu", *(f"cuda:{i}" for i in range(len(tf.config.list_physical_devices("GPU"))))]

    def synchronize(self, device: str) -> None:
        if device.startswith("cuda"):
            tf.test.experimental.sync_devices()

    def peak_bytes(self, function: Callable[[], Any], device: str) -> int:
        named = f"GPU:{device.partition(':')[2] or 0}"
        tf.config.experimental.reset_memory_stats(named)
        before = tf.config.experimental.get_memory_info(named)["current"]
        function()
        self.synchronize(device)
        return int(tf.config.experimental.get_memory_info(named)["peak"] - before)

    def gradients(
        self, function: Callable[..., Tensor], inputs: Sequence[Tensor], cotangent: Tensor, differentiable: bool = False
    ) -> list[Tensor]:
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            y = function(*inputs)
        zero = tf.UnconnectedGradients.ZERO
        return [
            tf.convert_to_tensor(gradient)
            for gradient in tape.gradient(y, inputs, output_gradients=cotangent, unconnected_gradients=zero)
        ]

    def relu(self, array: Tensor) -> Tensor:
        return tf.nn.relu(array)

    def compiled(self, function: Callable[..., Tensor], mode: str) -> Callable[..., Tensor]:
        compiled: Callable[..., Tensor] = tf.function(function, jit_compile=mode == "xla")
        return compiled

    @contextmanager
    def exact_float32(self) -> Iterator[None]:
        before = tf.config.experimental.tensor_float_32_execution_enabled()
        tf.config.experimental.enable_tensor_float_32_execution(False)
        try:
            yield
        finally:
            tf.config.experimental.enable_tensor_float_32_execution(before)

    def set_threads(self, count: int) -> None:
        tf.config.threading.set_intra_op_parallelism_threads(count)
        tf.config.threading.set_inter_op_parallelism_threads(count)

    def version(self) -> str:
        return str(tf.__version__)


def _linked(compute: Callable[..., Tensor], direction: str, a: Tensor, b: Tensor, bias: Tensor | None = None) -> Tensor:
    """A direction and its bias, whose gradients are the two others, and theirs in turn."""
    biases = [] if bias is None else [bias]
    if not shapes.may_be_differentiated():
        return compute(direction, a, b, *biases)

    @tf.custom_gradient
    def with_gradient(a: Tensor, b: Tensor, *biases: Tensor) -> tuple[Tensor, Callable[[Tensor], tuple[Tensor, ...]]]:
        def gradient(upstream: Tensor) -> tuple[Tensor, ...]:
            first, second = ADJOINTS[direction]
            with _beside(upstream):
                return (
                    _linked(compute, first, *operands(direction, 0, a, b, upstream)),
                    _linked(compute, second, *operands(direction, 1, a, b, upstream)),
                    *(tf.reduce_sum(upstream, list(range(len(upstream.shape) - 1))) for _ in biases),
                )

        return compute(direction, a, b, *biases), gradient

    return with_gradient(a, b, *biases)


def _is_plain(array: Tensor | None) -> bool:
    """Whether it is a tensor with a value, on a GPU or the first CPU: results in memory of ours are on no other."""
    if array is None:
        return True
    return array.__class__ is tf.__internal__.EagerTensor and not re.search(r"CPU:[1-9]", array.device)


def _beside(array: Tensor) -> AbstractContextManager[Any]:
    """A scope in which eager results are where their operand is; a single device needs none."""
    if tf.executing_eagerly() and len(_logical_devices()) > 1:
        return tf.device(array.device)  # type: ignore[no-any-return]
    return nullcontext()


@cache
def _logical_devices() -> list[Any]:
    return list(tf.config.list_logical_devices())


def _tf_device(device: str) -> str:
    return "/CPU:0" if device == "cpu" else "/GPU:" + device.partition(":")[2]


BACKEND = TensorFlowBackend()

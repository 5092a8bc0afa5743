"""PyTorch for xconv: arrays, devices, gradients, compilers."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.compiler import is_compiling

from xconv.core.backend import Backend
from xconv.core.borders import source
from xconv.core.formulation import Formulation
from xconv.core.lowering import Lowering
from xconv.core.plan import Plan
from xconv.core.problem import ConvProblem, Size
from xconv.core.strides import decimated, without_stride
from xconv.core.target import EAGER, GRAPH, INDUCTOR, Target
from xconv.planning import estimate
from xconv_torch import executions, rules
from xconv_torch.autograd import planned
from xconv_torch.formulations import FORMULATIONS, shapes
from xconv_torch.lowered import lowered, packed
from xconv_torch.refused import refused
from xconv_torch.traced import traced_shape

_NAMES = {
    torch.float32: "float32",
    torch.float64: "float64",
    torch.float16: "float16",
    torch.bfloat16: "bfloat16",
}
_DTYPES = {name: dtype for dtype, name in _NAMES.items()}


class TorchBackend(Backend):
    """Whatever runs forward runs backward, in any order and under ``torch.func``.

    Gradients are torch's own, or where another formulation is faster for them, those of :mod:`xconv_torch.autograd`.
    """

    name = "torch"
    formulations: Sequence[Formulation] = FORMULATIONS
    modes = ("aot_eager", "inductor")
    mode_execution = MappingProxyType(dict.fromkeys(modes, INDUCTOR))

    # --- arrays ---

    def unusable(self, array: Tensor) -> tuple[str, str] | None:
        return refused(array)

    def prepare(self, array: Tensor) -> Tensor:
        kind = array.device.type
        if (
            kind != "meta"
            and torch.is_autocast_enabled(kind)
            and array.dtype in (torch.float32, torch.float16, torch.bfloat16)
        ):
            return array.to(torch.get_autocast_dtype(kind))
        return array

    def shape(self, array: Tensor) -> tuple[Size, ...]:
        return traced_shape(array) if executions.is_traced() else tuple(array.shape)

    def dtype(self, array: Tensor) -> str:
        return _NAMES.get(array.dtype) or str(array.dtype).removeprefix("torch.")

    def device(self, array: Tensor) -> str | None:
        device = array.device
        if device.type == "cuda":
            return f"cuda:{device.index or 0}"
        return device.type

    def from_numpy(self, array: np.ndarray, device: str) -> Tensor:
        # torch knows neither negative strides nor arrays that must not be written
        if not array.flags.writeable or any(stride < 0 for stride in array.strides):
            array = array.copy()
        if array.dtype.name == "bfloat16":
            return torch.from_numpy(array.view(np.int16)).view(torch.bfloat16).to(device)
        return torch.from_numpy(array).to(device)

    def to_numpy(self, array: Tensor) -> np.ndarray:
        array = shapes.settled(array.detach()).cpu()
        if array.dtype == torch.bfloat16:
            return array.view(torch.int16).numpy().view(np.dtype("bfloat16"))
        result: np.ndarray = array.numpy()
        return result

    def permute(self, array: Tensor, axes: tuple[int, ...]) -> Tensor:
        return array.permute(axes)

    def settle(self, array: Tensor, like: Tensor) -> Tensor:
        # torch's own ops give channels-last memory for channels-last memory; a compiler settles that itself
        return array if is_compiling() or not like.is_contiguous() else array.contiguous()

    def narrow(self, array: Tensor, axis: int, start: Size, size: Size) -> Tensor:
        return array.narrow(axis, start, size)

    def flip(self, array: Tensor, axis: int) -> Tensor:
        return array.flip(axis)

    def repeat(self, array: Tensor, axis: int, times: Size) -> Tensor:
        sizes = [-1] * array.ndim
        sizes[axis] = times
        return array.expand(sizes)

    def concatenate(self, arrays: Sequence[Tensor], axis: int) -> Tensor:
        return torch.cat(list(arrays), axis)

    def zeros(self, shape: tuple[Size, ...], *parents: Tensor) -> Tensor:
        zeros = parents[0].new_zeros(shape)
        # no constant: its gradients are zeros, not missing; of no element of a parent, so that it catches no NaN
        for parent in parents:
            zeros = zeros + parent.flatten()[:0].sum()
        return zeros

    def cast(self, array: Tensor, dtype: str) -> Tensor:
        return array.to(_DTYPES[dtype])

    def pad_borders(self, problem: ConvProblem, axis: int, x: Tensor) -> Tensor:
        low, high = problem.padding
        if isinstance(low, int) and isinstance(high, int):
            padded: Tensor = super().pad_borders(problem, axis, x)
            return padded
        # exported with an unknown length, whose pads may be 0 or more: one gather has no branch on them
        places = torch.arange(problem.padded_length, device=x.device) - low
        gathered: Tensor = x.index_select(axis, source(problem.padding_mode, places, problem.length))
        return gathered

    def accumulator(self, array: Tensor) -> str | None:
        # On the CPU: float16 is slow and bfloat16 is rounded between steps; CUDA sums both in float32 itself.
        narrow = array.dtype in (torch.float16, torch.bfloat16) and array.device.type == "cpu"
        return "float32" if narrow else None

    # --- planning ---

    def execution(self, *arrays: Tensor | None) -> str:
        return executions.execution(*arrays)

    without_memory = GRAPH

    def has_memory(self, target: Target) -> bool:
        return target.device == "cpu" and target.execution in (EAGER, INDUCTOR)

    def runs_op_by_op(self, target: Target) -> bool:
        return target.execution in (EAGER, INDUCTOR)

    def plans_gradients(self, target: Target) -> bool:
        return target.execution in (EAGER, INDUCTOR)

    def rule(self, direction: str, problem: ConvProblem, target: Target) -> tuple[str, str]:
        return rules.rule(direction, problem, target)

    differentiated = ("conv2d", "conv1d")

    least_speedup_channels_first = 1.35  # the layout that its own ops are made for
    own_gradients_seconds = 50e-6

    def estimates(
        self, forms: Sequence[Formulation], direction: str, problem: ConvProblem, layout: str, target: Target
    ) -> dict[str, float]:
        if target.device != "cpu" or (problem.out_channels == 1 and problem.dtype == "float64"):
            return {}
        return estimate.seconds("xconv_torch", forms, direction, problem, layout)

    def is_trap(self, name: str, direction: str, problem: ConvProblem) -> bool:
        return rules.is_trap(name, direction, problem)

    def threads(self) -> int:
        return executions.threads()

    def is_compiling(self) -> bool:
        return is_compiling()

    def has_known_sizes(self, problem: ConvProblem) -> bool:
        return executions.has_known_sizes(problem)

    def constant(self, function: Callable[..., Any], *arguments: Any) -> Any:
        return executions.called(function, *arguments)

    fuses_bias_2d = True

    # --- lowering ---

    eager_types = executions.EAGER_TYPES

    def signature(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Hashable | None:
        return executions.signature(x, weight, bias)

    def packed(self, plan: Plan, weight: Tensor) -> Callable[..., Tensor] | None:
        return packed(plan, weight)

    def lowered(self, lowering: Lowering) -> Callable[[Tensor, Tensor, Tensor | None], Tensor] | None:
        return lowered(lowering)

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
        with _as_prepared(a):
            if problem.decimates:
                return without_stride(shapes, partial(self.compute, lowering), direction, problem, axis, a, b, bias)
            if lowering.by_framework:
                return lowering.form(direction).compute(direction, problem, axis, a, b, bias)
            if is_compiling():
                from xconv_torch.node import node  # it loads torch's compiler, which is at work

                return node(lowering.plan, direction, problem, axis, a, b, bias)
            return planned(lowering, direction, problem, axis, a, b, bias)

    def conv2d(
        self,
        lowering: Lowering,
        vertical: ConvProblem,
        horizontal: ConvProblem,
        x: Tensor,
        weight: Tensor,
        bias: Tensor | None,
    ) -> Tensor:
        vertical, x = decimated(shapes, vertical, 1, x)
        horizontal, x = decimated(shapes, horizontal, 2, x)
        problems = (vertical, horizontal)
        image, pads = x.permute(0, 3, 1, 2), [p.padding[0] for p in problems]
        if any(not _is_even(p.padding) for p in problems):
            image, pads = F.pad(image, (*horizontal.padding, *vertical.padding)), [0, 0]
        kernel = weight.permute(3, 2, 0, 1)
        if vertical.out_channels == 1:  # as in formulations._as_kernel
            kernel = weight.squeeze(3).permute(2, 0, 1).contiguous().unsqueeze(0)
        steps, spread = [p.stride for p in problems], [p.dilation for p in problems]
        with _as_prepared(x):
            return F.conv2d(image, kernel, bias, steps, pads, spread, vertical.groups).permute(0, 2, 3, 1)

    # --- for parity checks and benchmarks ---

    def devices(self) -> list[str]:
        return ["cpu", *(f"cuda:{i}" for i in range(torch.cuda.device_count()))]

    def synchronize(self, device: str) -> None:
        if device.startswith("cuda"):
            torch.cuda.synchronize(device)

    def peak_bytes(self, function: Callable[[], Any], device: str) -> int:
        torch.cuda.synchronize(device)
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        function()
        torch.cuda.synchronize(device)
        return int(torch.cuda.max_memory_allocated(device) - before)

    def gradients(
        self, function: Callable[..., Tensor], inputs: Sequence[Tensor], cotangent: Tensor, differentiable: bool = False
    ) -> list[Tensor]:
        leaves = [x if x.requires_grad else x.detach().requires_grad_() for x in inputs]
        y = function(*leaves)
        found = torch.autograd.grad(y, leaves, cotangent, create_graph=differentiable, materialize_grads=True)
        return list(found)

    def relu(self, array: Tensor) -> Tensor:
        return torch.relu(array)

    def compiled(self, function: Callable[..., Tensor], mode: str) -> Callable[..., Tensor]:
        torch.compiler.reset()  # else a function that is compiled for many cases meets the recompilation limit
        compiled: Callable[..., Tensor] = torch.compile(function, fullgraph=True, backend=mode)
        return compiled

    @contextmanager
    def exact_float32(self) -> Iterator[None]:
        # only the new switches are touched: reading an old one after a new one was set raises
        switches = [torch.backends.cudnn.conv, torch.backends.cuda.matmul]  # type: ignore[attr-defined]
        switches += [torch.backends.mkldnn.conv, torch.backends.mkldnn.matmul]  # type: ignore[attr-defined]
        before = [switch.fp32_precision for switch in switches]
        for switch in switches:
            switch.fp32_precision = "ieee"
        try:
            yield
        finally:
            for switch, value in zip(switches, before, strict=True):
                switch.fp32_precision = value

    def set_threads(self, count: int) -> None:
        torch.set_num_threads(count)

    def version(self) -> str:
        return str(torch.__version__)


def _as_prepared(x: Tensor) -> AbstractContextManager[Any]:
    """A scope without autocast, which has had its say in ``prepare``: it would narrow what was widened."""
    kind = x.device.type
    if kind != "meta" and torch.is_autocast_enabled(kind):
        return torch.autocast(kind, enabled=False)
    return nullcontext()


def _is_even(padding: tuple[Size, Size]) -> bool:
    # a symbolic pad is not compared, as in formulations._pad_evenly
    return all(isinstance(amount, int) for amount in padding) and padding[0] == padding[1]


BACKEND = TorchBackend()

"""Torch functions and modules on NumPy arrays."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import nn

from xconv.testing.frameworks import Array, Change, FrameworkAdapter, UnsupportedCallableError, leaves


class Torch(FrameworkAdapter):
    """Functions of tensors, and modules."""

    name = "torch"
    differentiates = True

    def owns(self, value: object) -> bool:
        """Whether it is a tensor or a module."""
        return isinstance(value, (torch.Tensor, nn.Module))

    def run(self, f: Any, inputs: Sequence[Array], training: bool) -> list[tuple[str, Array]]:
        """The named results of a function or module."""
        with mode(f, training), torch.no_grad():
            return [(name, _numpy(leaf)) for name, leaf in leaves(f(*_tensors(f, inputs)))]

    def run_with_gradients(
        self, f: Any, inputs: Sequence[Array], cotangents: Mapping[str, Array], training: bool
    ) -> tuple[list[tuple[str, Array]], list[Array | None]]:
        """By ``torch.autograd.grad``: nothing is added to a parameter's ``grad``."""
        tensors = _tensors(f, inputs)
        wanted = [tensor.requires_grad_() for tensor in tensors if tensor.is_floating_point()]
        with mode(f, training), torch.enable_grad():
            found = list(leaves(f(*tensors)))
            given = [(leaf, cotangents[name]) for name, leaf in found if name in cotangents and leaf.requires_grad]
            if not given:
                raise UnsupportedCallableError(
                    "its result has no gradient (is it detached, or computed outside torch?)"
                )
            above = [torch.from_numpy(np.copy(array)).to(leaf) for leaf, array in given]
            results = torch.autograd.grad([leaf for leaf, _ in given], wanted, above, allow_unused=True)
        gradients = iter(results)
        by_input: list[Array | None] = []
        for tensor in tensors:
            gradient = next(gradients) if tensor.is_floating_point() else None
            zeros = torch.zeros_like(tensor) if tensor.is_floating_point() else None
            chosen = zeros if gradient is None else gradient
            by_input.append(None if chosen is None else _numpy(chosen))
        return [(name, _numpy(leaf)) for name, leaf in found], by_input

    def converted(self, value: Any, change: Change, wide: bool) -> Any:
        """A deep copy of a module, or another tensor."""
        if isinstance(value, nn.Module):
            try:
                module = copy.deepcopy(value)
            except Exception as error:  # a module may hold anything
                raise UnsupportedCallableError(f"the module cannot be copied: {error}") from error
            numbers = [tensor for tensor in (*module.parameters(), *module.buffers()) if tensor.is_floating_point()]
            changed = [self._changed(tensor, change) for tensor in numbers]
            if wide:
                for tensor in numbers:
                    tensor.data = tensor.data.double()
            for tensor, new in zip(numbers, changed, strict=True):
                tensor.data.copy_(new)
            return module
        return self._changed(value, change) if value.is_floating_point() else value

    @staticmethod
    def _changed(tensor: torch.Tensor, change: Change) -> torch.Tensor:
        return torch.from_numpy(change(_numpy(tensor))).to(tensor.device)

    @contextmanager
    def kept_state(self) -> Iterator[None]:
        """Of the CPU and of every GPU."""
        devices = range(torch.cuda.device_count()) if torch.cuda.is_available() else ()
        with torch.random.fork_rng(list(devices)):
            yield

    def versions(self) -> dict[str, str]:
        """Torch's."""
        return {"torch": torch.__version__}

    def flags(self) -> dict[str, str]:
        """What it may round to on its own account."""
        return {
            "torch matmul precision": _flag(torch.get_float32_matmul_precision),
            "torch deterministic": str(torch.are_deterministic_algorithms_enabled()),
            "torch threads": str(torch.get_num_threads()),
        }


@contextmanager
def mode(f: Any, training: bool) -> Iterator[None]:
    """Every module that a callable holds in training or inference mode; then each as it was."""
    from xconv.testing.closures import reachable

    found = [value for value in reachable(f) if isinstance(value, nn.Module)]
    before = {module: module.training for root in found for module in root.modules()}
    try:
        for module in before:
            module.training = training
        yield
    finally:
        for module, was in before.items():
            module.training = was


def _tensors(f: Any, inputs: Sequence[Array]) -> list[torch.Tensor]:
    """The inputs where the callable's own tensors are; copies, for a function may write into them."""
    from xconv.testing.closures import reachable

    device = torch.device("cpu")
    for value in reachable(f):
        tensor = next(iter(value.parameters()), None) if isinstance(value, nn.Module) else value
        if isinstance(tensor, torch.Tensor):
            device = tensor.device
            break
    return [torch.from_numpy(np.array(array, order="C")).to(device) for array in inputs]


def _numpy(leaf: Any) -> Array:
    if isinstance(leaf, torch.Tensor):
        leaf = leaf.detach().cpu().resolve_conj().resolve_neg()
        return np.array((leaf.float() if leaf.dtype is torch.bfloat16 else leaf).numpy())
    return np.asarray(leaf)


def _flag(read: Any) -> str:
    try:
        return str(read())
    except RuntimeError:  # old and new switches were mixed (pytorch#179445)
        return "cannot be read"

"""How torch executes what is done to tensors: at once, recorded, transformed, compiled or exported."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any, TypeVar

import torch
from torch import Tensor, get_num_threads
from torch._C import _are_functorch_transforms_active as transforms_active
from torch._C import _dispatch_keys as dispatch_keys
from torch._C import _is_any_autocast_enabled as is_any_autocast_enabled
from torch._C import _len_torch_dispatch_stack as dispatch_modes
from torch.autograd import forward_ad
from torch.compiler import is_compiling

from xconv.core.problem import ConvProblem
from xconv.core.target import EAGER, EXPORT, GRAPH, INDUCTOR

EAGER_TYPES = (Tensor, torch.nn.Parameter)

DTYPES = (torch.float32, torch.float64, torch.float16, torch.bfloat16)

F = TypeVar("F", bound=Callable[..., Any])


def constant(function: F) -> F:
    """A function that a compiler calls as it is while it traces; its result is a constant of the graph."""
    function._dynamo_marked_constant = True  # type: ignore[attr-defined] # as torch.compiler marks it, without dynamo
    return function


@constant
def called(function: Callable[..., Any], *arguments: Any) -> Any:
    """What a function gives, as a constant."""
    return function(*arguments)


def _keys(device: str) -> set[int]:
    """The dispatch keys of plain tensors of a device: dense, with memory of their own, read as it lies there."""
    plain = {dispatch_keys(torch.empty(0, device=device)).raw_repr()}
    with torch.inference_mode():
        return plain | {dispatch_keys(torch.empty(0, device=device)).raw_repr()}


_PLAIN = _keys("cpu")
_knows_cuda: list[bool] = []


def is_plain(array: Tensor | None) -> bool:
    """Whether it is a dense tensor that is read as it lies in memory: no subclass, no view that negates, no batch of
    ``vmap``; or none."""
    if array is None:
        return True
    if array.__class__ not in EAGER_TYPES:
        return False
    if array.is_cuda and not _knows_cuda:
        _PLAIN.update(_keys("cuda"))
        _knows_cuda.append(True)
    return dispatch_keys(array).raw_repr() in _PLAIN


def is_traced() -> bool:
    """Whether ``torch.jit.trace`` records."""
    return torch._C._get_tracing_state() is not None


def is_intercepted() -> bool:
    """Whether calls of ops are intercepted: by a transform of functions, a dispatch mode, dual numbers or a trace."""
    return bool(transforms_active() or dispatch_modes() or forward_ad._current_level >= 0 or is_traced())


def execution(*arrays: Tensor | None) -> str:
    """How what is done to these tensors is executed."""
    if is_compiling():
        if is_exporting():
            return EXPORT
        return INDUCTOR if is_alone() and all(_is_plain_to_a_compiler(array) for array in arrays) else GRAPH
    if is_traced():
        return EXPORT
    return GRAPH if is_intercepted() or not all(map(is_plain, arrays)) else EAGER


def _is_plain_to_a_compiler(array: Tensor | None) -> bool:
    return array is None or (array.__class__ in EAGER_TYPES and array.dtype in DTYPES and array.device.type == "cpu")


@constant
def is_alone() -> bool:
    """Whether no transform of functions and no dual number is at work, for which a node of a graph has no rule."""
    return not (transforms_active() or forward_ad._current_level >= 0)


@constant
def is_exporting() -> bool:
    """Whether what is traced is exported.

    To what is compiled torch 2.9 says that it is; to what is called as it is, it says the truth.
    """
    return bool(torch.compiler.is_exporting())


@constant
def _threads() -> int:
    return get_num_threads()


def threads() -> int:
    """How many threads torch computes with."""
    return _threads() if is_compiling() else get_num_threads()


def has_known_sizes(problem: ConvProblem) -> bool:
    """Whether no size is open; to a function that is compiled those that are look like integers."""
    if not is_compiling():
        return problem.is_static
    from torch.fx.experimental.symbolic_shapes import has_static_value

    return all(has_static_value(size) for size in (problem.outer, problem.length, problem.inner, *problem.padding))


def signature(x: Tensor, weight: Tensor, bias: Tensor | None) -> Hashable | None:
    """All that a plan of eager tensors depends on; None where a call must be looked at in full.

    Written out, as each repeated call would pay for calls of :func:`is_intercepted` and :func:`is_plain`.
    """
    if (
        is_compiling()
        or transforms_active()
        or dispatch_modes()
        or forward_ad._current_level >= 0
        or torch._C._get_tracing_state() is not None
        or is_any_autocast_enabled()
        or weight.__class__ not in EAGER_TYPES
        or dispatch_keys(x).raw_repr() not in _PLAIN
        or dispatch_keys(weight).raw_repr() not in _PLAIN
    ):
        return None
    if bias is None:
        return get_num_threads(), x.shape, x.dtype, x.device, weight.shape, weight.dtype, weight.device
    if bias.__class__ not in EAGER_TYPES or dispatch_keys(bias).raw_repr() not in _PLAIN:
        return None
    of_bias = bias.shape, bias.dtype, bias.device
    return get_num_threads(), x.shape, x.dtype, x.device, weight.shape, weight.dtype, weight.device, of_bias

"""A planned convolution as one node of the graph that ``torch.compile`` builds: it runs what eager torch would.

Compilers see through torch's own ops, and not through loops that are made for a layer. Where those are faster, the
graph gets an op of the library ``xconv``, with its shape and its gradients, which are such nodes again. A node whose
sizes are open is planned when it runs. What is exported holds none: it is for programs that know torch's ops only.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch.autograd import forward_ad
from torch.fx.experimental.symbolic_shapes import has_static_value

from xconv.adjoints import ADJOINTS, operands
from xconv.direct.order import FIRST
from xconv.formulation import Formulation
from xconv.plan import chosen_eagerly
from xconv.problem import DIRECTIONS, ConvProblem, Size
from xconv.registry import get_backend
from xconv_torch.autograd import computed
from xconv_torch.formulations import FORMULATIONS
from xconv_torch.formulations.direct import DIRECT, is_plain

_BY_NAME = {form.name: form for form in FORMULATIONS}

_LIBRARY = torch.library.Library("xconv", "FRAGMENT")
_LIBRARY.define(
    "convolution(Tensor a, Tensor b, Tensor? bias, str direction, str[] formulations, SymInt[] sizes, int axis,"
    " bool channels_first) -> Tensor",
    tags=(torch.Tag.needs_exact_strides,),
)


class Open(Formulation):
    """What is chosen when a node runs, for its sizes then."""

    name = "auto"


OPEN = Open()


def serves(*arrays: Tensor | None) -> bool:
    """Whether ``torch.compile`` traces what such a node can stand for."""
    return torch.compiler.is_compiling() and is_alone() and all(is_plain(x) for x in arrays)


def is_known(problem: ConvProblem) -> bool:
    """Whether no size is open; to a function that is compiled those that are look like integers."""
    return all(has_static_value(size) for size in (problem.outer, problem.length, problem.inner, *problem.padding))


F = TypeVar("F", bound=Callable[..., Any])

constant: Callable[[F], F] = torch.compiler.assume_constant_result
"""What is called as it is while the compiler traces; its result is a constant of the graph."""


@constant
def is_alone() -> bool:
    """Whether no transform of functions and no dual number is at work, for which a node has no rule, nor an export.

    To what is compiled torch 2.9 says that it is exported; to what is called as it is, it says the truth.
    """
    is_transformed = torch._C._are_functorch_transforms_active() or forward_ad._current_level >= 0
    return not (is_transformed or torch.compiler.is_exporting())


def node(
    forms: Mapping[str, Formulation],
    direction: str,
    problem: ConvProblem,
    axis: int,
    a: Tensor,
    b: Tensor,
    bias: Tensor | None = None,
) -> Tensor:
    """A direction of a problem, whose gradients are the two others; none flows to the bias."""
    names = [forms[each].name for each in DIRECTIONS]
    return _node(a, b, bias, direction, names, list(sizes_of(problem)), axis)


def _node(
    a: Tensor, b: Tensor, bias: Tensor | None, direction: str, names: Sequence[str], sizes: Sequence[int], axis: int
) -> Tensor:
    first = direction != "weight_gradient" and DIRECT.memory.lies(a) == FIRST
    y: Tensor = torch.ops.xconv.convolution(a, b, bias, direction, names, sizes, axis, first)
    return y


def _computed(
    a: Tensor,
    b: Tensor,
    bias: Tensor | None,
    direction: str,
    names: Sequence[str],
    sizes: Sequence[int],
    axis: int,
    channels_first: bool,
) -> Tensor:
    """What the node does when the graph runs."""
    problem, name = problem_of(tuple(sizes), DIRECT.memory.dtype(a)), names[DIRECTIONS.index(direction)]
    if name == OPEN.name:
        last, first = ("NWC", "NCW") if a.ndim == 3 else ("NHWC", "NCHW")
        layout = first if DIRECT.memory.lies(a) == FIRST else last
        form = chosen_eagerly(get_backend("torch"), direction, problem, layout, "cpu").formulation
    else:
        form = _BY_NAME[name]
    with torch.no_grad():
        y = computed(form, direction, problem, axis, a, b) if bias is None else form.forward(problem, axis, a, b, bias)
        return y.movedim(-1, 1).contiguous().movedim(1, -1) if channels_first else y.contiguous()


_COUNTS = ("outer", "length", "inner", "in_channels", "out_channels", "kernel", "stride", "dilation", "groups")


def sizes_of(problem: ConvProblem) -> tuple[int, ...]:
    """A problem with zeros around it, as a graph can hold it, which has the dtype from its arrays."""
    return (*(getattr(problem, name) for name in _COUNTS), *problem.padding)


@lru_cache(maxsize=4096)
def problem_of(sizes: tuple[int, ...], dtype: str) -> ConvProblem:
    """The way back.

    >>> problem = ConvProblem(2, 9, 1, 4, 8, kernel=3, stride=2, groups=2, padding=(1, 0))
    >>> problem_of(sizes_of(problem), "float32") == problem
    True
    """
    return _problem(sizes, dtype)


def _problem(sizes: Sequence[Size], dtype: str) -> ConvProblem:
    *counts, low, high = sizes
    fields: dict[str, Any] = dict(zip(_COUNTS, counts, strict=True))
    return ConvProblem(**fields, padding=(low, high), dtype=dtype)


def _shaped(*given: Any) -> Tensor:
    """What the node gives, without its numbers."""
    a, _, _, direction, _, sizes, axis, channels_first = given
    problem = _problem(sizes, "float32")
    shape = list(problem.weight_shape)
    if direction != "weight_gradient":
        forward = direction == "forward"
        shape = list(a.shape)
        shape[axis] = problem.output_length if forward else problem.length
        shape[-1] = problem.out_channels if forward else problem.in_channels
    if channels_first:
        samples, *places, channels = shape
        shape = [samples, channels, *places]
    y: Tensor = a.new_empty(shape)
    return y.movedim(1, -1) if channels_first else y


def _keep(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    del output
    a, b, _, direction, names, sizes, axis, _ = inputs
    ctx.save_for_backward(a, b)
    ctx.how = direction, names, sizes, axis


def _differentiated(ctx: Any, above: Tensor) -> tuple[Tensor | None, ...]:
    a, b = ctx.saved_tensors
    direction, *how = ctx.how
    found: list[Tensor | None] = [None, None]
    for which, wanted in enumerate(ADJOINTS[direction]):
        if ctx.needs_input_grad[which]:
            one, other = operands(direction, which, a, b, above)
            found[which] = _node(one, other, None, wanted, *how)
    return (*found, None, None, None, None, None, None)


_LIBRARY.impl("convolution", _computed, "CPU")
torch.library.register_fake("xconv::convolution", _shaped, lib=_LIBRARY)
torch.library.register_autograd("xconv::convolution", _differentiated, setup_context=_keep, lib=_LIBRARY)

"""A plan as a value: what would run and why, to be read, called, and packed for inference."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property, partial

from xconv.backend import Backend
from xconv.call import Call
from xconv.formulation import Array
from xconv.layouts import LAYOUTS
from xconv.plan import Choice, Chosen, chosen_from, decide
from xconv.problem import DIRECTIONS, ConvProblem
from xconv.registry import get_backend
from xconv.run import execute


@dataclass(frozen=True)
class Plan:
    """A problem on a backend with a formulation for each direction.

    Prints as a table. Called with ``(x, weight, bias=None)`` it computes the problem, without looking for what is known
    already: arrays must be the framework's own, of the shapes that were planned.

    >>> import numpy as np, xconv
    >>> once = xconv.plan(xconv.resolve("conv1d", (1, 9, 2), (3, 2, 4)), backend="torch")
    >>> sorted(once.choices), once.problem.macs
    (['forward', 'input_gradient', 'weight_gradient'], 168)
    """

    call: Call
    backend: str
    device: str
    choices: Mapping[str, Choice]
    chosen: Chosen = field(repr=False)

    @property
    def problem(self) -> ConvProblem:
        """What is computed."""
        return self.call.problem

    def __str__(self) -> str:
        from tabulate import tabulate

        rows = []
        for direction, choice in self.choices.items():
            others = ", ".join(f"{name} {_said(choice.seconds[name])}" for name in choice.alternatives)
            took = _said(choice.seconds.get(choice.formulation))
            rows.append([direction, choice.formulation, took, choice.why, others])
        headers = ["direction", "formulation", "expected", "why", "alternatives"]
        table = tabulate(rows, headers=headers, tablefmt="simple", maxcolwidths=[None, None, None, 40, 60])
        return f"{table}\n{self.problem.macs:,} multiply-accumulates in each direction"

    def __call__(self, x: Array, weight: Array, bias: Array | None = None) -> Array:
        """Compute the problem."""
        return self._ready(x, weight, bias)

    def pack(self, weight: Array) -> Callable[..., Array]:
        """The plan with a weight that will not change, for inference: a function of ``(x, bias=None)``.

        Where the framework has a layout of its own for weights, the weight is brought to it once. No gradient flows
        to the weight, and a change of it has no effect.

        >>> import torch, xconv
        >>> x, w = torch.ones(1, 3, 2), torch.ones(2, 2, 4)
        >>> p = xconv.plan(xconv.resolve("conv1d", x.shape, w.shape), backend="torch")
        >>> bool((p.pack(w)(x) == p(x, w)).all())
        True
        """
        packed = self._owner.packed(self.call, self.chosen, weight)
        if packed is not None:
            return packed
        ready = self._ready

        def with_weight(x: Array, bias: Array | None = None) -> Array:
            return ready(x, weight, bias)

        return with_weight

    @cached_property
    def _owner(self) -> Backend:
        return get_backend(self.backend)

    @cached_property
    def _ready(self) -> Callable[[Array, Array, Array | None], Array]:
        return self._owner.lowered(self.call, self.chosen) or partial(execute, self.call, self._owner, self.chosen)


def plan(
    problem: ConvProblem | Call,
    *,
    backend: str,
    layout: str = "NWC",
    device: str = "cpu",
    max_workspace: int | None = None,
) -> Plan:
    """The plan that "auto" would run, and why.

    Args:
        problem: a call (:func:`xconv.resolve`), or a problem, whose arrays are then (outer, length, channels), or
            (outer, length, inner, channels) where ``inner`` is above 1.
        backend: name of an installed backend.
        layout: for a problem, the axes of the caller's arrays.
        device: "cpu", "cuda:0", ...
        max_workspace: bytes that a formulation may hold beside its operands and its result; by default as many as
            those take, and at least 64 MiB.

    >>> import xconv
    >>> problem = xconv.ConvProblem(outer=1, length=800_000, inner=1, in_channels=1, out_channels=1, kernel=8192)
    >>> xconv.plan(problem, backend="torch").choices["forward"].formulation
    'fft'
    """
    owner = get_backend(backend)
    call = problem if isinstance(problem, Call) else _as_call(problem, layout)
    choices = {
        each: decide(owner, each, call.problem, layout=call.layout.name, device=device, max_workspace=max_workspace)
        for each in DIRECTIONS
    }
    return Plan(call, backend, device, choices, chosen_from(owner, call.direction, choices))


def _as_call(problem: ConvProblem, layout: str) -> Call:
    maps = problem.inner > 1
    where = LAYOUTS[layout if len(layout) == 3 + maps else "NHWC" if layout.endswith("C") else "NCHW"]
    return Call("conv1d_columns" if maps else "conv1d", where, problem, 1)


def _said(seconds: float | None) -> str:
    if seconds is None:
        return ""
    return f"{seconds * 1e3:.3g} ms" if seconds >= 1e-3 else f"{seconds * 1e6:.3g} us"

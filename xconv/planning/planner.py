"""Which formulation computes each direction of a call: the only place that chooses.

Three sources, in this order: wisdom (what was measured here, if it was loaded or tuned), an estimate (the backend's
cost model: no timing, no I/O, the same every time), and a rule that looks at no size (for sizes that are open, and on a
target that the cost model does not know). The fastest of the framework's own ops is kept unless another is expected to
be clearly faster.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from typing import Any, TypeAlias

from xconv.core.adjoints import ADJOINTS
from xconv.core.backend import Backend
from xconv.core.call import Call
from xconv.core.epilogue import Epilogue
from xconv.core.formulation import Formulation
from xconv.core.layouts import LAYOUTS
from xconv.core.operations import find
from xconv.core.plan import AUTO, LOCAL, DirectionPlan, Plan
from xconv.core.problem import DIRECTIONS, ConvProblem
from xconv.core.registry import get_backend
from xconv.core.target import CHANNELS_FIRST, CHANNELS_LAST, INDUCTOR, Target, check_execution
from xconv.planning import wisdom
from xconv.planning.choices import decide, representative, with_borders_in_array
from xconv.system.errors import ArgumentError, UnsupportedError, nearest

LEAST_SPEEDUP_OF_GRADIENTS = 1.05
"""How many times as fast as the framework's own differentiation gradients by formulations of their own must be expected
to be, to be taken.
"""

Decision: TypeAlias = tuple[tuple[DirectionPlan, DirectionPlan, DirectionPlan], bool]
"""A choice for each of :data:`DIRECTIONS`, and whether the framework differentiates."""


def plan(
    problem: ConvProblem | Call,
    *,
    backend: str,
    layout: str = "NWC",
    device: str = "cpu",
    execution: str | None = None,
    formulation: str = AUTO,
    max_workspace: int | None = None,
) -> Plan:
    """How a call would be computed, and why.

    Args:
        problem: a call (:func:`xconv.resolve`), or a problem, whose arrays are then (outer, length, channels), or
            (outer, length, inner, channels) where ``inner`` is above 1.
        backend: name of an installed backend.
        layout: for a problem, the axes of the caller's arrays.
        device: "cpu", "cuda:0", ...
        execution: "eager", "graph" (``tf.function``, ``torch.func``), "inductor" (``torch.compile``), "xla"
            (``jit_compile=True``, ``jax.jit``) or "export"; by default as it is where this is called.
        formulation: a name, "auto" or "local", as an operation takes it.
        max_workspace: bytes that a formulation may hold beside its operands and its result; by default as many as
            those take, and at least 64 MiB.

    Returns:
        The plan; call it with (x, weight, bias=None), or print it.

    Raises:
        ArgumentError: there is no such formulation or way of execution.
        UnsupportedError: the named formulation cannot compute this problem.
        BackendError: the backend is not there.

    >>> import xconv
    >>> problem = xconv.ConvProblem(outer=1, length=800_000, inner=1, in_channels=1, out_channels=1, kernel=8192)
    >>> xconv.plan(problem, backend="torch").choices["forward"].formulation
    'fft'
    """
    owner = get_backend(backend)
    call = problem if isinstance(problem, Call) else _as_call(problem, layout)
    memory_format = CHANNELS_LAST if call.layout.channels_last else CHANNELS_FIRST
    how = owner.execution() if execution is None else check_execution("plan", execution)
    target = Target(backend, device, memory_format, owner.threads(), how)
    return plan_call(call, target, formulation, operation="plan", max_workspace=max_workspace)


def plan_call(
    call: Call,
    target: Target,
    formulation: str = AUTO,
    *,
    operation: str = "plan",
    max_workspace: int | None = None,
) -> Plan:
    """The plan of a resolved call on a target: what every way of execution asks for.

    Raises:
        ArgumentError: the backend has no formulation of that name.
        UnsupportedError: it has, but it cannot compute this problem.
    """
    backend, formulation = get_backend(target.backend), find(call.operation, "plan").formulation or formulation
    if not isinstance(formulation, str):
        _find_formulation(backend, formulation, operation)  # which refuses it
    if call.vertical is not None:
        return _plan_2d(call, backend, target)
    direction, problem, layout = call.direction, with_borders_in_array(call.problem), call.layout.name
    if backend.is_compiling():  # which reads this code: what it calls as a constant is a text or a number
        choices, by_framework = _decide_as_constant(backend, direction, problem, layout, target, formulation)
        return Plan(call, target, *choices, by_framework, planner=plan_call)
    asked = backend, direction, problem, layout, target, formulation, operation, max_workspace
    choices, by_framework = _decision(*asked) if problem.is_static else _decide(*asked)
    computes = backend.by_name[choices[DIRECTIONS.index(direction)].formulation]
    epilogue = (Epilogue("bias", computes.fuses_bias(direction, problem)),)
    return Plan(call, target, *choices, by_framework, epilogue, formulation, plan_call)


def _plan_2d(call: Call, backend: Backend, target: Target) -> Plan:
    """A true 2-D convolution: the framework's, or where it has none the 1-D problem that it is folded into."""
    assert call.vertical is not None
    folded = backend.folded_2d(call.vertical, call.problem)
    if folded is None:
        own = DirectionPlan("conv2d", "the operation is the framework's 2-D convolution")
        return Plan(call, target, own, own, own, True, (Epilogue("bias", backend.fuses_bias_2d),), planner=plan_call)
    asked = backend, "forward", folded, call.layout.name, target, LOCAL, "conv2d", None
    choices, by_framework = _decision(*asked) if folded.is_static else _decide(*asked)
    epilogue = (Epilogue("bias", backend.by_name[choices[0].formulation].fuses_bias("forward", folded)),)
    return Plan(call, target, *choices, by_framework, epilogue, planner=plan_call)


def _decision(
    backend: Backend,
    direction: str,
    problem: ConvProblem,
    layout: str,
    target: Target,
    formulation: str,
    operation: str,
    max_workspace: int | None,
) -> Decision:
    """The choices for a problem of known sizes whose borders are in the array; lengths that are near share them.

    What was measured, and what a caller sets a limit for, holds for its own length only.
    """
    rest, version = (layout, target, formulation, operation, max_workspace), wisdom.version()
    like = representative(problem)
    measured = wisdom.knows(problem) or wisdom.knows(like)
    if like is not problem and not measured and max_workspace is None and formulation in (AUTO, LOCAL):
        found, by_framework = _kept_decision(backend, direction, like, *rest, version)
        chosen = {d: choice for d, choice in zip(DIRECTIONS, found, strict=True) if choice.source != "framework"}
        if all(backend.by_name[choice.formulation].unsupported(d, problem) is None for d, choice in chosen.items()):
            return found, by_framework
    return _kept_decision(backend, direction, problem, *rest, version)


@lru_cache(maxsize=4096)
def _kept_decision(
    backend: Backend,
    direction: str,
    problem: ConvProblem,
    layout: str,
    target: Target,
    formulation: str,
    operation: str,
    max_workspace: int | None,
    version: int,
) -> Decision:
    """:func:`_decide`, once; ``version`` is that of the wisdom, with which the choices change."""
    del version
    return _decide(backend, direction, problem, layout, target, formulation, operation, max_workspace)


def _decide(
    backend: Backend,
    direction: str,
    problem: ConvProblem,
    layout: str,
    target: Target,
    formulation: str,
    operation: str,
    max_workspace: int | None,
) -> Decision:
    """A choice for each direction of a problem with its borders in the array; whether the framework differentiates."""
    computes = [direction, *ADJOINTS[direction]] if backend.plans_gradients(target) else [direction]
    by_framework = not backend.plans_gradients(target)
    if formulation in (AUTO, LOCAL):
        local = formulation == LOCAL
        each = {d: decide(backend, d, problem, layout, target, max_workspace, local=local) for d in computes}
        if not by_framework:
            each[direction], by_framework = _with_gradients(backend, direction, problem, each)
    else:
        each = {direction: _choose_named(backend, direction, problem, layout, target, formulation, operation)}
        name = each[direction].formulation
        form = backend.by_name[name]
        for d in computes[1:]:  # what keeps elements in their windows has gradients that do
            able, local = form.unsupported(d, problem) is None, form.is_local
            other = None if able else decide(backend, d, problem, layout, target, max_workspace, local=local)
            each[d] = other or each[direction]
        by_framework = by_framework or _differentiates(backend, name, problem)
    if by_framework:
        name = each[direction].formulation
        for d in ADJOINTS[direction]:
            expected = each[d].expected if d in each else ()
            each[d] = DirectionPlan(name, f"the framework differentiates {name}", expected, "framework")
    return _in_order(each), by_framework


def _in_order(each: Mapping[str, DirectionPlan]) -> tuple[DirectionPlan, DirectionPlan, DirectionPlan]:
    return each["forward"], each["input_gradient"], each["weight_gradient"]


def _with_gradients(
    backend: Backend, direction: str, problem: ConvProblem, each: Mapping[str, DirectionPlan]
) -> tuple[DirectionPlan, bool]:
    """The choice for the direction that a call computes, and whether the framework differentiates it.

    The result is the same whether gradients are wanted or not, so one choice serves both: another is taken instead if
    the seconds without and with gradients, multiplied, are clearly fewer.
    """
    first, name = each[direction], each[direction].formulation
    native = [own for own in backend.differentiated if _differentiates(backend, own, problem)]
    if not all(choice.expected for choice in each.values()):
        adjoints = [each[d].formulation for d in ADJOINTS[direction]]
        return first, name in native and all(adjoint in backend.differentiated for adjoint in adjoints)
    if any(choice.source == "wisdom" for choice in each.values()):
        return first, name in native and len({choice.formulation for choice in each.values()}) == 1
    seconds = {d: choice.seconds for d, choice in each.items()}
    without_gradients = seconds[direction]
    by_formulations = sum(seconds[d][choice.formulation] for d, choice in each.items()) + backend.own_gradients_seconds
    differentiated = {
        own: sum(of[own] for of in seconds.values()) for own in native if all(own in of for of in seconds.values())
    }
    by_framework = name in differentiated and differentiated[name] < by_formulations * LEAST_SPEEDUP_OF_GRADIENTS
    product = without_gradients[name] * (differentiated[name] if by_framework else by_formulations)
    products = {own: without_gradients[own] * with_gradients for own, with_gradients in differentiated.items()}
    rival = min(products, key=products.__getitem__, default=name)
    if rival != name and products[rival] * LEAST_SPEEDUP_OF_GRADIENTS < product:
        why = f"with gradients, which the framework has of it, faster than {name}"
        return replace(first, formulation=rival, why=why), True
    return first, by_framework


def _differentiates(backend: Backend, name: str, problem: ConvProblem) -> bool:
    """Whether the framework's own gradients of a formulation are right, and as good as its own ops."""
    if name not in backend.differentiated or not problem.is_static:
        return False
    form = backend.by_name[name]
    return all(form.unsupported(direction, problem) is None for direction in DIRECTIONS)


def _choose_named(
    backend: Backend, direction: str, problem: ConvProblem, layout: str, target: Target, name: str, operation: str
) -> DirectionPlan:
    """The choice of a formulation by its name; what has no memory to compute in gets another that can do without.

    Raises:
        ArgumentError: the backend has no formulation of that name.
        UnsupportedError: it has, but it cannot compute this problem.
    """
    form = _find_formulation(backend, name, operation)
    reason = form.unsupported(direction, problem)
    if reason is not None:
        able = [other.name for other in backend.formulations if other.unsupported(direction, problem) is None]
        raise UnsupportedError(
            f"{operation}: formulation {name!r} of backend {backend.name!r} cannot compute the {direction} of "
            f"this problem: {reason}. Hint: these can: {', '.join(able)}; 'auto' picks one."
        )
    if form.needs_memory and not backend.has_memory(target):
        other = decide(backend, direction, problem, layout, target)
        return replace(other, why=f"{name} needs arrays in the CPU's memory; {other.why}")
    return DirectionPlan(name, "named", source="named")


def _find_formulation(backend: Backend, name: str, operation: str) -> Formulation:
    form = backend.by_name.get(name) if isinstance(name, str) else None
    if form is None:
        known = [AUTO, LOCAL, *backend.by_name]
        expected = f"one of {', '.join(map(repr, known))}"
        raise ArgumentError(operation, "formulation", repr(name), expected, nearest(name, known))
    return form


Values: TypeAlias = tuple[tuple[tuple[str, str], ...], bool]
"""The name and the reason of each choice, and whether the framework differentiates: what a graph can hold."""


def _decide_as_constant(
    backend: Backend, direction: str, problem: ConvProblem, layout: str, target: Target, formulation: str
) -> Decision:
    """:func:`_decision` for a caller whose code a compiler reads: asked as a constant of the graph.

    A size that is open looks like an integer there; then the choice is left to the node that runs, or to the rule.
    """
    if backend.has_known_sizes(problem):
        asked = (target.backend, direction, values_of(problem), problem.dtype, layout, target.device, target.execution)
        names, by_framework = backend.constant(_decide_by_values, *asked, formulation)
        forward, dx, dweight = (DirectionPlan(name, why) for name, why in names)
        return (forward, dx, dweight), by_framework
    if target.execution != INDUCTOR:
        open_choice = DirectionPlan(*backend.rule(direction, problem, target))
        return (open_choice, open_choice, open_choice), True
    if formulation not in (AUTO, LOCAL):
        backend.constant(_check_name, target.backend, formulation)
    open_choice = DirectionPlan(formulation, "for the sizes that come when the graph runs")
    return (open_choice, open_choice, open_choice), formulation in backend.differentiated


def _decide_by_values(
    name: str,
    direction: str,
    sizes: tuple[int, ...],
    dtype: str,
    layout: str,
    device: str,
    execution: str,
    formulation: str,
) -> Values:
    backend, problem = get_backend(name), problem_of(sizes, dtype)
    memory_format = CHANNELS_LAST if layout.endswith("C") else CHANNELS_FIRST
    target = Target(name, device, memory_format, backend.threads(), execution)
    choices, by_framework = _decision(backend, direction, problem, layout, target, formulation, "plan", None)
    return tuple((choice.formulation, choice.why) for choice in choices), by_framework


def _check_name(backend: str, name: str) -> None:
    _find_formulation(get_backend(backend), name, "plan")


_COUNTS = ("outer", "length", "inner", "in_channels", "out_channels", "kernel", "stride", "dilation", "groups")


def values_of(problem: ConvProblem) -> tuple[int, ...]:
    """A problem with zeros around it as integers, which has its dtype from its arrays.

    >>> problem = ConvProblem(2, 9, 1, 4, 8, kernel=3, stride=2, groups=2, padding=(1, 0))
    >>> problem_of(values_of(problem), "float32") == problem
    True
    """
    return (*(getattr(problem, name) for name in _COUNTS), *problem.padding)


def problem_of(sizes: tuple[int, ...], dtype: str) -> ConvProblem:
    """The way back from integers."""
    *counts, low, high = sizes
    fields: dict[str, Any] = dict(zip(_COUNTS, counts, strict=True))
    return ConvProblem(**fields, padding=(low, high), dtype=dtype)


def _as_call(problem: ConvProblem, layout: str) -> Call:
    maps = problem.inner > 1
    where = LAYOUTS[layout if len(layout) == 3 + maps else "NHWC" if layout.endswith("C") else "NCHW"]
    return Call("conv1d_columns" if maps else "conv1d", where, problem, 1)

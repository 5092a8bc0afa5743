"""The choice of a formulation for one direction of a problem, looked at alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from xconv.core.backend import Backend
from xconv.core.cost import ITEM_SIZE
from xconv.core.formulation import Formulation
from xconv.core.plan import DirectionPlan
from xconv.core.problem import ConvProblem
from xconv.core.target import Target
from xconv.planning import wisdom
from xconv.planning.estimate import kind

LEAST_SPEEDUP_CHANNELS_LAST = 1.03
"""How many times as fast as the framework's own ops a formulation must be expected to be, to be taken for channels last
(for channels first: ``Backend.least_speedup_channels_first``).
"""

LEAST_SPEEDUP_AMONG_OWN = 1.1
"""The same of another of the framework's own ops, beside the one that its users write."""

LEAST_GAIN_SECONDS = 5e-6
"""Seconds that another formulation must save."""

LEADING_BITS, LEAST_PLACES = 5, 128
"""Leading bits of the number of places that :func:`representative` keeps, and the places from which it rounds: below,
tiles and transforms of one length and the next differ by more.
"""

LEAST_WORKSPACE_BYTES = 64 << 20
"""Bytes that every formulation may hold beside its operands and result."""


def decide(
    backend: Backend,
    direction: str,
    problem: ConvProblem,
    layout: str,
    target: Target,
    max_workspace: int | None = None,
    *,
    local: bool = False,
) -> DirectionPlan:
    """The choice for one direction alone, and why."""
    problem = with_borders_in_array(problem)
    ruled, why = backend.rule(direction, problem, target)
    if not problem.is_static or problem.is_empty or not backend.runs_op_by_op(target):
        return DirectionPlan(ruled, why)
    able = list(candidates(backend, direction, problem, target, max_workspace, local=local))
    expected = backend.estimates(able, direction, problem, layout, target)
    seconds = {name: t for name, t in expected.items() if not backend.is_trap(name, direction, problem)}
    known = (
        wisdom.find(wisdom.Key(*backend.here(target.device), layout, direction, problem)) if wisdom.version() else None
    )
    if known is not None and any(form.name == known.formulation for form in able):
        why = f"measured {known.own_seconds / known.seconds:.2f} times as fast as the framework's own"
        return DirectionPlan(known.formulation, why, _sorted({known.formulation: known.seconds, **seconds}), "wisdom")
    if not seconds:
        return DirectionPlan(ruled, why)
    own = backend.own(direction, problem, target)
    name = _preferred(backend, own, ruled, target, seconds)
    if name in (ruled, own):
        why = "nothing is expected to be clearly faster than the framework's own ops"
        return DirectionPlan(name, why, _sorted(seconds), "estimate")
    gain = f", {seconds[own] / seconds[name]:.1f} times as fast as {own}" if own in seconds else ""
    return DirectionPlan(name, f"expected to be the fastest{gain}", _sorted(seconds), "estimate")


def candidates(
    backend: Backend,
    direction: str,
    problem: ConvProblem,
    target: Target,
    max_workspace: int | None = None,
    *,
    local: bool = False,
) -> Iterator[Formulation]:
    """The formulations that can compute a direction of a problem on a target, within bytes of workspace."""
    limit = workspace_limit(problem) if max_workspace is None else max_workspace
    for form in backend.formulations:
        if form.unsupported(direction, problem) is not None or (local and not form.is_local):
            continue
        if form.workspace(direction, problem) <= limit and (backend.has_memory(target) or not form.needs_memory):
            yield form


def preferred(
    backend: Backend, direction: str, problem: ConvProblem, target: Target, seconds: Mapping[str, float]
) -> str:
    """The framework's own op, unless another of its ops, or any formulation, is expected to be faster by enough.

    What is level is the op that the framework's users write: it has the least around it.
    """
    own, ruled = backend.own(direction, problem, target), backend.rule(direction, problem, target)[0]
    return _preferred(backend, own, ruled, target, seconds)


def _preferred(backend: Backend, own: str, ruled: str, target: Target, seconds: Mapping[str, float]) -> str:
    fastest = min(seconds, key=seconds.__getitem__)
    native = [each for each in backend.differentiated if each in seconds]
    if ruled in native and not target.channels_last:
        native = [ruled]  # the op on the caller's own layout is hardly ever beaten by a little
    kept = min(native, key=seconds.__getitem__, default=fastest)
    if own in native and seconds[own] < LEAST_SPEEDUP_AMONG_OWN * seconds[kept]:
        kept = own
    clearly = LEAST_SPEEDUP_CHANNELS_LAST if target.channels_last else backend.least_speedup_channels_first
    faster = seconds[kept] >= max(clearly * seconds[fastest], seconds[fastest] + LEAST_GAIN_SECONDS)
    return fastest if faster else kept


def _sorted(seconds: Mapping[str, float]) -> tuple[tuple[str, float], ...]:
    return tuple(sorted(seconds.items(), key=lambda item: item[1]))


def workspace_limit(problem: ConvProblem) -> int:
    """Bytes that a formulation may hold beside its operands and result: as many as those take, and at least 64 MiB."""
    elements = problem.outer * problem.inner * problem.length * problem.in_channels
    elements += problem.outer * problem.inner * problem.output_length * problem.out_channels
    return max(LEAST_WORKSPACE_BYTES, int(elements) * ITEM_SIZE[problem.dtype])


def with_borders_in_array(problem: ConvProblem) -> ConvProblem:
    """A problem as a formulation meets it: borders are in the array already."""
    return problem if problem.padding_mode == "zeros" else problem.padded()


def representative(problem: ConvProblem) -> ConvProblem:
    """The problem that stands for others of nearly its length: lengths and results differ by a thirtieth at most.

    So signals of ever new lengths are planned for once in a while. The kind of problem is the same, and so are the
    elements behind the last place.

    >>> from xconv.core.problem import ConvProblem
    >>> [representative(ConvProblem(1, length, 1, 8, 8, kernel=3)).length for length in (12, 101, 299, 300, 313, 3000)]
    [12, 101, 306, 306, 306, 2946]
    """
    places = problem.output_length
    if places < LEAST_PLACES:
        return problem
    step = 1 << max(places.bit_length() - LEADING_BITS, 0)
    more = ((places + step // 2) // step * step - places) * problem.stride
    if more == 0 or 30 * abs(more) > problem.length:
        return problem
    like = replace(problem, length=problem.length + more)
    return like if kind(like) == kind(problem) else problem

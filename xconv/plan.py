"""Which formulation computes a problem: the only place that chooses.

Three sources, in this order: wisdom (what was measured here, if it was loaded or tuned), an estimate (the backend's
cost model: no timing, no I/O, the same every time), and a rule that looks at no size (while a compiler traces, or on a
device that the cost model does not know). The fastest of the framework's own ops is kept unless another is expected to
be clearly faster.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from xconv import wisdom
from xconv.cost import ITEM_SIZE
from xconv.errors import ArgumentError, UnsupportedError, nearest
from xconv.problem import DIRECTIONS, ConvProblem

if TYPE_CHECKING:
    from xconv.backend import Backend
    from xconv.formulation import Formulation

APART, LAST, HARDLY = 1.05, 1.03, 1.1
"""How much faster than the framework's own ops something must be expected to be: gradients that are computed apart; a
formulation for channels last (for channels first ``Backend.clearly_first``); another of those ops.
"""

LEAST_GAIN = 5e-6
"""Seconds that another must save."""

LEAST_WORKSPACE = 64 << 20
"""Bytes that every formulation may hold beside its operands and result."""


@dataclass(frozen=True)
class Choice:
    """The formulation of one direction, why it was taken, and the seconds that each one is expected to take."""

    formulation: str
    why: str
    seconds: Mapping[str, float]
    source: str = "rule"

    @property
    def alternatives(self) -> tuple[str, ...]:
        """The others that can compute it, the fastest first."""
        return tuple(sorted((name for name in self.seconds if name != self.formulation), key=self.seconds.__getitem__))


@dataclass(frozen=True)
class Chosen:
    """How a call is computed: without gradients, and with them.

    ``adjoints`` names a formulation for each direction where the gradients are computed apart from the result; it is
    None where the framework's own differentiation of ``trained`` is as good.
    """

    formulation: Formulation
    trained: Formulation
    adjoints: Mapping[str, Formulation] | None = None

    @staticmethod
    def one(formulation: Formulation) -> Chosen:
        """The same one for everything, differentiated by the framework."""
        return Chosen(formulation, formulation)


def named(backend: Backend, direction: str, problem: ConvProblem, name: str, operation: str) -> Formulation:
    """The formulation of a name.

    Raises:
        ArgumentError: the backend has no formulation of that name.
        UnsupportedError: it has, but it cannot compute this problem.
    """
    for candidate in backend.formulations:
        if candidate.name == name:
            reason = candidate.unsupported(direction, problem)
            if reason is None:
                return candidate
            able = [f.name for f in backend.formulations if f.unsupported(direction, problem) is None]
            raise UnsupportedError(
                f"{operation}: formulation {name!r} of backend {backend.name!r} cannot compute the {direction} of "
                f"this problem: {reason}. Hint: these can: {', '.join(able)}; 'auto' picks one."
            )
    known = ["auto", *(f.name for f in backend.formulations)]
    raise ArgumentError(
        operation, "formulation", repr(name), f"one of {', '.join(map(repr, known))}", nearest(name, known)
    )


def choose(
    backend: Backend,
    direction: str,
    problem: ConvProblem,
    *,
    formulation: str = "auto",
    layout: str = "NWC",
    device: str = "cpu",
    operation: str = "plan",
) -> Chosen:
    """How a call is computed: by the named formulation, or for "auto" by what is expected to be fastest.

    Raises:
        ArgumentError: the backend has no formulation of that name.
        UnsupportedError: it has, but it cannot compute this problem.
    """
    if formulation != "auto":
        return Chosen.one(named(backend, direction, problem, formulation, operation))
    if not problem.is_static or problem.is_empty or backend.is_tracing():
        found = backend.traced(direction, problem, layout, device)
        if found is not None:
            return found
        return Chosen.one(named(backend, direction, problem, backend.rule(direction, problem, layout)[0], operation))
    return chosen_eagerly(backend, direction, problem, layout, device)


def chosen_eagerly(backend: Backend, direction: str, problem: ConvProblem, layout: str, device: str) -> Chosen:
    """How a call whose sizes are known is computed, by what is expected to be fastest."""
    known = backend.threads(), backend.has_memory(), wisdom.version()
    return _chosen(backend, direction, settled(problem), layout, device, known)


@lru_cache(maxsize=4096)
def _chosen(
    backend: Backend, direction: str, problem: ConvProblem, layout: str, device: str, known: tuple[int, bool, int]
) -> Chosen:
    del known  # of the cache's key: with it the choice changes
    apart = {each: decide(backend, each, problem, layout=layout, device=device) for each in DIRECTIONS}
    return chosen_from(backend, direction, apart)


def chosen_from(backend: Backend, direction: str, apart: Mapping[str, Choice]) -> Chosen:
    """How a call is computed, from the choice for each direction: whether gradients are computed apart."""
    forms = {form.name: form for form in backend.formulations}
    best = forms[apart[direction].formulation]
    if any(not choice.seconds for choice in apart.values()):
        return Chosen.one(best)
    adjoints = {each: forms[choice.formulation] for each, choice in apart.items()}
    together = sum(choice.seconds[choice.formulation] for choice in apart.values()) + backend.apart_seconds
    native = {
        name: sum(choice.seconds[name] for choice in apart.values())
        for name in backend.differentiated
        if all(name in choice.seconds for choice in apart.values())
    }
    if native and min(native.values()) < together * APART:
        return Chosen(best, forms[min(native, key=native.__getitem__)])
    return Chosen(best, best, adjoints)


def decide(
    backend: Backend,
    direction: str,
    problem: ConvProblem,
    *,
    layout: str = "NWC",
    device: str = "cpu",
    max_workspace: int | None = None,
) -> Choice:
    """The choice for one direction of a problem whose sizes are known, and why."""
    problem = settled(problem)
    limit = workspace_limit(problem) if max_workspace is None else max_workspace
    able = {
        form.name: form
        for form in backend.formulations
        if form.unsupported(direction, problem) is None
        and form.workspace(direction, problem) <= limit
        and (backend.has_memory() or not form.needs_memory)
    }
    expected = backend.estimates(direction, problem, layout, device)
    seconds = {
        name: t for name, t in expected.items() if name in able and not backend.is_trap(name, direction, problem)
    }
    known = wisdom.find(wisdom.Key(*backend.here(device), layout, direction, problem))
    if known is not None and known.formulation in able:
        why = f"measured {known.own_seconds / known.seconds:.2f} times as fast as the framework's own"
        return Choice(known.formulation, why, {known.formulation: known.seconds, **seconds}, "wisdom")
    ruled, why = backend.rule(direction, problem, layout)
    if not seconds:
        return Choice(ruled, why, {}, "rule")
    own = backend.own(direction, problem, layout)
    name = preferred(backend, direction, problem, layout, seconds)
    if name in (ruled, own):
        why = "nothing is expected to be clearly faster than the framework's own ops"
        return Choice(name, why, seconds, "estimate")
    gain = f", {seconds[own] / seconds[name]:.1f} times as fast as {own}" if own in seconds else ""
    return Choice(name, f"expected to be the fastest{gain}", seconds, "estimate")


def preferred(backend: Backend, direction: str, problem: ConvProblem, layout: str, seconds: Mapping[str, float]) -> str:
    """The framework's own op, unless another of its ops, or any formulation, is expected to be faster by enough.

    ``seconds`` is what each formulation is expected to take; it is not empty.
    """
    fastest = min(seconds, key=seconds.__getitem__)
    own, ruled = backend.own(direction, problem, layout), backend.rule(direction, problem, layout)[0]
    native = [each for each in backend.differentiated if each in seconds]
    last = layout.endswith("C")
    if ruled in native and not last:
        native = [ruled]  # the op on the caller's own layout is hardly ever beaten by a little
    kept = min(native, key=seconds.__getitem__, default=fastest)
    if own in native and seconds[own] < HARDLY * seconds[kept]:
        kept = own
    clearly = LAST if last else backend.clearly_first
    faster = seconds[kept] >= max(clearly * seconds[fastest], seconds[fastest] + LEAST_GAIN)
    return fastest if faster else kept


def workspace_limit(problem: ConvProblem) -> int:
    """Bytes that a formulation may hold beside its operands and result: as many as those take, and at least 64 MiB."""
    elements = problem.outer * problem.inner * problem.length * problem.in_channels
    elements += problem.outer * problem.inner * problem.output_length * problem.out_channels
    return max(LEAST_WORKSPACE, int(elements) * ITEM_SIZE[problem.dtype])


def settled(problem: ConvProblem) -> ConvProblem:
    """A problem as a formulation meets it: borders are in the array already."""
    return problem if problem.padding_mode == "zeros" else problem.padded()

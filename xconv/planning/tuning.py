"""Measuring which formulation is the fastest: the few that the estimate proposes, and the framework's own op.

Each result is checked before it is timed: against the reference on a short piece, against the framework's own op in
full. The candidates are timed in turns, in a random order that is then reversed,
so that a slow spell of the machine hits all of them, and compared turn by turn. The framework's own op is kept unless
another one beats it clearly. What is found goes to :mod:`xconv.wisdom`: plans change at once in this process, and in
later ones that load it.
"""

from __future__ import annotations

import math
import random
import statistics
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import numpy as np

from xconv.core import reference
from xconv.core.backend import Backend
from xconv.core.call import Call
from xconv.core.formulation import Formulation
from xconv.core.fourier_bounds import fourier_error
from xconv.core.problem import DIRECTIONS, ConvProblem, Size
from xconv.core.registry import get_backend
from xconv.core.target import CHANNELS_FIRST, CHANNELS_LAST, Target
from xconv.planning import wisdom
from xconv.planning.choices import candidates, decide, with_borders_in_array
from xconv.planning.one_formulation import by_formulation

MOST_CANDIDATES = 4
"""How many of the estimate's best are measured, beside the framework's own op."""

LEAST_SPEEDUP = 1.03
"""How much faster than the framework's own another must be, in the median of the turns."""

LARGEST_INTEGER, LARGEST_EXACT_SUM = 2, {"float32": 1 << 24, "float64": 1 << 53}
"""The operands are integers up to this; sums up to that are exact, so that all candidates agree in every bit."""

LEAST_TURNS, TURN_SECONDS = 7, 0.01


@dataclass(frozen=True)
class Tuned:
    """What was measured of one direction of a problem: median seconds of each candidate that computed it right.

    Attributes:
        problem: what was measured.
        direction: "forward", "input_gradient" or "weight_gradient".
        layout: of the caller's arrays.
        formulation: the fastest.
        own: the one that is the framework's own op.
        seconds: the median seconds of one run, by formulation.
        wrong: formulations whose result was wrong.
    """

    problem: ConvProblem
    direction: str
    layout: str
    formulation: str
    own: str
    seconds: dict[str, float]
    wrong: tuple[str, ...] = ()

    @property
    def gain(self) -> float:
        """How many times as fast as the framework's own op."""
        return self.seconds[self.own] / self.seconds[self.formulation] if self.own in self.seconds else math.nan


def tune(
    problems: Call | ConvProblem | Iterable[Call | ConvProblem],
    *,
    backend: str,
    layout: str | None = None,
    device: str = "cpu",
    directions: Sequence[str] = DIRECTIONS,
    progress: bool = True,
) -> list[Tuned]:
    """Measure problems and remember what is fastest, in this process; ``xconv.wisdom.save()`` keeps it.

    Args:
        problems: one, or several; calls of :func:`xconv.resolve` bring their layout with them.
        backend: name of an installed backend.
        layout: of the caller's arrays, for problems.
        device: "cpu", "cuda:0", ...
        directions: which of the three.
        progress: whether to show a progress bar where somebody looks.

    Returns:
        One for each problem and direction, in this order.

    Raises:
        BackendError: the backend is not there.

    >>> import xconv
    >>> [found] = xconv.tune(xconv.ConvProblem(1, 300, 1, 8, 8, kernel=3), backend="torch", directions=["forward"])
    >>> found.seconds[found.formulation] <= found.seconds[found.own]
    True
    >>> xconv.wisdom.forget()
    1
    """
    from tqdm import tqdm

    owner, rng = get_backend(backend), random.Random(0)
    given = [problems] if isinstance(problems, (Call, ConvProblem)) else list(problems)
    work = [(one, direction) for one in given for direction in directions]
    found = []
    for one, direction in tqdm(work, unit="direction", disable=None if progress else True, leave=False):
        problem = one.problem if isinstance(one, Call) else one
        where = one.layout.name if isinstance(one, Call) else layout or ("NWC" if problem.inner == 1 else "NHWC")
        found.append(_tune(owner, direction, problem, where, device, rng))
    return found


def _tune(
    backend: Backend, direction: str, problem: ConvProblem, layout: str, device: str, rng: random.Random
) -> Tuned:
    problem = with_borders_in_array(problem)
    memory_format = CHANNELS_LAST if layout.endswith("C") else CHANNELS_FIRST
    target = Target(backend.name, device, memory_format, backend.threads())
    own = backend.own(direction, problem, target)
    forms = proposed(backend, direction, problem, layout, target, own)
    operands = _operands(backend, direction, problem, layout, device)
    wrong: list[str] = []
    runs: dict[str, Callable[[], Any]] = {}
    agreed = None
    for form in sorted(forms, key=lambda form: form.name != own):
        run = _runner(backend, form, direction, problem, layout, operands)
        right = is_right(backend, form, direction, problem, device)
        if right and is_exact(form, direction, problem):
            result = backend.to_numpy(run())
            agreed = result if agreed is None else agreed
            right = np.array_equal(result, agreed)
        if right:
            runs[form.name] = run
        else:
            wrong.append(form.name)
    samples = timed(backend, runs, device, rng)
    seconds = {name: statistics.median(taken) for name, taken in samples.items()}
    best = min(seconds, key=seconds.__getitem__)
    if own in samples:
        gains = {n: statistics.median(o / t for o, t in zip(samples[own], samples[n], strict=True)) for n in samples}
        best = max(gains, key=gains.__getitem__)
        best = best if gains[best] > LEAST_SPEEDUP else own
    key = wisdom.Key(*backend.here(device), layout, direction, problem)
    today = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    wisdom.remember(key, wisdom.Entry(best, seconds[best], seconds.get(own, seconds[best]), today))
    return Tuned(problem, direction, layout, best, own, seconds, tuple(wrong))


def proposed(
    backend: Backend, direction: str, problem: ConvProblem, layout: str, target: Target, own: str
) -> list[Formulation]:
    """The framework's own op, and the few that are expected to be fastest; all of them where nothing is expected."""
    able = list(candidates(backend, direction, problem, target))
    seconds = decide(backend, direction, problem, layout, target).seconds
    ranked = sorted((form for form in able if form.name in seconds), key=lambda form: seconds[form.name])
    first = ranked[:MOST_CANDIDATES] if ranked else able
    return [*first, *(form for form in able if form.name == own and form not in first)]


def is_right(backend: Backend, form: Formulation, direction: str, problem: ConvProblem, device: str) -> bool:
    """Whether a formulation computes a short piece of the problem as the reference does."""
    short = shortened(problem)
    if form.unsupported(direction, short) is not None:
        return True  # it is the size that it needs; the shared tests know it
    shapes = {"x": short.input_shape, "dy": short.output_shape, "weight": short.weight_shape}
    rng = np.random.default_rng(0)
    names = {"forward": ("x", "weight"), "input_gradient": ("dy", "weight"), "weight_gradient": ("x", "dy")}
    arrays = [rng.integers(-2, 3, shapes[name]).astype("float32") for name in names[direction]]
    tensors = [backend.cast(backend.from_numpy(array, device), short.dtype) for array in arrays]
    with backend.exact_float32():
        got = backend.to_numpy(
            backend.cast(backend.run(by_formulation(backend, form), direction, short, 1, *tensors), "float64")
        )
    wanted = getattr(reference, direction)(short, 1, *arrays)
    length = form.transform_length(direction, short)
    dtype = "float64" if short.dtype == "float64" else "float32"
    a, b = arrays
    bound = fourier_error(short, direction, length, a, b, dtype) if length else 0.0
    if short.dtype in ("float16", "bfloat16"):
        bound = bound + np.abs(wanted) * 2.0**-7
    return got.shape == wanted.shape and bool((np.abs(got - wanted) <= bound).all())


def is_exact(form: Formulation, direction: str, problem: ConvProblem) -> bool:
    """Whether sums of the products of :func:`_operands` are exact, in any order."""
    largest = LARGEST_INTEGER * LARGEST_INTEGER * problem.terms(direction)
    return (
        problem.dtype in LARGEST_EXACT_SUM
        and largest <= LARGEST_EXACT_SUM[problem.dtype]
        and not form.transform_length(direction, problem)
    )


def shortened(problem: ConvProblem) -> ConvProblem:
    """A problem on the least signal that has a first, an inner and a last place of the kernel."""
    length = min(problem.length, problem.extent + 3 * problem.stride)
    return replace(problem, outer=min(problem.outer, 2), inner=min(problem.inner, 3), length=length)


def timed(
    backend: Backend, runs: dict[str, Callable[[], Any]], device: str, rng: random.Random
) -> dict[str, list[float]]:
    """Seconds per call, one sample a turn: CPU time on one thread of the CPU, wall time otherwise."""
    clock = time.process_time if device == "cpu" and backend.threads() == 1 else time.perf_counter

    def turn(run: Callable[[], Any], calls: int) -> float:
        backend.synchronize(device)
        start = clock()
        for _ in range(calls):
            run()
        backend.synchronize(device)
        return (clock() - start) / calls

    calls: dict[str, int] = {}
    for name, run in runs.items():
        run()
        calls[name] = max(1, round(TURN_SECONDS / max(turn(run, 1), 1e-5)))
    best = min(turn(run, calls[name]) for name, run in runs.items())
    samples: dict[str, list[float]] = {name: [] for name in runs}
    order: list[str] = []
    for number in range(LEAST_TURNS if best > TURN_SECONDS else 2 * LEAST_TURNS):
        order = rng.sample(list(runs), len(runs)) if number % 2 == 0 else order[::-1]
        for name in order:
            samples[name].append(turn(runs[name], calls[name]))
    return samples


def _operands(backend: Backend, direction: str, problem: ConvProblem, layout: str, device: str) -> list[Any]:
    rng = np.random.default_rng(0)
    x, dy = (_shape(problem, layout, length) for length in (problem.length, problem.output_length))
    x, dy, weight = (*x, problem.in_channels), (*dy, problem.out_channels), problem.weight_shape
    shapes = {"forward": (x, weight), "input_gradient": (dy, weight), "weight_gradient": (x, dy)}[direction]
    made = []
    for number, shape in enumerate(shapes):
        array = rng.integers(-LARGEST_INTEGER, LARGEST_INTEGER + 1, shape, "int8").astype("float32")
        axes = tuple(range(len(shape)))
        if not layout.endswith("C"):  # in memory as a channels-first caller has it
            kernel = number == 1 and direction != "weight_gradient"
            order = (2, 1, 0) if kernel else (0, axes[-1], *axes[1:-1])
            array, axes = np.ascontiguousarray(array.transpose(order)), tuple(np.argsort(order))
        tensor = backend.cast(backend.from_numpy(array, device), problem.dtype)
        made.append(tensor if axes == tuple(range(len(shape))) else backend.permute(tensor, axes))
    return made


def _shape(problem: ConvProblem, layout: str, length: Size) -> tuple[Size, ...]:
    """Of the caller's arrays, channels aside. The rows of a map are those of one sample; a problem does not tell."""
    if problem.inner > 1:
        return problem.outer, length, problem.inner
    return (1, problem.outer, length) if len(layout) == 4 else (problem.outer, length)


def _runner(
    backend: Backend, form: Formulation, direction: str, problem: ConvProblem, layout: str, operands: list[Any]
) -> Callable[[], Any]:
    rows = problem.inner == 1 and len(layout) == 4
    rank, axis = (4, 2) if rows else (3 + (problem.inner > 1), 1)
    axes = tuple(range(rank))
    order = axes if layout.endswith("C") else (0, rank - 1, *range(1, rank - 1))
    like = operands[0] if order == axes else backend.permute(operands[0], order)

    lowering = by_formulation(backend, form)

    def run() -> Any:
        y = backend.run(lowering, direction, problem, axis, *operands)
        if direction == "weight_gradient":
            return y
        return backend.settle(y if order == axes else backend.permute(y, order), like)

    return run

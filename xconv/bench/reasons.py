"""Why one contender is faster than another: what of a call's time is the call itself, fresh pages, and computing."""

from __future__ import annotations

from dataclasses import dataclass

from xconv.bench.limits import Limits
from xconv.bench.results import Result

LEAST_SHARE = 0.5
"""A part that makes up this much of a difference is its reason."""


@dataclass(frozen=True)
class Parts:
    """Seconds of one call.

    ``dispatch``: the call itself; ``pages``: first touches of fresh memory; ``rest``: the kernel, and copies.
    ``relayout``, for comparison: what bringing x and y into the other layout takes.
    """

    dispatch: float
    pages: float
    rest: float
    relayout: float


def parts(result: Result, limits: Limits) -> Parts:
    """The parts of a result's median call. What was not measured counts as nothing, and so as the rest."""
    seconds = result.seconds
    dispatch = min(result.dispatch or 0.0, seconds)
    pages = min((result.faults or 0.0) * limits.fault, seconds - dispatch)
    return Parts(dispatch, pages, seconds - dispatch - pages, _relayout(result, limits))


def why(faster: Result, slower: Result, limits: Limits) -> str:
    """One sentence on the difference, with the numbers it is drawn from.

    It names what explains most of it, and says so where nothing that was measured does.
    """
    mine, other = parts(faster, limits), parts(slower, limits)
    gap = slower.seconds - faster.seconds
    if gap <= 0:
        return "there is no difference"
    said = f"{ms(gap)} apart"
    pages, dispatch, rest = other.pages - mine.pages, other.dispatch - mine.dispatch, other.rest - mine.rest
    if pages >= LEAST_SHARE * gap:
        return (
            f"{said}, of which {ms(min(pages, gap))} are page faults of fresh memory "
            f"({slower.faults:,.0f} against {faster.faults:,.0f} a call)"
        )
    if dispatch >= LEAST_SHARE * gap:
        of = f"{ms(other.dispatch)} against {ms(mine.dispatch)}"
        return f"{said}, of which {ms(min(dispatch, gap))} are the call itself ({of})"
    if "recipe" in slower.how and mine.relayout and mine.relayout >= LEAST_SHARE * gap:
        return f"{said}; bringing x and y into the other layout and back takes about {ms(mine.relayout)} here"
    names = [r.chosen or r.how for r in (faster, slower)]
    fractions = [limits.fraction(r.contender.cost(), r.seconds) for r in (faster, slower)]
    if not fractions[0][1]:
        return f"{said}, in the kernels ({names[0]} against {names[1]})"
    binds = "arithmetic" if fractions[0][1] == "compute" else "memory"
    reach = f"{100 * fractions[0][0]:.0f} % of the machine's {binds} against {100 * fractions[1][0]:.0f} %"
    share = f" for {100 * rest / gap:.0f} % of it" if rest < gap else ""
    return f"{said}{share} in the kernels: {names[0]} reaches {reach} by {names[1]}"


def ms(seconds: float) -> str:
    """Seconds for people.

    >>> ms(0.0123), ms(4.2e-6), ms(2.5)
    ('12.3 ms', '4.2 us', '2.5 s')
    """
    for size, unit in ((1.0, "s"), (1e-3, "ms"), (1e-6, "us")):
        if abs(seconds) >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds / 1e-9:.3g} ns"


def _relayout(result: Result, limits: Limits) -> float:
    if not limits.transposed:
        return 0.0
    moved = 0
    for call in result.contender.layer.calls:
        problem = call.problem
        places = problem.outer * problem.inner
        moved += 4 * places * (problem.length * problem.in_channels + problem.output_length * problem.out_channels)
    times = 1 if result.contender.direction == "forward" else 3
    return times * 2 * moved / limits.transposed

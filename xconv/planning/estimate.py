"""How long a formulation is expected to take: a sum of quantities of work, each with the seconds that one unit takes.

The quantities say what there is to do (a call, multiply-adds, elements read and written, ...); a formulation adds its
own. The seconds per unit, one set for each kind of problem, are fitted to measurements by non-negative least squares of
the logarithm: ``benchmarks/estimates.py`` measures, fits and reports how well the choice is made. They are those of the
machine that was measured. Where another is faster or slower in all of them, no choice changes; else there is ``tune``.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cache, lru_cache
from importlib.resources import files
from operator import mul
from typing import TYPE_CHECKING, Any, TypeAlias

from xconv.core.cost import LANES
from xconv.core.problem import ConvProblem
from xconv.system.collection import without_collection

if TYPE_CHECKING:
    from xconv.core.formulation import Formulation

Model: TypeAlias = dict[str, dict[str, dict[str, list[float]]]]
"""Formulation, direction and kind of problem to the seconds of one unit of each quantity."""


ANY = "any"
"""The seconds per unit of all kinds together, for a kind of which too few were measured."""

FEW_CHANNELS = 4
"""Channels that fill no vector."""

LONG_KERNEL_TAPS = 64
"""Taps above which libraries take other ways."""

FEW_POSITIONS = 256
"""Positions below which a matrix is not filled."""

SMALL_SAMPLE_ELEMENTS = 20480
"""Elements up to which torch computes a single sample by a loop of its own, not by oneDNN (``use_mkldnn`` in ATen)."""

UNROLLED_TAPS = 32
"""Taps that oneDNN's inner loops hold."""

WIDE_PAD_ELEMENTS = 8
"""Elements of padding from which oneDNN's depthwise convolutions take a slow way; uneven pads are put into the array
before it.
"""


def kind(problem: ConvProblem) -> str:
    """The kinds between which libraries change their kernels.

    >>> kind(ConvProblem(1, 100, 1, 8, 8, kernel=3, groups=8)), kind(ConvProblem(2, 100, 1, 1, 32, kernel=3))
    ('depthwise', 'one in')
    """
    strided = ", strided" if problem.stride > 1 else ""
    suffix = strided or (", dilated" if problem.dilation > 1 else ", long" if problem.kernel > LONG_KERNEL_TAPS else "")
    if problem.groups > 1:
        if problem.group_in == problem.group_out == 1:
            return "depthwise" + (", pointwise" if problem.kernel == 1 else suffix)
        small = max(problem.group_in, problem.group_out) < LANES // 2
        return "multiplier" if problem.group_in == 1 else "small groups" if small else "grouped"
    few = "one in" if problem.in_channels == 1 else "few in"
    if problem.outer == 1 and problem.length * problem.inner * problem.in_channels <= SMALL_SAMPLE_ELEMENTS:
        return (few if problem.in_channels <= FEW_CHANNELS else "dense") + ", small"
    if problem.in_channels == problem.out_channels == 1:
        return "single"
    if problem.in_channels <= FEW_CHANNELS:
        return few + strided
    return "few out" + strided if problem.out_channels <= 2 * FEW_CHANNELS else "dense" + suffix


FRESH_PAGES_ELEMENTS = 1 << 23
"""Elements (of 4 bytes) of an array from which an allocator maps fresh pages for it, to be cleared as it is written."""


UNCACHED_WEIGHT_ELEMENTS = 1 << 20
"""Elements of a weight from which a core's own cache does not hold it."""


COMMON_QUANTITIES = 17
"""Quantities that all formulations have in common."""


def quantities(formulation: Formulation, direction: str, problem: ConvProblem, layout: str) -> list[float]:
    """What there is to do: the common quantities, then the formulation's own."""
    common = _common(direction, problem, layout.endswith("C"))
    return [*common, *map(float, formulation.work(direction, problem))]


@lru_cache(maxsize=64)  # asked for each formulation of a problem in turn
def _common(direction: str, problem: ConvProblem, channels_last: bool) -> tuple[float, ...]:
    inputs = problem.outer * problem.length * problem.inner * problem.in_channels
    outputs = problem.outer * problem.output_length * problem.inner * problem.out_channels
    weights = problem.kernel * problem.group_in * problem.out_channels
    padded = inputs if any(problem.padding) else 0
    first = 0 if channels_last else 1  # one of the layouts is copied, or read against the grain
    common = [1, problem.macs, inputs, outputs, weights, padded]
    common += [first, first * inputs, first * outputs, first * weights, first * problem.macs]
    common += [(1 - first) * inputs, (1 - first) * outputs]
    result = {"forward": outputs, "input_gradient": inputs, "weight_gradient": weights}[direction]
    common += [amount if amount > FRESH_PAGES_ELEMENTS else 0 for amount in (result, padded)]
    common += [weights if weights > UNCACHED_WEIGHT_ELEMENTS else 0, problem.outer * weights]
    return tuple(map(float, common))


@lru_cache(maxsize=64)
def native_work(problem: ConvProblem) -> list[float]:
    """What a framework's own convolution does besides: vectors that are not full, strides, long kernels, wide pads."""
    positions = problem.outer * problem.output_length * problem.inner
    in_lanes, out_lanes = (-(-channels // LANES) * LANES for channels in (problem.group_in, problem.group_out))
    outputs = positions * problem.out_channels
    columns = problem.inner > 1
    return [
        positions * problem.kernel * problem.in_channels * out_lanes,
        positions * problem.kernel * problem.out_channels * in_lanes,
        positions * problem.kernel,
        outputs * columns,
        problem.macs * columns,
        problem.macs * (problem.stride > 1),
        problem.macs * (positions < FEW_POSITIONS),
        problem.macs * (problem.kernel > UNROLLED_TAPS),
        problem.outer * problem.inner,
        problem.macs * (problem.padding[0] == problem.padding[1] >= WIDE_PAD_ELEMENTS),
    ]


@lru_cache(maxsize=64)
def taps_work(problem: ConvProblem) -> list[float]:
    """What a sum over the taps does besides: calls, and reading and writing of everything, once for each tap."""
    rows, kernel = problem.outer * problem.inner, problem.kernel
    inputs = rows * problem.length * problem.in_channels
    outputs = rows * problem.output_length * problem.out_channels
    return [kernel, kernel * inputs, kernel * outputs, kernel * problem.outer]


@cache
def model(package: str) -> Model:
    """The seconds per unit that a backend's package has in its ``estimates.json``; empty if it has none."""
    file = files(package).joinpath("estimates.json")
    if not file.is_file():
        return {}
    with without_collection():  # some thousand lists that stay
        found: Model = json.loads(file.read_text("utf-8"))["seconds"]
    return found


def seconds(
    package: str, formulations: Sequence[Formulation], direction: str, problem: ConvProblem, layout: str
) -> dict[str, float]:
    """What each formulation that can compute a problem, and was measured on its kind, is expected to take."""
    rows, matrix, own = _units(package, direction, kind(problem))
    if not rows:
        return {}
    shared = (matrix @ _common(direction, problem, layout.endswith("C"))).tolist()
    return {
        form.name: shared[rows[form.name]] + sum(map(mul, form.work(direction, problem), own[form.name]))
        for form in formulations
        if form.name in rows
    }


@lru_cache(maxsize=256)
def _units(package: str, direction: str, which: str) -> tuple[dict[str, int], Any, dict[str, list[float]]]:
    """The seconds per unit for a kind of problem: a row of each formulation for the common quantities, and its own."""
    import numpy as np

    found: dict[str, list[float]] = {}
    for name, directions in model(package).items():
        kinds = directions.get(direction, {})
        if which in kinds or ANY in kinds:
            found[name] = kinds.get(which, kinds.get(ANY, []))
    matrix = np.array([units[:COMMON_QUANTITIES] for units in found.values()])
    return (
        {name: row for row, name in enumerate(found)},
        matrix,
        {name: u[COMMON_QUANTITIES:] for name, u in found.items()},
    )

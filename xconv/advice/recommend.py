"""Which convolution fits data: the tests in order, and what follows from what they find."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from xconv.advice import field, lines, statistics
from xconv.advice.costs import FILTERS, options
from xconv.advice.reach import RelevantLags, is_walk, reach
from xconv.advice.result import Advice, AxisEvidence, Option, Recommendation, Verdict
from xconv.advice.sample import OPERATION, Sample, sample_of
from xconv.advice.scores import standardised
from xconv.system.errors import ArgumentError

Floats = npt.NDArray[np.floating[Any]]

SIGNIFICANCE_LEVEL = 0.01
"""The share of samples without structure for which a structure is claimed."""

LEAST_SHARE_KEPT = 0.9
"""The share of the dependence that an operation must hold to be preferred to one with more weights for each channel."""


def advise(
    sample: Any,
    axes: str | None = None,
    *,
    keep: float = LEAST_SHARE_KEPT,
    filters: int = FILTERS,
    measure: bool = False,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> Advice:
    """Which convolution fits data, from the data's own structure.

    Args:
        sample: real, finite numbers: a NumPy, torch or TensorFlow array. Of large ones evenly spread blocks are seen.
        axes: a letter for each axis: N samples, L positions of a series, H and W of a map, C channels ("NLC", "HW",
            "NCHW"). Rank 1 is "L" and rank 4 "NHWC" without being said.
        keep: the share of the dependence that an operation must hold to be preferred to one with more weights for each
            pair of channels: k for rows or columns, 2 k for separable, k * k for conv2d.
        filters: output channels of the layers whose cost is told.
        measure: whether to time the operations, too, on the default backend.
        seed: of the surrogates. The same sample and seed give the same advice.
        progress: called with (done, most) steps.

    Returns:
        the :class:`~xconv.advice.Advice`: ``recommendation`` is "conv1d", "rows", "columns", "separable", "conv2d" or
        "none"; print it for the evidence. See docs/advise.md for the method and its error rates.

    Raises:
        ArgumentError: no such array, or its axes are not named.

    >>> import numpy as np, xconv
    >>> noise = np.random.default_rng(0).standard_normal(2000)
    >>> xconv.advise(noise).recommendation
    'none'
    >>> xconv.advise(noise[1:] + noise[:-1]).recommendation
    'conv1d'
    """
    if not 0 < keep <= 1:
        raise ArgumentError(OPERATION, "keep", repr(keep), "a share above 0, up to 1")
    if filters < 1:
        raise ArgumentError(OPERATION, "filters", repr(filters), "at least 1 output channel")
    data = sample_of(sample, axes)
    tests = 4 if data.is_map else 2
    steps = _Steps(progress, tests * statistics.PERMUTATIONS + data.is_map * field.SURROGATES)
    found = _Search(data, np.random.default_rng(seed), keep, steps)
    result = _on_map(found) if data.is_map else _on_series(found)
    steps.finish()
    kernels = {
        axis.axis: (axis.reach.kernel, axis.reach.dilation) if axis.reach else (3, 1) for axis in result.evidence
    }
    counted = options(data, kernels, result.shares, filters, measure)
    return replace(result, options=counted, shape=data.shape, notes=(*result.notes, *_cost_notes(result, counted)))


class _Steps:
    """Counts what is done for a progress bar."""

    def __init__(self, progress: Callable[[int, int], None] | None, most: int) -> None:
        self.progress, self.most, self.done = progress, most, 0

    def __call__(self) -> None:
        self.done += 1
        if self.progress is not None and self.done % 20 == 0:
            self.progress(self.done, self.most)

    def finish(self) -> None:
        if self.progress is not None:
            self.progress(self.most, self.most)


@dataclass
class _Search:
    """The sample and what its tests share."""

    data: Sample
    rng: np.random.Generator
    keep: float
    steps: _Steps

    def test(self, x: Floats, tests: int) -> statistics.Dependence:
        return statistics.permutation_test(x, SIGNIFICANCE_LEVEL / tests, self.rng, progress=self.steps)


def _on_series(search: _Search) -> Advice:
    blocks, _, _ = search.data.blocks()
    x = blocks.transpose(2, 0, 1, 3)
    axis = _series_axis(search, x)
    notes = _trend_notes(axis)
    if axis.verdict != "local":
        return _nothing(search, (axis,), notes)
    if axis.walk:
        notes.append(
            "it cannot be told from a random walk (Dickey-Fuller): difference it, or give the network differences; "
            "the reach is that of the differences"
        )
    assert axis.tested is not None
    reason = f"neighbours along {axis.axis} depend on each other ({_kinds(axis)})"
    return _advice(search, "conv1d", reason, (axis,), notes)


def _series_axis(search: _Search, x: Floats) -> AxisEvidence:
    axis = _axis(search, "L", x, None)
    if axis.verdict != "local" or axis.tested is None or len(x) < statistics.LEAST_FOR_TREND:
        return axis
    if not (axis.tested.correlation[0] > statistics.LARGE_CORRELATION and is_walk(x)):
        return axis
    steps = search.test(np.diff(x, axis=0), 1)
    if steps.p <= SIGNIFICANCE_LEVEL:
        seen: RelevantLags = reach(steps, SIGNIFICANCE_LEVEL)
    else:  # white steps: the difference of two neighbours is all there is to see
        seen = RelevantLags(1, 1, False, 3, 1, ((3, 1, 1),), 3)
    return AxisEvidence("L", axis.positions, "local", axis.p, axis.tested, seen, walk=True)


def _on_map(search: _Search) -> Advice:
    whole, without_h, without_w = search.data.blocks()
    orders = {"H": (1, 0, 2, 3), "W": (2, 0, 1, 3)}
    evidence = tuple(
        _axis(search, name, whole.transpose(order), None if less is None else less.transpose(order))
        for (name, order), less in zip(orders.items(), (without_h, without_w), strict=True)
    )
    local = [axis for axis in evidence if axis.verdict == "local"]
    profiles = [axis for axis in evidence if axis.verdict == "profile"]
    notes = _profile_notes(profiles)
    if len(local) == 2:
        return _both(search, whole, evidence, notes)
    if len(local) == 1:
        return _one(search, evidence, local[0], notes, f"neighbours depend on each other along {local[0].axis} only")
    if len(profiles) == 2:
        return _advice(search, "separable", "there is a profile along H and one along W", evidence, notes)
    if profiles:
        name: Recommendation = "columns" if profiles[0].axis == "H" else "rows"
        reason = f"all there is, is a profile along {profiles[0].axis}, the same in all lines"
        return _advice(search, name, reason, evidence, notes)
    return _nothing(search, evidence, notes)


def _both(search: _Search, whole: Floats, evidence: tuple[AxisEvidence, ...], notes: list[str]) -> Advice:
    """Both axes are local: the operation with the fewest weights that holds enough of the dependence."""
    tested = [axis.tested for axis in evidence if axis.tested is not None]
    values = all("values" in found.kinds for found in tested)
    spacing = tuple(1 if found.first_lag < field.PATCH_ELEMENTS else found.first_lag for found in tested)
    kinds = ("values",) if values else statistics.KINDS
    shares = field.shares(_level(search.data, whole), kinds, (spacing[0], spacing[1]), search.rng, search.steps)
    height, width = evidence
    if max(shares.rows, shares.columns) >= search.keep:
        axis = width if shares.rows >= shares.columns else height
        share = max(shares.rows, shares.columns)
        return _one(search, evidence, axis, notes, f"{share:.0%} of the dependence is along {axis.axis} alone", shares)
    if shares.separable >= search.keep:
        reason = f"a product of a dependence along H and one along W holds {shares.separable:.0%} of the dependence"
        return _advice(search, "separable", reason, evidence, notes, shares)
    if shares.p > SIGNIFICANCE_LEVEL:
        reason = f"dependence along both axes, and no sign that it is no product (p = {shares.p:.2g})"
        return _advice(search, "separable", reason, evidence, notes, shares)
    reason = f"dependence is oblique: the best product along H and W holds only {shares.separable:.0%} of it"
    return _advice(search, "conv2d", reason, evidence, notes, shares)


def _one(
    search: _Search,
    evidence: tuple[AxisEvidence, ...],
    axis: AxisEvidence,
    notes: list[str],
    reason: str,
    shares: field.Shares | None = None,
) -> Advice:
    """One axis is enough: a kernel for all lines along it, or the lines as channels of a series."""
    other = "H" if axis.axis == "W" else "W"
    strips = search.data.strips(axis.axis)
    laws, lost = lines.laws_differ(strips, search.rng)
    # neighbouring lines that are alike are no reason: a kernel for each line would not see it either
    together = lines.move_together(strips, search.rng) if shares is None else None
    name: Recommendation = "rows" if axis.axis == "W" else "columns"
    if laws <= SIGNIFICANCE_LEVEL and lost > 1 - search.keep:
        reason += f", and each position on {other} has a law of its own: one for all loses {lost:.0%} (p = {laws:.2g})"
    elif together is not None and together <= SIGNIFICANCE_LEVEL:
        reason += f", and lines far apart on {other} move together (p = {together:.2g})"
    else:
        return _advice(search, name, f"{reason}; one law serves all lines", evidence, notes, shares, laws, together)
    wide = "as it is" if axis.axis == "W" else "with H and W swapped"
    notes.append(
        f"fold {other} into the channels, (N, {axis.axis}, {other} * C) of the map {wide}, and slide along {axis.axis}"
    )
    return _advice(search, "conv1d", reason, evidence, notes, shares, laws, together)


def _axis(search: _Search, name: str, x: Floats, without_profile: Floats | None) -> AxisEvidence:
    """Test an axis of lines (P, N, R, C), first without a profile that all lines share."""
    size = search.data.size("W" if name == "L" else name)
    if len(x) < statistics.LEAST_POSITIONS or x.shape[3] == 0:
        return AxisEvidence(name, size, "too short" if x.shape[3] else "none", float("nan"), None, None)
    tests = 1 if name == "L" else 4
    verdict: Verdict = "local"
    found = search.test(x if without_profile is None else without_profile, tests)
    if found.p > SIGNIFICANCE_LEVEL / tests and without_profile is not None:
        with_profile = search.test(x, tests)
        if with_profile.p <= SIGNIFICANCE_LEVEL / tests:
            found, verdict = with_profile, "profile"
    if found.p > SIGNIFICANCE_LEVEL / tests:
        return AxisEvidence(name, size, "none", min(1.0, tests * found.p), found, None)
    return AxisEvidence(name, size, verdict, min(1.0, tests * found.p), found, reach(found, SIGNIFICANCE_LEVEL))


def _nothing(search: _Search, evidence: tuple[AxisEvidence, ...], notes: list[str]) -> Advice:
    tested = [axis for axis in evidence if axis.tested is not None]
    if not tested:
        short = [axis for axis in evidence if axis.verdict == "too short"]
        least = statistics.LEAST_POSITIONS
        reason = (
            f"not enough data: no axis has the {least} positions that a test needs"
            if short
            else "all values are the same"
        )
        return _advice(search, "none", reason, evidence, notes)
    if all(axis.tested is not None and axis.tested.trend and not axis.tested.band for axis in tested):
        return _advice(search, "none", "a straight line, and nothing beside it", evidence, notes)
    smallest = max(axis.tested.detectable for axis in tested if axis.tested is not None)
    if smallest > statistics.LARGE_CORRELATION:
        times = (smallest / statistics.LARGE_CORRELATION) ** 2
        reason = (
            f"not enough data: a correlation of neighbours below {min(smallest, 1):.2f} would not have been found with "
            f"probability {statistics.LEAST_POWER}, and {statistics.LARGE_CORRELATION} should be; take about "
            f"{times:.1f} times as much"
        )
    else:
        reason = (
            f"positions could change places and nobody would notice; a correlation of neighbours of {smallest:.2f} or "
            f"more would have been found with probability {statistics.LEAST_POWER}"
        )
    return _advice(search, "none", reason, evidence, notes)


def _advice(
    search: _Search,
    name: Recommendation,
    reason: str,
    evidence: tuple[AxisEvidence, ...],
    notes: list[str],
    shares: field.Shares | None = None,
    laws: float | None = None,
    together: float | None = None,
) -> Advice:
    known = [axis.tested.detectable for axis in evidence if axis.tested is not None]
    detectable = max(known) if known else float("nan")
    enough = name != "none" or detectable <= statistics.LARGE_CORRELATION
    return Advice(
        name, reason, enough, detectable, search.data.axes, (), evidence, (), shares, laws, together, tuple(notes)
    )


def _level(data: Sample, whole: Floats) -> Floats:
    """Blocks (N, H, W, C) without their profiles along both axes: the mean of each line, and its spread."""
    if data.values.shape[0] * min(data.values.shape[1:3]) < 8:
        return whole
    x = whole
    for axis in (1, 2):
        others = (0, 3 - axis)
        x = standardised(x, others)
    return x


def _kinds(axis: AxisEvidence) -> str:
    assert axis.tested is not None
    if axis.tested.kinds == ("magnitudes",):
        return "in how large they are, not in their values: give the network squares or absolute values too"
    r = axis.tested.correlation
    sign = "alike" if r[axis.tested.lag - 1] > 0 else "opposed"
    return f"most at lag {axis.tested.lag}, {sign}: {r[axis.tested.lag - 1]:+.2f}"


def _trend_notes(axis: AxisEvidence) -> list[str]:
    if axis.tested is None or not axis.tested.trend or axis.walk:
        return []
    alone = "" if axis.verdict == "local" else ", and nothing else"
    return [f"there is a linear trend{alone}; it was taken out before the test: take it out of the data, too"]


def _cost_notes(advice: Advice, options: tuple[Option, ...]) -> list[str]:
    macs = {option.name: option.macs for option in options}
    if advice.recommendation != "separable" or macs["separable"] < macs["conv2d"]:
        return []
    return [
        "the structure is separable, but with so few input channels the pair does no less arithmetic than conv2d: take "
        "conv2d for this layer; the pair pays where M (kw Cin + kh Cout) < kw kh Cin Cout, with M channels between"
    ]


def _profile_notes(profiles: list[AxisEvidence]) -> list[str]:
    return [
        f"each position on {axis.axis} has its own level, the same in all lines: give each a bias, or standardise them"
        for axis in profiles
    ]

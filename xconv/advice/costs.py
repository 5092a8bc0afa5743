"""What each operation would cost on a sample: counts, and a measured time if that is asked for."""

from __future__ import annotations

from collections.abc import Sequence
from time import perf_counter
from typing import Any

import numpy as np

import xconv
from xconv.advice.field import Shares
from xconv.advice.result import OPERATIONS, Option
from xconv.advice.sample import Sample
from xconv.core.call import resolve_all
from xconv.core.cost import cost

FILTERS = 32
"""Output channels of the layer that is counted: the first layer of common networks."""

REPEATS = 7
"""Timed calls, after one that is not; the median is told."""


def options(
    sample: Sample, kernels: dict[str, tuple[int, int]], shares: Shares | None, filters: int, measure: bool
) -> tuple[Option, ...]:
    """Each operation with ``filters`` outputs on this sample in float32; ``kernels``: (taps, dilation) of each axis."""
    n, height, width, channels = (int(size) for size in sample.values.shape)
    if not sample.is_map:
        taps, step = kernels["L"]
        return (_option("conv1d", (n, width, channels), [(taps, channels, filters)], step, (taps,), None, measure),)
    (tall, down), (wide, across) = kernels["H"], kernels["W"]
    image = (n, height, width, channels)
    held = (None,) * 3 if shares is None else (shares.rows, shares.columns, shares.separable)
    # every kernel along W is a sum of this many, so that a wider middle could do no more
    middle = min(filters, wide * channels)
    pair = [(wide, channels, middle), (tall, middle, filters)]
    folded = n, width, height * channels
    full = None if shares is None else 1.0
    return (
        _option("conv1d", folded, [(wide, folded[2], filters)], across, (wide,), None, measure),
        _option("rows", image, [(wide, channels, filters)], across, (1, wide), held[0], measure),
        _option("columns", image, [(tall, channels, filters)], down, (tall, 1), held[1], measure),
        _option("separable", image, pair, (down, across), (tall, wide), held[2], measure),
        _option("conv2d", image, [(tall, wide, channels, filters)], (down, across), (tall, wide), full, measure),
    )


def _option(
    name: str,
    x: tuple[int, ...],
    weights: Sequence[tuple[int, ...]],
    dilation: int | tuple[int, int],
    kernel: tuple[int, ...],
    share: float | None,
    measure: bool,
) -> Option:
    settings: dict[str, Any] = {"padding": "same", "dilation": dilation}
    calls = resolve_all(OPERATIONS[name], x, weights, **settings)
    counts = [cost(call) for call in calls]
    total = sum(counts[1:], start=counts[0])
    seconds = _seconds(OPERATIONS[name], x, weights, settings) if measure else None
    steps = (dilation,) if isinstance(dilation, int) else dilation
    return Option(name, kernel, steps, total.parameters, total.macs, total.bytes, share, seconds)


def _seconds(operation: str, x: tuple[int, ...], weights: Sequence[tuple[int, ...]], settings: dict[str, Any]) -> float:
    """The median time of a call on random numbers, by the default backend."""
    rng = np.random.default_rng(0)
    arrays = [rng.standard_normal(shape, dtype=np.float32) for shape in (x, *weights)]
    call = getattr(xconv, operation)
    times = []
    for _ in range(REPEATS + 1):
        start = perf_counter()
        call(*arrays, **settings)
        times.append(perf_counter() - start)
    return float(np.median(times[1:]))

"""2-D networks turned into 1-D ones by flattening the image and swapping the layers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from xconv import ops
from xconv.claims.result import Asked, ClaimOutcome, Trial
from xconv.core.bounds import gamma
from xconv.core.registry import get_backend
from xconv.models.initial import initial_weights
from xconv.models.networks import network
from xconv.models.spec import Conv2D, Dense, Flatten, MaxPool, Network

SIZES = (8, 32, 64)


def _blocks() -> Iterable[Conv2D | MaxPool]:
    # VGG16's, with a sixteenth of its filters: shapes and rules are the same, and nobody waits
    for times, filters in ((2, 4), (2, 8), (3, 16), (3, 32), (3, 32)):
        yield from (Conv2D(filters, 3, "relu", padding="same") for _ in range(times))
        yield MaxPool(2)


VGG16 = Network("vgg16", (32, 32, 3), (*_blocks(), Flatten(), Dense(10, "softmax")))


def flattening(asked: Asked, sizes: Sequence[int] = SIZES, kernel: tuple[int, int] = (3, 3)) -> ClaimOutcome:
    """Flatten images, see where neighbours go, and fit the 1-D layer of the swap to what the 2-D one computes.

    The swapped layer can compute the same if and only if the 2-D result lies in what its taps span, which
    ``numpy.linalg.matrix_rank`` decides by LAPACK's rule for float64; the residual of the best taps shows by how much.
    """
    trials: list[Trial] = []
    rng = np.random.default_rng(0)
    kh, kw = kernel
    name = asked.backends[0] if asked.backends else None
    residual = 0.0
    for size in sizes:
        image = rng.standard_normal((1, size, size, 1))
        places = np.arange(size * size).reshape(size, size)
        gap = int(places[1, 0] - places[0, 0])
        trials.append(Trial(f"{size} x {size}: neighbours in a column", "stay neighbours", f"{gap} apart", gap == 1))
        weight = rng.standard_normal((kh, kw, 1, 1))
        wanted = ops.conv2d(image, weight, backend=name)
        spanned, residual = _best_fit(image.ravel(), wanted[0, :, :, 0], size, kw)
        trials.append(
            Trial(
                f"{size} x {size}: {kw} taps in place of {kh} x {kw}",
                "the same result is possible",
                f"the best taps are off by {residual:.0%}" if not spanned else "possible",
                spanned,
            )
        )
    two, one = network("small_2d"), network("small_1d")
    trials.append(
        Trial(
            f"the article's pair, {two.input_shape} and {one.input_shape}",
            "the same parameters",
            f"{two.parameters:,} and {one.parameters:,}",
            two.parameters == one.parameters,
        )
    )
    last = sizes[-1]
    sentence = (
        f"In a row of {last} vertical neighbours come to lie {last} apart: a kernel needs "
        f"{(kh - 1) * last + kw} taps in place of {kw}. With {kw}, the best is off by {residual:.0%}."
    )
    return ClaimOutcome(tuple(trials), sentence)


def _best_fit(
    flat: npt.NDArray[np.float64], wanted: npt.NDArray[np.float64], width: int, taps: int
) -> tuple[bool, float]:
    """Whether some taps at some offset give the 2-D result, and how far off the best are, relative to it."""
    rows, columns = wanted.shape
    places = (np.arange(rows)[:, None] * width + np.arange(columns)).ravel()
    y, best, closest = wanted.ravel(), np.inf, np.zeros((0, taps))
    for offset in range(flat.size - int(places[-1]) - taps + 1):
        seen = flat[places[:, None] + offset + np.arange(taps)]
        fit = np.linalg.lstsq(seen, y, rcond=None)[0]
        residual = float(np.linalg.norm(seen @ fit - y) / np.linalg.norm(y))
        if residual < best:
            best, closest = residual, seen
    rank = np.linalg.matrix_rank
    return bool(rank(np.column_stack([closest, y])) == rank(closest)), best


def vgg16(asked: Asked) -> ClaimOutcome:
    """Swap the layers of VGG16 as the example does, run the result, and look for the old weights in it."""
    weights = initial_weights(VGG16)
    trials: list[Trial] = []
    carried = total = 0
    for name in asked.backends:
        module = get_backend(name).module("models.claims")
        try:
            shape, pairs = module.swapped(VGG16, weights, None)
            found, runs = f"runs, with a result of {shape}", True
        except Exception as error:  # noqa: BLE001 - whatever the framework raises is the evidence
            found, runs = f"{type(error).__name__}: {str(error).strip().splitlines()[0][:120]}", False
        trials.append(Trial(f"{name}: layers swapped, the others kept", "runs", found, runs))
        shape, pairs = module.swapped(VGG16, weights, (1024, 3))
        kept = sum(_from(old, new) for old, new in pairs)
        carried, total = carried + kept, total + len(pairs)
        old, new = (tuple(kernel.shape) for kernel in pairs[0])
        found = f"{kept} of {len(pairs)} kernels; the first was {old} and is {new}"
        setting = f"{name}: the same with a new input and without the head"
        trials.append(Trial(setting, "the kernels are the old ones", found, kept == len(pairs)))
    failed = sum(trial.claimed == "runs" and not trial.holds for trial in trials)
    sentence = (
        f"It fails in {failed} of {len(asked.backends)} frameworks. With its input and head replaced it runs, and "
        f"{carried} of {total} kernels come from the old ones: new layers are made and nothing is copied."
    )
    return ClaimOutcome(tuple(trials), sentence)


def _from(old: npt.NDArray[Any], new: npt.NDArray[Any]) -> bool:
    """Whether a 1-D kernel is a line of a 2-D one, or the sum or the mean of its lines, along either axis."""
    lines = [line for axis in (0, 1) for line in np.moveaxis(old, axis, 0)]
    if any(line.shape == new.shape and np.array_equal(line, new) for line in lines):
        return True
    for axis in (0, 1):
        # sums in another order, and one more rounding: each of the two is off by at most this
        bound = gamma(old.shape[axis] + 1) * np.abs(old).sum(axis)
        ways = (old.sum(axis), 2 * bound), (old.mean(axis), 2 * bound / old.shape[axis])
        if any(way.shape == new.shape and bool((np.abs(way - new) <= far).all()) for way, far in ways):
            return True
    return False

"""1-D convolutions on feature maps: row by row, and with frequencies as channels."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from xconv import ops
from xconv.claims.result import Asked, ClaimOutcome, Trial, differing, told
from xconv.explanation.explained import explain

Floats: TypeAlias = npt.NDArray[np.float32]
Operation: TypeAlias = Callable[[Floats, Floats, str], Any]

# Small integers: every sum of products is exact in float32, so that what is the same is the same in every bit.
_MOST = 8


def by_rows(x: Floats, weight: Floats, backend: str) -> Any:
    """A 1-D convolution of each row of (N, H, W, C)."""
    return ops.conv1d_rows(x, weight, backend=backend)


def folded(x: Floats, weight: Floats, backend: str) -> Any:
    """A 1-D convolution along T of (N, T, F, C), with all F frequencies as channels; the kernel is (k, F, C, O)."""
    n, t, f, c = x.shape
    return ops.conv1d(x.reshape(n, t, f * c), weight.reshape(weight.shape[0], f * c, -1), backend=backend)


def rows(asked: Asked, operation: Operation = by_rows) -> ClaimOutcome:
    """Compare with a Conv2D of height one, change a row, and turn the rows around."""
    x, weight = _integers((2, 6, 20, 3), (5, 3, 4))
    line = 2
    other = x.copy()
    other[:, line] += 1
    trials: list[Trial] = []
    for name in asked.backends:
        y = operation(x, weight, name)
        same = differing(y, ops.conv2d(x, weight[None], backend=name))
        trials.append(Trial(f"{name}: Conv2D with kernel (1, 5)", "the same bits", told(same, y.size), same == 0))
        changed = operation(other, weight, name) != y
        where = sorted(set(np.nonzero(changed)[1].tolist()))
        found = f"changes in row {', '.join(map(str, where)) or 'none'}"
        trials.append(
            Trial(f"{name}: row {line} of x is changed", f"changes in row {line} alone", found, where == [line])
        )
        turned = operation(np.ascontiguousarray(x[:, ::-1]), weight, name)
        kept = differing(np.ascontiguousarray(turned[:, ::-1]), y)
        trials.append(Trial(f"{name}: rows in reverse", "the same rows in reverse", told(kept, y.size), kept == 0))
    held = sum(bool(trial.holds) for trial in trials)
    sentence = f"{held} of {len(trials)} comparisons agree bit for bit with one kernel for all rows, each row alone."
    return ClaimOutcome(tuple(trials), sentence)


def folding(asked: Asked, operation: Operation = folded) -> ClaimOutcome:
    """Compare with the Conv2D whose kernel spans all frequencies, on one channel and on several."""
    trials: list[Trial] = []
    for channels in (1, 3):
        x, weight = _integers((2, 20, 12, channels), (3, 12, channels, 8))
        one = explain("conv1d", (2, 20, 12 * channels), (3, 12 * channels, 8))
        two = explain("conv2d", x.shape, weight.shape)
        found = f"{one.parameters:,} against {two.parameters:,}"
        same = one.parameters == two.parameters and one.macs == two.macs
        trials.append(
            Trial(
                f"{x.shape}: parameters, multiply-adds", "the same", f"{found}, {one.macs:,} against {two.macs:,}", same
            )
        )
        for name in asked.backends:
            y = ops.conv2d(x, weight, backend=name)[:, :, 0]
            different = differing(operation(x, weight, name), y)
            trials.append(
                Trial(
                    f"{name}: {x.shape} with kernel {weight.shape}",
                    "the same bits",
                    told(different, y.size),
                    different == 0,
                )
            )
    held = sum(bool(trial.holds) for trial in trials)
    sentence = (
        f"{held} of {len(trials)} comparisons of Conv1D over time with the Conv2D that spans all frequencies agree."
    )
    return ClaimOutcome(tuple(trials), sentence)


def _integers(*shapes: tuple[int, ...]) -> tuple[Floats, ...]:
    rng = np.random.default_rng(0)
    return tuple(rng.integers(-_MOST, _MOST + 1, shape).astype("float32") for shape in shapes)

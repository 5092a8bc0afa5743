"""Conv2D on 1-D data: what a kernel of height one costs, and what a kernel of 3 x 3 does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from xconv.claims.result import Asked, ClaimOutcome, Trial, differing, told
from xconv.core.registry import get_backend
from xconv.explanation.explained import Explanation, explain


@dataclass(frozen=True)
class Signal:
    """A setting: a signal (N, W, C), a kernel (k, C, O), and the height of the 2-D image and kernel in its place."""

    shape: tuple[int, int, int]
    kernel: tuple[int, int, int]
    height: int = 1

    def explained(self) -> tuple[Explanation, Explanation]:
        """As Conv1D and as Conv2D, with a bias, as layers have one."""
        n, length, channels = self.shape
        one = explain("conv1d", self.shape, self.kernel)
        return one, explain("conv2d", (n, self.height, length, channels), (self.height, *self.kernel))


SIGNALS = (
    Signal((128, 8000, 1), (5, 1, 32)),
    Signal((32, 1000, 1), (5, 1, 32)),
    Signal((8, 1000, 64), (9, 64, 64)),
)
"""Both settings of the article, and one with many channels."""

MAPS = (((1, 100, 1, 1), (3, 3)),)
"""The article's example: 100 steps of one value as an image of width one, and its kernel."""


def height_one(asked: Asked, signals: Sequence[Signal] = SIGNALS) -> ClaimOutcome:
    """Count both, compare how they lie in memory, and let each framework compute both."""
    trials: list[Trial] = []
    for signal in signals:
        setting = f"{signal.shape}, kernel {signal.kernel}"
        one, two = signal.explained()
        counted = (
            ("parameters", one.parameters, two.parameters),
            ("multiply-adds", one.macs, two.macs),
            ("bytes at least", one.bytes, two.bytes),
        )
        for name, first, second in counted:
            trials.append(Trial(f"{setting}: {name}", f"more than {first:,}", f"{second:,}", second > first))
        same = all(_steps(a) == _steps(b) for a, b in zip(_arrays(signal, 1), _arrays(signal, 2), strict=True))
        found = "the same steps along each axis" if same else "other steps along an axis"
        trials.append(Trial(f"{setting}: memory of x and kernel", "another layout", found, not same))
    last = signals[-1]
    rng = np.random.default_rng(0)
    x, w = (rng.standard_normal(shape).astype("float32") for shape in ((2, *last.shape[1:]), last.kernel))
    for name in asked.backends:
        module = get_backend(name).module("models.claims")
        one_result, two_result = module.height_one(x, w, last.height)
        different = differing(one_result, two_result)
        found = f"{told(different, one_result.size)}; conv1d runs as {module.runs_as(x, w)}"
        trials.append(Trial(f"{name}'s own conv1d and conv2d", "another computation", found, different != 0))
    one, two = signals[0].explained()
    sentence = (
        f"For {signals[0].shape} and {signals[0].kernel}: {two.parameters:,} parameters against {one.parameters:,}, "
        f"{two.macs:,} multiply-adds against {one.macs:,}; {_bits(trials[len(signals) * 4 :])}."
    )
    return ClaimOutcome(tuple(trials), sentence)


def three_by_three(
    asked: Asked, maps: Sequence[tuple[tuple[int, int, int, int], tuple[int, int]]] = MAPS, filters: int = 32
) -> ClaimOutcome:
    """Give each framework's own layer the example, and keep what it says."""
    trials: list[Trial] = []
    for shape, kernel in maps:
        for name in asked.backends:
            try:
                given = get_backend(name).module("models.claims").conv2d_layer(shape, filters, kernel)
                found, runs = f"runs, with a result of {given}", True
            except Exception as error:  # noqa: BLE001 - whatever the framework raises is the evidence
                said = str(error).strip().splitlines()[0]
                found, runs = f"refused: {type(error).__name__}: {said[:120]}", False
            size = " x ".join(map(str, kernel))
            trials.append(Trial(f"{name}'s own Conv2D {size} on {shape}", "runs", found, runs))
    refused = sum(not trial.holds for trial in trials)
    one = explain("conv2d", (1, 100, 1, 1), (3, 3, 1, filters), padding="same")
    wasted = 1 - one.useful_macs / one.macs
    sentence = (
        f"{refused} of {len(trials)} refuse it: the kernel does not fit into an axis of one element. With padding "
        f"'same' it runs, and {wasted:.0%} of its multiply-adds meet only zeros."
    )
    return ClaimOutcome(tuple(trials), sentence)


def _arrays(signal: Signal, dimensions: int) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """A signal and a kernel as an operation of one or two dimensions takes them; one example is enough."""
    _, length, channels = signal.shape
    if dimensions == 1:
        return np.empty((1, length, channels), "float32"), np.empty(signal.kernel, "float32")
    return (
        np.empty((1, signal.height, length, channels), "float32"),
        np.empty((signal.height, *signal.kernel), "float32"),
    )


def _steps(array: npt.NDArray[np.float32]) -> list[tuple[int, int]]:
    """The size and the step in bytes of each axis that is one: how the numbers lie in memory."""
    return [(size, step) for size, step in zip(array.shape, array.strides, strict=True) if size > 1]


def _bits(trials: Sequence[Trial]) -> str:
    same = [trial.setting.partition("'")[0] for trial in trials if not trial.holds]
    return f"the same bits in {' and '.join(same)}" if same else "other bits in every framework"

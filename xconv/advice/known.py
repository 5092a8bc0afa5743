"""Samples whose answer is known, because they are made that way: for error rates, for tests, to try things out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.floating[Any]]
Rng = np.random.Generator


@dataclass(frozen=True)
class Known:
    """A process, the names of its axes, and what should be advised: any of ``right``, the first by construction."""

    name: str
    axes: str
    right: tuple[str, ...]
    draw: Callable[[Rng], Floats]


def autoregression(rng: Rng, shape: tuple[int, ...], *weights: float) -> Floats:
    """``x[t] = sum w[i] x[t - i] + e[t]`` along the first axis, after 200 steps that are dropped."""
    x = rng.standard_normal((shape[0] + 200, *shape[1:]))
    for t in range(len(weights), len(x)):
        for lag, weight in enumerate(weights, start=1):
            x[t] += weight * x[t - lag]
    return x[200:]


def seasonal(rng: Rng, length: int, period: int) -> Floats:
    """``x[t] = 0.8 x[t - period] + e[t]``: neighbours are independent, seasons are not."""
    return autoregression(rng, (length,), *[0.0] * (period - 1), 0.8)


def arch(rng: Rng, length: int) -> Floats:
    """GARCH(1, 1): white values whose variance depends on the past (Bollerslev 1986)."""
    x, variance = rng.standard_normal(length), 1.0
    for t in range(length):
        x[t] *= variance**0.5
        variance = 0.05 + 0.25 * x[t] ** 2 + 0.7 * variance
    return x


def lagged(rng: Rng, length: int) -> Floats:
    """Two white channels, of which the second is the first, three steps late, and noise."""
    driver = rng.standard_normal(length + 3)
    return np.stack([driver[3:], driver[:-3] + rng.standard_normal(length)], -1)


def separable(rng: Rng, side: int, weight: float) -> Floats:
    """An autoregression along H of one along W."""
    along_w = autoregression(rng, (side, side + 200), weight).T
    x = along_w
    for i in range(1, len(x)):
        x[i] += weight * x[i - 1]
    return x[200:]


def texture(rng: Rng, side: int, kernel: Floats) -> Floats:
    """White noise seen through a kernel."""
    k = kernel.shape[0]
    noise = rng.standard_normal((side + k - 1, side + k - 1))
    windows = np.lib.stride_tricks.sliding_window_view(noise, (k, k))
    seen: Floats = np.einsum("hwij,ij->hw", windows, kernel)
    return seen


def spectrogram(signal: Floats, window: Floats) -> Floats:
    """Log magnitudes (frequency, time) of frames that share no sample."""
    count = len(window)
    frames = signal[: len(signal) // count * count].reshape(-1, count) * window
    return np.log(np.abs(np.fft.rfft(frames, axis=1))[:, : count // 2] + 1e-3).T


def chirps(rng: Rng, frames: int = 96, bins: int = 64) -> Floats:
    """The spectrogram of ten tones that rise or fall steadily, in noise."""
    length = frames * 2 * bins
    signal = 0.5 * rng.standard_normal(length)
    for _ in range(10):
        duration = int(rng.uniform(0.2, 0.5) * length)
        start = int(rng.integers(0, length - duration))
        low, high = rng.uniform(0.05, 0.2), rng.uniform(0.3, 0.45)
        ends = (low, high) if rng.random() < 0.5 else (high, low)
        signal[start : start + duration] += np.sin(2 * np.pi * np.cumsum(np.linspace(*ends, duration)))
    return spectrogram(signal, np.hanning(2 * bins))


def bands(rng: Rng, frames: int = 256, bins: int = 64) -> Floats:
    """The spectrogram of six tones that stay where they are and swell slowly, each in its own time, in noise.

    Each tone fits its frames, so that no window is needed; one would mix neighbouring bins, and that is structure along
    the frequencies.
    """
    count = 2 * bins
    time = np.arange(frames * count)
    signal = 0.5 * rng.standard_normal(len(time))
    places = 4 + 10 * np.arange(6) + rng.integers(0, 4, 6)
    for place in places:
        swell = np.exp(autoregression(rng, (frames,), 0.9) / 2)
        signal += np.repeat(swell, count) * np.sin(2 * np.pi * place / count * time)
    return spectrogram(signal, np.ones(count))


def lines(rng: Rng, count: int, length: int) -> Floats:
    """Independent lines that follow one law."""
    return autoregression(rng, (length, count), 0.7).T


def sensors(rng: Rng, count: int, length: int) -> Floats:
    """Independent lines of which each has a law of its own."""
    laws = np.linspace(-0.8, 0.9, count)
    x = rng.permutation(autoregression(rng, (length, count), 0.0), axis=0)
    for t in range(1, length):
        x[t] += laws * x[t - 1]
    return x.T


def shuffled(rng: Rng, x: Floats) -> Floats:
    """The same values, each anywhere."""
    return rng.permutation(x.ravel()).reshape(x.shape)


_DIAGONAL = np.eye(5)
_CROSS = _DIAGONAL + _DIAGONAL[::-1]
_SPOT = np.exp(-(np.add.outer(np.arange(-4, 5) ** 2, np.arange(-4, 5) ** 2)) / 4.5)

KNOWN = (
    Known("white noise", "L", ("none",), lambda rng: rng.standard_normal(1000)),
    Known("heavy-tailed noise", "L", ("none",), lambda rng: rng.standard_t(2, 1000)),
    Known("trend and noise", "L", ("none",), lambda rng: np.arange(1000) / 100 + rng.standard_normal(1000)),
    Known("three noises", "LC", ("none",), lambda rng: rng.standard_normal((500, 3))),
    Known("batch of noise", "NL", ("none",), lambda rng: rng.standard_normal((50, 40))),
    Known("AR(1), 0.5", "L", ("conv1d",), lambda rng: autoregression(rng, (1000,), 0.5)),
    Known("AR(1), -0.5", "L", ("conv1d",), lambda rng: autoregression(rng, (1000,), -0.5)),
    Known("AR(2)", "L", ("conv1d",), lambda rng: autoregression(rng, (1000,), 0.0, 0.5)),
    Known("season of 37", "L", ("conv1d",), lambda rng: seasonal(rng, 2000, 37)),
    Known("GARCH", "L", ("conv1d",), lambda rng: arch(rng, 3000)),
    Known("random walk", "L", ("conv1d",), lambda rng: rng.standard_normal(1000).cumsum()),
    Known("lagged channels", "LC", ("conv1d",), lambda rng: lagged(rng, 1000)),
    Known("batch of AR(1)", "NLC", ("conv1d",), lambda rng: autoregression(rng, (40, 50, 2), 0.5).swapaxes(0, 1)),
    Known("white map", "HW", ("none",), lambda rng: rng.standard_normal((64, 64))),
    Known("shuffled texture", "HW", ("none",), lambda rng: shuffled(rng, texture(rng, 64, _DIAGONAL))),
    Known("rows, one law", "HW", ("rows",), lambda rng: lines(rng, 32, 128)),
    Known("columns, one law", "HW", ("columns",), lambda rng: lines(rng, 32, 128).T),
    Known("sensors, own laws", "HW", ("conv1d",), lambda rng: sensors(rng, 32, 200)),
    Known("separable field", "HW", ("separable",), lambda rng: separable(rng, 64, 0.7)),
    Known("Gaussian spots", "HW", ("separable",), lambda rng: texture(rng, 64, _SPOT)),
    Known("diagonal texture", "HW", ("conv2d",), lambda rng: texture(rng, 64, _DIAGONAL)),
    Known("crossed diagonals", "HW", ("conv2d",), lambda rng: texture(rng, 64, _CROSS)),
    Known("chirps", "HW", ("conv2d",), chirps),
    Known("fixed bands", "HW", ("conv1d", "rows"), bands),
)
"""Every process whose answer is stated."""

"""What a signal processing user writes by hand: a filter of one channel with SciPy."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import scipy
from scipy import ndimage, signal

from xconv.bench.peers.task import Built, PeerConvolution, PeerTask, UnsupportedByPeerError


def set_threads(count: int) -> None:
    """Nothing: these functions compute with one thread."""
    del count


def version() -> str:
    """SciPy's version."""
    return str(scipy.__version__)


def _correlate1d(task: PeerTask) -> Built:
    """``ndimage.correlate1d`` with zeros outside; a pad that it does not have by itself is made by hand."""

    def along(x: np.ndarray, step: PeerConvolution, kernel: np.ndarray) -> np.ndarray:
        axis, taps, count = _axis(step), kernel.ravel(), step.lengths[_axis(step) - 1]
        # its element i is the window that starts at i - k // 2
        start = taps.size // 2 - step.pads[axis - 1][0]
        before, after = max(-start, 0), max(start + count - x.shape[axis], 0)
        if before or after:
            x = np.pad(x, [(before, after) if i == axis else (0, 0) for i in range(x.ndim)])
        y = ndimage.correlate1d(x, taps, axis=axis, mode="constant")
        return _part(y, axis, start + before, count)

    return _built(task, task.kernels(), along)


def _fourier(convolve: Callable[..., np.ndarray]) -> Callable[[PeerTask], Built]:
    """A convolution by FFT with the flipped kernel, of which the layer's own places are kept."""

    def build(task: PeerTask) -> Built:
        if any(max(step.pads[_axis(step) - 1]) >= max(step.kernel) for step in task.steps):
            raise UnsupportedByPeerError("it pads by less than the kernel")
        kernels = [np.flip(w).reshape(1, *s.kernel, 1) for s, w in zip(task.steps, task.weights, strict=True)]

        def along(x: np.ndarray, step: PeerConvolution, kernel: np.ndarray) -> np.ndarray:
            axis = _axis(step)
            # the full convolution pads with k - 1 zeros on both sides
            start = kernel.size - 1 - step.pads[axis - 1][0]
            return _part(convolve(x, kernel, mode="full", axes=axis), axis, start, step.lengths[axis - 1])

        return _built(task, kernels, along)

    return build


WAYS: dict[str, Callable[[PeerTask], Built]] = {
    "correlate1d": _correlate1d,
    "fftconvolve": _fourier(signal.fftconvolve),
    "oaconvolve": _fourier(signal.oaconvolve),
}


def _axis(step: PeerConvolution) -> int:
    """The axis of x that the kernel slides along."""
    return 1 + int(np.argmax(step.lengths))


def _part(y: np.ndarray, axis: int, start: int, count: int) -> np.ndarray:
    return y[tuple(slice(start, start + count) if i == axis else slice(None) for i in range(y.ndim))]


def _built(
    task: PeerTask,
    kernels: Sequence[np.ndarray],
    along: Callable[[np.ndarray, PeerConvolution, np.ndarray], np.ndarray],
) -> Built:
    task.on_cpu()

    def run() -> np.ndarray:
        x = task.x
        for step, kernel in zip(task.steps, kernels, strict=True):
            x = along(x, step, kernel)
        return x

    return Built(run, lambda y: [y])

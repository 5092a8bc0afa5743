"""Real signals that come inside packages, with no download."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np


def _ecg() -> np.ndarray:
    import pywt

    return np.asarray(pywt.data.ecg(), "float32").reshape(1, -1, 1)


def _photograph() -> np.ndarray:
    from sklearn.datasets import load_sample_image

    return np.asarray(load_sample_image("china.jpg"), "float32")[None] / 255


SIGNALS: dict[str, Callable[[], np.ndarray]] = {"ecg": _ecg, "photograph": _photograph}
"""An electrocardiogram of 1024 samples (PyWavelets), and a photograph of 427 x 640 pixels (scikit-learn)."""


def load(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """A signal as float32, channels last, repeated along the batch to a shape.

    Raises:
        ValueError: the signal does not have that shape.
    """
    signal = SIGNALS[name]()
    if signal.shape[1:] != tuple(shape[1:]):
        raise ValueError(f"the signal {name!r} has shape {signal.shape}, not {tuple(shape)}")
    return np.repeat(signal, shape[0], axis=0)

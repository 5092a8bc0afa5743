"""A classifier of raw audio: no spectrogram, only 1-D convolutions of the samples, in both frameworks.

python examples/raw_audio.py --plot filters.png
python examples/raw_audio.py --quick

Sounds of a tenth of a second at 8 kHz are made with NumPy: a hum of three harmonics, a rising chirp, a train of clicks,
a hiss of filtered noise; all with another pitch, phase, loudness and noise each time. As in M5 (Dai and others 2017,
"Very deep convolutional neural networks for raw waveforms") the first kernel has 80 taps and stride 4.
"""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np
from tabulate import tabulate

from xconv import models
from xconv.models import Adam, AveragePool, Conv1D, Dense, Flatten, MaxPool, Network

SOUNDS = ("hum", "chirp", "clicks", "hiss")
RATE, LENGTH = 8000, 800
NETWORK = Network(
    "raw_audio",
    (LENGTH, 1),
    (
        Conv1D(8, 80, "relu", stride=4), MaxPool(4), Conv1D(16, 3, "relu"), MaxPool(4), Conv1D(16, 3, "relu"),
        AveragePool(8), Flatten(), Dense(len(SOUNDS), "softmax"),
    ),
)  # fmt: skip


def sounds(rng: np.random.Generator, count: int) -> tuple[Any, Any]:
    """(N, 800, 1) float32, and which sound each is."""
    labels = rng.integers(0, len(SOUNDS), count)
    t = np.arange(LENGTH) / RATE
    x = np.empty((count, LENGTH))
    for i, label in enumerate(labels):
        pitch, phase = rng.uniform(150, 400), rng.uniform(0, 1)
        turns = pitch * t + phase
        if label == 0:
            x[i] = sum(np.sin(2 * np.pi * n * turns) / n for n in (1, 2, 3))
        elif label == 1:
            x[i] = np.sin(2 * np.pi * (turns + 20 * pitch * t**2))
        elif label == 2:
            x[i] = 6 * np.exp(-40 * (turns % 1))
        else:
            x[i] = 1.5 * np.diff(rng.normal(0, 1, LENGTH + 1))
        x[i] = x[i] * rng.uniform(0.3, 1) + rng.normal(0, 0.3, LENGTH)
    return x.astype("float32")[..., None], labels


def main() -> None:
    """Train in each framework from the same weights, and print how often each sound is recognised."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="few steps: too few to learn all sounds")
    parser.add_argument("--plot", metavar="FILE", help="draw the eight filters that torch learned")
    arguments = parser.parse_args()
    rng = np.random.default_rng(0)
    (x, labels), (new, wanted) = sounds(rng, 512), sounds(rng, 512)
    start, y = models.initial_weights(NETWORK), np.eye(len(SOUNDS), dtype="float32")[labels]
    how: dict[str, Any] = {"loss": "categorical_crossentropy", "optimizer": Adam(0.003), "batch": 32}
    print(models.summary(NETWORK), "\n")
    rows = []
    for backend in ("torch", "tensorflow"):
        done = models.train(NETWORK, start, x, y, steps=30 if arguments.quick else 300, backend=backend, **how)
        right = models.predict(NETWORK, done.weights, new, backend).argmax(-1) == wanted
        rows.append([backend, *(f"{right[wanted == n].mean():.0%}" for n in range(len(SOUNDS))), f"{right.mean():.1%}"])
        if arguments.plot and backend == "torch":
            draw(done.weights["conv1d_1.kernel"][:, 0], arguments.plot)
    print(tabulate(rows, ["framework", *SOUNDS, "all"]))


def draw(filters: Any, path: str) -> None:
    """Each filter's taps."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    figure, panels = pyplot.subplots(2, 4, figsize=(8, 3), sharex=True, sharey=True)
    for panel, taps in zip(panels.flat, filters.T, strict=True):
        panel.plot(taps, linewidth=0.8)
    figure.supxlabel("tap")
    figure.tight_layout()
    figure.savefig(path, dpi=70)


if __name__ == "__main__":
    main()

"""Is a 1-D or a 2-D network the more accurate one? Measured on a time series and on spectrograms, in both frameworks.

python examples/one_or_two_dimensions.py --plot accuracy.png
python examples/one_or_two_dimensions.py --quick

The data is made with NumPy, with so much noise that neither chance nor certainty is reached. Both networks of a task
have about as many parameters, the same training data, steps and optimiser; in both frameworks they start from the same
weights and see the same batches. What is said in the end is a paired comparison over seeds: the mean difference and
its 95 % confidence interval (Student's t).
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from tabulate import tabulate

from xconv import models
from xconv.models import Adam, Conv1D, Conv2D, Dense, Flatten, Fold, MaxPool, Network
from xconv.testing.tolerance import factor

Floats = npt.NDArray[np.float32]
BACKENDS = ("torch", "tensorflow")
TRAIN, TEST = 256, 1024


def time_series(rng: np.random.Generator, count: int) -> tuple[Floats, npt.NDArray[np.intp]]:
    """(N, 64, 1): one of four bursts of 24 samples, anywhere in noise."""
    t = np.arange(24) / 24
    phases = (4 * t, 4 * t, t + 3 * t**2, 7 * t - 3 * t**2)  # a sine, a square wave, a rising and a falling chirp
    shapes = np.stack([np.sin(2 * np.pi * phase) for phase in phases])
    shapes[1] = np.sign(np.sin(2 * np.pi * 4 * (t + 1 / 96)))
    labels = rng.integers(0, len(shapes), count)
    x = rng.normal(0, 0.6, (count, 64, 1))
    for i, (label, start) in enumerate(zip(labels, rng.integers(0, 41, count), strict=True)):
        x[i, start : start + 24, 0] += shapes[label]
    return x.astype("float32"), labels


def spectrograms(rng: np.random.Generator, count: int) -> tuple[Floats, npt.NDArray[np.intp]]:
    """(N, 16, 16, 1), frames and frequencies: a tone that rises, falls or stays, from any frequency, in noise."""
    labels = rng.integers(0, 3, count)
    time = np.arange(16 * 32)
    slope = np.array([1.0, -1.0, 0.0])[labels] * rng.uniform(0.06, 0.12, count)
    middle = rng.uniform(0.15, 0.35, count)
    frequency = middle[:, None] + slope[:, None] * (time / time.size - 0.5)
    signal = np.sin(2 * np.pi * (np.cumsum(frequency, 1) + rng.uniform(0, 1, (count, 1))))
    signal += rng.normal(0, 0.7, signal.shape)
    frames = np.fft.rfft(signal.reshape(count, 16, 32) * np.hanning(32))[..., :16]
    levels = np.log(np.abs(frames) + 1e-3)
    return (levels - levels.mean()).astype("float32")[..., None], labels


@dataclass(frozen=True)
class Task:
    """Data, and the networks that are compared; both take it in the shape (N, *network.input_shape)."""

    name: str
    draw: Callable[[np.random.Generator, int], tuple[Floats, npt.NDArray[np.intp]]]
    one: Network
    two: Network


TASKS = (
    Task(
        "time series",
        time_series,
        Network(
            "1-D", (64, 1), (Conv1D(8, 9, "relu"), MaxPool(4), Conv1D(16, 5, "relu"), MaxPool(4), Flatten(), Dense(4))
        ),
        # the series as lines of an image of 8 x 8
        Network(
            "2-D", (8, 8, 1), (Conv2D(8, 3, "relu"), MaxPool(2), Conv2D(16, 2, "relu"), Flatten(), Dense(4))
        ),
    ),
    Task(
        "spectrogram",
        spectrograms,
        # along time, with the frequencies as channels
        Network(
            "1-D", (16, 16, 1), (Fold(), Conv1D(16, 3, "relu"), MaxPool(2), Conv1D(16, 3, "relu"), Flatten(), Dense(3))
        ),
        Network(
            "2-D",
            (16, 16, 1),
            (Conv2D(8, 3, "relu"), MaxPool(2), Conv2D(16, 3, "relu"), MaxPool(2), Flatten(), Dense(3)),
        ),
    ),
)  # fmt: skip


def accuracy(task: Task, network: Network, backend: str, seed: int, steps: int) -> float:
    """The share of right answers on new data, after training."""
    rng = np.random.default_rng([seed, 7])
    (x, labels), (new, wanted) = task.draw(rng, TRAIN), task.draw(rng, TEST)
    x, new = (array.reshape(-1, *network.input_shape) for array in (x, new))
    y = np.eye(network.output_shape[0], dtype="float32")[labels]
    done = models.train(
        network, models.initial_weights(network, seed), x, y, loss="categorical_crossentropy",
        optimizer=Adam(0.005), steps=steps, batch=32, seed=seed, backend=backend,
    )  # fmt: skip
    return float((models.predict(network, done.weights, new, backend).argmax(-1) == wanted).mean())


def finding(task: Task, found: dict[tuple[str, str], list[float]]) -> str:
    """What the seeds say of 1-D against 2-D, the frameworks' mean taken for each seed."""
    one, two = (np.mean([found[backend, side] for backend in BACKENDS], axis=0) for side in ("1-D", "2-D"))
    apart = two - one
    # with n seeds there are n - 1 degrees of freedom; the quantile is exact where that is even
    half = factor(1, len(apart), 0.05) * apart.std(ddof=1) / np.sqrt(len(apart))
    text = f"{task.name}: 2-D minus 1-D is {100 * apart.mean():+.1f} +- {100 * half:.1f} percentage points"
    if abs(apart.mean()) <= half:
        return f"{text} over {len(apart)} seeds: no difference that these seeds show"
    return f"{text} over {len(apart)} seeds: {'2-D' if apart.mean() > 0 else '1-D'} is more accurate here"


def plot(results: dict[str, dict[tuple[str, str], list[float]]], path: str) -> None:
    """Every seed as a point, every mean as a line."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    figure, panels = pyplot.subplots(1, len(results), figsize=(9, 4), sharey=True)
    for panel, (name, found) in zip(np.atleast_1d(panels), results.items(), strict=True):
        for place, ((_, side), values) in enumerate(found.items()):
            colour = "tab:blue" if side == "1-D" else "tab:orange"
            panel.plot([place] * len(values), values, "o", color=colour, alpha=0.6)
            panel.hlines(np.mean(values), place - 0.3, place + 0.3, color=colour)
            panel.set_title(name)
        panel.set_xticks(range(len(found)), [f"{side}\n{backend}" for backend, side in found])
    np.atleast_1d(panels)[0].set_ylabel("accuracy on new data")
    figure.tight_layout()
    figure.savefig(path, dpi=120)
    print(f"plotted to {path}")


def main() -> None:
    """Train all, and print means, standard deviations over seeds, and what they say."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="three seeds and few steps: too little to say much")
    parser.add_argument("--plot", metavar="FILE", help="also plot every seed")
    arguments = parser.parse_args()
    seeds, steps = (3, 40) if arguments.quick else (5, 300)
    rows: list[list[Any]] = []
    results: dict[str, dict[tuple[str, str], list[float]]] = {}
    for task in TASKS:
        found = results[task.name] = {}
        for network in (task.one, task.two):
            row: list[Any] = [task.name, network.name, network.parameters, network.macs]
            for backend in BACKENDS:
                values = [accuracy(task, network, backend, seed, steps) for seed in range(seeds)]
                found[backend, network.name] = values
                row.append(f"{100 * np.mean(values):.1f} +- {100 * np.std(values, ddof=1):.1f}")
            rows.append(row)
    headers = ["task", "network", "parameters", "MACs", *(f"accuracy, {backend} (%)" for backend in BACKENDS)]
    print(tabulate(rows, headers, intfmt=","))
    print(f"mean and standard deviation over {seeds} seeds, {steps} steps of Adam, {TRAIN} examples")
    for task in TASKS:
        print(finding(task, results[task.name]))
    if arguments.plot:
        plot(results, arguments.plot)


if __name__ == "__main__":
    main()

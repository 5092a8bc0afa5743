"""Two 1-D convolutions of a spectrogram: each frequency alone with one kernel, or all frequencies as channels.

python examples/spectrogram_two_ways.py --plot spectrogram.png

A note that begins late is looked for, at two pitches. Row by row, one small kernel for all frequencies answers alike at
either pitch, in another row. With the frequencies folded into the channels a kernel has weights for each of them: it
tells the pitch for which it was made, and is the Conv2D that spans all frequencies. Nothing is trained: the folded
kernel is the low note's own spectrum at its beginning.
"""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np
from tabulate import tabulate

import xconv

FRAMES, SIZE, RATE = 60, 256, 8000
PITCHES = {"low note": 500.0, "high note": 1500.0}
ONSET = 30


def spectrogram(pitch: float) -> Any:
    """(1, F, T, 1), log levels of a note that begins in frame 30, in noise."""
    t = np.arange(FRAMES * SIZE) / RATE
    sound = np.sin(2 * np.pi * pitch * t) * (t >= ONSET * SIZE / RATE)
    sound += np.random.default_rng(0).normal(0, 0.05, t.size)
    frames = np.fft.rfft(sound.reshape(FRAMES, SIZE) * np.hanning(SIZE))[:, : SIZE // 2]
    return np.log1p(np.abs(frames).T).astype("float32")[None, :, :, None]


def main() -> None:
    """Print where and how strongly each kernel answers to each note."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--plot", metavar="FILE", help="draw the high note and what the shared kernel answers")
    arguments = parser.parse_args()
    maps = {name: spectrogram(pitch) for name, pitch in PITCHES.items()}
    step = np.array([-1, -1, 1, 1], "float32").reshape(4, 1, 1) / 2  # quiet before, loud after
    columns = {name: x[0, :, :, 0].T[None] for name, x in maps.items()}  # (1, T, F): frequencies are channels
    low = columns["low note"][0, ONSET - 2 : ONSET + 2]
    folded = ((low - low.mean(axis=0)) / np.linalg.norm(low - low.mean(axis=0)))[:, :, None]
    rows = []
    for name, x in maps.items():
        y = xconv.conv1d_rows(x, step)[0, :, :, 0]
        row, frame = np.unravel_index(y.argmax(), y.shape)
        rows.append(["each row, one kernel", step.size, name, frame + 2, f"{row * RATE / SIZE:.0f} Hz", y.max()])
    for name, x in columns.items():
        z = xconv.conv1d(x, folded)[0, :, 0]
        rows.append(["frequencies as channels", folded.size, name, z.argmax() + 2, "the low note's", z.max()])
    print(tabulate(rows, ["kernel", "weights", "sound", "frame", "frequency", "answer"], floatfmt=".1f"))
    square = xconv.conv2d(maps["low note"].transpose(0, 2, 1, 3), folded[:, :, None])
    apart = np.abs(square[0, :, 0] - xconv.conv1d(columns["low note"], folded)[0]).max()
    print(f"the Conv2D of {folded.shape[0]} x {folded.shape[1]} that spans all frequencies differs by {apart:.1e}")
    if arguments.plot:
        draw(maps["high note"][0, :, :, 0], xconv.conv1d_rows(maps["high note"], step)[0, :, :, 0], arguments.plot)


def draw(levels: Any, answer: Any, path: str) -> None:
    """The spectrogram, and the answers, frequency upwards."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    figure, panels = pyplot.subplots(1, 2, figsize=(8, 3))
    pictures = (
        ("log levels", levels, 0),
        ("one kernel along each row", answer, 2),
    )  # the kernel's middle is its third tap
    for panel, (title, values, first) in zip(panels, pictures, strict=True):
        frames = first, first + values.shape[1]
        shown = panel.imshow(values, origin="lower", aspect="auto", extent=(*frames, 0, RATE / 2))
        panel.set(title=title, xlabel="frame", ylabel="Hz", xlim=(0, FRAMES))
        figure.colorbar(shown)
    figure.tight_layout()
    figure.savefig(path, dpi=70)


if __name__ == "__main__":
    main()

"""Features of heart beats from one conv1d, and the beat that is unlike the others.

python examples/ecg_anomaly.py --plot beats.png

Eight beats are made of PyWavelets' electrocardiogram, and one of them is widened, as a beat that starts in a ventricle
is. Four Ricker wavelets (one kernel of four filters) answer to peaks of four widths; a beat whose answers are far from
the median beat's, in median absolute deviations, is no normal one. Nothing is trained.
"""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np
import pywt
from tabulate import tabulate

import xconv

WIDTHS = (2, 4, 8, 16)
ODD = 5


def recording(rng: np.random.Generator) -> Any:
    """(1, L, 1) of eight beats with noise, and where each beat is at its highest."""
    two = np.asarray(pywt.data.ecg(), "float64")[360:1010]
    two = two - np.linspace(two[0], two[-1], two.size)  # so that the end meets the beginning
    ecg = np.tile(two, 4)
    peaks = [two.size * n + at for n in range(4) for at in (157, 487)]
    around = slice(peaks[ODD] - 60, peaks[ODD] + 60)
    ecg[around] = np.convolve(np.pad(ecg[around], 12, mode="edge"), np.full(25, 1 / 25), mode="valid")
    return (ecg + rng.normal(0, 5, ecg.size)).astype("float32").reshape(1, -1, 1), peaks


def wavelets() -> Any:
    """(97, 1, 4): a Ricker wavelet of each width, all of the same energy."""
    t = np.arange(-48, 49)[:, None] / np.array(WIDTHS)
    bank = (1 - t**2) * np.exp(-(t**2) / 2)
    return (bank / np.linalg.norm(bank, axis=0)).astype("float32")[:, None]


def main() -> None:
    """Print the features of each beat and how far it is from the median one."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--plot", metavar="FILE", help="draw the recording, its features and the odd beat")
    arguments = parser.parse_args()
    x, peaks = recording(np.random.default_rng(0))
    features = xconv.conv1d(x, wavelets(), padding="same", padding_mode="reflect")[0]
    beats = np.stack([features[at - 20 : at + 20].max(axis=0) for at in peaks])
    median = np.median(beats, axis=0)
    spread = np.median(np.abs(beats - median), axis=0)
    apart = np.abs(beats - median) / spread
    rows = [
        [number, at, *beat, far.max()] for number, (at, beat, far) in enumerate(zip(peaks, beats, apart, strict=True))
    ]
    print(tabulate(rows, ["beat", "at", *(f"width {w}" for w in WIDTHS), "deviations"], floatfmt=".0f"))
    odd = int(apart.max(axis=1).argmax())
    second = np.sort(apart.max(axis=1))[-2]
    print(f"beat {odd} is {apart[odd].max():.0f} deviations off, the next {second:.0f}; number {ODD} was widened")
    assert odd == ODD
    if arguments.plot:
        draw(x[0, :, 0], features, peaks[odd], arguments.plot)


def draw(ecg: Any, features: Any, odd: int, path: str) -> None:
    """The recording above, what the filters answer below."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    figure, (above, below) = pyplot.subplots(2, 1, sharex=True, figsize=(8, 4.5))
    above.plot(ecg, linewidth=0.8)
    above.axvspan(odd - 60, odd + 60, color="tab:red", alpha=0.2)
    above.set_title("electrocardiogram; the beat unlike the others in red", fontsize="medium")
    lines = below.plot(features, linewidth=0.8)
    below.set_title("what the four filters answer", fontsize="medium")
    figure.legend(lines, [f"width {w}" for w in WIDTHS], loc="lower center", ncols=4, fontsize="small", frameon=False)
    figure.tight_layout(rect=(0, 0.05, 1, 1))
    figure.savefig(path, dpi=70)


if __name__ == "__main__":
    main()

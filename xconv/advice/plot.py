"""A picture of the evidence. Needs matplotlib."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from xconv.system.errors import ArgumentError, UnsupportedError

if TYPE_CHECKING:
    from xconv.advice.result import Advice, AxisEvidence

MOST_LAGS = 128
BAND_DEVIATIONS = 3
"""Standard deviations of a correlation without dependence that are shaded."""


def write(advice: Advice, path: Path) -> None:
    """Draw the correlations of each axis and what each operation holds, and write that to a file.

    Raises:
        UnsupportedError: matplotlib is not installed.
        ArgumentError: the file cannot be written.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise UnsupportedError("a plot needs matplotlib, which is not installed: pip install 'xconv[plots]'") from error
    tested = [axis for axis in advice.evidence if axis.tested is not None]
    held = [option for option in advice.options if option.share is not None]
    panels = max(1, len(tested) + bool(held))
    figure = Figure(figsize=(4.5 * panels, 3.4), layout="constrained")
    places = figure.subplots(1, panels, squeeze=False)[0]
    for axis, place in zip(tested, places, strict=False):
        _correlations(axis, place)
    if held:
        colours = ["tab:orange" if option.name == advice.recommendation else "tab:blue" for option in held]
        places[-1].barh([option.name for option in held], [option.share for option in held], color=colours)
        places[-1].set(xlim=(0, 1), title="share of the dependence that it holds")
        places[-1].invert_yaxis()
    if not tested:
        places[0].set_axis_off()
    figure.suptitle(f"{advice.recommendation}   {advice.axes} {advice.shape}")
    try:
        figure.savefig(path)
    except (OSError, ValueError) as error:
        raise ArgumentError("advise", "plot", str(path), f"a file that can be written ({error})") from error


def _correlations(axis: AxisEvidence, place: Any) -> None:
    assert axis.tested is not None
    lags = np.arange(1, min(len(axis.tested.correlation), MOST_LAGS) + 1)
    place.axhspan(
        -BAND_DEVIATIONS * axis.tested.band,
        BAND_DEVIATIONS * axis.tested.band,
        color="0.85",
        label="without dependence",
    )
    place.plot(lags, axis.tested.correlation[: len(lags)], ".-", label="values")
    place.plot(lags, axis.tested.magnitude_correlation[: len(lags)], ".-", label="magnitudes", alpha=0.6)
    if axis.reach is not None and axis.reach.correlated <= len(lags):
        place.axvline(axis.reach.correlated, color="tab:red", linestyle="--", label="reach")
    place.set(
        xlabel=f"lag along {axis.axis}", ylabel="correlation", title=f"{axis.axis}: {axis.verdict}, p = {axis.p:.2g}"
    )
    place.legend(fontsize="small")

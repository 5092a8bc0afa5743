"""Does Conv2D cost more on 1-D data? Both settings of the article, with its relu, in three trials.

``conv1d`` is pinned to the framework's own conv1d: left to itself, it may well be computed by conv2d.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from suites import everyone
from xconv.bench import Contender, catalogue

TRIALS = 3


def groups(tier: str, backends: Sequence[str]) -> dict[str, list[Contender]]:
    del tier
    made = {}
    for layer in catalogue("smoke"):
        if layer.domain == "articles":
            both = [(name, replace(layer, operation=name)) for name in ("conv1d", "conv2d_as_1d")]
            contenders = [
                replace(c, formulation="conv1d" if c.layer.operation == "conv1d" else "auto")
                for c in everyone(both, backends, activation="relu")
            ]
            for trial in range(TRIALS):
                made[f"Conv2D against Conv1D, {layer.x_shape}, trial {trial + 1}"] = contenders
    return made


@pytest.mark.usefixtures("replay")
def test_article() -> None:
    pass

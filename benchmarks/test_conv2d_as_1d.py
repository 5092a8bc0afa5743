"""Does Conv2D cost more on 1-D data? Both settings of the article, with its relu, in three trials."""

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
            for trial in range(TRIALS):
                made[f"Conv2D against Conv1D, {layer.x_shape}, trial {trial + 1}"] = [
                    c for c in everyone(both, backends, activation="relu") if c.direction == "forward"
                ]
    return made


@pytest.mark.usefixtures("replay")
def test_article() -> None:
    pass

"""Real signals: an electrocardiogram through a filter bank, and a photograph blurred by rows and columns."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from suites import everyone
from xconv.bench import Contender, Layer

SAME = {"padding": "same"}
ECG, PHOTOGRAPH = (1, 1024, 1), (1, 427, 640, 3)


def groups(tier: str, backends: Sequence[str]) -> dict[str, list[Contender]]:
    del tier
    bank = Layer("filter_bank", "ECG", "PyWavelets' electrocardiogram", "conv1d", ECG, ((41, 1, 16),), SAME, "smoke")
    each = {**SAME, "groups": 3}
    source = "scikit-learn's photograph china.jpg"
    blurs = [
        ("conv2d", Layer("blur", "vision", source, "conv2d", PHOTOGRAPH, ((9, 9, 1, 3),), each, "smoke")),
        (
            "rows, then columns",
            Layer(
                "blur",
                "vision",
                source,
                "spatially_separable_conv2d",
                PHOTOGRAPH,
                ((9, 1, 3), (9, 1, 3)),
                each,
                "smoke",
            ),
        ),
    ]
    return {
        "ECG through 16 filters of 41 taps": everyone([("", bank)], backends, signal="ecg"),
        "photograph, 9 x 9 blur of each channel": [
            c for c in everyone(blurs, backends, signal="photograph") if c.direction == "forward"
        ],
    }


@pytest.mark.usefixtures("replay")
def test_signal() -> None:
    pass

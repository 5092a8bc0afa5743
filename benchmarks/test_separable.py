"""Rows, columns, and both one after the other, against the true 2-D convolution that they stand in for."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from suites import everyone
from xconv.bench import Contender, Layer

SIZES = {
    # name: batch, height, width, in, middle, out, kernel, tier
    "32 channels, 5 x 5": ((4, 56, 56), 32, 32, 32, 5, "smoke"),
    "one channel in, 3 x 3": ((4, 64, 64), 1, 64, 64, 3, "default"),
    "128 channels, 7 x 7": ((1, 28, 28), 128, 128, 128, 7, "default"),
}


def groups(tier: str, backends: Sequence[str]) -> dict[str, list[Contender]]:
    made = {}
    for name, (size, inputs, middle, outputs, k, wanted) in SIZES.items():
        if tier == "smoke" and wanted != "smoke":
            continue
        x, padding = (*size, inputs), {"padding": "same"}

        def layer(
            operation: str, *weights: tuple[int, ...], x: tuple[int, ...] = x, padding: dict[str, str] = padding
        ) -> Layer:
            return Layer(operation, "vision", "separable against true 2-D", operation, x, weights, padding, "smoke")

        made[f"separable against 2-D, {name}"] = everyone(
            [
                ("conv2d", layer("conv2d", (k, k, inputs, outputs))),
                ("rows, then columns", layer("spatially_separable_conv2d", (k, inputs, middle), (k, middle, outputs))),
            ],
            backends,
        )
        made[f"rows against columns, {name}"] = everyone(
            [
                ("rows", layer("conv1d_rows", (k, inputs, outputs))),
                ("columns", layer("conv1d_columns", (k, inputs, outputs))),
            ],
            backends,
        )
    return made


@pytest.mark.usefixtures("replay")
def test_separable() -> None:
    pass

"""Which backend is fastest for my layer? Verified, then measured interleaved.

python examples/benchmark_layer.py
"""

from __future__ import annotations

import xconv
from xconv.bench import Arena, Contender, Layer
from xconv.bench.table import table

LAYER = Layer(
    name="mine",
    domain="audio",
    source="my model",
    operation="conv1d",
    x_shape=(4, 4000, 64),
    weight_shapes=((9, 64, 64),),
    options={"stride": 2, "padding": "same"},
    tier="smoke",
)


def main() -> None:
    """Measure the layer, forward and with gradients, on every installed backend."""
    with Arena() as arena:
        print(
            table(
                arena.measure(
                    [
                        Contender(f"{backend} {direction}", backend, LAYER, direction)
                        for direction in ("forward", "forward+backward")
                        for backend in xconv.backends()
                    ]
                )
            )
        )


if __name__ == "__main__":
    main()

"""Which backend and which form is fastest for my layer? Verified, then measured interleaved.

python examples/benchmark_layer.py

The same from the command line: xconv bench --op conv1d --input 4,4000,64 --kernel 9,64,64 --stride 2 --padding same
"""

from __future__ import annotations

import sys

import xconv
from xconv.bench.own_layer import own_layer, question
from xconv.bench.peers import choose
from xconv.bench.running import Settings, run
from xconv.bench.text import to_text


def main(*arguments: str) -> None:
    """Measure the layer forward, xconv in every form, against what users would otherwise run."""
    rounds = 2 if "--quick" in arguments else 16
    layer = own_layer("conv1d", (4, 4000, 64), (9, 64, 64), {"stride": 2, "padding": "same"})
    settings, backends = Settings(tier="yours", rounds=rounds), xconv.backends()
    peers, _ = choose("none" if "--quick" in arguments else "installed")
    print(to_text(run(lambda session: [question(layer, "forward", peers, session)], settings, backends)))


if __name__ == "__main__":
    main(*sys.argv[1:])

"""xconv against what users would otherwise run: each framework's own op and recipe, and all other peers.

The smoke tier has a few layers, of as many kinds; the others have all of the catalogue's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest

from suites import DIRECTIONS
from xconv.bench import Contender, Layer, Measurement, catalogue
from xconv.bench.limits import Limits
from xconv.bench.peers import Peer
from xconv.bench.ratio_table import ratio_table
from xconv.bench.ratios import compare

SMOKE = ("textcnn", "inception3_row", "tiny")


def groups_with_peers(tier: str, backends: Sequence[str], peers: Sequence[Peer]) -> dict[str, list[Contender]]:
    return {
        f"fast path, {layer.name}, {direction}": [*ours(layer, direction, backends), *theirs(layer, direction, peers)]
        for layer in catalogue(tier)
        for direction in DIRECTIONS
        if tier != "smoke" or layer.name in SMOKE
    }


def ours(layer: Layer, direction: str, backends: Sequence[str]) -> list[Contender]:
    """xconv as it comes, and with what a user must ask for (``--opt-ins``)."""
    return [
        Contender(f"xconv on {backend}{', opt-ins' * opt_ins}", backend, layer, direction, opt_ins=opt_ins)
        for backend in backends
        for opt_ins in (False, True)
    ]


def theirs(layer: Layer, direction: str, peers: Sequence[Peer]) -> list[Contender]:
    return [
        Contender(peer.name, peer.framework, layer, direction, way=peer.way)
        for peer in peers
        if peer.takes(layer, direction)
    ]


def summary(results: Mapping[str, Sequence[Measurement]], limits: Limits) -> str:
    return ratio_table([found for group in results.values() for found in compare(group, limits)], limits)


@pytest.mark.usefixtures("replay")
def test_fast_path() -> None:
    pass

"""Every real layer of the catalogue, on every backend."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from suites import everyone
from xconv.bench import Contender, catalogue


def groups(tier: str, backends: Sequence[str]) -> dict[str, list[Contender]]:
    return {f"{layer.name} ({layer.operation})": everyone([("", layer)], backends) for layer in catalogue(tier)}


@pytest.mark.usefixtures("replay")
def test_layer() -> None:
    pass

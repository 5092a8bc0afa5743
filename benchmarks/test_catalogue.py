"""Every real layer: xconv on every backend against what users would otherwise run."""

from __future__ import annotations

import pytest

from xconv.bench.suites import catalogue_layers as questions

__all__ = ["questions"]


@pytest.mark.usefixtures("replay")
def test_layer() -> None:
    pass

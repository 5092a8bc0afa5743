"""Real signals: an electrocardiogram through a filter bank, and a photograph blurred by rows and columns."""

from __future__ import annotations

import pytest

from xconv.bench.suites import signals as questions

__all__ = ["questions"]


@pytest.mark.usefixtures("replay")
def test_signal() -> None:
    pass

"""Rows, columns, and both one after the other, against the true 2-D convolution."""

from __future__ import annotations

import pytest

from xconv.bench.suites import separable as questions

__all__ = ["questions"]


@pytest.mark.usefixtures("replay")
def test_separable() -> None:
    pass

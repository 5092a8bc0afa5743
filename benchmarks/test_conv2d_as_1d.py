"""Does Conv2D cost more on 1-D data? Both settings of the article, in three trials."""

from __future__ import annotations

import pytest

from xconv.bench.suites import article as questions

__all__ = ["questions"]


@pytest.mark.usefixtures("replay")
def test_article() -> None:
    pass

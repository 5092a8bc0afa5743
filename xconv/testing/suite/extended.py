"""Tests that take long: a part of their cases runs always, the others where `extended` tests run, as in CI."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest


def first_of(cases: Iterable[Any], every: int) -> list[Any]:
    """All cases, as the parameters of a test: one in ``every``, and the others marked ``extended``.

    For what takes a second a case, as compilers do.
    """
    return [pytest.param(case, marks=[pytest.mark.extended] if i % every else []) for i, case in enumerate(cases)]

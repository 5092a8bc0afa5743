"""Wisdom to test with."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from xconv import ConvProblem
from xconv.planning import wisdom
from xconv.planning.wisdom import Entry, Key

PROBLEM = ConvProblem(outer=8, length=1000, inner=1, in_channels=16, out_channels=32, kernel=9, padding=(4, 4))
ENTRY = Entry("taps", 0.001, 0.002, "2026-01-02")


def key(number: int = 0, **changes: Any) -> Key:
    """A key; another number is another one."""
    return Key("torch", "2.13.0", "cpu", 1, "NWC", "forward", replace(PROBLEM, length=1000 + number))._replace(
        **changes
    )


def fill() -> None:
    """Three entries."""
    wisdom.remember(key(0), ENTRY)
    wisdom.remember(key(1), ENTRY._replace(formulation="fft"))
    wisdom.remember(key(2, backend="tensorflow"), ENTRY)

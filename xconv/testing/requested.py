"""The backends that a test run asks for by ``--xconv-backends``."""

from __future__ import annotations

import pytest


def requested_backends(config: pytest.Config) -> list[str]:
    """The names that were asked for, or all that are installed.

    torch comes first: TensorFlow imported before it has crashed some versions (pytorch#93884).
    """
    import xconv

    given = config.getoption("--xconv-backends")
    names = given.split(",") if given else xconv.backends()
    return sorted(names, key=lambda name: name != "torch")

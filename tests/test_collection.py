"""The garbage collector is as it was after code that ran without it."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

from xconv.system.collection import without_collection


@pytest.fixture(autouse=True)
def collector() -> Iterator[None]:
    was_enabled = gc.isenabled()
    gc.enable()
    yield
    (gc.enable if was_enabled else gc.disable)()


def test_scopes_may_be_nested() -> None:
    with without_collection():
        with without_collection():
            assert not gc.isenabled()
        assert not gc.isenabled()
    assert gc.isenabled()


def test_a_caller_who_turned_it_off_keeps_it_off() -> None:
    gc.disable()
    with without_collection():
        pass
    assert not gc.isenabled()


def test_an_error_leaves_it_on() -> None:
    with pytest.raises(ValueError, match="within"), without_collection():
        raise ValueError("within")
    assert gc.isenabled()

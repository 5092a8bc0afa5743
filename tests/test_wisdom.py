"""Wisdom: what is kept in memory, and forgotten."""

from __future__ import annotations

import threading
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import xconv
from tests.wisdom_samples import ENTRY, PROBLEM, fill, key
from xconv.planning import wisdom, wisdomfile
from xconv.planning.wisdom import Entry, Key

pytestmark = pytest.mark.usefixtures("nothing_known")


def test_found_again() -> None:
    assert wisdom.find(key()) is None
    wisdom.remember(key(), ENTRY)
    assert wisdom.find(key()) == ENTRY
    for other in (
        key(1),
        key(backend="tensorflow"),
        key(version="2.14"),
        key(device="cuda:0"),
        key(threads=2),
        key(layout="NCW"),
        key(direction="input_gradient"),
        key(problem=replace(PROBLEM, dtype="float64")),
    ):
        assert wisdom.find(other) is None


def test_nothing_is_known_of_symbolic_sizes() -> None:
    class Symbol:
        __hash__ = None  # type: ignore[assignment]

        def __add__(self, _: object) -> Symbol:
            return self

    symbolic = key(problem=replace(PROBLEM, length=Symbol()))
    assert wisdom.find(symbolic) is None
    with pytest.raises(xconv.ArgumentError, match="length"):
        wisdom.remember(symbolic, ENTRY)


def test_every_change_changes_the_version() -> None:
    seen = [wisdom.version()]

    def changed() -> bool:
        seen.append(wisdom.version())
        return seen[-1] > seen[-2]

    wisdom.remember(key(), ENTRY)
    assert changed()
    wisdom.remember(key(), ENTRY)
    assert not changed()
    wisdom.save()
    assert wisdom.load() == 0
    assert not changed()
    assert wisdom.forget(backend="tensorflow") == 0
    assert not changed()
    assert wisdom.forget() == 1
    assert changed()
    assert wisdom.load() == 1
    assert changed()


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        (ENTRY._replace(seconds=0.0), "seconds is 0.0"),
        (ENTRY._replace(seconds=float("nan")), "seconds is nan"),
        (ENTRY._replace(own_seconds=float("inf")), "own_seconds is inf"),
        (ENTRY._replace(own_seconds=True), "own_seconds is True"),
        (ENTRY._replace(formulation=""), "formulation"),
        (ENTRY._replace(measured="yesterday"), "not a date"),
        (ENTRY._replace(measured="2026-02-30"), "not a date"),
        (ENTRY._replace(measured="9999-01-01"), "in the future"),
    ],
)
def test_what_was_not_measured_is_refused(entry: Entry, words: str) -> None:
    with pytest.raises(xconv.ArgumentError, match=words):
        wisdom.remember(key(), entry)
    assert wisdom.entries() == {}


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wisdomfile, "MAX_ENTRIES", 3)
    wisdom.remember(key(0), ENTRY._replace(measured="2026-01-09"))
    for number in range(1, 5):
        wisdom.remember(key(number), ENTRY)
    # the latest measurements stay, and of those of one day the ones that came last
    assert list(wisdom.entries()) == [key(0), key(3), key(4)]


def test_threads() -> None:
    def work(first: int) -> None:
        for number in range(first, first + 50):
            wisdom.remember(key(number), ENTRY)
            assert wisdom.find(key(number)) == ENTRY
        wisdom.forget(problem=key(first).problem)

    before = wisdom.version()
    threads = [threading.Thread(target=work, args=(100 * n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(wisdom.entries()) == 8 * 49
    assert wisdom.version() == before + 8 * 51


@pytest.mark.parametrize(
    ("what", "left"),
    [
        ({"backend": "torch"}, {key(2, backend="tensorflow")}),
        ({"formulation": "taps"}, {key(1)}),
        ({"problem": key(2).problem}, {key(0), key(1)}),
        ({"backend": "torch", "formulation": "taps"}, {key(1), key(2, backend="tensorflow")}),
        ({}, set()),
    ],
)
def test_forget(what: dict[str, Any], left: set[Key]) -> None:
    fill()
    wisdom.save()
    assert wisdom.forget(**what) == 3 - len(left)
    assert set(wisdom.entries()) == left
    assert wisdom.load() == 3 - len(left)  # the file still knew
    assert wisdom.forget(**what, file=True) == 3 - len(left)
    wisdom.forget()
    assert wisdom.load() == len(left)
    assert set(wisdom.entries()) == left
    assert wisdom.default_file().exists() == bool(what)


def test_forget_a_file_that_is_not_there_or_broken(tmp_path: Path) -> None:
    file = tmp_path / "w.json"
    assert wisdom.forget(file=file) == 0
    assert list(tmp_path.iterdir()) == []
    file.write_text("broken")
    with pytest.warns(RuntimeWarning, match=r"moved the wisdom file .*w\.json"):
        wisdom.forget(backend="torch", file=file)
    file.write_text("broken")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        wisdom.forget(file=file)
    assert not file.exists()

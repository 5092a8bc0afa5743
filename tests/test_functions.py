"""Compiled functions in memory: made once, many in one linker, there as long as somebody holds them."""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pytest

from xconv.direct import functions, linked
from xconv.direct.code import INT, Code, pointer_to
from xconv.direct.dense import DenseTile
from xconv.direct.functions import Function, Functions, Source
from xconv.direct.processor import detect_processor
from xconv.direct.program import TileArguments, compile_tiles


def _storing(name: str, number: int) -> str:
    code = Code(name, [pointer_to(INT)], "float32", 1)
    code.set(code.arguments[0], code.value(number))
    return code.finish()


def storing(number: int) -> Source:
    """A function that stores a number; its parts are no tile's, and so it has no file."""
    return Source(("number", Somebody(number)), partial(_storing, number=number))


@dataclass(frozen=True)
class Somebody:
    number: int

    def write(self, code: Code, given: TileArguments) -> None:
        code.copy(given.x, given.y)


def stored(function: Function) -> int:
    found = ctypes.c_int64()
    ctypes.CFUNCTYPE(None, ctypes.c_void_p)(function.address)(ctypes.addressof(found))
    return found.value


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What is compiled, one after the other."""
    found: list[Any] = []
    own: Callable[..., bytes] = linked.compile_object

    def counted(*given: Any) -> bytes:
        found.append(given)
        return own(*given)

    monkeypatch.setattr(functions, "compile_object", counted)
    return found


def test_a_function_is_made_once_however_many_threads_ask(made: list[Any]) -> None:
    kept = Functions()
    found: list[list[Function]] = []

    def ask() -> None:
        found.append(kept.get([storing(7), storing(8)], detect_processor()))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 2
    assert {tuple(map(stored, pair)) for pair in found} == {(7, 8)}


def test_what_is_held_stays_whatever_is_made_later(made: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """A few functions are kept, a few share a linker; those that somebody holds still run."""
    monkeypatch.setattr(functions, "KEPT_FUNCTIONS", 8)
    monkeypatch.setattr(linked, "OBJECTS_PER_LINKER", 4)
    kept = Functions()
    held = {number: kept.get([storing(number)], detect_processor())[0] for number in range(0, 40, 3)}
    for number in range(40):
        assert stored(kept.get([storing(number)], detect_processor())[0]) == number
    assert {number: stored(function) for number, function in held.items()} == {number: number for number in held}
    linkers = {id(function.code._linker) for function in held.values()}
    assert 1 < len(linkers) <= len(held)
    count = len(made)
    kept.get([storing(number) for number in range(32, 40)], detect_processor())
    assert len(made) == count
    kept.get([storing(1)], detect_processor())
    assert len(made) == count + 1


def test_layers_share_a_tile_and_a_linker(made: list[Any]) -> None:
    one, two = DenseTile(6, 1, 0, 5, 5, 16, 16), DenseTile(6, 1, 0, 7, 7, 16, 16)
    first = compile_tiles([one, two], "float32", detect_processor())
    second = compile_tiles([two], "float32", detect_processor())
    assert len(made) == 2
    assert second.addresses[0] == first.addresses[1]
    third = compile_tiles([DenseTile(6, 1, 0, 9, 9, 16, 16)], "float32", detect_processor())
    assert third.keep[0].code._linker is first.keep[0].code._linker


def test_a_tile_of_somebody_else_s_has_no_file() -> None:
    """Its source is not among those that the name of a file is made of."""
    for tile, own in ((DenseTile(6, 1, 0, 5, 5, 16, 16), True), (Somebody(1), False)):
        assert (functions._key(Source(("tile", tile, "float32", detect_processor()), str)) is not None) is own
    assert len(compile_tiles([Somebody(1)], "float32", detect_processor()).addresses) == 1
    assert np.all(compile_tiles([Somebody(1)], "float32", detect_processor()).addresses != 0)

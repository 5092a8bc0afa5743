"""The code that is written for LLVM: what variables are in loops within loops, and where pointers point to."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence

import llvmlite.binding as llvm
import pytest

from xconv.direct.code import INT, Code, Value, pointer_to
from xconv.direct.linked import Linker, compile_object
from xconv.direct.processor import detect_processor

COUNTS = [(outer, inner) for outer in range(4) for inner in range(4)]


def run(write: Callable[[Code, Value, Value, Value], None], outer: int, inner: int, size: int = 4) -> list[int]:
    """What ``write(code, to, outer, inner)`` writes to an array of integers."""
    code = Code("written", [pointer_to(INT), pointer_to(INT)], "float32", 1)
    counts, to = code.arguments
    write(code, to, code.load_number(counts), code.load_number(code.offset(counts, 1)))
    text = code.finish()
    llvm.parse_assembly(text).verify()
    linked = Linker().link({"written": compile_object(text, detect_processor())})
    given, found = (ctypes.c_int64 * 2)(outer, inner), (ctypes.c_int64 * size)()
    ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p)(linked.addresses["written"])(
        ctypes.addressof(given), ctypes.addressof(found)
    )
    return list(found)


def keep(code: Code, to: Value, values: Sequence[Value]) -> None:
    for index, value in enumerate(values):
        code.set(code.offset(to, index), code.value(value))


@pytest.mark.parametrize(("outer", "inner"), COUNTS)
def test_variables_that_trade_places(outer: int, inner: int) -> None:
    def write(code: Code, to: Value, turns: Value, _: Value) -> None:
        a, b = code.variable(0), code.variable(1)
        with code.loop(0, turns):
            was = code.get(a)
            code.set(a, code.get(b))
            code.set(b, code.plus(was, code.get(b)))
        keep(code, to, [code.get(a), code.get(b)])

    a, b = 0, 1
    for _ in range(outer):
        a, b = b, a + b
    assert run(write, outer, inner)[:2] == [a, b]


@pytest.mark.parametrize(("outer", "inner"), COUNTS)
def test_variables_of_loops_within_loops(outer: int, inner: int) -> None:
    """Read only, set in the inner loop, after it, and made anew in each turn of the outer one."""

    def write(code: Code, to: Value, turns: Value, inner_turns: Value) -> None:
        read, total, last, sums = (code.variable(number) for number in (7, 1, 0, 0))
        with code.loop(0, turns) as row:
            of_turn = code.variable(code.times(row, 10))
            with code.loop(1, inner_turns, 2) as column:
                code.set(total, code.plus(code.get(total), code.plus(code.get(read), column)))
                code.set(of_turn, code.plus(code.get(of_turn), 1))
            with code.loop(0, inner_turns):
                code.set(last, code.plus(row, 1))
            code.set(sums, code.plus(code.times(code.get(sums), 2), code.get(of_turn)))
        keep(code, to, [code.get(each) for each in (read, total, last, sums)])

    read, total, last, sums = 7, 1, 0, 0
    for row in range(outer):
        of_turn = row * 10
        for column in range(1, inner, 2):
            total, of_turn = total + read + column, of_turn + 1
        for _ in range(inner):
            last = row + 1
        sums = sums * 2 + of_turn
    assert run(write, outer, inner) == [read, total, last, sums]


@pytest.mark.parametrize(("outer", "inner"), [(0, 0), (1, 2), (3, 1)])
def test_offsets_in_any_order(outer: int, inner: int) -> None:
    """Known ones and others, some of which take each other away, from a pointer that others come from too."""

    def write(code: Code, to: Value, a: Value, b: Value) -> None:
        first = code.offset(to, 2, a, -1)
        for place, number in (
            (first, 1),
            (code.offset(first, -1, b), 2),
            (code.offset(code.offset(to, a, 3), -3, b, 6), 3),
        ):
            code.set(place, code.value(number))

    expected = [0] * 12
    for place, number in ((outer + 1, 1), (outer + inner, 2), (outer + inner + 6, 3)):
        expected[place] = number
    assert run(write, outer, inner, size=12) == expected


@pytest.mark.parametrize("count", range(4))
def test_each_index(count: int) -> None:
    """No code for none: what would never run is not compiled."""
    seen: list[Value] = []

    def write(code: Code, to: Value, _: Value, __: Value) -> None:
        def body(index: Value) -> None:
            seen.append(index)
            code.set(code.offset(to, index), code.value(1))

        code.repeat(count, body)

    assert run(write, 0, 0) == [1] * count + [0] * (4 - count)
    assert len(seen) == min(count, 1)


@pytest.mark.parametrize("turns", range(3))
def test_places_first_seen_in_a_loop(turns: int) -> None:
    """A loop may have no turn, and nothing that is found in it is there afterwards."""

    def write(code: Code, to: Value, turns: Value, at: Value) -> None:
        with code.loop(0, turns):
            code.set(code.offset(to, at), code.value(1))
        code.set(code.offset(to, at, 1), code.value(2))

    assert run(write, turns, 1) == [0, int(turns > 0), 2, 0]

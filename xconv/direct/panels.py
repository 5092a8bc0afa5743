"""Rows of numbers brought into another order: copied, or transposed a square of vectors at a time.

An entry's taps are the numbers in a row, its places the rows, its extra number the numbers from one row to the next
where it writes; a program's ``tap`` is the same where it reads. So both are compiled once for all sizes.
"""

from __future__ import annotations

from dataclasses import dataclass

from xconv.direct.code import Code, Value
from xconv.direct.program import Arguments


@dataclass(frozen=True)
class CopyTile:
    """Rows, copied one below the other."""

    def write(self, code: Code, given: Arguments) -> None:
        """Copy each row."""
        whole = code.whole(given.taps, code.lanes)
        with code.loop(0, given.places) as row:
            x, y = code.at(given.x, code.times(row, given.tap)), code.at(given.y, code.times(row, given.extra))
            with code.loop(0, whole, code.lanes) as at:
                code.store(code.load(code.at(x, at)), code.at(y, at))
            rest = code.minus(given.taps, whole)
            code.store(code.load(code.at(x, whole), rest), code.at(y, whole), rest)


@dataclass(frozen=True)
class TransposeTile:
    """Rows that become columns."""

    def write(self, code: Code, given: Arguments) -> None:
        """Transpose the squares that are full, and those at the edges."""
        rows, columns = code.whole(given.places, code.lanes), code.whole(given.taps, code.lanes)
        with code.loop(0, rows, code.lanes) as top, code.loop(0, columns, code.lanes) as left:
            self._square(code, given, top, left)
        with code.loop(0, given.places, code.lanes) as top:
            start = code.either(code.smaller(top, rows), columns, 0)
            with code.loop(start, given.taps, code.lanes) as left:
                self._edge(code, given, top, left)

    def _square(self, code: Code, given: Arguments, top: Value, left: Value) -> None:
        x, y = self._corners(code, given, top, left)
        read = [code.load(code.at(x, code.times(given.tap, row))) for row in range(code.lanes)]
        for column, vector in enumerate(code.transposed(read)):
            code.store(vector, code.at(y, code.times(given.extra, column)))

    def _edge(self, code: Code, given: Arguments, top: Value, left: Value) -> None:
        x, y = self._corners(code, given, top, left)
        rows, columns = code.least(code.minus(given.places, top), code.lanes), code.minus(given.taps, left)
        with code.loop(0, rows) as row, code.loop(0, code.least(columns, code.lanes)) as column:
            number = code.at(x, code.times(row, given.tap), column)
            code.copy(number, code.at(y, code.times(column, given.extra), row))

    def _corners(self, code: Code, given: Arguments, top: Value, left: Value) -> tuple[Value, Value]:
        x = code.at(given.x, code.times(top, given.tap), left)
        return x, code.at(given.y, code.times(left, given.extra), top)

"""The weights of a dense layer in the order in which its tiles read them: a panel for each block of output channels."""

from __future__ import annotations

from dataclasses import dataclass

from xconv.direct.code import Code, Value
from xconv.direct.program import Arguments


@dataclass(frozen=True)
class CopyTile:
    """Rows of ``width`` numbers, copied one below the other."""

    width: int
    row: int
    y_row: int

    def write(self, code: Code, given: Arguments) -> None:
        """Copy as many rows as there are places."""
        with code.loop(0, given.count) as index:
            x, y = code.at(given.x, code.times(index, self.row)), code.at(given.y, code.times(index, self.y_row))
            for at, tail in code.vectors(self.width):
                code.store(code.load(code.at(x, at), tail), code.at(y, at), tail)


@dataclass(frozen=True)
class TransposeTile:
    """``width`` rows of ``columns`` numbers, written as so many rows of ``width``: squares of vectors at a time."""

    width: int
    columns: int
    row: int
    y_row: int

    def write(self, code: Code, given: Arguments) -> None:
        """Transpose all squares."""
        tops, lefts = (code.whole(numbers, code.lanes) for numbers in (self.width, self.columns))
        with code.loop(0, tops, code.lanes) as top:
            self._row(code, given, top, lefts, 0)
        if tops < self.width:
            self._row(code, given, tops, lefts, self.width - tops)

    def _row(self, code: Code, given: Arguments, top: Value, lefts: int, rows: int) -> None:
        with code.loop(0, lefts, code.lanes) as left:
            self._square(code, given, top, rows, left, 0)
        if lefts < self.columns:
            self._square(code, given, top, rows, lefts, self.columns - lefts)

    def _square(self, code: Code, given: Arguments, top: Value, rows: int, left: Value, columns: int) -> None:
        corner = code.at(given.x, code.times(top, self.row), left)
        read = [code.load(code.at(corner, row * self.row), columns) for row in range(rows or code.lanes)]
        read += [code.zero()] * (code.lanes - len(read))
        y = code.at(given.y, code.times(left, self.y_row), top)
        for column, vector in enumerate(code.transposed(read)[: columns or code.lanes]):
            code.store(vector, code.at(y, column * self.y_row), rows)

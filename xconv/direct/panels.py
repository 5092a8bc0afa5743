"""Tiles that copy a matrix, or transpose it a square of vectors at a time.

An entry's ``taps`` are the numbers in a row, its ``places`` the rows, its ``extra`` the numbers from one row to the
next where it writes; the program's ``tap_stride`` is the same where it reads. So each is compiled once for all sizes.
"""

from __future__ import annotations

from dataclasses import dataclass

from xconv.direct.code import Code, Value
from xconv.direct.program import TileArguments


@dataclass(frozen=True)
class CopyTile:
    """A matrix, copied row by row."""

    def write(self, code: Code, args: TileArguments) -> None:
        """Write a loop that copies each row."""
        whole = code.round_down(args.taps, code.lanes)
        with code.loop(0, args.places) as row:
            x = code.offset(args.x, code.times(row, args.tap_stride))
            y = code.offset(args.y, code.times(row, args.extra))
            with code.loop(0, whole, code.lanes) as offset:
                code.store(code.load(code.offset(x, offset)), code.offset(y, offset))
            rest = code.minus(args.taps, whole)
            code.store(code.load(code.offset(x, whole), rest), code.offset(y, whole), rest)


@dataclass(frozen=True)
class TransposeTile:
    """A matrix, transposed."""

    def write(self, code: Code, args: TileArguments) -> None:
        """Write loops over full squares, and over those at the edges."""
        rows, columns = code.round_down(args.places, code.lanes), code.round_down(args.taps, code.lanes)
        with code.loop(0, rows, code.lanes) as top, code.loop(0, columns, code.lanes) as left:
            self._transpose_square(code, args, top, left)
        with code.loop(0, args.places, code.lanes) as top:
            start = code.select(code.is_less(top, rows), columns, 0)
            with code.loop(start, args.taps, code.lanes) as left:
                self._transpose_edge(code, args, top, left)

    def _transpose_square(self, code: Code, args: TileArguments, top: Value, left: Value) -> None:
        x, y = self._offset_corners(code, args, top, left)
        read = [code.load(code.offset(x, code.times(args.tap_stride, row))) for row in range(code.lanes)]
        for column, vector in enumerate(code.transpose(read)):
            code.store(vector, code.offset(y, code.times(args.extra, column)))

    def _transpose_edge(self, code: Code, args: TileArguments, top: Value, left: Value) -> None:
        x, y = self._offset_corners(code, args, top, left)
        rows, columns = code.minimum(code.minus(args.places, top), code.lanes), code.minus(args.taps, left)
        with code.loop(0, rows) as row, code.loop(0, code.minimum(columns, code.lanes)) as column:
            number = code.offset(x, code.times(row, args.tap_stride), column)
            code.copy(number, code.offset(y, code.times(column, args.extra), row))

    def _offset_corners(self, code: Code, args: TileArguments, top: Value, left: Value) -> tuple[Value, Value]:
        x = code.offset(args.x, code.times(top, args.tap_stride), left)
        return x, code.offset(args.y, code.times(left, args.extra), top)

"""Which rows of a kernel meet a signal that lies constant along an axis: what is exact, as arithmetic on integers.

An axis of the 2-D world has ``extent`` elements; the signal is on those from ``start`` to ``stop``, the others are
zeros (that were padded on). "Row" is an index along this axis, of a kernel or of an output.
"""

from __future__ import annotations

from dataclasses import dataclass

Rows = tuple[int, ...]


@dataclass(frozen=True)
class Band:
    """Where the signal lies along the axis that disappears: on ``start <= row < stop`` of ``extent`` rows."""

    extent: int
    start: int
    stop: int

    @classmethod
    def full(cls, extent: int) -> Band:
        """The signal is on every row."""
        return cls(extent, 0, extent)

    @property
    def is_full(self) -> bool:
        """Whether there are no zeros."""
        return self.start == 0 and self.stop == self.extent


def met(band: Band, kernel: int, stride: int, dilation: int, low: int, outputs: int) -> list[Rows]:
    """For each output row of a convolution the kernel rows that lie on the signal; the others lie on zeros.

    An axis of size one under a kernel of 3 with padding 1 meets row 1 alone; a constant image meets fewer rows at its
    borders, unless there is no padding.

    >>> met(Band.full(1), kernel=3, stride=2, dilation=1, low=1, outputs=1)
    [(1,)]
    >>> met(Band.full(4), kernel=3, stride=1, dilation=1, low=1, outputs=4)
    [(1, 2), (0, 1, 2), (0, 1, 2), (0, 1)]
    >>> met(Band.full(4), kernel=3, stride=1, dilation=1, low=0, outputs=2)
    [(0, 1, 2), (0, 1, 2)]
    """
    return [
        tuple(j for j in range(kernel) if band.start <= i * stride - low + j * dilation < band.stop)
        for i in range(outputs)
    ]


def met_transposed(band: Band, kernel: int, stride: int, dilation: int, low: int, outputs: int) -> list[Rows]:
    """For each output row of a transposed convolution the kernel rows through which the signal reaches it.

    >>> met_transposed(Band.full(1), kernel=3, stride=1, dilation=1, low=1, outputs=1)
    [(1,)]
    >>> met_transposed(Band.full(1), kernel=2, stride=2, dilation=1, low=0, outputs=2)
    [(0,), (1,)]
    """

    def reaches(o: int, j: int) -> bool:
        position = o + low - j * dilation
        return position % stride == 0 and band.start <= position // stride < band.stop

    return [tuple(j for j in range(kernel) if reaches(o, j)) for o in range(outputs)]


def windows(band: Band, kernel: int, stride: int, dilation: int, low: int, outputs: int) -> set[tuple[int, int]]:
    """Of each window of a pool how many elements lie on the signal, and on zeros of the array; padding is neither.

    >>> windows(Band.full(4), kernel=2, stride=2, dilation=1, low=0, outputs=2)
    {(2, 0)}
    >>> windows(Band(3, 1, 2), kernel=3, stride=2, dilation=1, low=0, outputs=1)
    {(1, 2)}
    """
    found = set()
    for i in range(outputs):
        rows = [row for row in (i * stride - low + j * dilation for j in range(kernel)) if 0 <= row < band.extent]
        signal = sum(band.start <= row < band.stop for row in rows)
        found.add((signal, len(rows) - signal))
    return found


def one(rows: list[Rows]) -> Rows | None:
    """The rows that all outputs share, or None where outputs differ, so that no 1-D kernel gives them all.

    >>> one([(1, 2), (1, 2)]), one([(1,), (2,)])
    ((1, 2), None)
    """
    return rows[0] if rows and all(row == rows[0] for row in rows) else None


def chosen(rule: str, kernel: int) -> tuple[Rows, float]:
    """The kernel rows that a heuristic rule takes, and the factor of their sum.

    >>> chosen("row", 3), chosen("sum", 3), chosen("mean", 4)
    (((1,), 1.0), ((0, 1, 2), 1.0), ((0, 1, 2, 3), 0.25))
    """
    if rule == "row":
        return ((kernel - 1) // 2,), 1.0
    return tuple(range(kernel)), 1 / kernel if rule == "mean" else 1.0


def named(rows: Rows, kernel: int) -> str:
    """The rule in words.

    >>> named((1,), 3), named((0, 1, 2), 3), named((0,), 1), named((0, 1), 3)
    ('row 1 of 3', 'sum of 3 rows', 'squeeze', 'sum of rows 0, 1 of 3')
    """
    if kernel == 1 and rows == (0,):
        return "squeeze"
    if len(rows) == kernel:
        return f"sum of {kernel} rows"
    if len(rows) == 1:
        return f"row {rows[0]} of {kernel}"
    return f"sum of rows {', '.join(map(str, rows))} of {kernel}" if rows else f"no row of {kernel}: only the bias"

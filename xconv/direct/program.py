"""A program: a schedule of tiles, and the machine code that works it off.

A *tile* is a piece of a result that is summed in registers; its loops are compiled for the channels and strides of a
layer. A *schedule* says where each run of tiles reads and writes, for signals of a certain length; NumPy makes it. So a
layer is compiled once for all lengths and batches.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from functools import cache, partial
from itertools import pairwise
from typing import Any, NamedTuple, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from xconv.direct.code import INT, INTEGER, NUMBER, Code, Operand, Value, pointer
from xconv.direct.functions import FUNCTIONS, Function, Source
from xconv.direct.processor import CACHE_LINE_BYTES, Processor, address
from xconv.direct.team import Team


class ScheduleEntry(NamedTuple):
    """A run of tiles: which kind, where it reads and writes (in elements), how many taps and places it has.

    ``extra`` is one more number, whose meaning the tile has.
    """

    tile: int
    x: int
    weight: int = 0
    bias: int = 0
    y: int = 0
    taps: int = 1
    places: int = 1
    extra: int = 0


@dataclass(frozen=True)
class ArrayStrides:
    """Elements from one line to the next of each array, and from one tap to the next; ``tap_step`` and ``length`` are
    elements of the sliding axis."""

    x_line: int
    weight_line: int
    y_line: int
    tap_stride: int
    tap_step: int
    length: int


class ThreadShare(NamedTuple):
    """The lines and entries that one thread works off; ``y`` is where its result begins."""

    first_line: int
    last_line: int
    first_entry: int
    last_entry: int
    y: int = 0


class TileArguments(NamedTuple):
    """What a tile gets: pointers to where its entry reads and writes, and what is the same for all entries."""

    x: Value
    weight: Value
    bias: Value
    y: Value
    taps: Value
    places: Value
    extra: Value
    tap_stride: Value
    tap_step: Value
    length: Value
    zeros: Value


class Tile(Protocol):
    """A piece of a result, as code. A frozen dataclass, so that equal tiles are compiled once."""

    def write(self, code: Code, args: TileArguments) -> None:
        """Write the loops of a run of tiles."""


Floats: TypeAlias = npt.NDArray[np.floating[Any]]


Integers: TypeAlias = npt.NDArray[np.int64]


class Schedule:
    """The entries of a program, and the tiles that they name."""

    def __init__(self) -> None:
        self.tiles: dict[Tile, int] = {}
        self._added: list[Integers] = []

    def number(self, tile: Tile) -> int:
        """What entries call a tile."""
        return self.tiles.setdefault(tile, len(self.tiles))

    def add(self, *, turn: Integers | int = 0, **fields: Integers | int) -> None:
        """Runs of tiles: an integer or an array for each field of an entry, all of which are broadcast together.

        They come in the order of the arrays, or in that of their ``turn`` after :meth:`in_turn`.
        """
        rows = np.empty((*np.broadcast(*fields.values(), turn).shape, len(ScheduleEntry._fields) + 1), np.int64)
        for index, name in enumerate(ScheduleEntry._fields):
            rows[..., index] = fields[name] if name in fields else ScheduleEntry._field_defaults[name]
        rows[..., -1] = turn
        self._added.append(rows.reshape(-1, rows.shape[-1]))

    def _rows(self) -> Integers:
        if len(self._added) != 1:
            self._added = [np.concatenate([np.zeros((0, len(ScheduleEntry._fields) + 1), np.int64), *self._added])]
        return self._added[0]

    @property
    def entries(self) -> Integers:
        """All entries, a row each."""
        return self._rows()[:, :-1]

    def sort_by_turn(self) -> None:
        """Bring all entries into the order of their turns."""
        rows = self._rows()
        self._added = [rows[np.argsort(rows[:, -1], kind="stable")]]

    def cuts(self, turns: int, threads: int) -> list[int]:
        """Where the entries of each thread begin, and the end, if each has so many turns."""
        return [int(start) for start in np.searchsorted(self._rows()[:, -1], turns * np.arange(threads + 1))]

    def split_among_threads(self, lines: int, threads: int) -> list[ThreadShare]:
        """As many parts as there are threads, with about as many products each: of the lines if there are enough."""
        entries = self.entries
        if threads == 1 or lines >= 4 * threads or len(entries) < threads:
            cuts = [lines * thread // threads for thread in range(threads + 1)]
            shares = [ThreadShare(start, stop, 0, len(entries)) for start, stop in pairwise(cuts)]
        else:
            taps, places = (entries[:, ScheduleEntry._fields.index(name)] for name in ("taps", "places"))
            done = np.concatenate([[0], np.cumsum(np.maximum(taps, 1) * places)])
            cuts = np.searchsorted(done, done[-1] * np.arange(threads + 1) / threads).tolist()
            shares = [ThreadShare(0, lines, start, stop) for start, stop in pairwise(cuts)]
        return [
            share for share in shares if share.last_line > share.first_line and share.last_entry > share.first_entry
        ]


class TileProgram:
    """A compiled schedule, to be called with the addresses of its arrays."""

    def __init__(
        self,
        schedule: Schedule,
        sizes: ArrayStrides,
        shares: Sequence[ThreadShare],
        dtype: str,
        processor: Processor,
        zeros: int,
    ) -> None:
        """``zeros`` is how many numbers of padding or missing bias a tile may read."""
        self._worker = get_worker(dtype, processor, len(shares) > 1)
        self._tiles = compile_tiles(tuple(schedule.tiles), dtype, processor)
        self.schedule = np.ascontiguousarray(schedule.entries)
        self.schedule[:, 0] = self._tiles.addresses[self.schedule[:, 0]]
        self._zeros = np.zeros(zeros, dtype)
        self._zeros_address = address(self._zeros)
        shared = [address(self.schedule), self._zeros_address, *vars(sizes).values()]
        self._shares = [np.array([*shared, *share], np.int64) for share in shares]
        self._alignment = CACHE_LINE_BYTES if any(getattr(tile, "streams", False) for tile in schedule.tiles) else 1
        self._calls = [address(share) for share in self._shares]

    def __call__(self, x: int, weight: int, bias: int | None, y: int, team: Team) -> None:
        """Compute, each part by a thread of the team; a large result has to begin with a line of memory.

        Raises:
            ValueError: it does not.
        """
        if y % self._alignment:
            raise ValueError(f"a result at address {y:#x}, expected a multiple of {self._alignment}")
        bias = self._zeros_address if bias is None else bias
        if len(self._calls) == 1:
            self._worker.run(self._calls[0], x, weight, bias, y)
        elif self._calls:
            team(self._worker, self._calls, (x, weight, bias, y))


class CompiledTiles(NamedTuple):
    """Compiled tiles: the address of each, and what keeps them."""

    addresses: Integers
    keep: Sequence[Function]


def compile_tiles(tiles: Sequence[Tile], dtype: str, processor: Processor) -> CompiledTiles:
    """The functions that compute such tiles."""
    sources = {
        tile: Source(
            ("tile", tile, dtype, processor), partial(_write_tile, tile=tile, dtype=dtype, processor=processor)
        )
        for tile in tiles
    }
    keep = FUNCTIONS.get([sources[tile] for tile in tiles], processor)
    return CompiledTiles(np.array([function.address for function in keep], np.int64), keep)


def _write_tile(name: str, tile: Tile, dtype: str, processor: Processor) -> str:
    """The code of a tile."""
    code = Code(name, _argument_types(dtype), dtype, processor.lanes(dtype), shared=False)
    tile.write(code, TileArguments(*code.arguments))
    return code.finish()


def _argument_types(dtype: str) -> list[Operand]:
    number = pointer(NUMBER[dtype])
    return [*[number] * 4, *[INTEGER] * 6, number]


class Worker:
    """The function that works off a part of a schedule, whatever its tiles.

    Attributes:
        run: the function of the addresses of a part and of its four arrays; ``address`` is where it begins.
        team: the address of what the threads of a team call; 0 where it is for one thread.
    """

    def __init__(self, dtype: str, processor: Processor, several: bool) -> None:
        """``several`` says whether a team may call it."""
        writers = (_write_run, _write_team) if several else (_write_run,)
        self._keep = FUNCTIONS.get(
            [Source((write.__name__, dtype, processor), partial(write, dtype=dtype)) for write in writers], processor
        )
        run, *team = self._keep
        self.run: Callable[[int, int, int, int, int], None] = ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * 5)(
            run.address
        )
        self.address, self.team = run.address, team[0].address if team else 0


get_worker = cache(Worker)
"""Made once for a dtype and a machine, and for one thread or several."""


def _write_run(name: str, dtype: str) -> str:
    """``run(part, x, weight, bias, y)``: for each line and entry of a part, the function at the entry's address."""
    number = pointer(NUMBER[dtype])
    code = Code(name, [pointer(INT), *[number] * 4], dtype, 1)
    share, x, weight, bias, y = code.arguments
    schedule, zeros, x_line, weight_line, y_line, *shared, first, last, start, stop, part_at = (
        code.load_number(code.offset(share, index))
        for index in range(2 + len(fields(ArrayStrides)) + len(ThreadShare._fields))
    )
    schedule, zeros = code.to_pointer(schedule, INT), code.to_pointer(zeros, code.number)
    y = code.offset(y, part_at)
    with code.loop(first, last) as line, code.loop(start, stop) as index:
        entry = code.offset(schedule, code.times(index, len(ScheduleEntry._fields)))
        tile, x_at, weight_at, bias_at, y_at, *own = (
            code.load_number(code.offset(entry, field)) for field in range(len(ScheduleEntry._fields))
        )
        args = [
            code.offset(x, code.times(line, x_line), x_at),
            code.offset(weight, code.times(line, weight_line), weight_at),
            code.offset(bias, bias_at),
            code.offset(y, code.times(line, y_line), y_at),
        ]
        code.call(code.to_pointer(tile, ""), *args, *own, *shared, zeros)
    code.fence()
    return code.finish()


def _write_team(name: str, dtype: str) -> str:
    """``team(work)``: what each thread of a team calls, with two functions that tell which of how many it is.

    ``work`` is those two, the function that works off a part, how many parts there are, the four arrays, and the parts;
    each thread begins at its own number and goes on in steps of the count of threads.
    """
    code = Code(name, [pointer(INT)], dtype, 1)
    (work,) = code.arguments

    def field(index: Value) -> Value:
        return code.load_number(code.offset(work, index))

    mine, threads = (code.zero_extend(code.call(code.to_pointer(field(n), ""), gives="i32")) for n in range(2))
    run = code.to_pointer(field(2), "")
    arrays = [code.to_pointer(field(n), code.number) for n in range(4, 8)]
    with code.loop(mine, field(3), threads) as share:
        code.call(run, code.to_pointer(field(code.plus(share, 8)), INT), *arrays)
    return code.finish()

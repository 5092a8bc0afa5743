"""A program: a schedule of tiles, and the machine code that computes it.

A *tile* is a piece of a result that is summed in registers; its loops are compiled for the channels and strides of a
layer. A *schedule* says where each run of tiles reads and writes, for signals of one length; NumPy makes it. So a layer
is compiled once for all lengths and batches.
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

from xconv.direct.code import INT, INTEGER, NUMBER, Code, Operand, Value, pointer_to
from xconv.direct.functions import FUNCTIONS, Function, Source
from xconv.direct.processor import CACHE_LINE_BYTES, Processor, address
from xconv.direct.team import Team


class ScheduleEntry(NamedTuple):
    """A run of tiles.

    Attributes:
        tile: the index of the tile in the schedule; in a program, the address of its function.
        x, weight, bias, y: where it reads and writes in a line of each array, as an index of its numbers.
        taps, places: how many it has.
        extra: one more number, which the tile's docstring explains.
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
    """Strides that all entries share; a tile that needs no borders may use the last three for its own.

    Attributes:
        x_line, weight_line, y_line: numbers from one line of an array to the next.
        tap_stride: numbers of ``x`` from what a tap reads to what the next one reads.
        tap_step: the same, in elements of the sliding axis.
        length: elements of the sliding axis of ``x``.
    """

    x_line: int
    weight_line: int
    y_line: int
    tap_stride: int
    tap_step: int
    length: int


class ThreadShare(NamedTuple):
    """The lines and entries that one thread computes; ``y`` is where its result begins, as an index of its numbers."""

    first_line: int
    last_line: int
    first_entry: int
    last_entry: int
    y: int = 0


class TileArguments(NamedTuple):
    """The arguments of a tile's function: pointers to where its entry reads and writes, the entry's other fields, the
    strides that all entries share, and a pointer to zeros."""

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
    """A piece of a result that writes its own code: a frozen dataclass, so that equal tiles are compiled once."""

    def write(self, code: Code, args: TileArguments) -> None:
        """Write the loops of a run of tiles into ``code``."""


Floats: TypeAlias = npt.NDArray[np.floating[Any]]


Integers: TypeAlias = npt.NDArray[np.int64]


class Schedule:
    """The entries of a program, and the tiles that they refer to by index."""

    def __init__(self) -> None:
        self.tiles: dict[Tile, int] = {}
        self._added: list[Integers] = []

    def add_tile(self, tile: Tile) -> int:
        """The index of a tile, which is added if it is new."""
        return self.tiles.setdefault(tile, len(self.tiles))

    def add(self, *, turn: Integers | int = 0, **fields: Integers | int) -> None:
        """Add entries: an integer or an array for each field of :class:`ScheduleEntry`, broadcast together.

        Entries keep the order of the arrays; after :meth:`sort_by_turn` they are in the order of ``turn``.
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
        """Sort all entries by their turns; those of the same turn keep their order."""
        rows = self._rows()
        self._added = [rows[np.argsort(rows[:, -1], kind="stable")]]

    def split_by_turn(self, turns: int, threads: int) -> list[int]:
        """Where the entries of each thread begin, and the end, if each thread has ``turns`` turns."""
        return [int(start) for start in np.searchsorted(self._rows()[:, -1], turns * np.arange(threads + 1))]

    def split_among_threads(self, lines: int, threads: int) -> list[ThreadShare]:
        """A share for each thread, with about as many products: of the lines if there are enough, else of entries."""
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
    """A compiled schedule, which is called with the addresses of its arrays."""

    def __init__(
        self,
        schedule: Schedule,
        strides: ArrayStrides,
        shares: Sequence[ThreadShare],
        dtype: str,
        processor: Processor,
        zeros: int,
    ) -> None:
        """``zeros`` is how many zeros a tile may read for padding or for a bias that is not given."""
        self._worker = get_worker(dtype, processor, len(shares) > 1)
        self._tiles = compile_tiles(tuple(schedule.tiles), dtype, processor)
        self.schedule = np.ascontiguousarray(schedule.entries)
        self.schedule[:, 0] = self._tiles.addresses[self.schedule[:, 0]]
        self._zeros = np.zeros(zeros, dtype)
        self._zeros_address = address(self._zeros)
        shared = [address(self.schedule), self._zeros_address, *vars(strides).values()]
        self._shares = [np.array([*shared, *share], np.int64) for share in shares]
        self._alignment = CACHE_LINE_BYTES if any(getattr(tile, "streams", False) for tile in schedule.tiles) else 1
        self._share_addresses = [address(share) for share in self._shares]

    def __call__(self, x: int, weight: int, bias: int | None, y: int, team: Team) -> None:
        """Compute: each share by a thread of the team. Without ``bias`` zeros are added.

        Raises:
            ValueError: a result that is written past the caches does not begin with a cache line.
        """
        if y % self._alignment:
            raise ValueError(f"a result at address {y:#x}, expected a multiple of {self._alignment}")
        bias = self._zeros_address if bias is None else bias
        if len(self._share_addresses) == 1:
            self._worker.run(self._share_addresses[0], x, weight, bias, y)
        elif self._share_addresses:
            team(self._worker, self._share_addresses, (x, weight, bias, y))


class CompiledTiles(NamedTuple):
    """Compiled tiles: the addresses of their functions, and the functions, which must be kept."""

    addresses: Integers
    keep: Sequence[Function]


def compile_tiles(tiles: Sequence[Tile], dtype: str, processor: Processor) -> CompiledTiles:
    """A function for each tile."""
    sources = {
        tile: Source(
            ("tile", tile, dtype, processor), partial(_write_tile, tile=tile, dtype=dtype, processor=processor)
        )
        for tile in tiles
    }
    keep = FUNCTIONS.get([sources[tile] for tile in tiles], processor)
    return CompiledTiles(np.array([function.address for function in keep], np.int64), keep)


def _write_tile(name: str, tile: Tile, dtype: str, processor: Processor) -> str:
    """The LLVM text of a tile's function."""
    code = Code(name, _list_argument_types(dtype), dtype, processor.lanes(dtype), shared=False)
    tile.write(code, TileArguments(*code.arguments))
    return code.finish()


def _list_argument_types(dtype: str) -> list[Operand]:
    number = pointer_to(NUMBER[dtype])
    return [*[number] * 4, *[INTEGER] * 6, number]


class Worker:
    """The function that computes a thread's share of a schedule, whatever its tiles.

    Attributes:
        run: the function, of the addresses of a share and of the four arrays; ``address`` is its address.
        team: the address of the function that each thread of a team calls; 0 if there is one thread.
    """

    def __init__(self, dtype: str, processor: Processor, several: bool) -> None:
        """``several`` says whether a team of threads may call it."""
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
"""Made once for a dtype and a processor, and for one thread or several."""


def _write_run(name: str, dtype: str) -> str:
    """The text of ``run(share, x, weight, bias, y)``, which calls the tile of each line and entry of a share."""
    number = pointer_to(NUMBER[dtype])
    code = Code(name, [pointer_to(INT), *[number] * 4], dtype, 1)
    share, x, weight, bias, y = code.arguments
    schedule, zeros, x_line, weight_line, y_line, *shared, first, last, start, stop, share_y = (
        code.load_number(code.offset(share, index))
        for index in range(2 + len(fields(ArrayStrides)) + len(ThreadShare._fields))
    )
    schedule, zeros = code.to_pointer(schedule, INT), code.to_pointer(zeros, code.number)
    y = code.offset(y, share_y)
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
    """The text of ``team(work)``, which each thread of a team calls.

    ``work`` has the addresses of two functions, which give the thread's number and the count of threads, the address of
    :func:`_write_run`'s function, the count of shares, the addresses of the four arrays, and those of the shares. A
    thread computes the share of its number, and every further one in steps of the count of threads.
    """
    code = Code(name, [pointer_to(INT)], dtype, 1)
    (work,) = code.arguments

    def load_field(index: Value) -> Value:
        return code.load_number(code.offset(work, index))

    number, threads = (code.zero_extend(code.call(code.to_pointer(load_field(n), ""), gives="i32")) for n in range(2))
    run = code.to_pointer(load_field(2), "")
    arrays = [code.to_pointer(load_field(n), code.number) for n in range(4, 8)]
    with code.loop(number, load_field(3), threads) as share:
        code.call(run, code.to_pointer(load_field(code.plus(share, 8)), INT), *arrays)
    return code.finish()

"""Small groups as a depthwise layer: each input is repeated for the outputs that read it.

A place with ``g`` groups of ``i`` inputs and ``o`` outputs becomes ``i`` places of ``g o`` channels: of the first input
of each group, then of the second, ... The kernel (tap, input, output) is then, without a copy, a depthwise kernel of
``taps * i`` taps. Vectors of inputs are shuffled into vectors of outputs; in an input gradient, what belongs to the
same input is added. Both read and write memory once, where the layer itself does so for each tap.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache, reduce
from typing import TypeAlias

import numpy as np

from xconv.core.problem import ConvProblem
from xconv.direct.code import Code, Value
from xconv.direct.processor import Processor
from xconv.direct.program import ArrayStrides, Schedule, TileArguments, TileProgram

KEPT_PROGRAMS = 512
"""Problems whose programs are kept."""

BLOCK_INPUTS = 1 << 15
"""Inputs of an entry; threads are given whole entries."""

Block: TypeAlias = Callable[[Value, Value, Value | None], None]
"""Writes code that reads a vector of groups at one pointer and writes at another; or, if a count is given, that many
groups."""


@dataclass(frozen=True)
class RepeatTile:
    """Repeats each of the ``inputs`` of a group for its ``outputs``.

    An entry's ``places`` are rows, its ``taps`` the groups of a row, its ``extra`` the numbers from one row to the next
    where it writes; the program's ``tap_stride`` is there from one input of a group to the next.
    """

    inputs: int
    outputs: int

    def write(self, code: Code, args: TileArguments) -> None:
        """Write, for each input of a vector of groups, as many vectors as a group has outputs."""
        inputs, outputs, lanes = self.inputs, self.outputs, code.lanes

        def block(x: Value, y: Value, groups: Value | None) -> None:
            vectors = _load_vectors(code, x, inputs, groups)
            for number in range(inputs):
                sources = [divmod(lane // outputs * inputs + number, lanes) for lane in range(outputs * lanes)]
                found = [
                    _gather(code, vectors, sources[offset : offset + lanes]) for offset in range(0, len(sources), lanes)
                ]
                _store_vectors(code, found, code.offset(y, code.times(number, args.tap_stride)), groups)

        with code.loop(0, args.places) as row:
            x = code.offset(args.x, code.times(row, code.times(args.taps, inputs)))
            y = code.offset(args.y, code.times(row, args.extra))
            _repeat_over_groups(code, args.taps, (x, inputs), (y, outputs), block)


@dataclass(frozen=True)
class SumTile:
    """Sums, for each of the ``inputs`` of a group, over its ``outputs``: the adjoint of :class:`RepeatTile`.

    Entry and program are as there, with reading and writing exchanged.
    """

    inputs: int
    outputs: int

    def write(self, code: Code, args: TileArguments) -> None:
        """Write, for each input of a vector of groups, a sum of vectors; then interleave the sums of the inputs."""
        inputs, outputs, lanes = self.inputs, self.outputs, code.lanes

        def block(x: Value, y: Value, groups: Value | None) -> None:
            sums = []
            for number in range(inputs):
                vectors = _load_vectors(code, code.offset(x, code.times(number, args.tap_stride)), outputs, groups)
                sources = [
                    [divmod(lane * outputs + output, lanes) for lane in range(lanes)] for output in range(outputs)
                ]
                sums.append(reduce(code.add, [_gather(code, vectors, each) for each in sources]))
            of_all = [(offset % inputs, offset // inputs) for offset in range(inputs * lanes)]
            found = [_gather(code, sums, of_all[offset : offset + lanes]) for offset in range(0, len(of_all), lanes)]
            _store_vectors(code, found, y, groups)

        with code.loop(0, args.places) as row:
            x = code.offset(args.x, code.times(row, args.extra))
            y = code.offset(args.y, code.times(row, code.times(args.taps, inputs)))
            _repeat_over_groups(code, args.taps, (x, outputs), (y, inputs), block)


def _repeat_over_groups(code: Code, groups: Value, x: tuple[Value, int], y: tuple[Value, int], block: Block) -> None:
    """Write a block for each vector of groups, then for the rest; ``x`` and ``y`` are (pointer, numbers of a group)."""
    whole = code.round_down(groups, code.lanes)

    def find_group(pointer: tuple[Value, int], group: Value) -> Value:
        return code.offset(pointer[0], code.times(group, pointer[1]))

    with code.loop(0, whole, code.lanes) as group:
        block(find_group(x, group), find_group(y, group), None)
    with code.loop(whole, groups, code.lanes) as group:
        block(find_group(x, group), find_group(y, group), code.minus(groups, group))


def _load_vectors(code: Code, pointer: Value, count: int, groups: Value | None) -> list[Value]:
    """Load vectors of ``count`` numbers of each group."""
    return [
        code.load(code.offset(pointer, offset), _count_left(code, count, groups, offset))
        for offset in range(0, count * code.lanes, code.lanes)
    ]


def _store_vectors(code: Code, vectors: Sequence[Value], pointer: Value, groups: Value | None) -> None:
    for part, vector in enumerate(vectors):
        offset = part * code.lanes
        code.store(vector, code.offset(pointer, offset), _count_left(code, len(vectors), groups, offset))


def _count_left(code: Code, count: int, groups: Value | None, offset: int) -> Value:
    """Numbers from ``offset`` on, with ``count`` of each group; 0 for whole vectors."""
    return 0 if groups is None else code.minus(code.times(groups, count), offset)


def _gather(code: Code, vectors: Sequence[Value], sources: Sequence[tuple[int, int]]) -> Value:
    """A vector whose lanes are the given (index of a vector, lane)."""
    first, *others = sorted({vector for vector, _ in sources})
    found = vectors[first]
    if [lane for _, lane in sources] != list(range(code.lanes)) or others:
        found = code.shuffle(found, found, [lane if vector == first else 0 for vector, lane in sources])
    for other in others:
        lanes = [code.lanes + lane if vector == other else place for place, (vector, lane) in enumerate(sources)]
        found = code.shuffle(found, vectors[other], lanes)
    return found


@lru_cache(maxsize=KEPT_PROGRAMS)
def build_repeat_program(
    problem: ConvProblem, threads: int, processor: Processor, is_input_gradient: bool
) -> TileProgram:
    """The program that repeats the input of a problem for :func:`~xconv.direct.groups.as_depthwise`; for an input
    gradient, the one that adds up the gradient of the repeated input."""
    p, made = problem, Schedule()
    inputs, outputs = p.group_in, p.group_out
    tile = made.add_tile((SumTile if is_input_gradient else RepeatTile)(inputs, outputs))
    rows, step = p.outer * p.length * p.inner, p.inner * p.out_channels
    if inputs == 1:  # rows follow each other without gaps, as one
        start = np.arange(0, rows * p.groups, BLOCK_INPUTS)
        fields = {"x": start, "y": start * outputs, "taps": np.minimum(BLOCK_INPUTS, rows * p.groups - start)}
    else:
        rows_of_block = p.inner if p.inner > 1 else max(BLOCK_INPUTS // p.in_channels, 1)
        start = np.arange(0, rows, rows_of_block)
        places, row_stride = np.minimum(rows_of_block, rows - start), p.out_channels if p.inner > 1 else inputs * step
        fields = {
            "x": start * p.in_channels,
            "y": start * inputs * p.out_channels,
            "taps": np.full_like(start, p.groups),
        }
        fields |= {"places": places, "extra": np.full_like(start, row_stride)}
    if is_input_gradient:
        fields |= {"x": fields["y"], "y": fields["x"]}
    made.add(tile=tile, **fields)
    threads = max(1, min(threads, len(start)))
    return TileProgram(
        made, ArrayStrides(0, 0, 0, step, 0, 0), made.split_among_threads(1, threads), p.dtype, processor, 1
    )

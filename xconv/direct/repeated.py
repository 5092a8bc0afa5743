"""Small groups as channels alone: an input is repeated for the outputs that see it, and a group's inputs are places.

A place of ``g`` groups of ``i`` inputs and ``o`` outputs becomes ``i`` places of ``g o`` channels: of the first input
of each group, then of the second, ... The kernel (tap, input, output), as it lies in memory, is one of ``taps * i``
taps then. Vectors of inputs are shuffled into vectors of outputs; on the way back what belongs to an input is added up.
Both are a pass over memory, beside as many as there are taps.
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

KEPT_SCHEDULES = 512
"""Problems whose schedules are kept."""

BLOCK_INPUTS = 1 << 15
"""Inputs of an entry: threads share entries."""

Block: TypeAlias = Callable[[Value, Value, Value | None], None]
"""Writes code for a vector of groups from a pointer to another, or for so many groups that are left."""


@dataclass(frozen=True)
class RepeatTile:
    """From the ``inputs`` of groups to what their ``outputs`` see.

    An entry's places are rows, its taps the groups of a row, its extra number the elements from one row to the next
    where it writes; a program's ``tap`` is from one input of a group to the next there.
    """

    inputs: int
    outputs: int

    def write(self, code: Code, args: TileArguments) -> None:
        """For each input of a vector of groups as many vectors as a group has outputs."""
        inputs, outputs, lanes = self.inputs, self.outputs, code.lanes

        def block(x: Value, y: Value, groups: Value | None) -> None:
            vectors = _load_vectors(code, x, inputs, groups)
            for number in range(inputs):
                of = [divmod(lane // outputs * inputs + number, lanes) for lane in range(outputs * lanes)]
                found = [_gather(code, vectors, of[offset : offset + lanes]) for offset in range(0, len(of), lanes)]
                _store_vectors(code, found, code.offset(y, code.times(number, args.tap_stride)), groups)

        with code.loop(0, args.places) as row:
            x = code.offset(args.x, code.times(row, code.times(args.taps, inputs)))
            y = code.offset(args.y, code.times(row, args.extra))
            _repeat_over_groups(code, args.taps, (x, inputs), (y, outputs), block)


@dataclass(frozen=True)
class SumTile:
    """The way back: for each of the ``inputs`` of a group the sum over its ``outputs``; else the same."""

    inputs: int
    outputs: int

    def write(self, code: Code, args: TileArguments) -> None:
        """For each input of a vector of groups a sum of vectors, and these one beside the other."""
        inputs, outputs, lanes = self.inputs, self.outputs, code.lanes

        def block(x: Value, y: Value, groups: Value | None) -> None:
            sums = []
            for number in range(inputs):
                vectors = _load_vectors(code, code.offset(x, code.times(number, args.tap_stride)), outputs, groups)
                of = [[divmod(lane * outputs + output, lanes) for lane in range(lanes)] for output in range(outputs)]
                sums.append(reduce(code.add, [_gather(code, vectors, each) for each in of]))
            of_all = [(offset % inputs, offset // inputs) for offset in range(inputs * lanes)]
            found = [_gather(code, sums, of_all[offset : offset + lanes]) for offset in range(0, len(of_all), lanes)]
            _store_vectors(code, found, y, groups)

        with code.loop(0, args.places) as row:
            x = code.offset(args.x, code.times(row, args.extra))
            y = code.offset(args.y, code.times(row, code.times(args.taps, inputs)))
            _repeat_over_groups(code, args.taps, (x, outputs), (y, inputs), block)


def _repeat_over_groups(code: Code, groups: Value, x: tuple[Value, int], y: tuple[Value, int], block: Block) -> None:
    """A block for each vector of groups, then for the rest; ``x`` and ``y`` are pointers and elements of a group."""
    whole = code.round_down(groups, code.lanes)

    def offset(pointer: tuple[Value, int], group: Value) -> Value:
        return code.offset(pointer[0], code.times(group, pointer[1]))

    with code.loop(0, whole, code.lanes) as group:
        block(offset(x, group), offset(y, group), None)
    with code.loop(whole, groups, code.lanes) as group:
        block(offset(x, group), offset(y, group), code.minus(groups, group))


def _load_vectors(code: Code, pointer: Value, many: int, groups: Value | None) -> list[Value]:
    """Vectors of ``many`` numbers of each group."""
    return [
        code.load(code.offset(pointer, offset), _count_left(code, many, groups, offset))
        for offset in range(0, many * code.lanes, code.lanes)
    ]


def _store_vectors(code: Code, vectors: Sequence[Value], pointer: Value, groups: Value | None) -> None:
    for part, vector in enumerate(vectors):
        offset = part * code.lanes
        code.store(vector, code.offset(pointer, offset), _count_left(code, len(vectors), groups, offset))


def _count_left(code: Code, many: int, groups: Value | None, offset: int) -> Value:
    """Numbers from an element on, of ``many`` of each group; 0 for whole vectors."""
    return 0 if groups is None else code.minus(code.times(groups, many), offset)


def _gather(code: Code, vectors: Sequence[Value], of: Sequence[tuple[int, int]]) -> Value:
    """A vector whose lanes are (vector, lane) of several: each gives those that it has."""
    first, *others = sorted({vector for vector, _ in of})
    found = vectors[first]
    if [lane for _, lane in of] != list(range(code.lanes)) or others:
        found = code.shuffle(found, found, [lane if vector == first else 0 for vector, lane in of])
    for other in others:
        lanes = [code.lanes + lane if vector == other else offset for offset, (vector, lane) in enumerate(of)]
        found = code.shuffle(found, vectors[other], lanes)
    return found


@lru_cache(maxsize=KEPT_SCHEDULES)
def build_repeat_program(
    problem: ConvProblem, threads: int, processor: Processor, is_input_gradient: bool
) -> TileProgram:
    """The program from an input of a problem to that of :func:`~xconv.direct.multiplier.alone`, or back."""
    p, made = problem, Schedule()
    inputs, outputs = p.group_in, p.group_out
    tile = made.add_tile((SumTile if is_input_gradient else RepeatTile)(inputs, outputs))
    rows, step = p.outer * p.length * p.inner, p.inner * p.out_channels
    if inputs == 1:  # all rows are one
        start = np.arange(0, rows * p.groups, BLOCK_INPUTS)
        fields = {"x": start, "y": start * outputs, "taps": np.minimum(BLOCK_INPUTS, rows * p.groups - start)}
    else:
        many = p.inner if p.inner > 1 else max(BLOCK_INPUTS // p.in_channels, 1)
        start = np.arange(0, rows, many)
        places, row_stride = np.minimum(many, rows - start), p.out_channels if p.inner > 1 else inputs * step
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

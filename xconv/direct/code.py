"""Writing LLVM code: loops, vectors and sums in registers, so that what is made of them reads as loops."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeAlias

from llvmlite import ir

from xconv.direct.machine import ITEM

Value: TypeAlias = Any
"""A value of LLVM's, or a Python integer that is known while the code is written."""

INT = ir.IntType(64)
NUMBER = {"float32": ir.FloatType(), "float64": ir.DoubleType()}
_SUFFIX = {"float32": "f32", "float64": "f64"}
_INDEX, _BIT = ir.IntType(32), ir.IntType(1)


class Code:
    """A function that is being written. Pointers count in elements; vectors have the machine's lanes."""

    def __init__(self, function: ir.Function, dtype: str, lanes: int) -> None:
        self.function, self.dtype, self.lanes = function, dtype, lanes
        self.vector = ir.VectorType(NUMBER[dtype], lanes)
        self._variables = ir.IRBuilder(function.append_basic_block())
        self._begin = function.append_basic_block()
        self.builder = ir.IRBuilder(self._begin)

    def finish(self) -> None:
        """Return."""
        self.builder.ret_void()
        self._variables.branch(self._begin)

    # --- integers ---

    def value(self, number: Value) -> Value:
        """An integer as LLVM has it."""
        return ir.Constant(INT, number) if isinstance(number, int) else number

    def plus(self, a: Value, b: Value) -> Value:
        """A sum of integers."""
        return a + b if isinstance(a, int) and isinstance(b, int) else self.builder.add(self.value(a), self.value(b))

    def times(self, a: Value, b: Value) -> Value:
        """A product of integers."""
        return a * b if isinstance(a, int) and isinstance(b, int) else self.builder.mul(self.value(a), self.value(b))

    def minus(self, a: Value, b: Value) -> Value:
        """A difference of integers."""
        return a - b if isinstance(a, int) and isinstance(b, int) else self.builder.sub(self.value(a), self.value(b))

    def smaller(self, a: Value, b: Value) -> Value:
        """Whether an integer is smaller than another."""
        return self.builder.icmp_signed("<", self.value(a), self.value(b))

    def either(self, which: Value, a: Value, b: Value) -> Value:
        """The first of two integers where something holds, else the second."""
        return self.builder.select(which, self.value(a), self.value(b))

    def least(self, a: Value, b: Value) -> Value:
        """The smaller of two integers."""
        return self.either(self.smaller(a, b), a, b)

    def whole(self, count: Value, step: int) -> Value:
        """The largest multiple of ``step`` up to a count."""
        if isinstance(count, int):
            return count // step * step
        return count if step == 1 else self.times(self.builder.sdiv(self.value(count), self.value(step)), step)

    # --- variables and loops ---

    def variable(self, initial: Value) -> Value:
        """A variable, which LLVM keeps in a register."""
        initial = self.value(initial)
        place = self._variables.alloca(initial.type)
        self.builder.store(initial, place)
        return place

    def get(self, variable: Value) -> Value:
        """The value of a variable."""
        return self.builder.load(variable)

    def set(self, variable: Value, value: Value) -> None:
        """Give a variable another value."""
        self.builder.store(value, variable)

    @contextmanager
    def loop(self, start: Value, stop: Value, step: Value = 1) -> Iterator[Value]:
        """``for index in range(start, stop, step)``."""
        head, body, end = (self.function.append_basic_block() for _ in range(3))
        place = self.variable(start)
        self.builder.branch(head)
        self.builder.position_at_end(head)
        index = self.get(place)
        self.builder.cbranch(self.builder.icmp_signed("<", index, self.value(stop)), body, end)
        self.builder.position_at_end(body)
        yield index
        self.set(place, self.plus(index, step))
        self.builder.branch(head)
        self.builder.position_at_end(end)

    def switch(self, which: Value, cases: Sequence[Callable[[], Any]]) -> None:
        """Write code for each value from 0 on."""
        end = self.function.append_basic_block()
        choice = self.builder.switch(which, end)
        for number, case in enumerate(cases):
            block = self.function.append_basic_block()
            choice.add_case(self.value(number), block)
            self.builder.position_at_end(block)
            case()
            self.builder.branch(end)
        self.builder.position_at_end(end)

    def each(self, count: int, body: Callable[[Value], None]) -> None:
        """``body`` for each index up to a count that is known; a single one needs no loop."""
        if count == 1:
            body(0)
        else:
            with self.loop(0, count) as index:
                body(index)

    # --- memory ---

    def at(self, pointer: Value, *offsets: Value) -> Value:
        """A pointer so many elements further."""
        for offset in offsets:
            if not (isinstance(offset, int) and offset == 0):
                pointer = self.builder.gep(pointer, [self.value(offset)])
        return pointer

    def within(self, element: Value, length: Value, pointer: Value, otherwise: Value) -> Value:
        """The pointer of an element if it is one of ``length``, else the other pointer."""
        inside = self.builder.icmp_unsigned("<", self.value(element), self.value(length))
        return self.builder.select(inside, pointer, otherwise)

    def load(self, pointer: Value, tail: Value = 0) -> Value:
        """A vector; with ``tail``, only that many of its numbers, and zeros."""
        place = self.builder.bitcast(pointer, self.vector.as_pointer())
        if isinstance(tail, int) and not tail:
            loaded = self.builder.load(place)
            loaded.align = ITEM[self.dtype]
            return loaded
        what = ir.FunctionType(self.vector, [place.type, _INDEX, self._mask_type, self.vector])
        return self._call("llvm.masked.load", what, ".p0", place, self._align, self._mask(tail), self.zero())

    def store(self, vector: Value, pointer: Value, tail: Value = 0) -> None:
        """A vector; with ``tail``, only that many of its numbers."""
        place = self.builder.bitcast(pointer, self.vector.as_pointer())
        if isinstance(tail, int) and not tail:
            self.builder.store(vector, place).align = ITEM[self.dtype]
            return
        what = ir.FunctionType(ir.VoidType(), [self.vector, place.type, _INDEX, self._mask_type])
        self._call("llvm.masked.store", what, ".p0", vector, place, self._align, self._mask(tail))

    def stream(self, vector: Value, pointer: Value) -> None:
        """A whole line of memory, past the caches: it is not read before it is written."""
        stored = self.builder.store(vector, self.builder.bitcast(pointer, self.vector.as_pointer()))
        stored.align = self.lanes * ITEM[self.dtype]
        stored.set_metadata("nontemporal", self.function.module.add_metadata([ir.Constant(_INDEX, 1)]))

    def copy(self, pointer: Value, to: Value) -> None:
        """A single number."""
        self.builder.store(self.builder.load(pointer), to)

    def fetch(self, pointer: Value, level: int = 1, to_write: bool = False) -> None:
        """Bring a line of memory into the cache of a level, and make it the core's own if it is to be written."""
        place = self.builder.bitcast(pointer, ir.IntType(8).as_pointer())
        what = ir.FunctionType(ir.VoidType(), [place.type, _INDEX, _INDEX, _INDEX])
        write, locality, data = (ir.Constant(_INDEX, number) for number in (int(to_write), 4 - level, 1))
        self._function("llvm.prefetch.p0", what, place, write, locality, data)

    def spread(self, pointer: Value) -> Value:
        """The number at a pointer, in every lane."""
        return self._spread(self.vector, self.builder.load(pointer))

    # --- arithmetic ---

    def zero(self) -> Value:
        """Zeros."""
        return ir.Constant(self.vector, [0.0] * self.lanes)

    def picked(self, a: Value, b: Value, lanes: Sequence[int]) -> Value:
        """A vector of lanes of two: those of the second are counted after those of the first."""
        which = ir.Constant(ir.VectorType(_INDEX, len(lanes)), list(lanes))
        return self.builder.shuffle_vector(a, b, which)

    def transposed(self, rows: Sequence[Value]) -> list[Value]:
        """The columns of as many vectors as each has lanes: halves are interleaved, as often as a lane has bits."""
        half = self.lanes // 2
        low = [lane // 2 + self.lanes * (lane % 2) for lane in range(self.lanes)]
        high = [lane + half for lane in low]
        found = list(rows)
        for _ in range(self.lanes.bit_length() - 1):
            found = [self.picked(found[row], found[row + half], lanes) for row in range(half) for lanes in (low, high)]
        return found

    def add_product(self, total: Value, a: Value, b: Value) -> None:
        """Add ``a * b`` to a variable, rounded once."""
        what = ir.FunctionType(self.vector, [self.vector] * 3)
        self.set(total, self._call("llvm.fma", what, "", a, b, self.get(total)))

    def add(self, a: Value, b: Value) -> Value:
        """A sum of vectors, or of numbers."""
        return self.builder.fadd(a, b)

    def bias(self, a: Value) -> Value:
        """A vector or a number to be added to finished sums, which are never -0.0 then: -0.0 becomes 0.0.

        A sum that underflowed to -0.0 stays so where padding is left out, and not where zeros are multiplied instead.
        """
        return self.builder.fadd(a, ir.Constant(a.type, [0.0] * self.lanes if a.type == self.vector else 0.0))

    def sum_of_lanes(self, vector: Value) -> Value:
        """A number: the upper half of a vector is added to the lower one until one is left."""
        half = self.lanes // 2
        while half:
            low, high = (self.picked(vector, vector, range(start, start + half)) for start in (0, half))
            vector, half = self.add(low, high), half // 2
        return self.builder.extract_element(vector, ir.Constant(_INDEX, 0))

    @property
    def _mask_type(self) -> Any:
        return ir.VectorType(_BIT, self.lanes)

    @property
    def _align(self) -> Value:
        return ir.Constant(_INDEX, ITEM[self.dtype])

    def _mask(self, count: Value) -> Value:
        if isinstance(count, int):
            return ir.Constant(self._mask_type, [lane < count for lane in range(self.lanes)])
        lanes = ir.VectorType(_INDEX, self.lanes)
        limit = self._spread(lanes, self.builder.trunc(count, _INDEX))
        return self.builder.icmp_signed("<", ir.Constant(lanes, list(range(self.lanes))), limit)

    def _spread(self, vector: Any, number: Value) -> Value:
        none = ir.Constant(vector, ir.Undefined)
        first = self.builder.insert_element(none, number, ir.Constant(_INDEX, 0))
        lanes = ir.Constant(ir.VectorType(_INDEX, self.lanes), [0] * self.lanes)
        return self.builder.shuffle_vector(first, none, lanes)

    def _call(self, name: str, what: Any, suffix: str, *arguments: Value, flags: tuple[str, ...] = ()) -> Value:
        return self._function(f"{name}.v{self.lanes}{_SUFFIX[self.dtype]}{suffix}", what, *arguments, flags=flags)

    def _function(self, name: str, what: Any, *arguments: Value, flags: tuple[str, ...] = ()) -> Value:
        module = self.function.module
        return self.builder.call(module.globals.get(name) or ir.Function(module, what, name), arguments, fastmath=flags)


def nothing() -> ir.Module:
    """A module that does nothing, to try whether there can be one."""
    module = ir.Module()
    run = ir.Function(module, ir.FunctionType(ir.VoidType(), [INT] * 5), "run")
    ir.IRBuilder(run.append_basic_block()).ret_void()
    return module

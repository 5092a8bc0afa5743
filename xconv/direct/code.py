"""Writes functions in LLVM's text: integers, loops, vectors in memory, and sums in registers.

Text is written directly, which takes a third of the time that llvmlite's builder and its printing take.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple, TypeAlias

from xconv.direct.processor import ITEM_BYTES

Value: TypeAlias = Any
"""An :class:`Operand`, or a Python integer that is known while the code is written."""

INT = "i64"
NUMBER = {"float32": "float", "float64": "double"}
_SUFFIX = {"float32": "f32", "float64": "f64"}


class Operand(NamedTuple):
    """A value in LLVM's text: its type, its name or constant, and for a pointer the type of its elements."""

    type_name: str
    text: str
    element: str = ""

    def __str__(self) -> str:
        """The type and the name, as arguments are written."""
        return f"{self.type_name} {self.text}"


class Variable:
    """A value that changes in loops; ``value`` is its current one where code is being written."""

    def __init__(self, value: Operand) -> None:
        self.value = value


class _Loop:
    """A loop that is being written.

    Attributes:
        begin: for each variable that it reads or sets, the value at the begin of an iteration (the result of a phi),
            and the value before the loop; the same value twice for a variable that is made in the loop.
    """

    def __init__(self) -> None:
        self.begin: dict[Variable, tuple[Operand, Operand]] = {}


def pointer_to(element: str) -> Operand:
    """An argument that points to elements of a type, before it has a name."""
    return Operand("ptr", "", element)


INTEGER = Operand(INT, "")
"""An integer argument, before it has a name."""


class Code:
    """A function that is being written. Offsets count elements; vectors have ``lanes`` numbers of ``dtype``."""

    def __init__(self, name: str, arguments: Sequence[Operand], dtype: str, lanes: int, *, shared: bool = True) -> None:
        """``arguments`` are without names; without ``shared`` no two of them point to the same memory."""
        self.name, self.dtype, self.lanes = name, dtype, lanes
        self.number = NUMBER[dtype]
        self.vector = f"<{lanes} x {self.number}>"
        self.arguments = [argument._replace(text=f"%a{place}") for place, argument in enumerate(arguments)]
        self._noalias = "" if shared else "noalias "
        self._declared: dict[str, None] = {}
        self._lines: list[str] = ["b0:"]
        self._block_label = "b0"
        self._loops: list[_Loop] = []
        self._offsets: dict[str, tuple[Operand, int]] = {}
        self._sums: dict[str, dict[tuple[str, str], Operand]] = {}
        self._count = 0

    def finish(self) -> str:
        """End the function with a return; its text, with the declarations of what it calls."""
        self._lines.append("ret void")
        arguments = ", ".join(
            f"{a.type_name} {self._noalias if a.type_name == 'ptr' else ''}{a.text}" for a in self.arguments
        )
        # nounwind: no exception passes through it, so no unwind table is kept
        begin = f"define void @{self.name}({arguments}) nounwind {{"
        return "\n".join([*self._declared, begin, *self._lines, "}", ""])

    # --- integers ---

    def value(self, number: Value) -> Value:
        """An integer as an operand."""
        return Operand(INT, str(number)) if isinstance(number, int) else number

    def plus(self, a: Value, b: Value) -> Value:
        """A sum of integers."""
        if isinstance(a, int) and isinstance(b, int):
            return a + b
        return a if b == 0 else b if a == 0 else self._emit_integer("add", a, b)

    def times(self, a: Value, b: Value) -> Value:
        """A product of integers."""
        if 0 in (a, b) or (isinstance(a, int) and isinstance(b, int)):
            return 0 if 0 in (a, b) else a * b
        return a if b == 1 else b if a == 1 else self._emit_integer("mul", a, b)

    def minus(self, a: Value, b: Value) -> Value:
        """A difference of integers."""
        return a - b if isinstance(a, int) and isinstance(b, int) else self._emit_integer("sub", a, b)

    def is_less(self, a: Value, b: Value) -> Value:
        """Whether an integer is smaller than another."""
        return self._emit_integer("icmp slt", a, b, "i1")

    def select(self, condition: Value, a: Value, b: Value) -> Value:
        """``a`` if a condition holds, else ``b``."""
        return self._select(condition, self.value(a), self.value(b))

    def minimum(self, a: Value, b: Value) -> Value:
        """The smaller of two integers."""
        return self.select(self.is_less(a, b), a, b)

    def round_down(self, count: Value, step: int) -> Value:
        """The largest multiple of ``step`` up to a count."""
        if isinstance(count, int):
            return count // step * step
        return count if step == 1 else self.times(self._emit_integer("sdiv", count, step), step)

    # --- variables and loops ---

    def variable(self, initial: Value) -> Variable:
        """A new variable, which LLVM keeps in a register."""
        made = Variable(self.value(initial))
        for loop in self._loops:  # it is made anew in each iteration
            loop.begin[made] = made.value, made.value
        return made

    def get(self, variable: Variable) -> Value:
        """The current value of a variable."""
        for loop in self._loops:  # from the outermost on
            if variable not in loop.begin:
                begin = self._name_like(variable.value)
                loop.begin[variable], variable.value = (begin, variable.value), begin
        return variable.value

    def set(self, target: Value, value: Value) -> None:
        """Set a variable, or store a number at a pointer."""
        if isinstance(target, Variable):
            self.get(target)
            target.value = value
        else:
            self._lines.append(f"store {value}, {target}")

    @contextmanager
    def loop(self, start: Value, stop: Value, step: Value = 1) -> Iterator[Value]:
        """``for index in range(start, stop, step)``."""
        place, before, loop = self.variable(start), self._block_label, _Loop()
        head = self._start_block()
        first = len(self._lines)
        self._loops.append(loop)
        index = self.get(place)
        body, end = self._new_label(), self._new_label()
        inside = self._emit_integer("icmp slt", index, stop, "i1")
        self._lines += [f"br {inside}, label %{body}, label %{end}", f"{body}:"]
        self._block_label = body
        yield index
        self.set(place, self.plus(index, step))
        self._lines += [f"br label %{head}", f"{end}:"]
        after, self._block_label = self._block_label, end
        self._loops.pop()
        phis = []
        for variable, (begin, initial) in loop.begin.items():
            if begin is not initial:
                values = f"[ {initial.text}, %{before} ], [ {variable.value.text}, %{after} ]"
                phis.append(f"{begin.text} = phi {begin.type_name} {values}")
                variable.value = begin
        self._lines[first:first] = phis

    def repeat(self, count: int, body: Callable[[Value], None]) -> None:
        """Write ``body`` for each index below a count: no loop for a count of 1, no code for 0."""
        if count == 1:
            body(0)
        elif count:
            with self.loop(0, count) as index:
                body(index)

    # --- memory ---

    def offset(self, pointer: Value, *offsets: Value) -> Value:
        """A pointer moved by the sum of ``offsets``, in elements."""
        base, known = self._offsets.get(pointer.text, (pointer, 0))
        for offset in offsets:
            if isinstance(offset, int):
                known += offset
            else:
                base = self._offset_by(base, offset)
        if not known:
            return base
        found = self._offset_by(base, self.value(known))
        self._offsets[found.text] = base, known
        return found

    def _offset_by(self, base: Operand, offset: Operand) -> Operand:
        """A pointer moved once more; written once in a block.

        Known offsets are added last, where they become part of a load or store.
        """
        sums = self._sums.setdefault(self._block_label, {})
        found = sums.get((base.text, offset.text))
        if found is None:
            found = self._emit("ptr", f"getelementptr {base.element}, {base}, {offset}", base.element)
            sums[base.text, offset.text] = found
        return found

    def select_inside(self, element: Value, length: Value, pointer: Value, otherwise: Value) -> Value:
        """``pointer`` if ``0 <= element < length``, else ``otherwise``."""
        return self._select(self._emit_integer("icmp ult", element, length, "i1"), pointer, otherwise)

    def load_number(self, pointer: Value) -> Value:
        """Load the element at a pointer."""
        return self._emit(pointer.element, f"load {pointer.element}, {pointer}")

    def load(self, pointer: Value, tail: Value = 0) -> Value:
        """Load a vector; with ``tail``, that many numbers, and zeros behind them."""
        if isinstance(tail, int) and not tail:
            return self._emit(self.vector, f"load {self.vector}, {pointer}, align {ITEM_BYTES[self.dtype]}")
        return self._call_on_vectors(
            "llvm.masked.load", pointer, self._align, self._make_mask(tail), self.zero(), suffix=".p0"
        )

    def store(self, vector: Value, pointer: Value, tail: Value = 0) -> None:
        """Store a vector; with ``tail``, only that many of its numbers."""
        if isinstance(tail, int) and not tail:
            self._lines.append(f"store {vector}, {pointer}, align {ITEM_BYTES[self.dtype]}")
            return
        name = f"llvm.masked.store.v{self.lanes}{_SUFFIX[self.dtype]}.p0"
        self.call_named(name, vector, pointer, self._align, self._make_mask(tail))

    def store_past_caches(self, vector: Value, pointer: Value) -> None:
        """Store a vector that is a whole cache line past the caches: memory is not read before it is written."""
        self._declared["!0 = !{i32 1}"] = None
        self._lines.append(f"store {vector}, {pointer}, align {self.lanes * ITEM_BYTES[self.dtype]}, !nontemporal !0")

    def copy(self, pointer: Value, target: Value) -> None:
        """Copy the element at a pointer to another."""
        self.set(target, self.load_number(pointer))

    def prefetch(self, pointer: Value, level: int = 1, to_write: bool = False) -> None:
        """Prefetch a cache line into the cache of a level, for reading or for writing."""
        how = (Operand("i32", str(number)) for number in (int(to_write), 4 - level, 1))
        self.call_named("llvm.prefetch.p0", pointer, *how)

    def broadcast(self, pointer: Value) -> Value:
        """A vector with the number at a pointer in every lane."""
        return self._broadcast(self.load_number(pointer))

    # --- arithmetic ---

    def zero(self) -> Value:
        """A vector of zeros."""
        return Operand(self.vector, "zeroinitializer")

    def shuffle(self, a: Value, b: Value, lanes: Sequence[int]) -> Value:
        """A vector of the given lanes of two vectors; the lanes of ``b`` count on after those of ``a``."""
        condition = ", ".join(f"i32 {lane}" for lane in lanes)
        type_name = f"<{len(lanes)} x {self.number}>"
        return self._emit(type_name, f"shufflevector {a}, {b}, <{len(lanes)} x i32> <{condition}>")

    def transpose(self, rows: Sequence[Value]) -> list[Value]:
        """The columns of a square of vectors, as vectors: their halves are interleaved log2(lanes) times."""
        half = self.lanes // 2
        low = [lane // 2 + self.lanes * (lane % 2) for lane in range(self.lanes)]
        high = [lane + half for lane in low]
        found = list(rows)
        for _ in range(self.lanes.bit_length() - 1):
            found = [self.shuffle(found[row], found[row + half], lanes) for row in range(half) for lanes in (low, high)]
        return found

    def add_product(self, total: Value, a: Value, b: Value) -> None:
        """Add ``a * b`` to a variable, rounded once."""
        self.set(total, self._call_on_vectors("llvm.fma", a, b, self.get(total)))

    def add(self, a: Value, b: Value) -> Value:
        """A sum of vectors, or of numbers."""
        return self._emit(a.type_name, f"fadd {a}, {b.text}")

    def without_negative_zero(self, a: Value) -> Value:
        """A vector or a number with 0.0 for -0.0, so that a sum to which it is added is not -0.0 either.

        A sum that underflowed to -0.0 would stay so where padding is skipped, and become 0.0 where it is multiplied.
        """
        return self._emit(a.type_name, f"fadd {a}, {'zeroinitializer' if a.type_name == self.vector else '0.0'}")

    def sum_lanes(self, vector: Value) -> Value:
        """The sum of a vector's lanes: its upper half is added to its lower half until one number is left."""
        half = self.lanes // 2
        while half:
            low, high = (self.shuffle(vector, vector, range(start, start + half)) for start in (0, half))
            vector, half = self.add(low, high), half // 2
        return self._emit(self.number, f"extractelement {vector}, i32 0")

    # --- functions ---

    def call_named(self, name: str, *arguments: Operand, gives: str = "void", flags: str = "") -> Value:
        """Call a function of LLVM or of the same module by name; ``gives`` is the type of its result."""
        if name.startswith("llvm."):
            self._declared[f"declare {gives} @{name}({', '.join(each.type_name for each in arguments)})"] = None
        return self.call(Operand("ptr", f"@{name}"), *arguments, gives=gives, flags=flags)

    def call(self, function: Operand, *arguments: Operand, gives: str = "void", flags: str = "") -> Value:
        """Call the function at a pointer."""
        what = f"call {flags}{gives} {function.text}({', '.join(map(str, arguments))})"
        if gives != "void":
            return self._emit(gives, what)
        self._lines.append(what)
        return None

    def to_pointer(self, integer: Operand, element: str) -> Operand:
        """An address as a pointer to elements of a type."""
        return self._emit("ptr", f"inttoptr {integer} to ptr", element)

    def zero_extend(self, integer: Operand) -> Operand:
        """An integer of 32 bits as one of 64."""
        return self._emit(INT, f"zext {integer} to {INT}")

    def fence(self) -> None:
        """Make stores, those past the caches included, visible to other threads."""
        self._lines.append("fence seq_cst")

    # --- how it is written ---

    @property
    def _align(self) -> Operand:
        return Operand("i32", str(ITEM_BYTES[self.dtype]))

    def _make_mask(self, count: Value) -> Operand:
        type_name = f"<{self.lanes} x i1>"
        if isinstance(count, int):
            return Operand(type_name, f"<{', '.join(f'i1 {int(lane < count)}' for lane in range(self.lanes))}>")
        limit = self._broadcast(self._emit("i32", f"trunc {count} to i32"))
        lanes = ", ".join(f"i32 {lane}" for lane in range(self.lanes))
        return self._emit(type_name, f"icmp slt {limit.type_name} <{lanes}>, {limit.text}")

    def _broadcast(self, number: Operand) -> Operand:
        type_name = f"<{self.lanes} x {number.type_name}>"
        first = self._emit(type_name, f"insertelement {type_name} undef, {number}, i32 0")
        lanes = f"<{self.lanes} x i32> zeroinitializer"
        return self._emit(type_name, f"shufflevector {first}, {type_name} undef, {lanes}")

    def _call_on_vectors(self, name: str, *arguments: Operand, suffix: str = "") -> Value:
        return self.call_named(f"{name}.v{self.lanes}{_SUFFIX[self.dtype]}{suffix}", *arguments, gives=self.vector)

    def _emit_integer(self, what: str, a: Value, b: Value, type_name: str = INT) -> Operand:
        return self._emit(type_name, f"{what} {self.value(a)}, {self.value(b).text}")

    def _select(self, condition: Operand, a: Operand, b: Operand) -> Operand:
        return self._emit(a.type_name, f"select {condition}, {a}, {b}", a.element)

    def _emit(self, type_name: str, what: str, element: str = "") -> Operand:
        found = self._name_like(Operand(type_name, "", element))
        self._lines.append(f"{found.text} = {what}")
        return found

    def _name_like(self, like: Operand) -> Operand:
        self._count += 1
        return Operand(like.type_name, f"%v{self._count}", like.element)

    def _new_label(self) -> str:
        self._count += 1
        return f"b{self._count}"

    def _start_block(self) -> str:
        label = self._new_label()
        self._lines += [f"br label %{label}", f"{label}:"]
        self._block_label = label
        return label

"""A case with its calls and operands spelled out, so that any of them can be another one."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeAlias

import numpy as np

from xconv.core import reference
from xconv.core.bounds import Enclosure, enclose, round_to
from xconv.core.call import Call
from xconv.core.reference import Floats
from xconv.parity.cases import Case
from xconv.parity.diagnosis.difference import Difference, Prediction
from xconv.parity.expected import expected, terms_of

Map: TypeAlias = Callable[[Floats], Floats]


@dataclass(frozen=True)
class Change:
    """An operand that is read as another array.

    ``adjoint`` is what that does to the gradient for the operand. The operand "y" is the gradient that comes from
    above, and its adjoint acts on the result. A change that only ``moves`` elements fills what is free with zeros.
    """

    name: str
    do: Map
    adjoint: Map
    moves: bool = False


@dataclass(frozen=True)
class _Altered(Case):
    """A case that is resolved to given calls."""

    altered: tuple[Call, ...] = field(default=(), hash=False)

    def calls(self) -> list[Call]:
        return list(self.altered)


@dataclass(frozen=True)
class Setting:
    """One array of a case on given inputs."""

    case: Case
    array: str
    inputs: tuple[Floats, ...]
    dtype: str
    kind: str
    calls: tuple[Call, ...]
    lengths: tuple[dict[str, int], ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """What the inputs are called; the last is "y", the gradient for the result."""
        return ("x", *self.case.weight_names, *(["bias"] if self.case.bias else []), "y")

    @property
    def operands(self) -> dict[str, Floats]:
        """The inputs by name."""
        return dict(zip(self.names, self.inputs, strict=True))

    @property
    def own(self) -> str:
        """The operand that the array is the gradient for: it does not depend on its values."""
        return "y" if self.array == "y" else self.array[1:]

    def depends_on(self, name: str) -> bool:
        """Whether the array depends on the values of an operand."""
        if self.array in ("y", "dx"):
            return name not in ({"y"} if self.array == "y" else {"x", "bias"})
        return name == "y" or (self.array != "dbias" and name not in (self.own, "bias"))

    def prediction(
        self,
        condition: str,
        difference: Difference,
        *,
        calls: Sequence[Call] | None = None,
        changes: Sequence[Change] = (),
    ) -> Prediction | None:
        """The array with other calls and operands, or None if it would be the same or of another shape."""
        altered = self.calls if calls is None else tuple(calls)
        mine = [change for change in changes if change.name == self.own]
        others = [change for change in changes if self.depends_on(change.name)]
        if altered == self.calls and not others:
            return self._own_changed(condition, difference, mine) if mine else None
        shape = self.inputs[0].shape
        for call in altered:
            shape = call.result_shape(shape)
        if shape != (difference.got.shape if self.array == "y" else self.inputs[-1].shape):
            return None
        operands = self.operands
        for change in others:
            operands[change.name] = change.do(operands[change.name])

        def after(array: Floats) -> Floats:
            for change in mine:
                array = change.adjoint(array)
            return array

        def bound() -> Enclosure:
            case = _Altered(**vars(self.case), altered=altered)
            inputs = [operands[name] for name in self.names]
            found = expected(case, inputs, self.dtype, self.array != "y", "normal", self.lengths)[self.array]
            return Enclosure(after(found.value), np.abs(after(found.error)))

        with np.errstate(invalid="ignore"):
            value = after(self.value(altered, operands))
        return Prediction(condition, value, bound, self.far(altered, operands))

    def value(self, calls: Sequence[Call], operands: dict[str, Floats]) -> Floats:
        """The array by the reference; on integers what is passed between calls is rounded to the dtype.

        Args:
            calls: that the operation is made of.
            operands: "x", the weights, "bias" if there is one, and "y", the gradient for the result, in the caller's
                layout.

        Returns:
            float64, of the shape of the array that is explained.
        """
        between: Map = partial(round_to, self.dtype) if self.kind == "integers" else np.asarray
        weights = [operands[name] for name in self.case.weight_names]
        number = self.case.weight_names.index(self.own) if self.own in self.case.weight_names else 0
        above, x = operands["y"], operands["x"]
        if self.array == "dbias":
            channel = calls[-1].layout.to_channels_last[-1]
            total: Floats = above.sum(tuple(axis for axis in range(above.ndim) if axis != channel))
            return total
        if self.array == "y":
            for call, weight in zip(calls[:-1], weights[:-1], strict=True):
                x = between(reference.apply(call, x, weight))
            return reference.apply(calls[-1], x, weights[-1], operands.get("bias"))
        for call, weight in zip(calls[:number], weights[:number], strict=True):
            x = between(reference.apply(call, x, weight))
        for call, weight in zip(calls[:number:-1], weights[:number:-1], strict=True):
            above = between(reference.input_adjoint(call, above, weight))
        if self.array == "dx":
            return reference.input_adjoint(calls[0], above, weights[0])
        return reference.weight_adjoint(calls[number], x, above)

    def magnitude(self) -> Floats:
        """The sum of the magnitudes of the products in each element."""
        return self.value(self.calls, {name: np.abs(array) for name, array in self.operands.items()})

    def terms(self) -> int:
        """Products in one element, over all calls."""
        which = "dweight" if self.array.startswith("dweight") else self.array
        return sum(terms_of(call, which) for call in self.calls) + 1

    def _own_changed(self, condition: str, difference: Difference, changes: Sequence[Change]) -> Prediction | None:
        places = difference.places()
        if all(change.moves for change in changes):
            for change in changes:
                places = change.adjoint((places + 1).astype(np.float64)).astype(np.intp) - 1
            return difference.rearranged(condition, places)
        value, error = difference.wanted.value, difference.wanted.error
        for change in changes:
            value, error = change.adjoint(value), np.abs(change.adjoint(error))
        return Prediction(condition, value, lambda: Enclosure(value, error))

    def far(self, calls: Sequence[Call], operands: dict[str, Floats]) -> float:
        """No element of the bound is larger: that of as many products of the largest operands, call after call.

        Args:
            calls: that the operation is made of.
            operands: as for :meth:`value`.

        Returns:
            A number in the units of the array; inf with Fourier transforms.
        """
        if any(self.lengths):
            return math.inf  # Fourier transforms have a bound of another kind
        largest = {name: Enclosure.exact(_largest(array)) for name, array in operands.items()}
        weights = [largest[name] for name in self.case.weight_names]
        if self.array == "dbias":
            return float(self._product(operands["y"].size, largest["y"], Enclosure.exact(1.0)).error)
        which = "dweight" if self.array.startswith("dweight") else self.array
        a, rest = (largest["x"], weights) if self.array == "y" else (largest["y"], weights[::-1])
        if which == "dweight":
            # through the other call, forward or back, and then the product of x and the gradient
            number = self.case.weight_names.index(self.own)
            a, other = largest["x"], largest["y"]
            for call, weight in zip(calls[:number], weights[:number], strict=True):
                a = self._product(terms_of(call, "y"), a, weight)
            for call, weight in zip(calls[:number:-1], weights[:number:-1], strict=True):
                other = self._product(terms_of(call, "dx"), other, weight)
            return float(self._product(terms_of(calls[number], "dweight"), a, other).error)
        for call, weight in zip(calls if self.array == "y" else calls[::-1], rest, strict=True):
            a = self._product(terms_of(call, which), a, weight, largest.get("bias") if which == "y" else None)
        return float(a.error)

    def _product(self, terms: int, a: Enclosure, b: Enclosure, bias: Enclosure | None = None) -> Enclosure:
        def largest(one: Any, other: Any) -> Any:
            return terms * one * other

        return enclose(largest, a, b, terms=terms, dtype=self.dtype, bias=bias, independent=self.kind == "normal")


def _largest(array: Floats) -> float:
    """The largest finite magnitude."""
    finite = np.abs(array[np.isfinite(array)])
    return float(finite.max()) if finite.size else 0.0

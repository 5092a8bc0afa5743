"""What a tensor of a model sees of the model's input, and how that changes with what is done to its dimensions."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

from xconv.models.fields import Field, WindowTaps, one

Factor: TypeAlias = tuple[int | None, int]
"""A part of a dimension: the spatial axis of the input that it carries, or None, and its size."""


@dataclass(frozen=True)
class TensorField:
    """A tensor's dimensions as products of factors, and the field along each spatial axis of the input.

    An axis that no dimension carries any more has a field that all elements share.
    """

    dims: tuple[tuple[Factor, ...], ...]
    fields: tuple[Field, ...]

    @staticmethod
    def of_input(shape: Sequence[int], spatial: Sequence[int]) -> TensorField:
        """The input itself.

        >>> TensorField.of_input((2, 3, 100), [2]).dims
        (((None, 2),), ((None, 3),), ((0, 100),))
        """
        dims = tuple(((spatial.index(dim) if dim in spatial else None, size),) for dim, size in enumerate(shape))
        return TensorField(dims, tuple(Field() for _ in spatial))

    @property
    def shape(self) -> tuple[int, ...]:
        """The sizes."""
        return tuple(math.prod(size for _, size in dim) for dim in self.dims)

    def axis(self, dim: int) -> int | None:
        """The axis that a dimension carries alone."""
        factors = [factor for factor in self.dims[dim] if factor[1] != 1 or factor[0] is not None]
        return factors[0][0] if len(factors) == 1 else None

    def slid(self, taps: Mapping[int, WindowTaps], shape: Sequence[int]) -> TensorField:
        """After windows along some dimensions, in a shape of as many dimensions."""
        mixed = self.joined(dim for dim in taps if self.axis(dim) is None)
        fields = list(mixed.fields)
        for dim, each in taps.items():
            axis = mixed.axis(dim)
            if axis is not None:
                fields[axis] = fields[axis].through(each)
        return replace(mixed, fields=tuple(fields)).sized(shape)

    def sized(self, shape: Sequence[int]) -> TensorField:
        """With other sizes of the same dimensions; a product of several factors that changes carries none of them."""
        dims = list(self.dims)
        joined = self
        for dim, size in enumerate(shape):
            if size == self.shape[dim]:
                continue
            axis = self.axis(dim)
            if axis is None:
                joined = joined.joined([dim])
            dims[dim] = ((axis, size),)
        return TensorField(tuple(dims), joined.fields)

    def joined(self, dims: Iterable[int] | None = None) -> TensorField:
        """After what mixes all positions of some dimensions, or of all of them."""
        fields = list(self.fields)
        for dim in range(len(self.dims)) if dims is None else dims:
            for axis, size in self.dims[dim]:
                if axis is not None:
                    fields[axis] = fields[axis].all_of(size)
        return replace(self, fields=tuple(fields))

    def arranged(self, sources: Sequence[int | None]) -> TensorField:
        """With other dimensions: for each the one that it was, or None for a new one of size 1; others are joined."""
        left_out = [dim for dim in range(len(self.dims)) if dim not in sources]
        dims = tuple(((None, 1),) if source is None else self.dims[source] for source in sources)
        return TensorField(dims, self.joined(left_out).fields)

    def reduced(self, dims: Iterable[int] | None, rank: int) -> TensorField:
        """After a reduction over some dimensions, or all, kept as ones or left out."""
        over = {dim % len(self.dims) for dim in (range(len(self.dims)) if dims is None else dims)}
        kept: list[int | None] = [None if dim in over else dim for dim in range(len(self.dims))]
        return self.arranged(kept if rank == len(self.dims) else [dim for dim in kept if dim is not None])

    def taken(self, dim: int, position: int) -> TensorField:
        """One position of a dimension, which is left out."""
        dim %= len(self.dims)
        size = self.shape[dim]
        one_output = self.slid({dim: one(position % size)}, [1 if d == dim else s for d, s in enumerate(self.shape)])
        return one_output.arranged([d for d in range(len(self.dims)) if d != dim])

    def reshaped(self, shape: Sequence[int]) -> TensorField:
        """In another shape. A dimension may become a factor of one, and again one; an axis that is cut is joined.

        >>> signal = TensorField.of_input((2, 5, 3), [1])
        >>> signal.reshaped((10, 3)).reshaped((2, 5, 3)) == signal
        True
        """
        fields = list(self.fields)
        left = [factor for dim in self.dims for factor in dim]
        for axis, size in left:
            if axis is not None and size == 1:
                fields[axis] = fields[axis].all_of(1)
        left = [factor for factor in left if factor[1] != 1][::-1]
        dims: list[tuple[Factor, ...]] = []
        for wanted in shape:
            need, dim = wanted, list[Factor]()
            while need > 1:
                axis, size = left.pop()
                if need % size:
                    if axis is not None:
                        fields[axis] = fields[axis].all_of(size)
                        axis = None
                    part = math.gcd(need, size)
                    if part == 1:  # sizes that share no factor are cut across: nothing is kept
                        return TensorField(tuple(((None, each),) for each in shape), self.joined().fields)
                    left.append((None, size // part))
                    size = part
                dim.append((axis, size))
                need //= size
            dims.append(tuple(dim) or ((None, 1),))
        return TensorField(tuple(dims), tuple(fields))


def together(parts: Sequence[TensorField], shape: Sequence[int]) -> TensorField:
    """What is made of several tensors position by position, or of their concatenation along another dimension.

    They are aligned from the last dimension on. One of size 1 is the same at all positions.
    """
    if len(parts) == 1 and parts[0].shape == tuple(shape):
        return parts[0]
    aligned = []
    for part in parts:
        missing = len(shape) - len(part.dims)
        shared = part.joined(dim for dim, size in enumerate(part.shape) if size == 1)
        aligned.append(shared.arranged([None] * missing + [*range(len(part.dims))]))
    dims = [_dim([part.dims[dim] for part in aligned], size) for dim, size in enumerate(shape)]
    # an axis that lies elsewhere in one of them meets every position of it: then no dimension carries it
    carried = [axis for dim in dims for axis in _axes(dim)]
    crossed = {axis for axis in carried if carried.count(axis) > 1}
    for part in aligned:
        crossed |= {axis for dim, factors in enumerate(part.dims) for axis in _axes(factors) - _axes(dims[dim])}
    aligned = [
        part.joined(dim for dim, factors in enumerate(part.dims) if _axes(factors) & crossed) for part in aligned
    ]
    dims = [tuple((None if axis in crossed else axis, size) for axis, size in dim) for dim in dims]
    lengths = {axis: size for dim in dims for axis, size in dim if axis is not None}
    fields = list(aligned[0].fields)
    for part in aligned[1:]:
        for axis, field in enumerate(part.fields):
            fields[axis] = fields[axis].beside(field, lengths.get(axis, 1))
    return TensorField(tuple(dims), tuple(fields))


def concatenated(parts: Sequence[TensorField], dim: int, shape: Sequence[int]) -> TensorField:
    """What several tensors give that are joined along a dimension: an axis of the input that it carries is mixed."""
    if any(part.axis(dim) is not None for part in parts):
        parts = [part.joined([dim]) for part in parts]
    grown = [part.sized([shape[d] if d == dim else size for d, size in enumerate(part.shape)]) for part in parts]
    return together(grown, shape)


def everything(parts: Sequence[TensorField], shape: Sequence[int]) -> TensorField:
    """What all positions of some tensors reach, in any shape."""
    shared = together([part.joined().arranged([]) for part in parts], ())
    return shared.arranged([None] * len(shape)).sized(tuple(shape))


def _dim(candidates: Sequence[tuple[Factor, ...]], size: int) -> tuple[Factor, ...]:
    carrying = [dim for dim in candidates if _axes(dim)]
    for dim in carrying:
        if math.prod(size for _, size in dim) == size:
            return dim
        if len(dim) == 1:
            return ((dim[0][0], size),)
    return ((None, size),)


def _axes(dim: Sequence[Factor]) -> set[int]:
    return {axis for axis, size in dim if axis is not None and size > 1}

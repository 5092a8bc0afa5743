"""The receptive field of a model, layer by layer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from xconv.models.calls import backend_of
from xconv.models.fields import Field
from xconv.system.errors import ArgumentError


@dataclass(frozen=True)
class LayerField:
    """What the positions behind one layer see: ``fields`` along each spatial axis of the model's input."""

    path: str
    layer: str
    output_shape: tuple[int, ...]
    fields: tuple[Field, ...]


@dataclass(frozen=True)
class ReceptiveField:
    """What one output of a model sees of its input. Prints as a table.

    For a 1-D model :attr:`size`, :attr:`stride` and :attr:`start` are numbers of elements, for a 2-D one pairs
    (height, width).

    Attributes:
        axes: the spatial axes: ("length",) or ("height", "width").
        lengths: elements of the input along them.
        layers: those that change the field, in the order in which they run.
        fields: those of the output, one an axis.
        notes: what could not be looked into; it is taken to see all that reaches it.
    """

    axes: tuple[str, ...]
    lengths: tuple[int, ...]
    layers: tuple[LayerField, ...]
    fields: tuple[Field, ...]
    notes: tuple[str, ...] = ()

    @property
    def size(self) -> Any:
        """Elements from the first to the last that one output sees, the padding included.

        Of what all outputs see alike (a global pool, a dense layer over all positions) only those that are there.
        """
        return self._each([_size(*each) for each in zip(self.fields, self.lengths, strict=True)])

    @property
    def stride(self) -> Any:
        """Elements by which the view moves from one output to the next (also called jump); 0 if all see the same."""
        return self._each([_number(field.stride) for field in self.fields])

    @property
    def start(self) -> Any:
        """The first element that output 0 sees; below 0 it lies in the padding."""
        return self._each([_start(field) for field in self.fields])

    @property
    def sees_everything(self) -> bool:
        """Whether each output sees the whole input."""
        return all(_everything(*each) for each in zip(self.fields, self.lengths, strict=True))

    def view(self, *position: int) -> Any:
        """The first and last element that the output at a position sees, without the padding; None if there is none.

        Args:
            position: the index of the output along each axis.

        Returns:
            (first, last), or None; for a 2-D model one for each axis.
        """
        views = []
        for field, length, at in zip(self.fields, self.lengths, position, strict=True):
            seen = field.at(at)
            inside = None if seen is None else (max(seen[0], 0), min(seen[1], length - 1))
            views.append(None if inside is None or inside[0] > inside[1] else inside)
        return self._each(views)

    def _each(self, values: Sequence[Any]) -> Any:
        return values[0] if len(values) == 1 else tuple(values)

    def __str__(self) -> str:
        from tabulate import tabulate

        rows = [
            (
                layer.path,
                layer.layer,
                " x ".join(map(str, layer.output_shape)),
                *(_told(field, length) for field, length in zip(layer.fields, self.lengths, strict=True)),
            )
            for layer in self.layers
        ]
        headers = ["layer", "", "output", *(f"sees along {axis}" for axis in self.axes)]
        sizes = " x ".join(map(str, self.lengths))
        seen = " x ".join(_told(*each) for each in zip(self.fields, self.lengths, strict=True))
        summary = f"Each output sees all of the input ({sizes})" if self.sees_everything else f"One output sees {seen}"
        notes = "".join(f"\n{note}" for note in self.notes)
        return f"{tabulate(rows, headers, disable_numparse=True)}\n{summary}.{notes}"


def receptive_field(model: Any, input_shape: Sequence[int]) -> ReceptiveField:
    """What one output of a torch or Keras model sees of its input, and what each layer adds to that.

    Args:
        model: a ``torch.nn.Module`` (run once on zeros, for inference, and left as it was) or a built or unbuilt Keras
            model (nothing is run).
        input_shape: of the input with the batch, in the model's own layout: 3 axes for a 1-D model, 4 for a 2-D one.

    Returns:
        The fields of the output, and of each layer.

    Raises:
        ArgumentError: it is no model of an installed backend, or the shape is no signal's and no feature map's.

    >>> import torch, xconv
    >>> from torch import nn
    >>> model = nn.Sequential(nn.Conv1d(1, 4, 3), nn.MaxPool1d(2), nn.Conv1d(4, 8, 3, padding=1))
    >>> found = xconv.receptive_field(model, (1, 1, 100))
    >>> found.size, found.stride, found.start
    (8, 2, -2)
    """
    if len(input_shape) not in (3, 4) or not all(isinstance(size, int) and size >= 1 for size in input_shape):
        raise ArgumentError(
            "receptive_field",
            "input_shape",
            str(tuple(input_shape)),
            "the sizes of a signal (3 axes) or of a feature map (4 axes)",
            "with the batch, in the model's own layout",
        )
    found: ReceptiveField = (
        backend_of("receptive_field", "model", model).module("models.fields").receptive_field(model, tuple(input_shape))
    )
    return found


def axes_of(rank: int) -> tuple[str, ...]:
    """The names of the spatial axes of an input."""
    return ("length",) if rank == 3 else ("height", "width")


def largest(fields: Sequence[tuple[Field, ...]]) -> tuple[Field, ...]:
    """Of the fields of several outputs those of the one that sees most."""
    return max(fields, key=lambda each: [(field.shift == 0, field.size) for field in each])


def _everything(field: Field, length: int) -> bool:
    views = field.views if field.shift == 0 else ()
    return bool(views) and all(view is not None and view[0] <= 0 and view[1] >= length - 1 for view in views)


def _size(field: Field, length: int) -> int:
    if field.shift == 0 and field.views[0] is not None:
        first, last = field.views[0]
        return max(0, min(last, length - 1) - max(first, 0) + 1)
    return field.size


def _start(field: Field) -> int | None:
    return field.start if field.shift or field.start is None else max(field.start, 0)


def _number(value: Fraction) -> int | Fraction:
    return value.numerator if value.denominator == 1 else value


def _told(field: Field, length: int) -> str:
    if _everything(field, length):
        return f"all {length}"
    if field.shift == 0:
        return f"{_size(field, length)} of {length}, all the same, from {_start(field)}"
    return f"{field.size}, every {_number(field.stride)}, from {_start(field)}"

"""A model that is followed from its input to its output: what each of its tensors sees, and what is told of it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from xconv.models.field_report import LayerField, ReceptiveField, axes_of, largest
from xconv.models.tensor_field import TensorField


class Follower:
    """Keeps what each tensor sees, and a row for each layer that changes it.

    Args:
        x: the model's input, any object with an identity.
        seen: what it is of the input: itself.
    """

    def __init__(self, x: Any, seen: TensorField) -> None:
        self.known: dict[int, TensorField] = {}
        self.kept: list[Any] = []  # alive, so that no number is used twice
        self.layers: list[LayerField] = []
        self.notes: dict[str, None] = {}
        self.nothing = seen.joined().fields
        self.put(x, seen)

    def put(self, tensor: Any, seen: TensorField) -> None:
        """Keep what a tensor sees."""
        self.known[id(tensor)] = seen
        self.kept.append(tensor)

    def find(self, value: object) -> TensorField | None:
        """What a tensor sees; None for what is none, or does not come from the input."""
        return self.known.get(id(value))

    def note_unknown(self, name: str) -> None:
        """Say that an operation could not be looked into."""
        self.notes[f"{name} cannot be looked into: it is taken to see all that reaches it."] = None

    def report(self, outputs: Iterable[object], lengths: tuple[int, ...]) -> ReceptiveField:
        """The fields of all layers and of the model's outputs, along axes of these lengths."""
        ends = [seen.fields for each in outputs if (seen := self.find(each)) is not None]
        fields = largest(ends or [self.nothing])
        return ReceptiveField(axes_of(len(lengths) + 2), lengths, tuple(self.layers), fields, tuple(self.notes))

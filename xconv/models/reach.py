"""How far the tensors of a network that is converted to 1-D reach into its input, followed layer by layer."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeAlias

from xconv.models.conversion import Axis, LargestReceptiveField

Three: TypeAlias = "tuple[float, float, float]"
Pair: TypeAlias = "tuple[float, float]"


@dataclass(frozen=True)
class Reach:
    """Receptive fields and steps between neighbours, in input elements.

    They are along three axes: the image's that disappears, the image's that stays, and the signal's.

    >>> Reach().behind((3, 5), (1, 1), (2, 2)).behind((3, 3), (1, 1), (1, 1)).fields
    (7, 9, 9)
    """

    fields: Three = (1, 1, 1)
    jumps: Three = (1, 1, 1)

    def after(self, axis: int, kernel: float, dilation: int = 1, step: float = 1) -> Reach:
        """Behind a window along one of the three axes; a step below one is of an upsampling."""
        fields, jumps = list(self.fields), list(self.jumps)
        fields[axis] += (kernel - 1) * dilation * jumps[axis]
        jumps[axis] *= step
        return Reach((fields[0], fields[1], fields[2]), (jumps[0], jumps[1], jumps[2]))

    def behind(self, kernel: tuple[int, int], dilation: tuple[int, int], step: Pair) -> Reach:
        """Behind a 2-D window and its 1-D counterpart; pairs are (along the axis that disappears, along the other)."""
        first = self.after(0, kernel[0], dilation[0], step[0])
        return first.after(1, kernel[1], dilation[1], step[1]).after(2, kernel[1], dilation[1], step[1])

    @staticmethod
    def largest(several: Iterable[Reach]) -> Reach:
        """The largest of several, along each axis; of none, that of the input."""
        each = list(several) or [Reach()]
        fields = [max(along) for along in zip(*(one.fields for one in each), strict=True)]
        jumps = [max(along) for along in zip(*(one.jumps for one in each), strict=True)]
        return Reach((fields[0], fields[1], fields[2]), (jumps[0], jumps[1], jumps[2]))

    def receptive_field(self, axis: Axis) -> LargestReceptiveField:
        """For a report, of a network whose axis disappears."""
        gone, kept, new = map(int, self.fields)
        return LargestReceptiveField((gone, kept) if axis == "height" else (kept, gone), new)

"""One axis of a convolution, told: how the padding resolves, where the output length comes from, and a picture.

The arithmetic is that of Dumoulin and Visin 2016, "A guide to convolution arithmetic for deep learning".
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from xconv.core.problem import ConvProblem

CELLS, HEAD_ROWS = 34, 4
"""Elements that a line of the picture holds, and outputs that are drawn from the low end."""


@dataclass(frozen=True)
class Window:
    """A kernel that slides along one axis.

    ``padding`` is as it was given. Of a transposed convolution the problem is the one whose adjoint it is: its
    ``length`` is the result's, and its padding is what is cropped.
    """

    axis: str
    problem: ConvProblem
    padding: object
    transposed: bool = False

    @property
    def receptive_field(self) -> int:
        """Elements from the first to the last that one output sees; of a transposed one, the most.

        An output of a transposed convolution meets each ``s / gcd(s, d)``-th tap, and their inputs lie
        ``d / gcd(s, d)`` apart.
        """
        problem = self.problem
        if not self.transposed:
            return problem.extent
        common = math.gcd(problem.stride, problem.dilation)
        met = -(-problem.kernel * common // problem.stride)
        return (met - 1) * (problem.dilation // common) + 1

    @property
    def inside(self) -> int:
        """How many of all pairs of an output and a tap meet an element of the signal, and no zero of the padding."""
        problem = self.problem
        if problem.padding_mode != "zeros":
            return int(problem.output_length * problem.kernel)
        pairs = 0
        for tap in range(problem.kernel):
            at = tap * problem.dilation - problem.padding[0]  # what output 0 meets with this tap
            first = max(0, -(at // problem.stride))
            last = min(problem.output_length - 1, (problem.length - 1 - at) // problem.stride)
            pairs += max(0, last - first + 1)
        return pairs

    @property
    def unseen(self) -> int:
        """Elements of the signal that no output sees: between the windows, and after the last.

        0 where the border repeats elements, and so may show them elsewhere.
        """
        problem = self.problem
        low, outputs = problem.padding[0], problem.output_length
        if problem.padding_mode != "zeros":
            return 0
        dense = problem.stride <= problem.kernel if problem.dilation == 1 else problem.stride == 1
        if dense and outputs >= problem.dilation:
            end = (outputs - 1) * problem.stride + problem.extent - low
            return int(problem.length - max(0, min(end, problem.length)))
        seen = bytearray(problem.padded_length)
        for tap in range(0, problem.kernel * problem.dilation, problem.dilation):
            seen[tap : tap + (outputs - 1) * problem.stride + 1 : problem.stride] = b"\1" * outputs
        return int(problem.length - sum(seen[low : low + problem.length]))

    def lines(self) -> list[str]:
        """Where the length of the output comes from, with the numbers put in."""
        problem = self.problem
        taps = f"{problem.kernel} tap{'s' if problem.kernel > 1 else ''}"
        span = f"{taps}, {problem.dilation} apart, span ({problem.kernel} - 1) * {problem.dilation} + 1"
        if problem.dilation == 1:
            span = f"{taps} span"
        of = "elements of the result" if self.transposed else f"of {problem.length} elements"
        lines = [f"{span} {'= ' if problem.dilation > 1 else ''}{problem.extent} {of}"]
        lines.append(self._padding())
        lines.append(self._length())
        return lines

    def picture(self) -> str:
        """The taps of the first outputs and of the last one over the signal; empty where they are too many to draw.

        >>> print(Window("W", ConvProblem(1, 6, 1, 1, 1, 3, stride=2, padding=(1, 1)), 1).picture())
        x       0 x x x x x x 0
        y[0]    # # #
        y[1]        # # #
        y[2]            # # #
        """
        problem = self.problem
        extent, outputs = problem.extent, problem.output_length
        cells = self._cells()
        if outputs < 1 or problem.length < 1 or len([c for c in cells if c is not None]) < extent:
            return ""
        places = {cell for cell in cells if cell is not None}
        drawn = [n for n in range(min(outputs, HEAD_ROWS)) if n * problem.stride + extent - 1 in places]
        drawn = [n for n in drawn if set(range(n * problem.stride, n * problem.stride + extent)) <= places]
        last = (outputs - 1) * problem.stride
        if not drawn:
            return ""
        source, result = ("y", "x") if self.transposed else ("x", "y")
        width = max(6, len(f"{result}[{outputs - 1}]")) + 2
        rows = [source.ljust(width) + " ".join("..." if c is None else self._mark(c, source) for c in cells)]
        rows += [self._row(result, n, cells, width) for n in drawn]
        if outputs - 1 not in drawn:
            if outputs - 2 not in drawn:
                rows.append("...")
            if set(range(last, last + extent)) <= places:
                rows.append(self._row(result, outputs - 1, cells, width))
        return "\n".join(row.rstrip() for row in rows)

    def legend(self) -> str:
        """What the signs of the picture mean."""
        problem = self.problem
        signs = ["# tap"]
        if problem.dilation > 1 and problem.kernel > 1:
            signs.append(". left out by the dilation")
        if max(problem.padding) > 0:
            border = {"zeros": "0 padding"}.get(problem.padding_mode, f"b border, {problem.padding_mode}")
            signs.append("- cropped" if self.transposed else border)
        return ", ".join(signs)

    def _padding(self) -> str:
        problem, name = self.problem, self.padding
        low, high = problem.padding
        verb = "crops" if self.transposed else "is"
        said = f"padding {name!r} {verb} ({low}, {high})"
        mode = "" if problem.padding_mode == "zeros" else f", filled by {problem.padding_mode!r}"
        length, stride, extent = problem.length, problem.stride, problem.extent
        if name in ("same", "same_lower"):
            if self.transposed:
                return f"{said}: {extent} - {stride} = {extent - stride}, and nothing below 0, in all"
            side = "high" if name == "same" else "low"
            places = -(-length // stride)
            total = (places - 1) * stride + extent - length
            none = ", so none" if total < 0 else f", {'the odd one' if total % 2 else 'half'} on the {side} side"
            sum_ = f"({places} - 1) * {stride} + {extent} - {length} = {total}"
            return f"{said}: ceil({length} / {stride}) = {places} outputs take {sum_}{none}{mode}"
        if name == "causal" and not self.transposed:
            return f"{said}: all of {extent} - 1 on the low side, so that no output sees a later element{mode}"
        if name == "full" and not self.transposed:
            return f"{said}: {extent} - 1 on both sides, so that each tap meets each element{mode}"
        return said + mode

    def _length(self) -> str:
        problem = self.problem
        low, high = problem.padding
        if not self.transposed:
            padded = f"{problem.length} + {low} + {high} - {problem.extent}"
            if problem.stride == 1:
                return f"output {padded} + 1 = {problem.output_length}"
            return f"output floor(({padded}) / {problem.stride}) + 1 = {problem.output_length}"
        steps = problem.output_length
        if self.padding in ("same", "same_lower", "causal"):
            return f"output {steps} * {problem.stride} = {problem.length}"
        full = (steps - 1) * problem.stride - low - high + problem.extent
        extra = f" + {problem.length - full}" if problem.length != full else ""
        return f"output ({steps} - 1) * {problem.stride} + {problem.extent} - {low} - {high}{extra} = {problem.length}"

    def _cells(self) -> list[int | None]:
        """The places of the padded signal that are drawn; None is a gap."""
        total = self.problem.padded_length
        if total <= CELLS:
            return list(range(total))
        tail = min(max(self.problem.extent + 1, 6), CELLS // 3)
        return [*range(CELLS - tail - 2), None, *range(total - tail, total)]

    def _mark(self, cell: int, signal: str) -> str:
        low = self.problem.padding[0]
        if low <= cell < low + self.problem.length:
            return signal
        if self.transposed:
            return "-"
        return "0" if self.problem.padding_mode == "zeros" else "b"

    def _row(self, name: str, number: int, cells: Sequence[int | None], width: int) -> str:
        return f"{name}[{number}]".ljust(width) + " ".join(self._signs(number, cells))

    def _signs(self, number: int, cells: Sequence[int | None]) -> Iterator[str]:
        problem = self.problem
        for cell in cells:
            at = -1 if cell is None else cell - number * problem.stride
            inside = 0 <= at < problem.extent
            sign = " " if not inside else "#" if at % problem.dilation == 0 else "."
            yield "   " if cell is None else sign

"""The pictures of docs/concepts/padding.md, drawn from the geometry itself: ``python docs/pictures.py``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

import xconv
from xconv.core.problem import PADDING_MODES, PADDING_NAMES, ConvProblem
from xconv.core.reference import bordered

FOLDER = Path(__file__).parent / "images"
CELL, GAP, LINE, LEFT = 22, 4, 9, 118
INK, FAINT, FILL, BAR = "#24292f", "#57606a", "#2563a8", "#d97706"


class Drawing:
    """Rows of squares and bars on a white card, so that it is read on a dark page too."""

    def __init__(self, columns: int) -> None:
        self.width = LEFT + columns * (CELL + GAP) + 12
        self.y = 14
        self.parts: list[str] = []

    def title(self, text: str, note: str) -> None:
        """A name, and what it resolves to, beside the row that comes next."""
        self._text(12, self.y + 11, text, INK, "start")
        self._text(12, self.y + 25, note, FAINT, "start", 10)

    def row(self, first: int, cells: Sequence[tuple[str, bool]]) -> None:
        """Squares from column ``first``: what stands in each, and whether it is the signal's."""
        for column, (text, signal) in enumerate(cells, first):
            x = self.x(column)
            look = (
                f'fill="{FILL}" stroke="{FILL}"' if signal else f'fill="#fff" stroke="{FAINT}" stroke-dasharray="3 2"'
            )
            self.parts.append(f'<rect x="{x}" y="{self.y}" width="{CELL}" height="{CELL}" rx="3" {look}/>')
            self._text(x + CELL / 2, self.y + 15, text, "#fff" if signal else FAINT)
        self.y += CELL + 6

    def bar(self, first: int, taps: Sequence[int]) -> None:
        """One place of a kernel: a line over its extent, a dot for each tap."""
        y, start, end = self.y + LINE / 2, self.x(first + taps[0]) + CELL / 2, self.x(first + taps[-1]) + CELL / 2
        self.parts.append(f'<path d="M{start} {y}H{end}" stroke="{BAR}" stroke-width="3" stroke-linecap="round"/>')
        self.parts += [f'<circle cx="{self.x(first + tap) + CELL / 2}" cy="{y}" r="3.5" fill="{BAR}"/>' for tap in taps]
        self.y += LINE

    def space(self, height: int = 16) -> None:
        """Some room before the next row."""
        self.y += height

    def x(self, column: int) -> int:
        """The left edge of a column."""
        return LEFT + column * (CELL + GAP)

    def svg(self, label: str) -> str:
        """The whole file."""
        size = f'viewBox="0 0 {self.width} {self.y}" width="{self.width}" height="{self.y}"'
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img" aria-label="{label}" '
            f'font-family="system-ui, sans-serif">\n'
            f'<rect width="{self.width}" height="{self.y}" rx="8" fill="#fff"/>\n'
            + "\n".join(self.parts)
            + "\n</svg>\n"
        )

    def _text(self, x: float, y: float, text: str, color: str, anchor: str = "middle", size: int = 12) -> None:
        self.parts.append(
            f'<text x="{x}" y="{y}" fill="{color}" text-anchor="{anchor}" font-size="{size}">{text}</text>'
        )


def places(drawing: Drawing, title: str, problem: ConvProblem, most_low: int) -> None:
    """A signal with its pads, and a bar for each place of the kernel."""
    low, high = problem.padding
    drawing.title(title, f"({low}, {high}): {problem.output_length} places")
    signal = [(chr(ord("a") + i), True) for i in range(problem.length)]
    first = most_low - low
    drawing.row(first, [("0", False)] * low + signal + [("0", False)] * high)
    taps = [tap * problem.dilation for tap in range(problem.kernel)]
    for place in range(problem.output_length):
        drawing.bar(first + place * problem.stride, taps)
    drawing.space()


def padding_names() -> str:
    """Each name for a kernel of 4 taps on 7 elements."""
    drawing = Drawing(3 + 7 + 3)
    for name in PADDING_NAMES:
        places(drawing, name, _problem(7, 4, name), 3)
    return drawing.svg("The padding names for a kernel of 4 taps on 7 elements")


def same_with_a_stride() -> str:
    """How "same" moves when the signal becomes one element longer."""
    drawing = Drawing(1 + 8 + 1)
    for length in (7, 8):
        places(drawing, f"same, {length}", _problem(length, 3, "same", 2), 1)
    return drawing.svg("Kernel 3, stride 2, same: the pads depend on the length")


def padding_modes() -> str:
    """What the pads hold."""
    drawing = Drawing(3 + 5 + 3)
    x = np.arange(1, 6, dtype="float64").reshape(1, 5, 1)
    for mode in PADDING_MODES:
        call = xconv.resolve("conv1d", x.shape, (1, 1, 1), padding=3, padding_mode=mode)
        held = bordered(call.problem, 1, x).ravel()
        drawing.title(mode, "")
        drawing.row(0, [(" abcde"[int(v)] if v else "0", 3 <= i < 8) for i, v in enumerate(held)])
        drawing.space(8)
    return drawing.svg("The padding modes, three elements on each side of a b c d e")


def _problem(length: int, kernel: int, padding: str, stride: int = 1) -> ConvProblem:
    call = xconv.resolve("conv1d", (1, length, 1), (kernel, 1, 1), padding=padding, stride=stride)
    return call.problem


PICTURES = {
    "padding.svg": padding_names,
    "same-with-a-stride.svg": same_with_a_stride,
    "padding-modes.svg": padding_modes,
}

if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for name, drawn in PICTURES.items():
        (FOLDER / name).write_text(drawn(), "utf-8")

"""What rows-then-columns really costs, against a true 2-D convolution and against the rule of thumb."""

from __future__ import annotations

from dataclasses import dataclass

from xconv.core.checks import int_pair
from xconv.core.problem import positive


@dataclass(frozen=True)
class SeparableCost:
    """Weights (and so multiply-accumulates for each place, at stride 1) of three counts; biases are left out.

    ``square`` is the 2-D kernel's, ``kh * kw * in * out``; ``rule_of_thumb`` is ``(kh + kw) * in * out``, which is
    often quoted, and for a square kernel true where the middle is the harmonic mean of in and out; ``true`` is ``kw *
    in * M + kh * M * out``, for a square kernel ``k * M * (in + out)``. Prints as a table.

    ``break_even`` is the middle width up to which the separable one is the cheaper one. ``exact_from`` is the one from
    which any 2-D kernel can be written as rows, then columns without an error: the largest rank of the ``(kh * out,
    kw * in)`` matrix that the kernel is; a given kernel may need less.

    Attributes:
        kernel: (height, width).
        in_channels: channels that go in.
        out_channels: channels that come out.
        middle: channels between the rows and the columns.
    """

    kernel: tuple[int, int]
    in_channels: int
    out_channels: int
    middle: int

    @property
    def square(self) -> int:
        """Of the 2-D convolution."""
        return self.kernel[0] * self.kernel[1] * self.in_channels * self.out_channels

    @property
    def rule_of_thumb(self) -> int:
        """Of two 1-D convolutions that would each go from all inputs to all outputs."""
        return sum(self.kernel) * self.in_channels * self.out_channels

    @property
    def true(self) -> int:
        """Of the rows to the middle, and the columns from it."""
        kh, kw = self.kernel
        return self.middle * (kw * self.in_channels + kh * self.out_channels)

    @property
    def ratio(self) -> float:
        """The true cost over the 2-D convolution's: above 1 the separable one is dearer."""
        return self.true / self.square

    @property
    def break_even(self) -> float:
        """The middle width at which both cost the same."""
        return self.square * self.middle / self.true

    @property
    def exact_from(self) -> int:
        """The middle width that is enough for every 2-D kernel."""
        kh, kw = self.kernel
        return min(kh * self.out_channels, kw * self.in_channels)

    def __str__(self) -> str:
        from tabulate import tabulate

        kh, kw = self.kernel
        ends = f"{self.in_channels} * {self.out_channels}"
        middle = self.middle
        rows = [
            ("2-D", f"{kh} * {kw} * {ends}", f"{self.square:,}", "1.00"),
            (
                "rule of thumb",
                f"({kh} + {kw}) * {ends}",
                f"{self.rule_of_thumb:,}",
                f"{self.rule_of_thumb / self.square:.2f}",
            ),
            (
                "rows, then columns",
                f"{kw} * {self.in_channels} * {middle} + {kh} * {middle} * {self.out_channels}",
                f"{self.true:,}",
                f"{self.ratio:.2f}",
            ),
        ]
        table = tabulate(
            rows, ["", "weights", "number", "ratio"], disable_numparse=True, colalign=("left", "left", "right", "right")
        )
        return (
            f"{table}\nThe separable one is cheaper below a middle width of {self.break_even:.1f}; from "
            f"{self.exact_from} on it can be exact for any kernel."
        )


def separable_cost(
    kernel: int | tuple[int, int], in_channels: int, out_channels: int, middle: int | None = None
) -> SeparableCost:
    """The cost of a spatially separable convolution against the 2-D one that it stands for.

    Args:
        kernel: taps, or (height, width).
        in_channels: channels that go in.
        out_channels: channels that come out.
        middle: channels between the rows and the columns; by default as many as come out.

    Returns:
        Numbers of weights, and the middle widths at which they are equal.

    Raises:
        ArgumentError: a size is no integer >= 1.

    >>> dear = separable_cost(3, 1, 64, middle=64)
    >>> dear.square, dear.rule_of_thumb, dear.true, round(dear.ratio, 1)
    (576, 384, 12480, 21.7)
    >>> separable_cost(3, 64, 64, middle=16).ratio
    0.16666666666666666
    """
    name = "separable_cost"
    inputs, outputs = positive(name, "in_channels", in_channels), positive(name, "out_channels", out_channels)
    between = outputs if middle is None else positive(name, "middle", middle)
    return SeparableCost(int_pair(name, "kernel", kernel), inputs, outputs, between)

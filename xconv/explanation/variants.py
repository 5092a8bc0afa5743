"""The same setting as other operations, side by side."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass

from xconv.explanation.explained import Explanation
from xconv.explanation.text import shown_seconds
from xconv.system.errors import ArgumentError


@dataclass(frozen=True)
class SideBySide:
    """Variants in columns: a number is followed by its ratio to the first variant's. Prints as a table.

    Attributes:
        variants: the explanations, one a column.
    """

    variants: tuple[Explanation, ...]

    def to_json(self) -> str:
        """All variants as JSON.

        Returns:
            A list of :meth:`Explanation.to_dict`, in one line.
        """
        return json.dumps([variant.to_dict() for variant in self.variants])

    def __str__(self) -> str:
        from tabulate import tabulate

        counted: list[tuple[str, Callable[[Explanation], float | None]]] = [
            ("parameters", lambda found: found.parameters),
            ("multiply-adds", lambda found: found.macs),
            ("inside the signal", lambda found: found.useful_macs),
            ("bytes", lambda found: found.bytes),
        ]
        rows: list[list[str]] = [
            ["input", *(str(found.input_shape) for found in self.variants)],
            ["kernels", *(" then ".join(map(str, found.weight_shapes)) for found in self.variants)],
            ["output", *(str(found.output_shape) for found in self.variants)],
            ["receptive field", *(_field(found) for found in self.variants)],
            *([name, *self._ratios(number)] for name, number in counted),
            ["FLOP per byte", *(f"{found.intensity:.3g}" for found in self.variants)],
        ]
        if any(found.limits for found in self.variants):
            rows.append(["at best", *self._ratios(lambda found: found.least_seconds)])
            rows.append(["what binds", *(found.binds for found in self.variants)])
        if any(found.plans for found in self.variants):
            rows.append(["would run", *(" then ".join(p.formulation for p in v.plans) for v in self.variants)])
        headers = ["", *(found.operation for found in self.variants)]
        return tabulate(rows, headers, tablefmt="simple", disable_numparse=True)

    def _ratios(self, number: Callable[[Explanation], float | None]) -> list[str]:
        first, said = number(self.variants[0]), []
        for found in self.variants:
            value = number(found)
            if value is None:
                said.append("")
                continue
            shown = f"{value:,}" if isinstance(value, int) else shown_seconds(value)
            said.append(f"{shown} ({value / first:.2f})" if first and found is not self.variants[0] else shown)
        return said


def side_by_side(*explanations: Explanation) -> SideBySide:
    """Explanations as a table, with ratios to the first.

    Args:
        explanations: one or more; the ratios are to the first.

    Returns:
        The table.

    Raises:
        ArgumentError: there is none, or one is no explanation.

    >>> import xconv
    >>> signal = xconv.explain("conv1d", (128, 8000, 1), (5, 1, 32))
    >>> table = xconv.side_by_side(signal, signal.as_operation("conv2d"))
    >>> print(*str(table).splitlines()[:4], sep="\\n")
                       conv1d           conv2d
    -----------------  ---------------  ------------------
    input              (128, 8000, 1)   (128, 1, 8000, 1)
    kernels            (5, 1, 32)       (1, 5, 1, 32)
    """
    for each in explanations or (None,):
        if not isinstance(each, Explanation):
            raise ArgumentError(
                "side_by_side", "explanations", "none" if each is None else type(each).__name__, "one or more"
            )
    return SideBySide(explanations)


def _field(found: Explanation) -> str:
    field = found.receptive_field
    return str(field) if isinstance(field, int) else f"{field[0]} x {field[1]}"

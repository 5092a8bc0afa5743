"""What was found, as a value: to be read, printed, packed as JSON, drawn."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from tabulate import tabulate

from xconv.advice.field import Shares
from xconv.advice.reach import RelevantLags
from xconv.advice.statistics import Dependence
from xconv.core import operations

Recommendation = Literal["conv1d", "rows", "columns", "separable", "conv2d", "none"]
Verdict = Literal["local", "profile", "none", "too short"]

OPERATIONS = {row.advice: name for name, row in operations.OPERATIONS.items() if row.advice}
"""The operation of xconv that each recommendation names."""

SHOWN_LAGS = 64
"""Lags of a correlation that JSON holds."""


@dataclass(frozen=True)
class AxisEvidence:
    """What is known of one axis.

    "local": neighbours depend on each other; "profile": they are alike only because each position has a level of its
    own, the same in all lines; "none": nothing was found; "too short": it cannot be tested. ``p`` is adjusted for the
    number of tests.
    """

    axis: str
    positions: int
    verdict: Verdict
    p: float
    tested: Dependence | None
    reach: RelevantLags | None
    walk: bool = False


@dataclass(frozen=True)
class Option:
    """An operation on this data: its shapes, its cost, and its share of the dependence if that is known.

    ``seconds`` is measured, if that was asked for.
    """

    name: str
    kernel: tuple[int, ...]
    dilation: tuple[int, ...]
    parameters: int
    macs: int
    bytes: int
    share: float | None = None
    seconds: float | None = None


@dataclass(frozen=True)
class Advice:
    """Which convolution fits, and the evidence. Prints as a text.

    Attributes:
        recommendation: "conv1d", "rows", "columns", "separable", "conv2d" or "none".
        reason: why, in a sentence.
        enough_data: False if nothing was found and ``detectable`` is above 0.5.
        detectable: the smallest correlation of neighbours that would have been found with probability 0.9.
        axes: a letter for each axis of the data: N, L, H, W, C.
        shape: of the data.
        evidence: what is known of each axis.
        options: operations that could be taken, with their costs.
        shares: of the dependence, if both axes of a map are local.
        laws_p: the p-value of lines that follow one law, if a kernel for all lines was considered; else None.
        together_p: the p-value of lines that are independent of each other, likewise.
        notes: what else is to be known.
    """

    recommendation: Recommendation
    reason: str
    enough_data: bool
    detectable: float
    axes: str
    shape: tuple[int, ...]
    evidence: tuple[AxisEvidence, ...]
    options: tuple[Option, ...] = ()
    shares: Shares | None = None
    laws_p: float | None = None
    together_p: float | None = None
    notes: tuple[str, ...] = field(default=())

    @property
    def operation(self) -> str | None:
        """The operation of xconv to call, or None."""
        return OPERATIONS.get(self.recommendation)

    def to_dict(self) -> dict[str, Any]:
        """Everything in plain types.

        Returns:
            Numbers, texts, lists and dictionaries; of correlations the first 64 lags.
        """
        packed = asdict(self)
        for axis in packed["evidence"]:
            if axis["tested"] is not None:
                for name in ("correlation", "magnitude_correlation"):
                    axis["tested"][name] = [round(float(r), 6) for r in axis["tested"][name][:SHOWN_LAGS]]
        return {**packed, "operation": self.operation}

    def to_json(self) -> str:
        """The same as JSON text; a number that is not known is null.

        Returns:
            A text in one line.
        """
        return json.dumps(_finite(self.to_dict()), allow_nan=False)

    def plot(self, path: str | Path) -> None:
        """Write a picture of the evidence; what its name ends with says which format.

        Args:
            path: the file: ``evidence.png``, ``evidence.svg``, ...

        Raises:
            BackendError: matplotlib is not installed.
            ArgumentError: the file cannot be written.
        """
        from xconv.advice.plot import write

        write(self, Path(path))

    def __str__(self) -> str:
        lines = [f"{self.recommendation}: {self.reason}", ""]
        rows = [_axis_row(axis) for axis in self.evidence]
        lines += [tabulate(rows, ["axis", "positions", "dependence", "p", "kind", "reach", "sees it"]), ""]
        if self.options:
            rows = [_option_row(option, option.name == self.recommendation) for option in self.options]
            headers = ["", "operation", "kernel", "holds", "parameters", "MACs", "bytes", "time"]
            if all(option.seconds is None for option in self.options):
                headers, rows = headers[:-1], [row[:-1] for row in rows]
            if all(option.share is None for option in self.options):
                headers, rows = [*headers[:3], *headers[4:]], [[*row[:3], *row[4:]] for row in rows]
            lines += [
                tabulate(rows, headers, disable_numparse=True, colalign=["left"] * 3 + ["right"] * (len(headers) - 3)),
                "",
            ]
        return "\n".join([*lines, *(f"- {note}" for note in self.notes)]).rstrip()


def _axis_row(axis: AxisEvidence) -> list[str]:
    if axis.tested is None:
        return [axis.axis, str(axis.positions), axis.verdict, "", "", "", ""]
    kinds = ", ".join(axis.tested.kinds)
    row = [axis.axis, str(axis.positions), axis.verdict, f"{axis.p:.2g}", kinds]
    if axis.reach is None:
        return [*row, "", ""]
    far = f"{'at least ' if axis.reach.at_least else ''}lag {axis.reach.correlated}"
    return [*row, far, stack_in_words(axis.reach)]


def stack_in_words(reach: RelevantLags) -> str:
    """The layers that see as far as dependence reaches.

    >>> stack_in_words(RelevantLags(20, 2, False, 3, 1, ((3, 1, 1), (3, 1, 2), (3, 1, 4), (3, 1, 8)), 31))
    '4 layers of kernel 3, dilations 1 to 8 (field 31)'
    """
    kernel, _, dilation = reach.stack[-1]
    if len(reach.stack) == 1:
        return f"kernel {kernel}"
    return f"{len(reach.stack)} layers of kernel {kernel}, dilations 1 to {dilation} (field {reach.field})"


def _option_row(option: Option, chosen: bool) -> list[str]:
    kernel = " x ".join(str(size) for size in option.kernel)
    if set(option.dilation) != {1}:
        kernel += f", dilation {' x '.join(str(step) for step in option.dilation)}"
    share = "" if option.share is None else f"{option.share:.0%}"
    seconds = "" if option.seconds is None else f"{option.seconds * 1e3:.3g} ms"
    counts = (f"{count:,}" for count in (option.parameters, option.macs, option.bytes))
    return ["->" if chosen else "", OPERATIONS[option.name], kernel, share, *counts, seconds]


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not abs(value) < float("inf") else value

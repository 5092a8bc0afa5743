"""The numeric proof of a conversion: two programs on the same signals, against a bound on their rounding errors.

The bound is that of :mod:`xconv.testing.tolerance`: both are run on signals that are moved a little up and down, what
varies from pair to pair is rounding errors, and Student's t says how far the largest of n differences may be.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from xconv.testing.tolerance import deviation, factor, moved, underflow

Arrays = Sequence[npt.NDArray[Any]]

PAIRS = 5
"""Pairs of runs; few, so that large models can be proven: the quantile of Student's t with 4 degrees of freedom is some
hundred deviations, which in float64 is still far below what a wrong layer does."""

RESOLUTION = 1e-3
"""The part of what the signals themselves change that a proof must be able to see: a policy, not a bound."""


@dataclass(frozen=True)
class Proof:
    """What a numeric proof found. It is true if the two programs agree, and prints in a line.

    ``error`` is the largest difference and ``tolerance`` its bound, ``spread`` how much the outputs vary over the
    signals. ``verdict``: "agree"; "differ"; "proves nothing" where the outputs hardly vary; "heuristic" where a
    difference is expected. ``conditions`` are what "exact if" steps ask: the proof holds where they do.
    """

    verdict: Literal["agree", "differ", "heuristic", "proves nothing"]
    error: float
    tolerance: float
    spread: float
    conditions: tuple[str, ...] = ()
    detail: str = ""

    def __bool__(self) -> bool:
        return self.verdict == "agree"

    def __str__(self) -> str:
        text = f"{self.verdict}: largest error {self.error:.2g}, tolerance {self.tolerance:.2g}"
        text += f", outputs vary by {self.spread:.2g} over the signals"
        if self.verdict == "heuristic" and self.spread:
            text += f" (error {self.error / self.spread:.1%} of it)"
        text += f"; exact if {'; if '.join(self.conditions)}" if self.conditions else ""
        return text + (f"; {self.detail}" if self.detail else "")


def prove(
    original: Callable[[npt.NDArray[Any]], Arrays],
    converted: Callable[[npt.NDArray[Any]], Arrays],
    signals: npt.NDArray[Any],
    conditions: Sequence[str] = (),
    heuristics: Sequence[str] = (),
    detail: str = "",
) -> Proof:
    """Compare two programs on a batch of float64 signals.

    Args:
        original: from signals to outputs in float64, each with the batch first.
        converted: the same, with outputs of the same shapes.
        signals: random numbers, (batch, ...); the batch has at least two.
        conditions: of a conversion that is exact under conditions.
        heuristics: reasons for which a difference is expected.
        detail: what else to say.

    Returns:
        The largest differences, their bounds, and the verdict.

    >>> x = np.random.default_rng(0).standard_normal((3, 50))
    >>> bool(prove(lambda x: [x.sum(1)], lambda x: [x[:, ::-1].sum(1)], x))
    True
    >>> prove(lambda x: [x.sum(1)], lambda x: [x.sum(1) + 1e-9], x).verdict
    'differ'
    >>> prove(lambda x: [0 * x + 1], lambda x: [0 * x + 1], x).verdict
    'proves nothing'
    """
    both = [list(program(signals)) for program in (original, converted)]
    shapes = [[array.shape for array in arrays] for arrays in both]
    if shapes[0] != shapes[1]:
        if heuristics:
            text = f"the outputs have shapes {shapes[0]} and {shapes[1]}, and are not compared"
            return Proof("heuristic", np.inf, 0.0, 0.0, tuple(conditions), text)
        return Proof("differ", np.inf, 0.0, 0.0, tuple(conditions), f"shapes {shapes[0]} became {shapes[1]}")
    runs: list[list[tuple[Arrays, Arrays]]] = [[], []]
    for seed in range(PAIRS):
        up, down = (moved(signals, np.random.default_rng(seed), sign) for sign in (1, -1))
        for side, program in zip(runs, (original, converted), strict=True):
            side.append((list(program(up)), list(program(down))))
    found = [_OutputProof.of(i, wanted, got, runs) for i, (wanted, got) in enumerate(zip(*both, strict=True))]
    error, tolerance, spread = (
        max((getattr(one, name) for one in found), default=0.0) for name in _OutputProof._fields[:3]
    )
    verdict: Literal["agree", "differ", "heuristic", "proves nothing"] = "agree"
    if heuristics:
        verdict = "heuristic"
    elif any(not one.ratio <= 1 for one in found):
        verdict = "differ"
    elif not any(one.tolerance < RESOLUTION * one.spread for one in found):
        verdict, detail = "proves nothing", "the outputs hardly vary over the signals: a constant would agree as well"
    return Proof(verdict, error, tolerance, spread, tuple(conditions), detail)


class _OutputProof(NamedTuple):
    """What was found for one output."""

    error: float
    tolerance: float
    spread: float
    ratio: float

    @classmethod
    def of(
        cls,
        i: int,
        wanted: npt.NDArray[Any],
        got: npt.NDArray[Any],
        runs: Sequence[Sequence[tuple[Arrays, Arrays]]],
    ) -> _OutputProof:
        """Compare one output of both programs.

        Args:
            i: which output.
            wanted: the original's, (batch, ...), float64.
            got: the converted one's, of the same shape.
            runs: for each program the pairs of runs on moved signals, each with all outputs.

        Returns:
            The largest numbers of all elements.
        """
        if not wanted.size:
            return cls(0.0, 0.0, 0.0, 0.0)
        deviations = [deviation([(up[i], down[i]) for up, down in side], "float64") for side in runs]
        bound = factor(wanted.size, PAIRS) * np.hypot(*deviations) + underflow("float64")
        with np.errstate(invalid="ignore"):
            error = np.abs(wanted - got)
            ratio = error / bound
        # what is not finite is not shown to agree
        broken = not np.isfinite(error).all()
        varies = 0.0 if broken else float(np.ptp(wanted, axis=0).max())
        return cls(np.inf if broken else float(error.max()), float(bound.max()), varies, float(ratio.max()))

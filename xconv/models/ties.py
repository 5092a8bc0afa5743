"""Float32 that goes another way than float64: at a relu near zero, or a maximum of two that are nearly the same.

Of 10^5 windows some hold two numbers that float32 cannot tell apart. Whichever is taken is right; the gradient goes to
another place, and the training a little apart. Pairs of runs that are moved by d and by -d do not show it: one of each
pair goes this way and one the other, so that their sum never varies. Single runs show it: a tie that rounding decides
(some u) is decided anew by each move (8 u), about half of them to either side. So a float32 training may differ from
float64's by Student's quantile times the root mean square of what single moves change. The moves' own effect is in
that too, which makes this bound some ten times as wide as that of pairs; it is taken only where that one is exceeded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from xconv.core.reference import Floats
from xconv.testing import ComparedArray
from xconv.testing.tolerance import RUNS, factor, moved

Arrays = Sequence[npt.NDArray[Any]]
Side = Callable[..., dict[str, npt.NDArray[Any]]]


def judge_ties_again(
    rows: Sequence[ComparedArray], sides: Sequence[Side], inputs: Arrays, seed: int
) -> list[ComparedArray]:
    """The rows, with those judged again in which float32 is further from float64 than pairs of runs explain.

    ``sides`` are f and g; rows are called "name, f in float32".
    """
    found = list(rows)
    for label, side in zip("fg", sides, strict=True):
        suffix = f", {label} in float32"
        wanted = [i for i, row in enumerate(rows) if row.verdict == "MISMATCH" and row.array.endswith(suffix)]
        names = {rows[i].array.removesuffix(suffix): i for i in wanted if np.isfinite(rows[i].error)}
        if names:
            for name, row in _judged(side, inputs, {name: rows[i] for name, i in names.items()}, seed):
                found[names[name]] = row
    return found


def _judged(
    side: Side, inputs: Arrays, rows: dict[str, ComparedArray], seed: int
) -> Iterator[tuple[str, ComparedArray]]:
    """Judge the rows of one side by the root mean square of runs on moved inputs.

    Args:
        side: from the inputs to arrays by their names.
        inputs: float32 arrays of any shapes.
        rows: the rows to judge again, by the names of their arrays.
        seed: of the moves.

    Yields:
        The name and the new row of each.
    """
    plain, wide = side(*inputs), side(*(array.astype("float64") for array in inputs))
    squares: dict[str, Floats] = {name: np.zeros(plain[name].shape) for name in rows}
    for run in range(RUNS):
        rng = np.random.default_rng([seed, run, 3])
        other = side(*(moved(array, rng) for array in inputs))
        for name in rows:
            squares[name] += np.square(_float(other[name]) - _float(plain[name])) / RUNS
    for name, row in rows.items():
        # as for pairs, no element is more certain than the array's mean: alone it may by chance not have moved
        spread = np.sqrt(np.maximum(squares[name], squares[name].mean()))
        difference = np.abs(_float(plain[name]) - _float(wide[name]))
        bound = np.maximum(factor(plain[name].size) * spread, np.finfo("float32").tiny)
        place = tuple(int(i) for i in np.unravel_index(int(np.argmax(difference / bound)), difference.shape))
        if (difference <= bound).all():
            detail = "float32 decides a tie (relu, maximum) otherwise than float64, as runs on moved numbers do"
            ratio = float(difference[place] / bound[place])
            yield (
                name,
                ComparedArray(
                    row.array, "within bound", float(difference.max()), float(bound[place]), ratio, place, detail
                ),
            )
        else:
            more = "single runs on moved numbers do not explain it either"
            yield name, replace(row, detail=f"{row.detail}; {more}")


def _float(array: npt.NDArray[Any]) -> Floats:
    return np.asarray(array, np.float64)

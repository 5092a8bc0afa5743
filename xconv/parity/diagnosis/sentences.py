"""Why two arrays differ: named causes are tried, and what is said is no more certain than the numbers make it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain

import numpy as np
import numpy.typing as npt

from xconv.core.bounds import UNIT_ROUNDOFF, Enclosure
from xconv.core.problem import DTYPES
from xconv.core.reference import Floats
from xconv.parity.cases import Case
from xconv.parity.comparison import compare
from xconv.parity.diagnosis import array_hypotheses, hypotheses, symptoms
from xconv.parity.diagnosis.difference import Difference, Match, Prediction
from xconv.parity.diagnosis.operands import kernel_axes
from xconv.parity.diagnosis.setting import Setting
from xconv.parity.expected import expected
from xconv.system.errors import ArgumentError, nearest

CERTAINTIES = ("agrees", "exact", "within bound", "ambiguous", "consistent with", "unexplained")


@dataclass(frozen=True)
class Diagnosis:
    """What explains a mismatch: sentences, and how certain each one is.

    ======================  ==========================================================================================
    "agrees"                there is nothing to explain
    "exact"                 one cause gives the numbers in every bit, and no other one that is tried does
    "within bound"          one cause gives them within the bound, and no other one that is tried does
    "ambiguous"             several causes give the same numbers on this input
    "consistent with"       a part is right, or the error has the size of something: no cause gives all numbers
    "unexplained"           nothing that is tried gives them
    ======================  ==========================================================================================

    Attributes:
        sentences: what was found.
        certainties: how certain each sentence is.

    >>> diagnosis = diagnose_arrays(np.array([[1, 2, 3], [4, 5, 6]]), np.array([[1, 4], [2, 5], [3, 6]]))
    >>> print(diagnosis)
    matches exactly if the axes are in the order (1, 0)
    >>> diagnosis.certainties, diagnosis.explained
    (('exact',), True)
    """

    sentences: tuple[str, ...]
    certainties: tuple[str, ...]

    @property
    def explained(self) -> bool:
        """Whether anything that is tried fits, at whatever certainty."""
        return "unexplained" not in self.certainties

    def __str__(self) -> str:
        return "\n".join(self.sentences)


def diagnose_case(
    case: Case,
    array: str,
    computed: npt.ArrayLike,
    inputs: Sequence[npt.ArrayLike],
    dtype: str = "float32",
    kind: str = "normal",
    lengths: Sequence[dict[str, int]] = (),
) -> Diagnosis:
    """Why an array of a case is not what the reference gives.

    Args:
        case: the case.
        array: "y", "dx", "dweight" (or "dweight_rows", "dweight_columns") or "dbias".
        computed: what a framework gave for it.
        inputs: x, the weights, the bias if the case has one, and the gradient for the result, as from
            :meth:`Case.inputs`.
        dtype: in which it was computed.
        kind: "integers" to compare bit for bit, anything else within the bound of :mod:`xconv.bounds`.
        lengths: of the Fourier transforms of each call (:func:`xconv.parity.check.transforms`), if there are any.

    Returns:
        What explains the difference.

    Raises:
        ArgumentError: an array that the case does not have, a number of inputs that it does not take, or a dtype that
            is not one of xconv's.
        ValueError: integers too large for exact sums.

    >>> from xconv import reference
    >>> case = Case("", "conv1d", (2, 17, 3), ((4, 3, 5),), {"padding": (1, 0)}, bias=False)
    >>> x, weight, dy = case.inputs("integers", "float32")
    >>> other = Case("", "conv1d", (2, 17, 3), ((4, 3, 5),), {"padding": (0, 1)}, bias=False)
    >>> print(diagnose_case(case, "y", reference.apply(*other.calls(), x, weight), [x, weight, dy], kind="integers"))
    matches exactly if padding is (0, 1) instead of (1, 0)
    """
    names = ("y", "dx", *(f"d{name}" for name in case.weight_names), *(["dbias"] if case.bias else []))
    if array not in names:
        known = ", ".join(map(repr, names))
        raise ArgumentError("diagnose_case", "array", repr(array), f"one of {known}", nearest(array, names))
    if dtype not in DTYPES:
        raise ArgumentError("diagnose_case", "dtype", repr(dtype), f"one of {', '.join(map(repr, DTYPES))}")
    given = tuple(np.asarray(one, np.float64) for one in inputs)
    if len(given) != len(names):
        raise ArgumentError(
            "diagnose_case", "inputs", f"{len(given)} arrays", f"{len(names)}: x, weights, bias, gradient for y"
        )
    with np.errstate(invalid="ignore", over="ignore"):
        wanted = expected(case, given, dtype, array != "y", kind, lengths)[array]
        setting = Setting(case, array, given, dtype, kind, tuple(case.calls()), tuple(lengths))
        difference = Difference(
            wanted, np.asarray(computed, np.float64), dtype, kind == "integers", _labels(setting, array)
        )
        predictions = chain(
            hypotheses.predictions(setting, difference),
            _means(setting, difference),
            array_hypotheses.predictions(difference),
        )

        def sums() -> tuple[Floats, int]:
            return setting.magnitude(), setting.terms()

        spread = symptoms.statements(difference, sums if kind != "integers" else None)
        return _first(difference, _tiers(difference, predictions), spread)


def diagnose_arrays(
    wanted: npt.ArrayLike,
    got: npt.ArrayLike,
    bound: npt.ArrayLike = 0.0,
    *,
    variances: npt.ArrayLike | None = None,
) -> Diagnosis:
    """Why an array is not another one, of which nothing else is known.

    Args:
        wanted: what is expected, of any shape.
        got: what came.
        bound: how far they may be apart: a number, or an array that broadcasts to ``wanted``. 0 compares every bit.
        variances: of the channels of a batch norm, shape (C,), to find the epsilons of two batch norms.

    Returns:
        What explains the difference.

    Raises:
        ArgumentError: a bound that does not fit the expected array, or is negative.

    >>> wanted = np.arange(24.0).reshape(2, 3, 4)
    >>> print(diagnose_arrays(wanted, wanted.transpose(0, 2, 1).reshape(2, 3, 4)))
    matches exactly if the axes are put in the order (0, 2, 1) and the numbers then read with the shape (2, 3, 4)
    """
    target, limit = np.asarray(wanted, np.float64), np.asarray(bound, np.float64)
    try:
        error = np.broadcast_to(limit, target.shape)
    except ValueError:
        expects = f"a number or an array that broadcasts to {target.shape}"
        raise ArgumentError("diagnose_arrays", "bound", f"shape {limit.shape}", expects) from None
    if (limit < 0).any():
        raise ArgumentError("diagnose_arrays", "bound", f"{limit.min():g}", "numbers >= 0")
    difference = Difference(Enclosure(target, error), np.asarray(got, np.float64), exactly=not error.any())
    spread = None if variances is None else np.asarray(variances, np.float64)
    with np.errstate(invalid="ignore", over="ignore"):
        tiers = _tiers(difference, array_hypotheses.predictions(difference), spread)
        return _first(difference, tiers, symptoms.statements(difference))


def _tiers(
    difference: Difference, predictions: Iterator[Prediction | None], variances: Floats | None = None
) -> Iterator[list[Match]]:
    """What fits without a free constant, and then what fits with as few as can be."""
    yield difference.matches(predictions)
    yield from array_hypotheses.fitted(difference, variances)


def _first(difference: Difference, tiers: Iterator[list[Match]], statements: Iterator[str]) -> Diagnosis:
    """The first tier in which anything fits; then what is consistent; then the bare difference."""
    agreement = compare("", difference.got, difference.wanted, difference.dtype, exactly=difference.exactly)
    if agreement.ok:
        return Diagnosis((f"nothing to explain: {agreement.verdict}",), ("agrees",))
    if difference.got.size:
        for matches in tiers:
            if matches:
                return _stated(matches)
        found = tuple(f"consistent with {statement}" for statement in statements)
        if found:
            return Diagnosis(found, ("consistent with",) * len(found))
    return Diagnosis((f"no known cause explains it: {_differing(difference)}",), ("unexplained",))


def _stated(matches: list[Match]) -> Diagnosis:
    exact = all(match.exact for match in matches)
    how = "matches exactly if " if exact else "within the bound if "
    if len(matches) == 1:
        return Diagnosis((how + matches[0].condition,), ("exact" if exact else "within bound",))
    either = ", or ".join(match.condition for match in matches)
    return Diagnosis((f"{how}either {either} (this input cannot tell them apart)",), ("ambiguous",))


def _differing(difference: Difference) -> str:
    """How many elements differ, and which one most.

    >>> _differing(Difference(Enclosure.exact([1.0, 2.0, 3.0]), np.array([1.0, 2.5, 9.0]), exactly=True))
    '2 of 3 elements differ, the worst at (2): got 9 expected 3, first difference at (1)'
    """
    got, target = difference.got, difference.target
    if got.shape != target.shape:
        return f"shape {got.shape} instead of {target.shape}"
    wrong = difference.wrong
    with np.errstate(invalid="ignore", over="ignore"):
        error = np.where(np.isnan(got - target), np.inf, np.abs(got - target))
    worst, first = (
        tuple(int(i) for i in np.unravel_index(int(np.argmax(of)), got.shape)) for of in (error * wrong, wrong)
    )
    return (
        f"{int(wrong.sum())} of {wrong.size} elements differ, the worst at {_place(worst)}: "
        f"got {got[worst]:.9g} expected {target[worst]:.9g}, first difference at {_place(first)}"
    )


def _place(index: tuple[int, ...]) -> str:
    return f"({', '.join(map(str, index))})"


def _means(setting: Setting, difference: Difference) -> Iterator[Prediction]:
    """A gradient that is a mean where it must be a sum: over all outputs, over the batch, over the places."""
    if setting.array == "y" or difference.got.shape != difference.shape or setting.inputs[-1].size == 0:
        return
    dy, layout = setting.inputs[-1], setting.calls[-1].layout
    channels, batch = dy.shape[layout.to_channels_last[-1]], dy.shape[0]
    counts = {"elements of the result": dy.size, "places of a channel": dy.size // channels, "samples": batch}
    for name, count in counts.items():
        if count > 1:
            value = difference.wanted.value / count
            yield Prediction(
                f"it is divided by {count}, the number of {name} (a mean instead of a sum)",
                value,
                partial(_scaled_bound, setting, count),
                setting.far(setting.calls, setting.operands) / count + _rounding(setting, value).max(initial=0.0),
                synonym=("factor", 1 / count),
                bitwise=False,
            )


def _scaled_bound(setting: Setting, count: int) -> Enclosure:
    """The bound of sums of scaled products: on integers too these are rounded, first of all the factor itself."""
    whole = expected(setting.case, setting.inputs, setting.dtype, True, "normal", setting.lengths)[setting.array]
    value = whole.value / count
    return Enclosure(value, whole.error / count + _rounding(setting, value))


def _rounding(setting: Setting, value: Floats) -> Floats:
    """The factor is rounded, and the product with it."""
    error: Floats = 2 * UNIT_ROUNDOFF[setting.dtype] * np.abs(value)
    return error


def _labels(setting: Setting, array: str) -> tuple[str, ...]:
    """What the axes of an array are called."""
    if array in ("y", "dx"):
        return tuple(setting.calls[0].layout.name)
    if array == "dbias":
        return ("out",)
    return kernel_axes(setting, setting.case.weight_names.index(array[1:]))

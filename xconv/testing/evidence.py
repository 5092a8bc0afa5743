"""The runs of one side, from which its rounding errors are seen."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from xconv.core.bounds import UNIT_ROUNDOFF
from xconv.core.reference import Floats
from xconv.testing.callables import PLAIN, FrameworkCallable, Variant
from xconv.testing.frameworks import Array, UnsupportedCallableError
from xconv.testing.layout import Layouts
from xconv.testing.memory import poisoned
from xconv.testing.tolerance import deviation

Named = dict[str, Array]

GRADIENT = "gradient for input "


@dataclass
class Evidence:
    """What one callable gave, by the name of the array, in f's layout.

    ``plain`` is as it is; ``moved`` are pairs of runs on inputs and parameters moved up and down. Where it computes in
    float64, ``wide`` is its result there and ``wide_moved`` are pairs there; else ``why_not`` says why. ``unsteady``
    says which arrays differ between two runs on the same input.
    """

    plain: Named
    moved: list[tuple[Named, Named]] = field(default_factory=list)
    wide: Named | None = None
    wide_moved: list[tuple[Named, Named]] = field(default_factory=list)
    why_not: str = ""
    unsteady: dict[str, str] = field(default_factory=dict)

    def spread(self, name: str) -> Floats:
        """The standard deviation of an array's rounding errors, as it is computed.

        In float32 that is what float32 runs show, or what float64 runs do, in proportion to the unit roundoff: these
        can be moved further, and so show all errors of a long sum.
        """
        dtype = self.plain[name].dtype.name
        found = deviation([(up[name], down[name]) for up, down in self.moved], dtype)
        if self.wide is None:
            return found
        return np.maximum(found, self.wide_spread(name) * (UNIT_ROUNDOFF[dtype] / UNIT_ROUNDOFF["float64"]))

    def wide_spread(self, name: str) -> Floats:
        """The same in float64."""
        return deviation([(up[name], down[name]) for up, down in self.wide_moved], "float64")


@dataclass(frozen=True)
class Side:
    """A callable, what it is given, and how its arrays are brought to f's layout."""

    subject: FrameworkCallable
    inputs: Sequence[Array]
    cotangents: Mapping[str, Array] | None
    back: Callable[[str, Array], Array]

    def run(self, variant: Variant = PLAIN) -> Named:
        """Named arrays in f's layout."""
        found = self.subject.run(self.inputs, self.cotangents, variant)
        return {name: self.back(name, array) for name, array in found.items()}


def both_sides(
    subjects: tuple[FrameworkCallable, FrameworkCallable],
    arrays: list[Array],
    both: Layouts,
    cotangents: Mapping[str, Array] | None,
) -> tuple[Side, Side]:
    """f's side, and g's with the same arrays in its layout."""

    def back(name: str, array: Array) -> Array:
        if name.startswith(GRADIENT):
            return both.to_f(array, int(name.removeprefix(GRADIENT)))
        return both.to_f(array)

    there = None if cotangents is None else {name: both.result_to_g(array) for name, array in cotangents.items()}
    given = [both.to_g(i, array) for i, array in enumerate(arrays)]
    return (
        Side(subjects[0], arrays, cotangents, lambda _, array: array),
        Side(subjects[1], given, there, back),
    )


def gather(side: Side, plain: Named, runs: int, seed: int) -> Evidence:
    """All runs of a side; ``plain`` is its first."""
    found = Evidence(plain)
    floats = [name for name, array in plain.items() if array.dtype.kind == "f"]
    if not floats:
        found.why_not = "its results are integers"
        return found
    given = [array.dtype.name for array in side.inputs if array.dtype.kind == "f"]
    narrow = "float64" if given and all(name == "float64" for name in given) else "float32"
    seeds = range(seed + 1, seed + 1 + runs)
    found.moved = [pair(side, Variant(move=narrow, seed=one)) for one in seeds]
    if narrow == "float64":
        found.why_not = "it is given float64"
        return found
    try:
        found.wide = _wide(side, floats, plain, found.moved[0][0], seeds[0])
        found.wide_moved = [pair(side, Variant(wide=True, move="float64", seed=one)) for one in seeds]
    except Exception as error:  # noqa: BLE001 - whatever a callable raises when it meets float64
        found.wide, found.why_not = None, _short(error)
    return found


def pair(side: Side, variant: Variant) -> tuple[Named, Named]:
    """Two runs, moved in opposite directions."""
    return side.run(variant), side.run(replace(variant, sign=-1))


def _wide(side: Side, floats: list[str], plain: Named, moved: Named, seed: int) -> Named:
    if not side.subject.framework.has_float64:
        raise UnsupportedCallableError(f"the types of a model of {side.subject.framework.name} are fixed")
    wide = side.run(Variant(wide=True))
    for name in floats:
        if wide[name].dtype != np.float64:
            raise UnsupportedCallableError(f"given float64, its {name} is {wide[name].dtype}")
    # What rounds to float32 somewhere inside answers to hardly any change that float32 does not see.
    below = side.run(Variant(wide=True, move="below", seed=seed))
    for name in floats:
        answers = np.count_nonzero(moved[name] != plain[name])
        if np.count_nonzero(below[name] != wide[name]) < answers / 2:
            raise UnsupportedCallableError(
                f"given float64, it rounds to float32 inside: its {name} does not see a change of 2^-30"
            )
    return wide


def steadiness(side: Side, plain: Named) -> dict[str, str]:
    """Which arrays differ in a second run on the same input, with fresh memory poisoned, and what that means."""
    with poisoned() as is_poisoned:
        second = side.run()
    differ = [name for name in plain if not _same(plain[name], second[name])]
    if not differ:
        return {}
    third = side.run()
    found = {}
    for name in differ:
        if is_poisoned and _same(plain[name], third[name]):
            found[name] = "it changes with what was in fresh memory: not all elements are written"
        else:
            found[name] = f"two runs on the same input differ, by up to {_apart(plain[name], second[name]):.3g}"
    return found


def _same(one: Array, other: Array) -> bool:
    return one.shape == other.shape and bool(np.array_equal(one, other, equal_nan=one.dtype.kind in "fc"))


def _apart(one: Array, other: Array) -> float:
    if one.shape != other.shape:
        return float("inf")
    with np.errstate(invalid="ignore", over="ignore"):
        return float(np.nanmax(np.abs(one.astype(np.float64) - other.astype(np.float64)), initial=0.0))


def _short(error: Exception) -> str:
    text = str(error).strip().splitlines()[0][:160] if str(error).strip() else ""
    return (
        text if isinstance(error, UnsupportedCallableError) else f"in float64 it raises {type(error).__name__}: {text}"
    )

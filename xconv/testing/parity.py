"""Do two callables compute the same? Their results and gradients, against bounds that are derived from their errors."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np

from xconv.system.errors import ArgumentError
from xconv.testing.callables import FrameworkCallable
from xconv.testing.evidence import Evidence, Named, Side, both_sides, gather, steadiness
from xconv.testing.frameworks import Array
from xconv.testing.judge import BOTH, NONE, ONE, judge, mistrusted
from xconv.testing.layout import Layouts
from xconv.testing.report import ComparedArray, Parity, ParityError
from xconv.testing.tolerance import FALSE_ALARM, RUNS


def assert_parity(f: Any, g: Any, *inputs: Any, **options: Any) -> Parity:
    """Check that two callables compute the same; the options and the result are those of :func:`compare`.

    Args:
        f: a callable, as for :func:`compare`.
        g: another.
        inputs: NumPy arrays, in f's layout.
        options: those of :func:`compare`.

    Returns:
        The comparison.

    Raises:
        ParityError: they differ, one raises, or their agreement proves nothing; its text says what, where and why.
        ArgumentError: as :func:`compare`.

    >>> x = np.linspace(-3, 3, 50, dtype="float32")
    >>> assert_parity(lambda x: np.tanh(x), lambda x: 1 - 2 / (np.exp(2 * x) + 1), x).ok
    True
    """
    found = compare(f, g, *inputs, **options)
    if not found.ok:
        raise ParityError(found)
    return found


def compare(
    f: Any,
    g: Any,
    *inputs: Any,
    layouts: Any = None,
    gradients: bool | str = "auto",
    training: bool = False,
    seed: int = 0,
    runs: int = RUNS,
    false_alarm: float = FALSE_ALARM,
    strict: bool = False,
    allow_mistrusted: bool = False,
    walk: bool = True,
) -> Parity:
    """Compare two callables on the same inputs.

    Args:
        f: a torch function or module, a Keras layer or model, a function of TensorFlow tensors, JAX or NumPy arrays, or
            a saved ONNX model. Where it is not certain whose arrays a function takes: ``xconv.testing.on("torch", f)``.
        g: another.
        inputs: NumPy arrays, in f's layout. Use random numbers in float32: bounds are for rounding errors that vary.
        layouts: None, or f's and g's, such as ``("NCW", "NWC")``; each may be a sequence with one for each input.
            Results of the same rank are compared in f's layout, all others as they are.
        gradients: for each float input, of the products with random cotangents: "auto" where both have them.
        training: run modules in training mode. It is done on copies.
        seed: of the moved numbers and the cotangents.
        runs: pairs of runs on moved numbers, from which rounding errors are estimated; at least 3.
        false_alarm: the probability with which an array of right callables may be called a mismatch.
        strict: whether a difference fails that does not shrink in float64, and is below the deviation of one float32
            rounding of the inputs and parameters: such as a constant in float32 makes, which TensorFlow's gelu has.
        allow_mistrusted: whether agreement that proves nothing is enough.
        walk: whether two models that differ are searched layer by layer.

    Returns:
        A row for each result and each gradient.

    Nothing of the user's is changed: weights, modes and random states are as they were.

    Raises:
        ArgumentError: no inputs, a framework that is not certain or not there, layouts that do not fit.

    >>> import numpy as np
    >>> x = np.random.default_rng(0).standard_normal((4, 9)).astype("float32")
    >>> found = compare(lambda x: np.tanh(x), lambda x: np.tanh(x) * np.float32(1.001), x)
    >>> found.ok, found.rows[0].verdict
    (False, 'MISMATCH')
    """
    arrays = _checked(inputs, gradients, runs, false_alarm)
    both = Layouts.of(layouts, len(arrays))
    subjects = FrameworkCallable("f", f, training), FrameworkCallable("g", g, training)
    parity = Parity(subjects[0].label, subjects[1].label, seed=seed, mistrusted_allowed=allow_mistrusted)
    for subject in subjects:
        parity.versions.update(subject.framework.versions())
        parity.flags.update(subject.framework.flags())
    with _kept_state(subjects):
        _compare(parity, subjects, arrays, both, gradients, runs, false_alarm, strict)
        if walk and any(row.verdict == "MISMATCH" for row in parity.rows):
            from xconv.testing.walk import walked

            parity.layers = walked(subjects[0], subjects[1], arrays, both, seed)
    parity.notes += subjects[0].notes + subjects[1].notes
    return parity


def _compare(
    parity: Parity,
    subjects: tuple[FrameworkCallable, FrameworkCallable],
    arrays: list[Array],
    both: Layouts,
    gradients: bool | str,
    runs: int,
    false_alarm: float,
    strict: bool,
) -> None:
    sides = both_sides(subjects, arrays, both, None)
    plain = _plain(parity, sides)
    if plain is None:
        return
    if gradients is not False:
        differentiated = _with_gradients(parity, subjects, arrays, both, plain, gradients)
        if differentiated is None:
            return
        sides, plain = differentiated
    try:
        f, g = (gather(side, found, runs, parity.seed) for side, found in zip(sides, plain, strict=True))
        for evidence, side in zip((f, g), sides, strict=True):
            evidence.unsteady = steadiness(side, evidence.plain)
        far = _far(sides[0], parity.seed)
    except Exception as error:  # noqa: BLE001 - a callable that fails on moved numbers is a row, not a crash
        parity.rows.append(
            ComparedArray("result", "error", np.inf, 0.0, np.inf, (), f"on moved inputs: {_text(error)}")
        )
        return
    parity.method = _method(f, g, runs, false_alarm)
    for evidence, name in ((f, "f"), (g, "g")):
        if evidence.wide is None and evidence.why_not:
            parity.notes.append(f"{name} has no float64 run: {evidence.why_not}")
    for name in f.plain:
        if name not in g.plain:
            continue
        rows = judge(f, g, name, runs, false_alarm, strict)
        if all(row.ok for row in rows):
            why = {label: side.unsteady[name] for side, label in ((f, "f"), (g, "g")) if name in side.unsteady}
            reason = "; ".join(f"{label}: {text}" for label, text in why.items())
            reason = reason or mistrusted(f.plain[name], None if far is None else far[name], rows[0].bound)
            if reason:
                first = rows[0]
                rows[0] = ComparedArray(
                    name,
                    "mistrusted",
                    first.error,
                    first.bound,
                    first.ratio,
                    first.place,
                    f"the two agree, but that proves nothing: {reason}",
                )
        parity.notes += [f"{row.array}: {row.detail}" for row in rows if row.verdict == "within bound" and row.detail]
        parity.rows += rows
    _names(parity, f, g)


def _plain(parity: Parity, sides: tuple[Side, Side]) -> tuple[Named, Named] | None:
    found = []
    for side in sides:
        try:
            found.append(side.run())
        except ArgumentError:
            raise
        except Exception as error:  # noqa: BLE001 - a callable that raises is a row, not a crash
            name = side.subject.argument
            parity.rows.append(
                ComparedArray("result", "error", np.inf, 0.0, np.inf, (), f"{name} raises {_text(error)}")
            )
    return (found[0], found[1]) if len(found) == 2 else None


def _with_gradients(
    parity: Parity,
    subjects: tuple[FrameworkCallable, FrameworkCallable],
    arrays: list[Array],
    both: Layouts,
    plain: tuple[Named, Named],
    gradients: bool | str,
) -> tuple[tuple[Side, Side], tuple[Named, Named]] | None:
    """Both sides with cotangents; without where "auto" cannot; None if they were asked for and cannot be had."""
    without = both_sides(subjects, arrays, both, None), plain
    lacking = [s.framework.name for s in subjects if not s.framework.differentiates]
    if lacking and gradients is True:
        raise ArgumentError(
            "assert_parity",
            "gradients",
            f"True, and a callable of {lacking[0]}",
            "two that have gradients",
            'gradients="auto" compares them where both have them',
        )
    floats = {name for name, array in plain[0].items() if array.dtype.kind == "f" and name in plain[1]}
    same = all(plain[0][name].shape == plain[1][name].shape for name in floats)
    if lacking or not floats or not same or not any(array.dtype.kind == "f" for array in arrays):
        return without
    rng = np.random.default_rng([parity.seed, 0])
    cotangents = {name: rng.standard_normal(plain[0][name].shape).astype("float32") for name in sorted(floats)}
    if all(array.dtype == np.float64 for array in arrays if array.dtype.kind == "f"):
        cotangents = {name: array.astype(np.float64) for name, array in cotangents.items()}
    sides = both_sides(subjects, arrays, both, cotangents)
    found: list[Named] = []
    for side in sides:
        try:
            found.append(side.run())
        except Exception as error:  # noqa: BLE001 - what cannot be differentiated is said, not raised
            label = side.subject.argument
            if gradients is True:
                row = ComparedArray("gradients", "error", np.inf, 0.0, np.inf, (), f"{label} raises {_text(error)}")
                parity.rows.append(row)
                return None
            parity.notes.append(f"gradients were not compared: {label} raises {_text(error)}")
            return without
    return sides, (found[0], found[1])


def _far(side: Side, seed: int) -> Named | None:
    """The result on inputs that are an eighth away, or in another order; None if that changes no input."""
    rng = np.random.default_rng([seed, 2])

    def other(array: Array) -> Array:
        if array.dtype.kind == "f":
            return (array * (1 + rng.uniform(-1, 1, array.shape) / 8)).astype(array.dtype)
        return rng.permutation(array.reshape(-1)).reshape(array.shape)

    inputs = [other(array) for array in side.inputs]
    if all(np.array_equal(a, b, equal_nan=a.dtype.kind == "f") for a, b in zip(inputs, side.inputs, strict=True)):
        return None
    above = None if side.cotangents is None else {name: other(array) for name, array in side.cotangents.items()}
    return Side(side.subject, inputs, above, side.back).run()


def _method(f: Evidence, g: Evidence, runs: int, false_alarm: float) -> str:
    if not any(array.dtype.kind == "f" for array in f.plain.values()):
        return "integers: every bit"
    wide = [label for label, side in (("f", f), ("g", g)) if side.wide is not None]
    how = BOTH if len(wide) == 2 else ONE.format(wide[0]) if wide else NONE
    return f"{how}; {runs} pairs of runs, Student's t at {false_alarm:g} for an array"


def _names(parity: Parity, f: Evidence, g: Evidence) -> None:
    unmatched = [("f", name) for name in f.plain if name not in g.plain]
    unmatched += [("g", name) for name in g.plain if name not in f.plain]
    if unmatched:
        detail = ", ".join(f"only {side} has {name}" for side, name in unmatched)
        parity.rows.append(ComparedArray("names", "MISMATCH", np.inf, 0.0, np.inf, (), detail))


def _checked(inputs: tuple[Any, ...], gradients: bool | str, runs: int, false_alarm: float) -> list[Array]:
    if not inputs:
        raise ArgumentError("assert_parity", "inputs", "none", "the NumPy arrays that f is called with")
    if gradients not in (True, False, "auto"):
        raise ArgumentError("assert_parity", "gradients", repr(gradients), "True, False or 'auto'")
    if not isinstance(runs, int) or runs < 3:
        raise ArgumentError("assert_parity", "runs", repr(runs), "an integer >= 3", "fewer show no spread")
    if not 0 < false_alarm < 1:
        raise ArgumentError("assert_parity", "false_alarm", repr(false_alarm), "a probability between 0 and 1")
    arrays = [np.asarray(value) for value in inputs]
    for i, array in enumerate(arrays):
        if array.dtype.kind not in "fiub":
            got = f"{type(inputs[i]).__name__} ({array.dtype})"
            raise ArgumentError("assert_parity", f"inputs[{i}]", got, "an array of floats, integers or booleans")
    return arrays


@contextmanager
def _kept_state(subjects: tuple[FrameworkCallable, FrameworkCallable]) -> Iterator[None]:
    python, legacy = random.getstate(), np.random.get_state()
    with ExitStack() as scopes:
        for subject in subjects:
            scopes.enter_context(subject.framework.kept_state())
        try:
            yield
        finally:
            random.setstate(python)
            np.random.set_state(legacy)


def _text(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"[:300]

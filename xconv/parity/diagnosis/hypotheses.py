"""What may be wrong about a problem: its padding, stride, dilation and borders, and how its operands are read."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any

from xconv.core.call import Call, resolve
from xconv.core.checks import crop, padding_pair
from xconv.core.operations import OPERATIONS
from xconv.core.problem import PADDING_MODES, ConvProblem, check_window, resolve_padding
from xconv.parity.diagnosis.difference import Difference, Prediction
from xconv.parity.diagnosis.operands import changes
from xconv.parity.diagnosis.setting import Setting
from xconv.system.errors import ArgumentError

MOST_PAD_SHIFT = 3
"""How far a pad is moved to the other side; the extremes are tried too."""


@dataclass(frozen=True)
class _Window:
    """One of the problems of a case: ``call`` is its number, ``which`` its attribute of the call."""

    call: int
    which: str
    along: str
    padding: Any

    def problem(self, calls: Sequence[Call]) -> ConvProblem:
        found: ConvProblem = getattr(calls[self.call], self.which)
        return found


def predictions(setting: Setting, difference: Difference) -> Iterator[Prediction]:
    """The array of every problem that is a little different, and of operands that are read differently.

    Those of the same shape as the array, each evaluated only when it is asked for.
    """
    alternatives = [] if setting.array == "dbias" else _geometries(setting)
    for condition, calls in alternatives:
        found = setting.prediction(condition, difference, calls=calls)
        if found is not None:
            yield found
    for condition, changed in changes(setting):
        found = setting.prediction(condition, difference, changes=changed)
        if found is not None:
            yield found


def _geometries(setting: Setting) -> Iterator[tuple[str, tuple[Call, ...]]]:
    windows = _windows(setting)
    seen = {setting.calls}
    families: list[Callable[[Call, _Window], Iterable[tuple[str, str, dict[str, Any]]]]] = [_paddings, _steps]
    for family in families:
        for condition, calls in _each_and_all(setting.calls, windows, family):
            if calls not in seen:
                seen.add(calls)
                yield condition, calls
    mode = setting.calls[0].problem.padding_mode
    for other in PADDING_MODES:
        changed: tuple[Call, ...] | None = setting.calls
        for window in windows:
            changed = changed and _with(changed, window, padding_mode=other)
        if changed and other != mode and any(any(window.problem(changed).padding) for window in windows):
            yield f"padding_mode is {other!r} instead of {mode!r}", changed
    yield from _other_axis(setting)


def _windows(setting: Setting) -> list[_Window]:
    given, row = setting.case.options.get("padding", "valid"), setting.case.row
    if not row.takes_pairs:
        return [_Window(0, "problem", "", given)]
    pads = dict(zip(row.axes, padding_pair(row.name, given), strict=True))
    if row.is_2d:
        return [_Window(0, "vertical", " along H", pads["H"]), _Window(0, "problem", " along W", pads["W"])]
    steps = enumerate(step.axes for step in row.parts)
    return [_Window(number, "problem", f" along {axis}", pads[axis]) for number, axis in steps]


def _each_and_all(
    calls: tuple[Call, ...],
    windows: list[_Window],
    family: Callable[[Call, _Window], Iterable[tuple[str, str, dict[str, Any]]]],
) -> Iterator[tuple[str, tuple[Call, ...]]]:
    """Each window with each of its alternatives, then both windows with those of the same kind."""
    found = [{key: (text, fields) for key, text, fields in family(calls[w.call], w)} for w in windows]
    for count in range(1, len(windows) + 1):
        for chosen in combinations(range(len(windows)), count):
            for key in found[chosen[0]]:
                changed: tuple[Call, ...] | None = calls
                texts = []
                for i in chosen:
                    text, fields = found[i].get(key, ("", None))
                    changed = _with(changed, windows[i], **fields) if changed and fields is not None else None
                    texts.append(text)
                if changed:
                    yield " and ".join(texts), changed


def _paddings(call: Call, window: _Window) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """The total split in another way, symmetric pads, none, and "same" as if there were no stride."""
    problem = getattr(call, window.which)
    low, high = problem.padding
    total, spare = low + high, problem.extent - 1
    pairs = {"swapped": (high, low)}
    for moved in range(1, MOST_PAD_SHIFT + 1):
        pairs[f"{moved} to high"] = (low - moved, high + moved)
        pairs[f"{moved} to low"] = (low + moved, high - moved)
    pairs |= {"all low": (total, 0), "all high": (0, total), "none": (0, 0)}
    pairs |= {"half low": (spare // 2, spare // 2), "half high": (spare - spare // 2, spare - spare // 2)}
    pairs |= {"less above": (spare - spare // 2, spare // 2), "less below": (spare // 2, spare - spare // 2)}
    seen = {(low, high)}
    for key, pair in pairs.items():
        if min(pair) >= 0 and pair not in seen:
            seen.add(pair)
            yield key, f"padding{window.along} is {pair} instead of {(low, high)}", {"padding": pair}


def _steps(call: Call, window: _Window) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Stride and dilation swapped or left out, with the pads as they are, and as their name then gives them."""
    problem, along = getattr(call, window.which), window.along
    stride, dilation = problem.stride, problem.dilation
    wanted: dict[str, tuple[str, dict[str, int]]] = {}
    if stride != dilation:
        wanted["swapped"] = (f"stride and dilation{along} are swapped", {"stride": dilation, "dilation": stride})
    if dilation > 1:
        wanted["dilation"] = (f"dilation{along} is 1 instead of {dilation}", {"dilation": 1})
    if stride > 1:
        wanted["stride"] = (f"stride{along} is 1 instead of {stride}", {"stride": 1})
    for key, (text, fields) in wanted.items():
        yield key, text, fields
        pads = _named(call, window.padding, replace(problem, **fields))
        if pads not in (None, problem.padding):
            yield f"{key}, padded", f"{text}, with padding {pads}", {**fields, "padding": pads}


def _named(call: Call, padding: Any, problem: ConvProblem) -> tuple[int, int] | None:
    """What the name of a padding stands for with another stride or dilation."""
    if not isinstance(padding, str):
        return None
    if call.direction != "forward":
        return crop(call.operation, padding, problem.kernel, problem.stride, problem.dilation)
    window = {"kernel": problem.kernel, "stride": problem.stride, "dilation": problem.dilation}
    return resolve_padding(call.operation, padding, length=problem.length, **window)


def _with(calls: tuple[Call, ...], window: _Window, **fields: Any) -> tuple[Call, ...] | None:
    """The calls with a problem changed, and the sizes that follow from it; None where it has no place."""
    changed, call = list(calls), calls[window.call]
    problem = window.problem(calls)
    new = replace(problem, **fields)
    if call.direction != "forward":
        # the length is that of the result: as many places as before, and the same spare elements
        spare = problem.padded_length - problem.extent - (problem.output_length - 1) * problem.stride
        length = (problem.output_length - 1) * new.stride + new.extent + spare - sum(new.padding)
        if problem.output_length < 1 or length < 1 or spare >= new.stride:
            return None
        new = replace(new, length=length)
    try:
        check_window(call.operation, new, "W")
    except ArgumentError:
        return None
    if min(new.padding) < 0 or new.output_length < 1:
        return None
    changed[window.call] = replace(call, vertical=new) if window.which == "vertical" else replace(call, problem=new)
    if window.which == "vertical":
        rows = call.problem.outer // max(problem.output_length, 1) * new.output_length
        changed[0] = replace(changed[0], problem=replace(call.problem, outer=rows))
    elif len(calls) == 2 and window.call == 0:
        second = calls[1].problem
        if calls[1].axis == 1:  # along H, over lines of the first's results
            second = replace(second, inner=new.output_length)
        else:
            second = replace(second, outer=second.outer // max(problem.output_length, 1) * new.output_length)
        changed[1] = replace(calls[1], problem=second)
    return tuple(changed)


def _other_axis(setting: Setting) -> Iterator[tuple[str, tuple[Call, ...]]]:
    """Rows for columns."""
    row = setting.case.row
    others = [
        each
        for each in OPERATIONS.values()
        if not (each.takes_pairs or row.takes_pairs)
        and (each.layouts, each.direction) == (row.layouts, row.direction)
        and each.axes != row.axes
    ]
    if not others:
        return
    other = others[0]
    x_shape, weight_shape = setting.case.passed_shapes()
    try:
        call = resolve(other.name, x_shape, weight_shape, **setting.case.options, layout=setting.case.layout)
    except ArgumentError:
        return
    if call.problem.output_length > 0:
        yield f"the kernel slides along {other.axes} instead of {row.axes}", (call,)

"""Run a case on a backend and compare it with the reference: exactly, or against the derived bound."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from xconv import reference
from xconv.bounds import Enclosure, enclose, fourier_error, round_to, sums
from xconv.call import Call
from xconv.parity.cases import Case
from xconv.plan import choose
from xconv.problem import DIRECTIONS
from xconv.reference import Floats

if TYPE_CHECKING:
    from xconv.backend import Backend


Product: TypeAlias = Callable[[Floats, Floats], Floats]

EXACT_BELOW = 2.0**24
"""Integers below it are exact in float32, and so are their sums in any order."""


@dataclass(frozen=True)
class Finding:
    """One array of a case, compared.

    ``error`` is the largest distance from the reference, ``ratio`` the largest one over its own bound (0 where every
    bit agrees, inf where it must agree and does not), ``place`` the index of the worst element.
    """

    array: str
    verdict: str
    error: float
    ratio: float
    place: tuple[int, ...]
    detail: str = ""

    @property
    def ok(self) -> bool:
        """Whether the array is what it should be."""
        return self.verdict in ("exact", "within bound")


def check(
    backend: Backend,
    case: Case,
    *,
    kind: str = "normal",
    dtype: str = "float32",
    device: str = "cpu",
    mode: str = "eager",
    formulation: str = "auto",
    gradients: bool = True,
    seed: int = 0,
) -> list[Finding]:
    """Compare the result of a case, and its gradients, with the reference.

    With ``kind="integers"`` every sum is exact and the comparison is bit for bit; with ``"normal"`` it is against the
    bound of :mod:`xconv.bounds`.
    """
    inputs = case.inputs(kind, dtype, seed)
    computed = compute(backend, case, inputs, dtype, device, mode, formulation, gradients)
    lengths = transforms(backend, case, dtype, device, formulation)
    return [
        compare(name, computed[name], wanted, dtype, exactly=kind == "integers")
        for name, wanted in expected(case, inputs, dtype, gradients, kind, lengths).items()
    ]


def transforms(backend: Backend, case: Case, dtype: str, device: str, formulation: str) -> list[dict[str, int]]:
    """The lengths of the Fourier transforms by which each call's directions are computed; no entry for sums."""
    found: list[dict[str, int]] = []
    for call in case.calls():
        found.append({})
        if call.vertical is not None or not call.problem.is_static:
            continue
        problem = replace(call.problem, dtype=dtype)
        how = choose(backend, call.direction, problem, formulation=formulation, layout=call.layout.name, device=device)
        problem = problem.padded() if problem.padding_mode != "zeros" else problem
        for direction in DIRECTIONS:
            if direction == call.direction:
                forms = {how.formulation, how.trained}
            elif how.trained.name in backend.differentiated:
                forms = set()
            else:  # a formulation that was named may be differentiated step by step, or by what "auto" takes
                forms = {how.trained, choose(backend, direction, problem, device=device).formulation}
            if how.adjoints is not None:
                forms.add(how.adjoints[direction])
            able = [form for form in forms if form.unsupported(direction, problem) is None]
            longest = max((form.transform_length(direction, problem) for form in able), default=0)
            if longest:
                found[-1][direction] = longest
    return found


def compute(
    backend: Backend,
    case: Case,
    inputs: Sequence[Floats],
    dtype: str,
    device: str = "cpu",
    mode: str = "eager",
    formulation: str = "auto",
    gradients: bool = True,
) -> dict[str, Floats]:
    """The result of a case on a backend and its gradients, by name, as float64."""
    *tensors, cotangent = (backend.cast(backend.from_numpy(array, device), dtype) for array in inputs)
    how = {} if formulation == "auto" else {"formulation": formulation}

    def function(*arrays: Any) -> Any:
        return case.run(*arrays, **how)

    with backend.exact_float32():
        run = function if mode == "eager" else backend.compiled(function, mode)
        arrays = {"y": run(*tensors)}
        if gradients:
            names = [f"d{name}" for name in ("x", *case.weight_names, *(["bias"] if case.bias else []))]
            arrays.update(zip(names, backend.gradients(run, tensors, cotangent), strict=True))
    for name, array in arrays.items():
        if backend.dtype(array) != dtype:
            raise TypeError(f"{case.name}: {name} came back as {backend.dtype(array)}, not {dtype}")
    return {name: backend.to_numpy(backend.cast(array, "float64")) for name, array in arrays.items()}


def expected(
    case: Case,
    inputs: Sequence[Floats],
    dtype: str,
    gradients: bool = True,
    kind: str = "normal",
    lengths: Sequence[dict[str, int]] = (),
) -> dict[str, Enclosure]:
    """The result of a case and its gradients by the reference, each with its bound.

    With ``kind="integers"`` values in between are rounded to the dtype, as they are when computed. ``lengths`` are the
    Fourier transforms of each call (:func:`transforms`): what they compute is exact for no input.

    Raises:
        ValueError: the integers are too large for exact sums, so that comparing bits would mean nothing.
    """
    calls, weights = case.calls(), [Enclosure.exact(w) for w in inputs[1 : 1 + len(case.weight_shapes)]]
    bias = _along_channels(calls[-1], inputs[-2]) if case.bias else None

    def enclosed(
        function: Product,
        a: Enclosure,
        b: Enclosure,
        terms: int,
        bias: Enclosure | None = None,
        spread: Floats | float = 0.0,
    ) -> Enclosure:
        result = enclose(function, a, b, terms=terms, dtype=dtype, bias=bias, independent=kind == "normal")
        result = Enclosure(result.value, result.error + spread)
        if kind == "normal" or a.error.any() or np.any(spread):
            return result
        largest = function(np.abs(a.value), np.abs(b.value)) + (0 if bias is None else np.abs(bias.value))
        if largest.size and largest.max() >= EXACT_BELOW:
            raise ValueError(f"{case.name}: sums of up to {largest.max():.3g} are not exact in float32")
        return Enclosure(round_to(dtype, result.value), np.zeros_like(result.error))

    def spread(number: int, array: str, a: Enclosure, b: Enclosure) -> Floats | float:
        return _spread(calls[number], array, a, b, dtype, lengths[number] if lengths else {})

    passed = [Enclosure.exact(inputs[0])]
    for number, (call, weight) in enumerate(zip(calls, weights, strict=True)):
        last = bias if call is calls[-1] else None
        far = spread(number, "y", passed[-1], weight)
        passed.append(enclosed(partial(reference.apply, call), passed[-1], weight, terms_of(call, "y"), last, far))
    found = {"y": passed[-1]}
    if not gradients:
        return found
    above = Enclosure.exact(inputs[-1])
    if case.bias:
        channel = calls[-1].layout.to_channels_last[-1]
        positions = tuple(axis for axis in range(above.value.ndim) if axis != channel)
        terms = int(np.prod([above.value.shape[axis] for axis in positions]))
        found["dbias"] = enclosed(lambda dy, _: dy.sum(positions), above, Enclosure.exact(1.0), terms)
    for number in reversed(range(len(calls))):
        call, x, weight = calls[number], passed[number], weights[number]
        weight_adjoint, input_adjoint = partial(reference.weight_adjoint, call), partial(reference.input_adjoint, call)
        far = spread(number, "dweight", x, above)
        found[f"d{case.weight_names[number]}"] = enclosed(
            weight_adjoint, x, above, terms_of(call, "dweight"), None, far
        )
        far = spread(number, "dx", above, weight)
        above = enclosed(input_adjoint, above, weight, terms_of(call, "dx"), None, far)
    found["dx"] = above
    return found


def compare(name: str, computed: Floats, wanted: Enclosure, dtype: str, *, exactly: bool) -> Finding:
    """An array against its enclosure; NaN and infinity must be in the same places."""
    if computed.shape != wanted.value.shape:
        detail = f"shape {computed.shape} instead of {wanted.value.shape}"
        return Finding(name, "MISMATCH", np.inf, np.inf, (), detail)
    target = round_to(dtype, wanted.value) if exactly and not wanted.error.any() else wanted.value
    if computed.size == 0:
        return Finding(name, "exact", 0.0, 0.0, ())
    finite = np.isfinite(target)
    same = np.where(finite, computed == target, _same_special(computed, target))
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        error = np.where(same, 0.0, np.abs(computed - target))
        error = np.where(np.isnan(error) | (~finite & ~same), np.inf, error)
        ratio = np.where(error == 0, 0.0, error / wanted.error)
    worst = np.unravel_index(int(np.argmax(ratio)), ratio.shape)
    place, largest = tuple(int(i) for i in worst), float(ratio[worst])
    verdict = "exact" if largest == 0 else "within bound" if largest <= 1 else "MISMATCH"
    detail = "" if largest <= 1 else f"got {computed[worst]:.9g}, expected {target[worst]:.9g}"
    return Finding(name, verdict, float(error.max()), largest, place, detail)


def _same_special(computed: Floats, target: Floats) -> Any:
    return (np.isnan(computed) & np.isnan(target)) | (computed == target)


def _along_channels(call: Call, bias: Floats) -> Enclosure:
    shape = [1] * len(call.layout.to_channels_last)
    shape[call.layout.to_channels_last[-1]] = -1
    return Enclosure.exact(np.reshape(bias, shape))


def _spread(call: Call, array: str, a: Enclosure, b: Enclosure, dtype: str, lengths: dict[str, int]) -> Floats | float:
    """How far the Fourier transforms of a call put an array from a sum of products, in the caller's layout."""
    forward = call.direction == "forward"
    direction = {"y": "forward", "dx": "input_gradient"}.get(array, "weight_gradient")
    if not forward and array != "dweight":
        direction = "input_gradient" if array == "y" else "forward"
    if direction not in lengths:
        return 0.0
    layout, problem = call.layout, call.problem
    operands = [a.largest, b.largest]
    if direction == "weight_gradient" and not forward:
        operands.reverse()  # (x, dy) of the problem are (gradient of the result, x) of a transposed convolution
    channels_last = [np.transpose(operands[0], layout.to_channels_last)]
    to_last = layout.to_channels_last if direction == "weight_gradient" else call.weight_axes
    channels_last.append(np.transpose(operands[1], to_last))
    copies = 1
    if problem.padding_mode != "zeros":
        copies = 1 + sum(problem.padding)  # a border element gives its gradient to its source
        if direction != "input_gradient":
            channels_last[0] = reference.bordered(problem, call.axis, channels_last[0])
        problem = problem.padded()
    x, other = channels_last
    error = copies * fourier_error(problem, direction, lengths[direction], x, other, sums(dtype), call.axis)
    if direction == "weight_gradient":
        shape = np.broadcast_shapes(error.shape, problem.weight_shape)
        return np.transpose(np.broadcast_to(error, shape), np.argsort(call.weight_axes))
    if copies > 1 and direction == "input_gradient":
        error = np.broadcast_to(error.max(), (1,) * error.ndim)
    return np.transpose(error, layout.from_channels_last)


def terms_of(call: Call, array: str) -> int:
    """Products summed into one element of an array: over both axes for conv2d."""
    problem, other = call.problem, call.vertical
    taps = other.kernel if other is not None else 1
    if array == "dweight":
        return int(problem.terms("weight_gradient"))
    forward = (array == "y") == (call.direction == "forward")
    terms = int(problem.terms("forward" if forward else "input_gradient")) * taps
    # a border element is read, and so gets gradients, at most once more on each side of each axis
    borders = 3 if problem.padding_mode != "zeros" and not forward else 1
    if problem.padding_mode == "replicate" and not forward:
        borders = 1 + max(sum(problem.padding), sum(other.padding) if other is not None else 0)
    return terms * borders * (borders if other is not None else 1)

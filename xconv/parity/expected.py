"""What a case should give: every array by the reference, each with its bound."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeAlias

import numpy as np

from xconv.core import reference
from xconv.core.bounds import Enclosure, enclose, round_to, sums
from xconv.core.call import Call
from xconv.core.fourier_bounds import fourier_error
from xconv.core.reference import Floats
from xconv.parity.cases import Case

Product: TypeAlias = Callable[[Floats, Floats], Floats]

EXACT_BELOW = 2.0**24
"""Integers below it are exact in float32, and so are their sums in any order."""


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

    Args:
        case: operation, shapes and options.
        inputs: float64: x, the weights, the bias if the case has one, and the gradient for the result, in the shapes of
            :meth:`Case.inputs`.
        dtype: in which the result is computed.
        gradients: whether they are wanted too.
        kind: "integers" or "normal".
        lengths: of the Fourier transforms of each call, by direction.

    Returns:
        "y", "dx", "dweight" and so on, each of the shape of its array.

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
        if kind == "normal" or a.error.any() or b.error.any() or np.any(spread):
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


def _along_channels(call: Call, bias: Floats) -> Enclosure:
    shape = [1] * len(call.layout.to_channels_last)
    shape[call.layout.to_channels_last[-1]] = -1
    return Enclosure.exact(np.reshape(bias, shape))


def _spread(call: Call, array: str, a: Enclosure, b: Enclosure, dtype: str, lengths: dict[str, int]) -> Floats | float:
    """How far the Fourier transforms of a call put an array from a sum of products, in the caller's layout.

    Args:
        call: what is computed.
        array: "y", "dx" or "dweight".
        a: the first operand, in the caller's layout: x, or for "dx" the gradient of the result.
        b: the second one: the weight, or for "dweight" the gradient of the result.
        dtype: in which it is computed.
        lengths: of the Fourier transforms, by direction.

    Returns:
        What broadcasts to the array; 0 without a transform.
    """
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

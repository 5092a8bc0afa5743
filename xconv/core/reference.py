"""The convolution in float64, written from its definition.

Arrays are channels last, as a backend sees them: rank 3 or 4, an axis that slides, the weight (kernel, in/groups, out).
Nothing here is meant to be fast: it is what the fast ones are compared with.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from xconv.core.call import Call
from xconv.core.problem import ConvProblem

Floats: TypeAlias = npt.NDArray[np.float64]

_MODES = {"zeros": "constant", "reflect": "reflect", "replicate": "edge", "circular": "wrap"}


def forward(
    problem: ConvProblem, axis: int, x: npt.ArrayLike, weight: npt.ArrayLike, bias: npt.ArrayLike | None = None
) -> Floats:
    """``y[o] = sum_j x[o * stride + j * dilation - low] w[j] + bias`` along an axis, each group of channels alone.

    Args:
        problem: what is computed.
        axis: the one of ``x`` that slides.
        x: (N, W, in), or (N, H, W, in); computed in float64.
        weight: (kernel, in/groups, out).
        bias: (out,), or None.

    Returns:
        ``x`` with ``problem.output_length`` elements along ``axis`` and ``out`` channels, in float64.

    >>> p = ConvProblem(outer=1, length=4, inner=1, in_channels=1, out_channels=1, kernel=2)
    >>> forward(p, 1, [[[1], [2], [3], [4]]], [[[1]], [[10]]]).ravel()
    array([21., 32., 43.])
    """
    w = np.asarray(weight, np.float64)
    padded = bordered(problem, axis, np.asarray(x, np.float64))
    y = np.zeros((*_moved(padded, axis).shape[:-2], problem.output_length, problem.out_channels))
    for tap in range(problem.kernel):
        elements = _elements_at_tap(problem, axis, padded, tap)
        for group_in, group_out in _groups(problem):
            y[..., group_out] += elements[..., group_in] @ w[tap][:, group_out]
    if bias is not None:
        y += np.asarray(bias, np.float64)
    return np.moveaxis(y, -2, axis)


def input_gradient(problem: ConvProblem, axis: int, dy: npt.ArrayLike, weight: npt.ArrayLike) -> Floats:
    """The adjoint of :func:`forward` with respect to ``x``: each product goes back where it came from.

    Args:
        problem: that of :func:`forward`.
        axis: the one of ``dy`` that slides.
        dy: of the shape of what :func:`forward` returns.
        weight: (kernel, in/groups, out).

    Returns:
        ``dy`` with ``problem.length`` elements along ``axis`` and ``in`` channels, in float64.

    >>> p = ConvProblem(outer=1, length=4, inner=1, in_channels=1, out_channels=1, kernel=2)
    >>> input_gradient(p, 1, [[[1], [1], [1]]], [[[1]], [[10]]]).ravel()
    array([ 1., 11., 11., 10.])
    """
    w = np.asarray(weight, np.float64)
    above = _moved(np.asarray(dy, np.float64), axis)
    padded = np.zeros((*above.shape[:-2], problem.padded_length, problem.in_channels))
    for tap in range(problem.kernel):
        elements = padded[..., _places(problem, tap), :]
        for group_in, group_out in _groups(problem):
            elements[..., group_in] += above[..., group_out] @ w[tap][:, group_out].T
    return np.moveaxis(_unpad(problem, padded), -2, axis)


def weight_gradient(problem: ConvProblem, axis: int, x: npt.ArrayLike, dy: npt.ArrayLike) -> Floats:
    """The adjoint of :func:`forward` with respect to the weight.

    Args:
        problem: that of :func:`forward`.
        axis: the one of ``x`` that slides.
        x: (N, W, in), or (N, H, W, in).
        dy: of the shape of what :func:`forward` returns.

    Returns:
        (kernel, in/groups, out), in float64.

    >>> p = ConvProblem(outer=1, length=4, inner=1, in_channels=1, out_channels=1, kernel=2)
    >>> weight_gradient(p, 1, [[[1], [2], [3], [4]]], [[[1], [1], [1]]]).ravel()
    array([6., 9.])
    """
    padded = bordered(problem, axis, np.asarray(x, np.float64))
    above = _moved(np.asarray(dy, np.float64), axis)
    gradient = np.zeros(problem.weight_shape)
    for tap in range(problem.kernel):
        elements = _elements_at_tap(problem, axis, padded, tap)
        for group_in, group_out in _groups(problem):
            gradient[tap][:, group_out] = _over_positions(elements[..., group_in], above[..., group_out])
    return gradient


def conv2d(
    vertical: ConvProblem,
    horizontal: ConvProblem,
    x: npt.ArrayLike,
    weight: npt.ArrayLike,
    bias: npt.ArrayLike | None = None,
) -> Floats:
    """The true 2-D convolution of (N, H, W, C) with (kh, kw, in/groups, out).

    Args:
        vertical: the problem along H.
        horizontal: the problem along W, with the same channels and groups.
        x: (N, H, W, in).
        weight: (kh, kw, in/groups, out).
        bias: (out,), or None.

    Returns:
        (N, H', W', out), in float64.

    >>> p = ConvProblem(outer=1, length=3, inner=1, in_channels=1, out_channels=1, kernel=2)
    >>> conv2d(p, p, np.ones((1, 3, 3, 1)), np.ones((2, 2, 1, 1))).ravel()
    array([4., 4., 4., 4.])
    """
    w = np.asarray(weight, np.float64)
    padded = bordered(horizontal, 2, bordered(vertical, 1, np.asarray(x, np.float64)))
    y = np.zeros((padded.shape[0], vertical.output_length, horizontal.output_length, vertical.out_channels))
    for tap in range(vertical.kernel):
        for other in range(horizontal.kernel):
            elements = padded[:, _places(vertical, tap)][:, :, _places(horizontal, other)]
            for group_in, group_out in _groups(vertical):
                y[..., group_out] += elements[..., group_in] @ w[tap, other][:, group_out]
    return y if bias is None else y + np.asarray(bias, np.float64)


def apply(call: Call, x: npt.ArrayLike, weight: npt.ArrayLike, bias: npt.ArrayLike | None = None) -> Floats:
    """What an operation must give, in the caller's layout.

    Args:
        call: of an operation with one kernel.
        x: of the shape and in the layout that were resolved.
        weight: in the same layout.
        bias: (out,), or None.

    Returns:
        ``call.result_shape(x.shape)``, in float64.

    >>> from xconv.core.call import resolve
    >>> call = resolve("conv1d", (1, 1, 4), (1, 1, 2), layout="NCW", padding="same")
    >>> apply(call, [[[1, 2, 3, 4]]], [[[1, 1]]])
    array([[[3., 5., 7., 4.]]])
    """
    inputs = np.transpose(np.asarray(x, np.float64), call.layout.to_channels_last)
    kernel = np.transpose(np.asarray(weight, np.float64), call.weight_axes)
    if call.vertical is not None:
        y = conv2d(call.vertical, call.problem, inputs, kernel, bias)
    elif call.direction == "forward":
        y = forward(call.problem, call.axis, inputs, kernel, bias)
    else:
        y = input_gradient(call.problem, call.axis, inputs, kernel)
        y = y if bias is None else y + np.asarray(bias, np.float64)
    return np.transpose(y, call.layout.from_channels_last)


def input_adjoint(call: Call, dy: npt.ArrayLike, weight: npt.ArrayLike) -> Floats:
    """The gradient of an operation with respect to ``x``, in the caller's layout, from the gradient of its result.

    Args:
        call: of an operation with one kernel.
        dy: of the shape of what :func:`apply` returns.
        weight: in the caller's layout.

    Returns:
        The shape of x in the caller's layout, in float64.

    >>> from xconv.core.call import resolve
    >>> call = resolve("conv1d", (1, 1, 4), (1, 1, 2), layout="NCW")
    >>> input_adjoint(call, [[[1, 1, 1]]], [[[1, 10]]])
    array([[[ 1., 11., 11., 10.]]])
    """
    above = np.transpose(np.asarray(dy, np.float64), call.layout.to_channels_last)
    kernel = np.transpose(np.asarray(weight, np.float64), call.weight_axes)
    if call.vertical is not None:
        dx = _conv2d_input_gradient(call.vertical, call.problem, above, kernel)
    elif call.direction == "forward":
        dx = input_gradient(call.problem, call.axis, above, kernel)
    else:
        dx = forward(call.problem, call.axis, above, kernel)
    return np.transpose(dx, call.layout.from_channels_last)


def weight_adjoint(call: Call, x: npt.ArrayLike, dy: npt.ArrayLike) -> Floats:
    """The gradient of an operation with respect to its weight, in the caller's layout.

    Args:
        call: of an operation with one kernel.
        x: in the caller's layout.
        dy: of the shape of what :func:`apply` returns.

    Returns:
        The shape of the weight in the caller's layout, in float64.

    >>> from xconv.core.call import resolve
    >>> call = resolve("conv1d", (1, 1, 4), (1, 1, 2), layout="NCW")
    >>> weight_adjoint(call, [[[1, 2, 3, 4]]], [[[1, 1, 1]]])
    array([[[6., 9.]]])
    """
    inputs = np.transpose(np.asarray(x, np.float64), call.layout.to_channels_last)
    above = np.transpose(np.asarray(dy, np.float64), call.layout.to_channels_last)
    if call.vertical is not None:
        gradient = _conv2d_weight_gradient(call.vertical, call.problem, inputs, above)
    elif call.direction == "forward":
        gradient = weight_gradient(call.problem, call.axis, inputs, above)
    else:
        gradient = weight_gradient(call.problem, call.axis, above, inputs)
    return np.transpose(gradient, np.argsort(call.weight_axes))


def _conv2d_input_gradient(vertical: ConvProblem, horizontal: ConvProblem, dy: Floats, w: Floats) -> Floats:
    padded = np.zeros((dy.shape[0], vertical.padded_length, horizontal.padded_length, vertical.in_channels))
    for tap in range(vertical.kernel):
        for other in range(horizontal.kernel):
            elements = padded[:, _places(vertical, tap)][:, :, _places(horizontal, other)]
            for group_in, group_out in _groups(vertical):
                elements[..., group_in] += dy[..., group_out] @ w[tap, other][:, group_out].T
    rows = _unpad(horizontal, padded)
    return np.moveaxis(_unpad(vertical, np.moveaxis(rows, 1, 2)), 2, 1)


def _conv2d_weight_gradient(vertical: ConvProblem, horizontal: ConvProblem, x: Floats, dy: Floats) -> Floats:
    padded = bordered(horizontal, 2, bordered(vertical, 1, x))
    gradient = np.zeros((vertical.kernel, *horizontal.weight_shape))
    for tap in range(vertical.kernel):
        for other in range(horizontal.kernel):
            elements = padded[:, _places(vertical, tap)][:, :, _places(horizontal, other)]
            for group_in, group_out in _groups(vertical):
                product = _over_positions(elements[..., group_in], dy[..., group_out])
                gradient[tap, other][:, group_out] = product
    return gradient


def _over_positions(x: Floats, dy: Floats) -> Floats:
    """``sum x[p, i] dy[p, o]`` over all positions."""
    return np.tensordot(x, dy, (range(x.ndim - 1), range(dy.ndim - 1)))


def _groups(problem: ConvProblem) -> list[tuple[slice, slice]]:
    i, o = problem.group_in, problem.group_out
    return [(slice(g * i, (g + 1) * i), slice(g * o, (g + 1) * o)) for g in range(problem.groups)]


def _places(problem: ConvProblem, tap: int) -> slice:
    start = tap * problem.dilation
    return slice(start, start + max((problem.output_length - 1) * problem.stride + 1, 0), problem.stride)


def _moved(x: Floats, axis: int) -> Floats:
    """The sliding axis next to the channels."""
    return np.moveaxis(x, axis, -2)


def _elements_at_tap(problem: ConvProblem, axis: int, padded: Floats, tap: int) -> Floats:
    """What one tap sees at every place of the kernel."""
    return _moved(padded, axis)[..., _places(problem, tap), :]


def bordered(problem: ConvProblem, axis: int, x: Floats) -> Floats:
    """``x`` with both pads, of zeros or of border values.

    Args:
        problem: with the pads and their mode.
        axis: the one that is padded.
        x: of any rank, with ``problem.length`` elements along ``axis``.

    Returns:
        ``x`` with ``problem.padded_length`` elements along ``axis``.

    >>> p = ConvProblem(1, 3, 1, 1, 1, kernel=1, padding=(2, 1), padding_mode="reflect")
    >>> bordered(p, 1, np.array([[[1.0], [2.0], [3.0]]])).ravel()
    array([3., 2., 1., 2., 3., 2.])
    """
    widths = [(0, 0)] * x.ndim
    widths[axis] = problem.padding
    return np.pad(x, widths, mode=_MODES[problem.padding_mode])  # type: ignore[call-overload, no-any-return]


def _unpad(problem: ConvProblem, padded: Floats) -> Floats:
    """The adjoint of padding along the axis before the channels: what a border element got goes to its source."""
    source = np.pad(np.arange(problem.length), problem.padding, mode=_MODES[problem.padding_mode])  # type: ignore[call-overload]
    low, high = problem.padding
    x = padded[..., low : padded.shape[-2] - high, :].copy()
    if problem.padding_mode != "zeros":
        for position in [*range(low), *range(padded.shape[-2] - high, padded.shape[-2])]:
            x[..., source[position], :] += padded[..., position, :]
    return x

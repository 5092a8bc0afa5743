"""How far an overlap-save result may be from the exact one: derived, as the bounds of :mod:`xconv.bounds` are."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from xconv.core.bounds import SMALLEST_NORMAL, UNIT_ROUNDOFF, gamma
from xconv.core.fourier import FLOATS, blocks, headroom, prime_factors
from xconv.core.problem import ConvProblem
from xconv.core.reference import Floats


def fourier_error(
    problem: ConvProblem,
    direction: str,
    transform_length: int,
    a: npt.ArrayLike,
    b: npt.ArrayLike,
    dtype: str,
    axis: int = 1,
) -> Floats:
    """How far an overlap-save result may be from the exact one; it broadcasts to the result.

    Args:
        problem: of stride 1 and dilation 1.
        direction: which of the three; ``a`` and ``b`` are its operands, channels last.
        transform_length: n, the length of the transforms. Where blocks begin is not asked for.
        a: x, or dy for the input gradient.
        b: the weight, or dy for the weight gradient.
        dtype: that is computed in, "float32" or "float64".
        axis: of ``a`` that slides.

    Returns:
        A float64 array, 0 or more; it has size 1 along axes of the result on which the bound does not depend.

    In 2-norms, with ``e`` of :func:`transform_error`: a block ``x`` has the computed spectrum ``X + dX``,
    ``|dX| <= e |X|``, ``|X| = sqrt(n) |x|``; the kernel ``w`` alike. A product of spectra, summed over M channels (or
    blocks), is off by ``g = sqrt(2) gamma(2 M)`` of the sum of magnitudes, for its parts are sums of 2 M real products.
    By Cauchy-Schwarz over the frequencies that is, in every element of the block's result, ::

        E = (2 e + e^2 + g (1 + e)^2) sum_m |x_m| |w_m|.

    The inverse transform adds ``e`` (and its scaling one rounding) times the 2-norm of what it gives. Without errors
    that is a circular convolution, at most ``sum_m |x_m| |w_m|_1`` (Young), and E moves it by at most ``sqrt(n) E``.
    The block is in the 2 n - extent elements around the window of an output; the norm is taken over whole pieces of n
    elements that cover these. The weight gradient is a sum over blocks, by Cauchy-Schwarz again at most
    ``sqrt(r) |x_m| |dy_c|`` of the whole arrays, where no element is in more than r blocks.

    >>> p = ConvProblem(outer=1, length=64, inner=1, in_channels=1, out_channels=1, kernel=9)
    >>> error = fourier_error(p, "forward", 32, np.ones((1, 64, 1)), np.ones((9, 1, 1)), "float32")
    >>> bool((error < 1e-3).all() and (error > 0).all())
    True
    """
    x, weight = np.asarray(a, np.float64), np.asarray(b, np.float64)
    if x.size == 0 or weight.size == 0:
        return np.zeros((1,) * (3 if direction == "weight_gradient" else x.ndim))  # sums of nothing, or none
    if direction == "weight_gradient":
        return _fourier_weight_error(problem, transform_length, x, weight, dtype)
    norms = [np.abs(weight).sum(0), _norm(weight, 0)]
    if direction == "input_gradient":
        problem = problem.transposed()
        shape = (problem.group_out, problem.groups, problem.group_in)
        norms = [norm.reshape(shape).transpose(2, 1, 0).reshape(problem.weight_shape[1:]) for norm in norms]
    if problem.output_length < 1:
        return np.zeros((1,) * x.ndim)
    pieces, which = _norms(problem, transform_length, np.moveaxis(x, axis, -2))
    length_1, length_2 = (_over_groups(problem, pieces, norm) for norm in norms)
    terms, e = problem.terms(), transform_error(transform_length, dtype)
    before = _product_error(e, problem.group_in, dtype) * length_2
    error: Floats = before + _inverse_error(e, dtype) * (length_1 + math.sqrt(transform_length) * before)
    error += 3 * gamma(terms, "float64") * length_2
    # powers of two suit the largest weight of an input channel, of whatever output channel of its group
    grouped = norms[0].reshape(problem.group_in, problem.groups, problem.group_out)
    most = np.broadcast_to(grouped.max(2, keepdims=True), grouped.shape).reshape(norms[0].shape)
    error += _fourier_underflow(
        transform_length, problem.group_in, dtype, lambda least: _over_groups(problem, pieces + least, most + least)
    )
    operand = norms[0].sum(0) + 2 * math.sqrt(transform_length) * _over_groups(problem, pieces, np.ones_like(most))
    error += SMALLEST_NORMAL[dtype] * operand  # of which hardware may take what is below for zero
    found: Floats = np.moveaxis(error[..., which, :], -2, axis)
    return found


def transform_error(length: int, dtype: str) -> float:
    """The relative error in the 2-norm of a fast Fourier transform (Higham 2002, theorem 24.2).

    ``t eta / (1 - t eta)`` for ``t = log2 n`` stages, ``eta = u + gamma(4) (sqrt(2) + u)``, with roots of unity that
    are off by u at most. A stage of radix 3 is counted as two, one of radix 5 as three: more than their direct
    evaluation can err. A real transform is a complex one of half the length and a stage more.

    Args:
        length: n, elements of a transform.
        dtype: "float32" or "float64".

    Returns:
        The error over the 2-norm of the transform, without a unit.

    >>> round(transform_error(1024, "float32") / 2**-24)
    67
    """
    u = UNIT_ROUNDOFF[dtype]
    stages = sum({2: 1, 3: 2, 5: 3}.get(prime, prime) for prime in prime_factors(length))
    eta = u + gamma(4, dtype) * (math.sqrt(2) + u)
    return stages * eta / (1 - stages * eta)


def _product_error(e: float, terms: int, dtype: str) -> float:
    return 2 * e + e * e + math.sqrt(2) * gamma(2 * terms, dtype) * (1 + e) ** 2


def _inverse_error(e: float, dtype: str) -> float:
    return e + UNIT_ROUNDOFF[dtype] * (1 + e)


def _fourier_underflow(length: int, terms: int, dtype: str, largest: Callable[[float], Floats]) -> Floats:
    """What may be lost below the smallest normal number.

    Each of the ``8 n log2 n`` operations of a transform loses that much of a number below ``2^(t + 1)``, and each is
    multiplied by a spectrum below ``n 2^(t + 1)``; what is scaled is scaled back by ``2^-2 t`` of the product of the
    largest numbers. What is not scaled is above ``2^(-t / 2)``, and products of two above ``2^-t``. A scaled operand
    beside one that is not is scaled back by ``2^-t`` of its own largest number, at most ``2^(-t / 2)`` of the product.

    Args:
        length: n, elements of a transform.
        terms: products of spectra that are summed.
        dtype: in which the transforms are computed.
        largest: that product, of magnitudes that are at least as large as its argument: what is smaller counts as that.

    Returns:
        Of the shape that ``largest`` returns.
    """
    top, stages = headroom(length, terms, dtype), max(length.bit_length(), 1)
    operands = 64.0 * terms * float(length) ** 2 * stages * math.pow(2.0, top / 2)
    results = math.ldexp(8.0 * (terms + length * stages), top)
    lost = SMALLEST_NORMAL[dtype] * (operands + results)
    return lost * largest(math.ldexp(1.0, top + 1 - FLOATS[dtype].bias)) + SMALLEST_NORMAL[dtype]


def _norm(x: Floats, axes: int | tuple[int, ...]) -> Floats:
    """The 2-norm along axes, without squares that overflow or underflow."""
    largest = np.abs(x).max(axes, keepdims=True)
    largest[(largest == 0) | ~np.isfinite(largest)] = 1
    norm: Floats = np.sqrt(np.square(x / largest).sum(axes)) * largest.squeeze(axes)
    return norm


def _norms(problem: ConvProblem, length: int, x: Floats) -> tuple[Floats, npt.NDArray[np.intp]]:
    """2-norms of what a block around an output may hold, for groups of outputs, and the group of each output.

    Args:
        problem: of stride 1 and dilation 1.
        length: n, elements of a transform.
        x: (..., length of the signal, in).

    Returns:
        Norms (..., groups of outputs, in), and (outputs,) the index of each output's group.
    """
    low, high = problem.padding
    x = x[..., max(-low, 0) : x.shape[-2] - max(-high, 0), :]
    x = np.pad(x, [(0, 0)] * (x.ndim - 2) + [(max(low, 0), max(high, 0) + length), (0, 0)])
    count = x.shape[-2] // length
    pieces = _norm(x[..., : count * length, :].reshape(*x.shape[:-2], count, length, x.shape[-1]), -2)
    # a block that holds the window of an output starts in (start + extent - 1 - length, start]
    starts = np.arange(problem.output_length)
    first = np.maximum(starts + problem.extent - length, 0) // length
    last = np.minimum((starts + length - 1) // length, count - 1)
    spans, which = np.unique(np.stack([first, last], 1), axis=0, return_inverse=True)
    return np.stack([_norm(pieces[..., one : stop + 1, :], -2) for one, stop in spans], -2), which.reshape(-1)


def _over_groups(problem: ConvProblem, norms: Floats, kernel: Floats) -> Floats:
    """``sum_m norms[..., m] kernel[m, c]``, with m over the input channels of the group of c.

    Args:
        problem: with the channels and their groups.
        norms: (..., in).
        kernel: (in/groups, out).

    Returns:
        (..., out).
    """
    groups, group_in = problem.groups, problem.group_in
    grouped = norms.reshape(*norms.shape[:-1], groups, group_in)
    total: Floats = np.einsum("...gi,igo->...go", grouped, kernel.reshape(group_in, groups, problem.group_out))
    return total.reshape(*norms.shape[:-1], problem.out_channels)


def _fourier_weight_error(problem: ConvProblem, length: int, x: Floats, dy: Floats, dtype: str) -> Floats:
    """:func:`fourier_error` of the weight gradient.

    Args:
        problem: of stride 1 and dilation 1.
        length: n, elements of a transform.
        x: (N, W, in), or (N, H, W, in).
        dy: of the same rank, with ``problem.output_length`` elements along the axis that slides, and out channels.
        dtype: in which the transforms are computed.

    Returns:
        (1, in/groups, out): the same for each tap.
    """
    positions = tuple(range(x.ndim - 1))
    norm_x, norm_dy = _norm(x, positions), _norm(dy, positions)
    grouped = norm_x.reshape(problem.groups, problem.group_in, 1) * norm_dy.reshape(problem.groups, 1, -1)
    norms = grouped.transpose(1, 0, 2).reshape(problem.weight_shape[1:])
    count, outputs = blocks(problem, length)
    rows = math.prod(x.shape[:-1]) // problem.length
    norms = norms * math.sqrt(-(-length // outputs) if count > 1 else 1)
    e = transform_error(length, dtype)
    before = _product_error(e, rows * count, dtype) * norms
    # a block of dy has as many elements as it has outputs: its 1-norm is at most their root times its 2-norm
    error = before + _inverse_error(e, dtype) * (math.sqrt(outputs) * norms + math.sqrt(length) * before)
    error += 3 * gamma(problem.terms("weight_gradient"), "float64") * norms
    most = np.broadcast_to(
        norm_dy.reshape(problem.groups, -1).max(1, keepdims=True), (problem.groups, problem.group_out)
    )

    def largest(least: float) -> Floats:
        pairs = (norm_x + least).reshape(problem.groups, problem.group_in, 1) * (most + least)[:, None]
        product: Floats = pairs.transpose(1, 0, 2).reshape(problem.weight_shape[1:])
        return product

    error += _fourier_underflow(length, rows * count, dtype, largest)
    sums = (
        np.abs(x).sum(positions).reshape(problem.groups, -1, 1),
        np.abs(dy).sum(positions).reshape(problem.groups, 1, -1),
    )
    error += SMALLEST_NORMAL[dtype] * (sums[0] + sums[1]).transpose(1, 0, 2).reshape(error.shape)
    return np.asarray(error)[None]

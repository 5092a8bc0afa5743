"""How far a correct result may be from the exact one: derived, never tuned.

A sum of ``n`` products, in any order, with or without fused multiply-add, has the error
``|computed - exact| <= gamma(n) sum |x| |w|`` with ``gamma(n) = n u / (1 - n u)`` and ``u`` the unit roundoff of the
arithmetic (Higham 2002, "Accuracy and Stability of Numerical Algorithms", 2nd ed., section 3.1). It holds for every
input. When rounding errors are independent and of mean zero, ``n`` may be replaced by ``lambda sqrt(n)``, and the bound
fails for an element with a probability of at most ``2 n exp(-lambda^2 / 2)`` (Higham and Mary 2019, "A new approach to
probabilistic rounding error analysis", SIAM J. Sci. Comput. 41(5), theorem 3.1, to first order). That is true of
random data of mean zero, and false of a constant signal: so it must be asked for, with ``independent=True``. Then the
smaller of the two is taken, with lambda = 9: for an element with a million terms it fails less than once in 1e11.

Both are for sums of products. Fourier methods compute other sums: :func:`fourier_error` bounds those. Winograd methods
would need a bound of their own.

An :class:`Enclosure` carries the exact value and the error that it may have by now; a chain of operations passes it on.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from xconv.fourier import blocks, prime_factors
from xconv.problem import ConvProblem
from xconv.reference import Floats

UNIT_ROUNDOFF = {"float64": 2.0**-53, "float32": 2.0**-24, "tf32": 2.0**-11, "float16": 2.0**-11, "bfloat16": 2.0**-8}
"""Half the distance from 1 to the next number: the largest relative error of one rounding to nearest."""

SMALLEST_NORMAL = {"float64": 2.0**-1022, "float32": 2.0**-126}
"""Below it hardware may flush to zero: the most that an underflow takes, of an operation or of an operand."""

HALF_SUBNORMAL = {"float16": 2.0**-25, "bfloat16": 2.0**-134}
"""Half the distance of the numbers around zero: the absolute error of rounding to them."""

LAMBDA = 9.0
"""Standard deviations that the probabilistic bound allows."""


def gamma(terms: int, dtype: str = "float32", independent: bool = False) -> float:
    """The factor before ``sum |x| |w|`` for a sum of that many products.

    >>> gamma(15, "float32") == 15 * 2**-24 / (1 - 15 * 2**-24)
    True
    >>> [round(gamma(10_000, "float32", independent) / 2**-24) for independent in (False, True)]
    [10006, 900]
    """
    u = UNIT_ROUNDOFF[dtype]
    if terms <= 0:
        return 0.0
    worst = terms * u / (1 - terms * u) if terms * u < 1 else math.inf
    if not independent:
        return worst
    return min(worst, math.expm1(LAMBDA * math.sqrt(terms) * u + terms * u * u / (1 - u)))


def sums(dtype: str) -> str:
    """The dtype in which sums of a dtype are computed.

    >>> sums("bfloat16"), sums("float64")
    ('float32', 'float64')
    """
    return "float64" if dtype == "float64" else "float32"


def round_to(dtype: str, values: npt.ArrayLike) -> Floats:
    """The nearest numbers of a dtype, ties to even, as float64.

    >>> round_to("bfloat16", [1 + 2**-8, 1 + 3 * 2**-8]).tolist()
    [1.0, 1.015625]
    """
    exact = np.asarray(values, np.float64)
    if dtype == "bfloat16":
        fraction, exponent = np.frexp(exact)
        rounded: Floats = np.ldexp(np.rint(np.ldexp(fraction, 8)), exponent - 8)
        return rounded
    return exact.astype(dtype).astype(np.float64)


@dataclass(frozen=True)
class Enclosure:
    """An exact value in float64, and for each element how far a computed one may be from it.

    >>> Enclosure(np.array([3.0]), np.array([0.5])).largest
    array([3.5])
    """

    value: Floats
    error: Floats

    @staticmethod
    def exact(value: npt.ArrayLike) -> Enclosure:
        """A value that is known exactly."""
        array = np.asarray(value, np.float64)
        return Enclosure(array, np.zeros_like(array))

    @property
    def largest(self) -> Floats:
        """The largest magnitude each element can have."""
        return np.abs(self.value) + self.error


def enclose(
    product: Callable[[Floats, Floats], Floats],
    a: Enclosure,
    b: Enclosure,
    *,
    terms: int,
    dtype: str,
    bias: Enclosure | None = None,
    independent: bool = False,
) -> Enclosure:
    """The enclosure of a sum of products, computed in a dtype.

    Args:
        product: the bilinear map in float64, for example a convolution.
        a: its first operand.
        b: its second operand.
        terms: products that are summed into one element.
        dtype: of the result. float16 and bfloat16 are summed in float32 and rounded once.
        bias: added to the sum; it broadcasts to the result's shape.
        independent: whether rounding errors may be taken as independent, with mean zero.

    With exact operands the error is ``gamma(terms) |a| * |b|``, and one rounding to the dtype. With inexact ones, what
    ``(|a| + error_a) * (|b| + error_b)`` exceeds ``|a| * |b|`` by comes on top.

    >>> x = Enclosure.exact([1.0, 2.0])
    >>> enclose(lambda a, b: a * b, x, x, terms=1, dtype="float32").error / 2**-24
    array([1.00000007, 4.00000026])
    """
    wide = sums(dtype)
    value = product(a.value, b.value)
    magnitude = product(np.abs(a.value), np.abs(b.value))
    largest = product(a.largest, b.largest)
    error = largest - magnitude
    if bias is not None:
        terms += 1
        value, largest = value + bias.value, largest + bias.largest
        error = error + bias.error
    # the reference is float64 itself: the rounding of its value, magnitude and largest is part of the distance
    error = error + (gamma(terms, wide, independent) + 3 * gamma(terms, "float64")) * largest
    # each product and each sum may underflow
    error = error + 2 * terms * SMALLEST_NORMAL[wide]
    if wide != dtype:
        error = error + UNIT_ROUNDOFF[dtype] * (np.abs(value) + error) + HALF_SUBNORMAL[dtype]
    return Enclosure(value, error)


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
    by_tap = np.abs(weight), np.square(weight)
    norms = [by_tap[0].sum(0), np.sqrt(by_tap[1].sum(0))]
    if direction == "input_gradient":
        problem = problem.transposed()
        shape = (problem.group_out, problem.groups, problem.group_in)
        norms = [norm.reshape(shape).transpose(2, 1, 0).reshape(problem.weight_shape[1:]) for norm in norms]
    if problem.output_length < 1:
        return np.zeros((1,) * x.ndim)
    pieces, which = _energies(problem, transform_length, np.moveaxis(x, axis, -2))
    length_1, length_2 = (_over_groups(problem, np.sqrt(pieces), norm) for norm in norms)
    terms, e = problem.terms(), transform_error(transform_length, dtype)
    before = _product_error(e, problem.group_in, dtype) * length_2
    error = before + _inverse_error(e, dtype) * (length_1 + math.sqrt(transform_length) * before)
    error += 3 * gamma(terms, "float64") * length_2
    error += _fourier_underflow(transform_length, x, weight, dtype)
    return np.moveaxis(error[..., which, :], -2, axis)


def transform_error(length: int, dtype: str) -> float:
    """The relative error in the 2-norm of a fast Fourier transform (Higham 2002, theorem 24.2).

    ``t eta / (1 - t eta)`` for ``t = log2 n`` stages, ``eta = u + gamma(4) (sqrt(2) + u)``, with roots of unity that
    are off by u at most. A stage of radix 3 is counted as two, one of radix 5 as three: more than their direct
    evaluation can err. A real transform is a complex one of half the length and a stage more.

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


def _fourier_underflow(length: int, a: Floats, b: Floats, dtype: str) -> float:
    """What may be lost below the smallest normal number: in each stage of each transform, times the other's norm."""
    operations = 8 * length * max(length.bit_length(), 1)
    return float(operations * SMALLEST_NORMAL[dtype] * (1 + np.abs(a).sum() + np.abs(b).sum()))


def _energies(problem: ConvProblem, length: int, x: Floats) -> tuple[Floats, npt.NDArray[np.intp]]:
    """Sums of squares that a block around an output may hold, for groups of outputs, and the group of each output."""
    low, high = problem.padding
    x = x[..., max(-low, 0) : x.shape[-2] - max(-high, 0), :]
    x = np.pad(x, [(0, 0)] * (x.ndim - 2) + [(max(low, 0), max(high, 0) + length), (0, 0)])
    count = x.shape[-2] // length
    x = x[..., : count * length, :]
    pieces = np.square(x).reshape(*x.shape[:-2], count, length, x.shape[-1]).sum(-2)
    # a block that holds the window of an output starts in (start + extent - 1 - length, start]
    starts = np.arange(problem.output_length)
    first = np.maximum(starts + problem.extent - length, 0) // length
    last = np.minimum((starts + length - 1) // length, count - 1)
    spans, which = np.unique(np.stack([first, last], 1), axis=0, return_inverse=True)
    energies = np.stack([pieces[..., one : stop + 1, :].sum(-2) for one, stop in spans], -2)
    return energies, which.reshape(-1)


def _over_groups(problem: ConvProblem, norms: Floats, kernel: Floats) -> Floats:
    """``sum_m norms[..., m] kernel[m, c]``, with m over the input channels of the group of c."""
    groups, group_in = problem.groups, problem.group_in
    grouped = norms.reshape(*norms.shape[:-1], groups, group_in)
    total: Floats = np.einsum("...gi,igo->...go", grouped, kernel.reshape(group_in, groups, problem.group_out))
    return total.reshape(*norms.shape[:-1], problem.out_channels)


def _fourier_weight_error(problem: ConvProblem, length: int, x: Floats, dy: Floats, dtype: str) -> Floats:
    positions = tuple(range(x.ndim - 1))
    norm_x, norm_dy = (np.sqrt(np.square(array).sum(positions)) for array in (x, dy))
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
    return np.asarray(error + _fourier_underflow(length, x, dy, dtype))[None]

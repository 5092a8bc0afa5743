"""How far a correct result may be from the exact one: derived, never tuned.

A sum of ``n`` products, in any order, with or without fused multiply-add, has the error
``|computed - exact| <= gamma(n) sum |x| |w|`` with ``gamma(n) = n u / (1 - n u)`` and ``u`` the unit roundoff of the
arithmetic (Higham 2002, "Accuracy and Stability of Numerical Algorithms", 2nd ed., section 3.1). It holds for every
input. When rounding errors are independent and of mean zero, ``n`` may be replaced by ``lambda sqrt(n)``, and the bound
fails for an element with a probability of at most ``2 n exp(-lambda^2 / 2)`` (Higham and Mary 2019, "A new approach to
probabilistic rounding error analysis", SIAM J. Sci. Comput. 41(5), theorem 3.1, to first order). That is true of
random data of mean zero, and false of a constant signal: so it must be asked for, with ``independent=True``. Then the
smaller of the two is taken, with lambda = 9: for an element with a million terms it fails less than once in 1e11.

Both are for sums of products. Fourier methods compute other sums: :mod:`xconv.core.fourier_bounds` bounds those.
Winograd methods would need a bound of their own.

An :class:`Enclosure` carries the exact value and the error that it may have by now; a chain of operations passes it on.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from xconv.core.reference import Floats

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

    Args:
        terms: how many products are summed.
        dtype: in which they are computed.
        independent: whether rounding errors may be taken as independent, with mean zero: a smaller factor, which holds
            with a probability.

    Returns:
        The factor, without a unit; ``inf`` where there is no bound.

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

    Args:
        dtype: of the operands.

    Returns:
        "float32" or "float64".

    >>> sums("bfloat16"), sums("float64")
    ('float32', 'float64')
    """
    return "float64" if dtype == "float64" else "float32"


def round_to(dtype: str, values: npt.ArrayLike) -> Floats:
    """The nearest numbers of a dtype, ties to even, as float64.

    Args:
        dtype: "float32", "float64", "float16" or "bfloat16".
        values: of any shape.

    Returns:
        A float64 array of the same shape.

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

    Attributes:
        value: float64, of any shape.
        error: of the same shape, 0 or more.

    >>> Enclosure(np.array([3.0]), np.array([0.5])).largest
    array([3.5])
    """

    value: Floats
    error: Floats

    @staticmethod
    def exact(value: npt.ArrayLike) -> Enclosure:
        """A value that is known exactly.

        Args:
            value: of any shape.

        Returns:
            The value with errors of zero.
        """
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

    Returns:
        The exact sums, of the shape that ``product`` returns, and how far a computed one may be from each.

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

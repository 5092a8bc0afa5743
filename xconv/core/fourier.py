"""Overlap-save: how a long signal is cut into blocks that are transformed alone.

A block of ``n`` elements gives ``n - extent + 1`` outputs; its neighbour starts that many elements further. A longer
block wastes fewer elements on the overlap and costs more per element, as ``log2 n``; it also spreads rounding errors
further. One transform over the whole of a long signal would spread them from its loudest part to its quietest.

Sums over a block are larger than its elements, and products of them larger still: a block of numbers around 1e35 would
overflow although its result does not. So both operands are multiplied by powers of two, and the result by the inverse
powers. Both are exact: they change no bit of what neither overflows nor underflows. With ``a`` the exponents of the
largest numbers of the left operand's transforms (``l`` is a block, ``s`` what a product sums over: an input channel)
and ``b`` those of the right one (``r``: an output channel), the powers are ::

    u[s] = max_r b[s, r]        e[l] = max_s (a[l, s] + u[s])        v[r] = max_s (b[s, r] - u[s])
    left 2^(t + u[s] - e[l])    right 2^(t - u[s] - v[r])            back 2^(e[l] + v[r] - 2 t)

so that the scaled numbers are below ``2^(t + 1)``, where ``t`` is :func:`headroom`. A weight gradient sums over blocks:
``l`` is an input channel, ``s`` a block of a signal.

Numbers of ordinary magnitude (:func:`unscaled`) are not scaled. If all that is on the right is ordinary in a group, it
stays as it is: ``u[s] = 0`` (but for an input channel of zeros) and ``v[r] = t``. If all of a left ``l`` is ordinary
too, its powers are 1. So the powers of a block depend on the block and the kernel, not on other signals of the batch.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from xconv.core.problem import ConvProblem

SHORTEST_BLOCK = 32
"""Below it a transform is mostly the call."""

LEAST_KERNELS_IN_BLOCK = 4
"""A block is at least that many kernels long: then the overlap costs a quarter at most."""


def block_length(problem: ConvProblem) -> int:
    """The length of the transforms of a problem: a power of two from 4 to 8 kernels, or one block for a short signal.

    >>> block_length(ConvProblem(8, 160_000, 1, 1, 1, kernel=8192, padding=(8191, 0)))
    32768
    >>> block_length(ConvProblem(1, 499, 1, 768, 768, kernel=128, groups=16, padding=(64, 64)))
    512
    >>> block_length(ConvProblem(1, 560, 1, 8, 8, kernel=200))
    576
    """
    wanted = SHORTEST_BLOCK
    while wanted < LEAST_KERNELS_IN_BLOCK * problem.extent:
        wanted *= 2
    least = max(problem.padded_length, problem.extent)
    return min(wanted, good_length(least)) if least < wanted else wanted


def blocks(problem: ConvProblem, length: int) -> tuple[int, int]:
    """How many blocks of a transform length cover the signal, and how many outputs each gives.

    >>> blocks(ConvProblem(1, 1000, 1, 1, 1, kernel=17), 64)
    (21, 48)
    """
    outputs = length - problem.extent + 1
    return -(-problem.output_length // outputs), outputs


def fourier_work(problem: ConvProblem) -> list[float]:
    """What overlap-save has to do: transforms of the signal, the result and the kernel, products, copies."""
    length = block_length(problem)
    elements = problem.outer * problem.inner * blocks(problem, length)[0] * length
    steps, weights = math.log2(length), problem.group_in * problem.out_channels
    return [
        elements * steps * problem.in_channels,
        elements * steps * problem.out_channels,
        length * steps * weights,
        elements * weights,
        length * weights,
        elements * problem.in_channels,
        elements * problem.out_channels,
        length * problem.groups,
    ]


class Floats(NamedTuple):
    """How a type of numbers is stored: ``2^exponent`` has ``exponent + bias`` in the bits above its ``fraction``."""

    bias: int
    fraction: int


FLOATS = {"float32": Floats(127, 23), "float64": Floats(1023, 52)}


def headroom(length: int, terms: int, dtype: str) -> int:
    """The exponent t to which both operands of a product of spectra are scaled, so that nothing inside overflows.

    A transform of ``length`` numbers below 2^(t + 1) is below ``length`` times that, a product of two such, summed over
    ``terms``, below ``terms length^2 2^(2 t + 2)``, and twice that before real and imaginary parts are subtracted.

    >>> headroom(16384, 1, "float32"), headroom(1 << 20, 4096, "float32")
    (46, 34)
    """
    dtype = dtype if dtype in FLOATS else "float32"  # in which narrower numbers are computed
    return (FLOATS[dtype].bias - 4 - 2 * length.bit_length() - terms.bit_length()) // 2


def unscaled(top: int) -> tuple[float, float]:
    """The magnitudes that need no scaling, from and to: of these nothing overflows, and underflows do not count.

    >>> unscaled(46) == (2**-23, 2**47)
    True
    """
    return 2.0 ** -(top // 2), 2.0 ** (top + 1)


def good_length(least: int) -> int:
    """The smallest even ``2^a 3^b 5^c`` from ``least`` on: lengths for which every library has a fast transform.

    >>> [good_length(n) for n in (1, 7, 11, 61, 499)]
    [2, 8, 12, 64, 500]
    """
    length = max(least + least % 2, 2)
    while _without(_without(_without(length, 2), 3), 5) > 1:
        length += 2
    return length


def _without(n: int, prime: int) -> int:
    while n % prime == 0:
        n //= prime
    return n


def prime_factors(n: int) -> list[int]:
    """Prime factors in order, each as often as it divides.

    >>> prime_factors(360)
    [2, 2, 2, 3, 3, 5]
    """
    found, prime = [], 2
    while n > 1:
        while n % prime == 0:
            found.append(prime)
            n //= prime
        prime += 1
    return found

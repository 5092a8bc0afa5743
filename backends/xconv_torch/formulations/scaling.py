"""Powers of two that keep products of spectra from overflow, as :mod:`xconv.core.fourier` has them.

They are constants to whoever differentiates: what is multiplied by one is divided by it again.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from xconv.core.fourier import FLOATS, unscaled

_NAMES = {torch.float32: "float32", torch.float64: "float64"}
_BITS = {torch.float32: torch.int32, torch.float64: torch.int64}


class Exponents(NamedTuple):
    """Of the powers for the left operand, the right one and the result; None is no power."""

    left: Tensor | None
    right: Tensor | None
    back: Tensor | None


UNSCALED = Exponents(None, None, None)


def largest(x: Tensor, axis: int) -> Tensor:
    """The largest magnitudes along an axis."""
    x = x.detach()
    return torch.maximum(x.amax(axis), -x.amin(axis))


def ordinary(magnitudes: Tensor, top: int) -> Tensor:
    """Of which magnitudes numbers can be transformed as they are."""
    low, high = unscaled(top)
    return ((magnitudes >= low) & (magnitudes < high)) | (magnitudes == 0)


def balanced(a: Tensor, b: Tensor, top: int) -> tuple[Tensor, Tensor, Tensor]:
    """Exponents for the left operand, the right one and the result; ``top`` is the headroom t.

    From the largest magnitudes ``a`` (groups, s, l) and ``b`` (groups, s, r) of the two; the result is (groups, l, r).
    They are 0 where nothing need be scaled.
    """
    as_it_is = ordinary(b, top).flatten(1).all(1)[:, None, None]
    untouched = as_it_is & ordinary(a, top).all(1, keepdim=True)
    shared = _exponents(b, top).amax(2, keepdim=True)
    less = torch.where(as_it_is, top, (_exponents(b, top) - shared).amax(1, keepdim=True))
    shared = torch.where(as_it_is & (b.amax(2, keepdim=True) > 0), 0, shared)
    sums = (_exponents(a, top) + shared).amax(1, keepdim=True)
    return (
        torch.where(untouched, 0, top + shared - sums),
        torch.where(as_it_is, 0, top - shared - less),
        torch.where(untouched.transpose(1, 2), 0, sums.transpose(1, 2) + less - 2 * top),
    )


def _exponents(magnitudes: Tensor, top: int) -> Tensor:
    """Exponents of magnitudes; of tiny ones as if they were as large as can be scaled up to the headroom."""
    exponent_bias, fraction = FLOATS[_NAMES[magnitudes.dtype]]
    found = (magnitudes.view(_BITS[magnitudes.dtype]) >> fraction & 2 * exponent_bias + 1) - exponent_bias
    return found.clamp(min=top + 1 - exponent_bias)


def scaled(x: Tensor, exponent: Tensor | None) -> Tensor:
    """``x * 2^exponent``, in two steps, for there is not a power for every exponent."""
    if exponent is None:
        return x
    half = exponent // 2
    return x * _power(half, x.dtype) * _power(exponent - half, x.dtype)


def _power(exponent: Tensor, dtype: torch.dtype) -> Tensor:
    exponent_bias, fraction = FLOATS[_NAMES[dtype]]
    return ((exponent + exponent_bias).clamp(min=0) << fraction).view(dtype)

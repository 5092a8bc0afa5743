"""How far a right result may be from the exact one, from the dtype and the number of products alone."""

from xconv.core.bounds import (
    HALF_SUBNORMAL,
    LAMBDA,
    SMALLEST_NORMAL,
    UNIT_ROUNDOFF,
    Enclosure,
    enclose,
    gamma,
    round_to,
    sums,
)

__all__ = [
    "HALF_SUBNORMAL",
    "LAMBDA",
    "SMALLEST_NORMAL",
    "UNIT_ROUNDOFF",
    "Enclosure",
    "enclose",
    "gamma",
    "round_to",
    "sums",
]

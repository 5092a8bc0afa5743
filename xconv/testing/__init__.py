"""Parity of your own code: do two functions, layers or models compute the same?

>>> import numpy as np
>>> from xconv.testing import assert_parity
>>> x = np.random.default_rng(0).standard_normal((4, 9)).astype("float32")
>>> assert_parity(lambda x: np.exp(x), lambda x: np.exp(x / 2) ** 2, x).ok
True
"""

from xconv.testing.callables import On, on
from xconv.testing.conform import Conformance, conformance
from xconv.testing.parity import assert_parity, compare
from xconv.testing.report import ComparedArray, Parity, ParityError

__all__ = [
    "ComparedArray",
    "Conformance",
    "On",
    "Parity",
    "ParityError",
    "assert_parity",
    "compare",
    "conformance",
    "on",
]

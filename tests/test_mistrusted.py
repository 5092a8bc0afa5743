"""Agreement that proves nothing: constant results, what changes from run to run, memory that nobody wrote."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest
from torch.nn import functional as F

from tests.ported import X
from xconv.testing import ParityError, assert_parity, on


@pytest.mark.parametrize(
    ("f", "x", "why"),
    [
        (lambda x: x * 0 + 3, X, "every element is 3"),
        (lambda x: np.maximum(x - 1e3, 0), X, "every element is 0"),
        (lambda x: np.maximum(x - 2.4, 0), X, "% of its elements are 0"),
        (lambda x: np.tanh(x * 1e6), X, "does not depend on the inputs"),
        (lambda x: (1 + x * 1e-7).astype(np.float32), X, "hardly varies: the constant 1"),
        (lambda x: np.log(-np.abs(x)), X, "no element is finite"),
        (np.exp, np.zeros_like(X), "the inputs are all zero"),
        (np.exp, X[:0], "no elements|nothing shows"),
    ],
)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_agreement_that_proves_nothing(f: Any, x: np.ndarray, why: str) -> None:
    numpy = on("numpy", f)
    with pytest.raises(ParityError, match=f"mistrusted(.|\n)*({why})"):
        assert_parity(numpy, numpy, x)
    found = assert_parity(numpy, numpy, x, allow_mistrusted=True)
    assert "mistrusted" in [row.verdict for row in found.rows]


def test_what_is_not_deterministic_is_mistrusted() -> None:
    with pytest.raises(ParityError, match="two runs on the same input differ"):
        assert_parity(lambda x: F.dropout(x, 0.5), np.negative, X)
    state = [random.Random(0)]
    noisy = on("numpy", lambda x: x * np.float32(1 + 1e-7 * state[0].random()))
    with pytest.raises(ParityError, match="mistrusted"):
        assert_parity(noisy, noisy, X)


def test_memory_that_nobody_wrote_is_seen() -> None:
    from xconv.testing.memory import poisoned

    with poisoned() as able:
        del able
    with poisoned() as able:
        fresh = np.empty(1 << 16, np.float32)
    if able:
        assert (fresh.view(np.uint8) == 0x7F).all()

    def unwritten(x: np.ndarray) -> np.ndarray:
        result = np.empty((3, 5, 1 << 14), x.dtype)
        result[:, :, 1:] = np.tile(x, (1, 1, 410))[:, :, : (1 << 14) - 1]
        return result

    with pytest.raises(ParityError):
        assert_parity(unwritten, unwritten, X)

"""Faults of arrays of which nothing else is known: what docs/diagnosis.md lists."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from tests.diagnosis_samples import in_order, put, read_in_order, shuffled
from xconv.core.bounds import round_to
from xconv.core.reference import Floats
from xconv.parity import Diagnosis, diagnose_arrays

RNG = np.random.default_rng(20)
SIGNAL = RNG.integers(-99, 100, (2, 6, 4)).astype(float)
RANDOM = RNG.standard_normal((2, 6, 4))
MAP = RNG.integers(-99, 100, (2, 5, 6, 3)).astype(float)
VARIANCES = np.array([1e-4, 3e-3, 0.2, 1.5])


def normed(epsilon: float) -> Floats:
    """A batch norm of the random signal, with a shift."""
    return RANDOM / np.sqrt(VARIANCES + epsilon) * [0.5, 2, 1, 3] + [1, -2, 3, 0]


def product(a: Floats, b: Floats) -> Floats:
    """A product of matrices in float32, summed from the first to the last."""
    total = np.zeros((a.shape[0], b.shape[1]), np.float32)
    for i in range(a.shape[1]):
        total = total + a[:, i : i + 1].astype(np.float32) * b[i].astype(np.float32)
    return total.astype(np.float64)


ARRAYS: dict[str, Callable[[], Diagnosis]] = {
    "transposed": lambda: diagnose_arrays(SIGNAL, SIGNAL.transpose(0, 2, 1)),
    "transposed, wrong shape": lambda: diagnose_arrays(SIGNAL, in_order(0, 2, 1)(SIGNAL)),
    "reshaped instead of transposed": lambda: diagnose_arrays(SIGNAL, read_in_order(0, 2, 1)(SIGNAL)),
    "Flatten of channels first": lambda: diagnose_arrays(
        SIGNAL.reshape(2, 24), SIGNAL.transpose(0, 2, 1).reshape(2, 24)
    ),
    "Flatten of a map, channels first": lambda: diagnose_arrays(
        MAP.reshape(2, 90), MAP.transpose(0, 3, 1, 2).reshape(2, 90)
    ),
    "flattened": lambda: diagnose_arrays(SIGNAL, SIGNAL.reshape(2, 24)),
    "transposed and flattened": lambda: diagnose_arrays(SIGNAL, SIGNAL.transpose(0, 2, 1).reshape(2, 24)),
    "backwards": lambda: diagnose_arrays(SIGNAL, SIGNAL[:, ::-1]),
    "rotated": lambda: diagnose_arrays(SIGNAL, np.roll(SIGNAL, 1, 1)),
    "shifted, zeros moved in": lambda: diagnose_arrays(SIGNAL, np.pad(SIGNAL, [(0, 0), (1, 0), (0, 0)])[:, :-1]),
    "shifted, new border": lambda: diagnose_arrays(
        SIGNAL, np.concatenate([SIGNAL[:, 2:], SIGNAL[:, :2] + [1, 2, 3, 4]], 1)
    ),
    "first element lost": lambda: diagnose_arrays(SIGNAL, SIGNAL[:, 1:]),
    "two elements more": lambda: diagnose_arrays(SIGNAL, np.pad(SIGNAL, [(0, 0), (2, 0), (0, 0)], mode="edge")),
    "group order": lambda: diagnose_arrays(MAP, shuffled(3, 2)(MAP)),
    "channels permuted": lambda: diagnose_arrays(SIGNAL, SIGNAL[..., [1, 2, 0, 3]]),
    "twofold": lambda: diagnose_arrays(RANDOM, 2 * RANDOM, 1e-6),
    "other sign": lambda: diagnose_arrays(RANDOM, -RANDOM, 1e-6),
    "a 24th": lambda: diagnose_arrays(RANDOM, RANDOM / 24, 1e-6),
    "a constant factor": lambda: diagnose_arrays(RANDOM, 0.3 * RANDOM, 1e-9),
    "a constant added": lambda: diagnose_arrays(SIGNAL, SIGNAL + 7),
    "bias of another layer": lambda: diagnose_arrays(SIGNAL, SIGNAL + np.array([1, 2, 5, -3])),
    "batch norm with another epsilon, no shift": lambda: diagnose_arrays(
        RANDOM / np.sqrt(VARIANCES + 1e-5), RANDOM / np.sqrt(VARIANCES + 1e-3), 1e-6
    ),
    "batch norm with another epsilon, variances known": lambda: diagnose_arrays(
        normed(1e-5), normed(1e-3), 1e-6, variances=VARIANCES
    ),
    "rounded to bfloat16": lambda: diagnose_arrays(RANDOM, round_to("bfloat16", RANDOM)),
    "errors of the size of TF32": lambda: diagnose_arrays(
        RANDOM, RANDOM * (1 + 2.0**-12 * np.random.default_rng(1).uniform(-1, 1, RANDOM.shape))
    ),
    "errors of the size of bfloat16": lambda: diagnose_arrays(
        RANDOM, RANDOM * (1 + 2.0**-8 * np.random.default_rng(1).uniform(-1, 1, RANDOM.shape))
    ),
    "float32 against float64": lambda: diagnose_arrays(RANDOM[0] @ RANDOM[1].T, product(RANDOM[0], RANDOM[1].T)),
    "NaN in one": lambda: diagnose_arrays(SIGNAL, put(np.s_[1, 3], np.nan)(SIGNAL)),
    "NaN lost": lambda: diagnose_arrays(put(np.s_[1, 3], np.nan)(SIGNAL), SIGNAL),
    "all zeros": lambda: diagnose_arrays(SIGNAL, 0 * SIGNAL),
    "all the same": lambda: diagnose_arrays(SIGNAL, 0 * SIGNAL + 0.5),
    "memory of another array": lambda: diagnose_arrays(SIGNAL, put(np.s_[1, 4:], 1e30)(SIGNAL)),
    "another shape": lambda: diagnose_arrays(SIGNAL, np.zeros((3, 5))),
    "anything else": lambda: diagnose_arrays(SIGNAL, np.random.default_rng(3).integers(-99, 100, SIGNAL.shape)),
}
"""Faults of arrays, by name."""

"""How much of the dependence in a patch each 2-D operation can hold.

The dependence in a patch with correlation matrix R is its total correlation ``-log det(R) / 2`` (Watanabe 1960), here
of normal scores, so of a Gaussian copula. What an operation holds is the same of the best model of its form:

- rows alone: rows are independent of each other, as in surrogates whose rows have changed places; columns likewise;
- separable: a product of a correlation along H and one along W, plus white noise. Then all eigenvectors of R are
  products of one along H and one along W (Loeve 1978 for the basis, Van Loan and Pitsianis 1993 for the nearest
  product), and so is every filter that is made of R: rows-then-columns loses nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from xconv.advice.scores import normal_scores
from xconv.advice.statistics import KINDS

Floats = npt.NDArray[np.floating[Any]]
"""A field: (samples, height, width, channels)."""

PATCH_ELEMENTS = 5
"""Elements of a patch along an axis: the largest kernel that common image networks have after their first layer."""

NOISE_SHARE = 0.01
"""Noise added to every correlation matrix: structure 20 dB below the signal does not count, and R can be inverted."""

SURROGATES = 99
"""With the field itself 100 draws: the smallest p is 0.01."""

GROUPS = 8
"""Groups of samples whose correlations are looked at apart: what leans left here and right there is oblique twice."""

SHUFFLES = 4
"""Shuffled fields, of which only the mean is used."""


@dataclass(frozen=True)
class Shares:
    """The share of the dependence in a patch that each operation holds; ``p`` is of a separable field as far off.

    ``oblique`` is the difference of the two diagonals' correlations. ``nats`` is the dependence of a patch of
    ``patch`` elements that are ``spacing`` apart.
    """

    rows: float
    columns: float
    separable: float
    p: float
    oblique: float
    nats: float
    patch: tuple[int, int]
    spacing: tuple[int, int]


def shares(
    x: Floats,
    kinds: tuple[str, ...],
    spacing: tuple[int, int],
    rng: np.random.Generator,
    progress: Callable[[], None] | None = None,
) -> Shares:
    """What each operation holds of the dependence in a field (N, H, W, C) of standardised values.

    >>> rng = np.random.default_rng(0)
    >>> noise = rng.standard_normal((1, 65, 65, 1))
    >>> found = shares(noise[:, 1:, 1:] + noise[:, :-1, :-1], ("values",), (1, 1), rng)
    >>> found.rows < 0.1, found.columns < 0.1, found.separable < 0.1, found.p
    (True, True, True, 0.01)
    """
    height, width = x.shape[1:3]
    patch = (_taps(height, spacing[0]), _taps(width, spacing[1]))
    fields = [_scored(x, kind) for kind in kinds]
    groups = np.array_split(np.arange(len(x)), min(len(x), GROUPS))

    def dependence(fields: list[Floats]) -> tuple[float, float]:
        """Of a patch, and what the best separable model misses of it: the mean over groups."""
        found = [
            _dependence(autocorrelation(field[group], patch, spacing), patch) for field in fields for group in groups
        ]
        return sum(total for total, _ in found) / len(groups), sum(missed for _, missed in found) / len(groups)

    total, missed = dependence(fields)
    of_one_axis = []
    for axis in (1, 2):  # rows that change places: what is left is in rows alone
        shuffled = [[_shuffled(field, axis, rng) for field in fields] for _ in range(SHUFFLES)]
        of_one_axis.append(float(np.mean([dependence(fields)[0] for fields in shuffled])))
    draw = separable_surrogates(fields[0], groups, rng)
    draws = []
    for _ in range(SURROGATES):
        surrogate = draw()
        draws.append(dependence([_scored(surrogate, kind) for kind in kinds])[1])
        if progress is not None:
            progress()
    p = (1 + sum(value >= missed for value in draws)) / (SURROGATES + 1)
    beyond = max(0.0, missed - float(np.mean(draws)))
    r = autocorrelation(fields[0], (2, 2), spacing)
    nats = max(total, 1e-12)
    rows, columns, product = (min(1.0, value / nats) for value in (*of_one_axis, total - beyond))
    # rows alone are a product, too, of which one factor is white
    product = max(product, rows, columns)
    return Shares(rows, columns, product, p, float(r[2, 2] - r[2, 0]), total, patch, spacing)


def autocorrelation(x: Floats, patch: tuple[int, int], spacing: tuple[int, int]) -> Floats:
    """The correlation at lags below the patch, (2 h - 1, 2 w - 1), the mean over samples and channels.

    Sums are divided by one count for all lags, so that matrices made of it have no negative eigenvalue; the taper that
    this amounts to is a product, and makes nothing less separable.
    """
    height, width = x.shape[1:3]
    size = height + spacing[0] * (patch[0] - 1), width + spacing[1] * (patch[1] - 1)
    power = (np.abs(np.fft.rfft2(x, size, axes=(1, 2))) ** 2).sum((0, 3))
    sums = np.fft.irfft2(power, size)
    lags = [np.arange(1 - taps, taps) * step for taps, step in zip(patch, spacing, strict=True)]
    r: Floats = sums[np.ix_(*lags)] / max(sums[0, 0], np.finfo(float).tiny)
    return r


def separable_surrogates(
    x: Floats, groups: list[npt.NDArray[np.intp]], rng: np.random.Generator
) -> Callable[[], Floats]:
    """Draws Gaussian fields of this shape; a group's spectrum is the product of the two marginals of its own here."""
    n, height, width, channels = x.shape
    power = (np.abs(np.fft.fft2(x, axes=(1, 2))) ** 2).sum(3)
    amplitude = np.empty((n, height, width // 2 + 1, 1), np.float32)
    for group in groups:
        along_h, along_w = power[group].sum((0, 2)), power[group].sum((0, 1))
        amplitude[group, ..., 0] = np.sqrt(np.outer(along_h, along_w))[:, : width // 2 + 1]

    def draw() -> Floats:
        white = rng.standard_normal((n, height, width, channels), dtype=np.float32)
        field: Floats = np.fft.irfft2(np.fft.rfft2(white, axes=(1, 2)) * amplitude, (height, width), axes=(1, 2))
        return field

    return draw


def nearest_product(r: Floats) -> tuple[Floats, Floats]:
    """Correlations along H and along W whose product is nearest to these lags but the origin, which has the noise too.

    Alternating least squares; both are symmetric, as a correlation is.
    """
    r = (r + r[::-1]) / 2
    weight = np.ones_like(r)
    middle = r.shape[0] // 2, r.shape[1] // 2
    weight[middle] = 0
    b = np.abs(r).max(0)
    tiny = np.finfo(float).tiny
    a = np.zeros(r.shape[0])
    for _ in range(30):
        a = (weight * r * b).sum(1) / np.maximum((weight * b**2).sum(1), tiny)
        b = (weight * r * a[:, None]).sum(0) / np.maximum((weight * a[:, None] ** 2).sum(0), tiny)
    return a, b


def _dependence(r: Floats, patch: tuple[int, int]) -> tuple[float, float]:
    """The total correlation of a patch in nats, and what the best separable model misses of it.

    That is the Kullback-Leibler divergence of the two Gaussians, ``(tr(S^-1 R) - n + log det S - log det R) / 2``; a
    model without dependence is separable too, so that no more is missed than there is.
    """
    full = _with_noise(_toeplitz(r, patch))
    total = -0.5 * float(np.linalg.slogdet(full)[1])
    a, b = nearest_product(r)
    model = np.kron(_valid(_toeplitz(a[:, None], (patch[0], 1))), _valid(_toeplitz(b[None], (1, patch[1]))))
    model /= max(1.0, float(model.diagonal().max()))
    model += np.diag(1 - model.diagonal())
    model = _with_noise(model)
    trace = float(np.trace(np.linalg.solve(model, full)))
    missed = 0.5 * (trace - len(full) + float(np.linalg.slogdet(model)[1])) + total
    return total, min(max(missed, 0.0), total)


def _toeplitz(r: Floats, patch: tuple[int, int]) -> Floats:
    i, j = (index.ravel() for index in np.indices(patch))
    matrix: Floats = r[i[:, None] - i + patch[0] - 1, j[:, None] - j + patch[1] - 1]
    return matrix


def _valid(matrix: Floats) -> Floats:
    """The nearest matrix without negative eigenvalues (Higham 1988)."""
    values, vectors = np.linalg.eigh(matrix)
    result: Floats = (vectors * np.maximum(values, 0)) @ vectors.T
    return result


def _with_noise(matrix: Floats) -> Floats:
    result: Floats = (1 - NOISE_SHARE) * matrix + NOISE_SHARE * np.eye(len(matrix))
    return result


def _scored(x: Floats, kind: str) -> Floats:
    """Normal scores of a field, or of its magnitudes, with mean 0 in each line along either axis' samples."""
    if kind == KINDS[1]:
        x = np.abs(x - np.median(x, (1, 2), keepdims=True))
    scores = np.stack([normal_scores(x[..., c]) for c in range(x.shape[-1])], -1).astype(np.float32)
    field: Floats = scores - scores.mean((1, 2), keepdims=True)
    return field


def _shuffled(x: Floats, axis: int, rng: np.random.Generator) -> Floats:
    return np.stack([rng.permutation(sample, axis - 1) for sample in x])


def _taps(length: int, spacing: int) -> int:
    return int(np.clip(1 + (length // 2) // spacing, 2, PATCH_ELEMENTS))

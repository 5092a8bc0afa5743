"""Rows and then columns in place of a 2-D convolution: what they cost, and what they lose."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from xconv import ops
from xconv.claims.result import Asked, ClaimOutcome, Trial
from xconv.core.bounds import UNIT_ROUNDOFF
from xconv.explanation.separable import separable_cost
from xconv.models.factorize import factorize

WIDTHS = (
    # kernel, in, out, middle
    (3, 64, 64, 64),
    (3, 1, 64, 64),
    (5, 3, 32, 32),
    (3, 64, 64, 16),
    (3, 64, 128, 128),
)


@dataclass(frozen=True)
class Kernel:
    """A 2-D kernel (kh, kw, in, out), and the middle width over which rows and columns go in its place."""

    name: str
    weight: npt.NDArray[np.float64]
    middle: int


def kernels() -> tuple[Kernel, ...]:
    """One channel, of rank one and of full rank; and several channels with ever wider middles."""
    rng = np.random.default_rng(0)
    gauss = np.exp(-np.square(np.arange(-2, 3)) / 2)
    many = rng.standard_normal((3, 3, 4, 6))
    return (
        Kernel("a Sobel kernel", np.outer([1.0, 2, 1], [1, 0, -1])[:, :, None, None], 1),
        Kernel("a Gaussian of 5 x 5", np.outer(gauss, gauss)[:, :, None, None], 1),
        Kernel("random, 3 x 3", rng.standard_normal((3, 3, 1, 1)), 1),
        Kernel("random, 3 x 3", rng.standard_normal((3, 3, 1, 1)), 3),
        Kernel("random, 3 x 3, 4 to 6 channels", many, 6),
        Kernel("random, 3 x 3, 4 to 6 channels", many, 11),
        Kernel("random, 3 x 3, 4 to 6 channels", many, 12),
    )


def cost(asked: Asked, widths: Sequence[tuple[int, int, int, int]] = WIDTHS) -> ClaimOutcome:
    """Count both, with the width in between, and compare with the rule of thumb."""
    del asked
    trials = []
    ratios = []
    for k, inputs, outputs, middle in widths:
        counted = separable_cost(k, inputs, outputs, middle)
        ratios.append((counted.ratio, inputs, outputs, middle))
        trials.append(
            Trial(
                f"{k} x {k}, {inputs} to {outputs} channels, {middle} in between",
                f"{counted.rule_of_thumb:,} in place of {counted.square:,}",
                f"{counted.true:,} ({counted.ratio:.2f} of 2-D)",
                counted.true == counted.rule_of_thumb,
            )
        )
    ratio, inputs, outputs, middle = max(ratios)
    sentence = (
        "The true cost is k * M * (Cin + Cout), with M channels in between: the rule holds where that is 2 * k * Cin * "
        f"Cout. From {inputs} to {outputs} channels over {middle} it is {ratio:.1f} times a 2-D convolution's."
    )
    return ClaimOutcome(tuple(trials), sentence)


def approximates(asked: Asked, given: Sequence[Kernel] | None = None) -> ClaimOutcome:
    """Factorise kernels, and convolve an image with both forms.

    Exact is an error within the rounding of the decomposition, ``max(m, n) eps`` for an m x n matrix: LAPACK's and
    MATLAB's rule for what a singular value may be made of (Golub and Van Loan 2013, "Matrix Computations", section
    5.4.1). Each of the singular values that are left out may be as much.
    """
    trials = []
    image = np.random.default_rng(1).standard_normal((1, 24, 24, 8))
    name = asked.backends[0] if asked.backends else None
    for kernel in kernels() if given is None else given:
        kh, kw, inputs, outputs = kernel.weight.shape
        made = factorize(kernel.weight, rank=kernel.middle, allow_more=True)
        rank = factorize(kernel.weight, allow_more=True).rank
        x = image[..., :inputs]
        y = ops.conv2d(x, kernel.weight, backend=name)
        difference = ops.spatially_separable_conv2d(x, made.weight_rows, made.weight_columns, backend=name) - y
        error = float(np.linalg.norm(difference) / np.linalg.norm(y))
        rounding = max(kh * outputs, kw * inputs) ** 1.5 * 2 * UNIT_ROUNDOFF["float64"]
        exact = made.error <= rounding
        trials.append(
            Trial(
                f"{kernel.name}, middle width {kernel.middle}",
                "an error remains",
                f"rank {rank}; kernel off by {made.error:.1e}, an image's result by {error:.1e}",
                not exact,
            )
        )
    exact_ones = sum(not trial.holds for trial in trials)
    sentence = (
        f"{exact_ones} of {len(trials)} are exact: a kernel is rows and then columns of middle width M exactly where "
        "the (kh * Cout, kw * Cin) matrix that it makes has a rank of at most M."
    )
    return ClaimOutcome(tuple(trials), sentence)

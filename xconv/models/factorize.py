"""A 2-D kernel as rows and then columns: the best of each middle width, what it loses and what it costs.

A kernel ``w[i, j, c, o]`` is rows and then columns of middle width M if and only if the matrix ``A[(i, o), (j, c)]``
has a rank of at most M: ``w[i, j, c, o] = sum over m of rows[j, c, m] columns[i, m, o]`` is ``A = U V`` with M in
between. So the best for a middle width is A's singular value decomposition cut off after M, and its squared error the
sum of the squares of what was cut off (Eckart and Young 1936, "The approximation of one matrix by another of lower
rank", Psychometrika 1(3)).

A true 2-D convolution takes ``kh kw Cin Cout / groups`` multiply-accumulates for each place of its result, rows and
columns ``M (kw Cin s + kh Cout) / groups``, with M summed over the groups and s the stride along H: rows are computed
at every line, columns at every s-th. With square kernels that is ``k M (Cin + Cout)`` against ``k k Cin Cout``: nothing
is saved from ``M = k Cin Cout / (Cin + Cout)`` on, half of k times the channels if they are the same on both sides.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
from tabulate import tabulate

from xconv.core.bounds import UNIT_ROUNDOFF, round_to
from xconv.core.checks import find_layout, int_pair
from xconv.core.formulation import Array
from xconv.core.layouts import KERNEL_2D_TO_CHANNELS_LAST
from xconv.core.operations import MAPS
from xconv.core.problem import DTYPES, positive
from xconv.core.reference import Floats
from xconv.core.registry import get_backend, name_of_array
from xconv.system.errors import ArgumentError

OPERATION = "factorize"


@dataclass(frozen=True)
class Factorization:
    """Two kernels for :func:`xconv.spatially_separable_conv2d`, what they lose and what they cost.

    ``error`` is ``||w - rows columns|| / ||w||`` in the Frobenius norm, of the kernels as they are returned; ``tail``
    the same before they were rounded to their dtype, from the singular values alone: no other kernels of this rank are
    nearer. ``rank`` and ``singular_values`` are of one group, the latter (groups, values). ``macs`` and ``full_macs``
    are for each place of the result; ``break_even`` is the rank from which nothing is saved.
    """

    weight_rows: Array = field(repr=False)
    weight_columns: Array = field(repr=False)
    rank: int
    groups: int
    error: float
    tail: float
    macs: int
    full_macs: int
    break_even: float
    singular_values: Floats = field(repr=False)

    @property
    def middle(self) -> int:
        """The middle width: the channels between rows and columns."""
        return self.rank * self.groups

    @property
    def saves(self) -> bool:
        """Whether rows and columns take fewer multiply-accumulates than the 2-D convolution."""
        return self.macs < self.full_macs

    def __str__(self) -> str:
        rows = [
            ("rank", self.rank),
            ("middle width", self.middle),
            ("relative error", f"{self.error:.3g}"),
            ("of the singular values", f"{self.tail:.3g}"),
            ("MACs at each place", f"{self.macs:,}"),
            ("of the 2-D kernel", f"{self.full_macs:,}"),
            ("break-even rank", f"{self.break_even:.4g}"),
            ("saves", "yes" if self.saves else "no"),
        ]
        return tabulate(rows, tablefmt="plain", disable_numparse=True)


def factorize(
    weight: Array,
    rank: int | None = None,
    tolerance: float | None = None,
    *,
    layout: str = "NHWC",
    stride: int | tuple[int, int] = 1,
    groups: int = 1,
    allow_more: bool = False,
) -> Factorization:
    """The best rows-then-columns form of a 2-D kernel, for :func:`xconv.spatially_separable_conv2d`.

    Args:
        weight: (kh, kw, in/groups, out), or (out, in/groups, kh, kw) with ``layout="NCHW"``: a NumPy array or a tensor
            of an installed framework. It is decomposed in float64; both kernels have its type, dtype and device.
        rank: the middle width, of each group; by default the least that meets the tolerance.
        tolerance: the relative error (Frobenius norm) that may be made by cutting off. By default only what is within
            the rounding errors of the weight's own dtype is cut off: its numerical rank.
        layout: of the data that the kernel is for.
        stride: of the convolution, an integer or (height, width); it counts in the cost alone.
        groups: of the convolution; each has a decomposition of its own, all of one rank.
        allow_more: whether kernels are returned that save nothing.

    Returns:
        Rows (kw, in/groups, middle) and columns (kh, middle/groups, out), or for "NCHW" (middle, in/groups, kw) and
        (out, middle/groups, kh). Each has the root of the singular values, so that neither is much larger.

    Raises:
        ArgumentError: the weight or the options do not fit; or nothing is saved, and not ``allow_more``.

    >>> import numpy as np
    >>> sobel = np.outer([1, 2, 1], [1, 0, -1]).astype("float32")[:, :, None, None]
    >>> found = factorize(sobel)
    >>> found.rank, found.macs, found.full_macs, found.error < 1e-7
    (1, 6, 9, True)
    >>> image = np.random.default_rng(0).standard_normal((1, 9, 9, 1)).astype("float32")
    >>> import xconv
    >>> y = xconv.spatially_separable_conv2d(image, found.weight_rows, found.weight_columns)
    >>> sizes = xconv.conv2d(np.abs(image), np.abs(sobel))  # two kernels are rounded, and sums of 9 and 3 + 3 terms
    >>> bool((np.abs(y - xconv.conv2d(image, sobel)) <= 2 * xconv.bounds.gamma(11) * sizes).all())
    True
    """
    where = find_layout(OPERATION, layout, MAPS)
    axes = KERNEL_2D_TO_CHANNELS_LAST[where.channels_last]
    groups = positive(OPERATION, "groups", groups)
    along_h, _ = int_pair(OPERATION, "stride", stride)
    array, dtype, back = _values(weight)
    _check(array.shape, dtype, rank, tolerance)
    kernel: Floats = np.transpose(array.astype(np.float64), axes)
    _check_numbers(kernel, groups)

    kh, kw, group_in, out = kernel.shape
    # (groups, (kh, out/groups), (kw, in/groups))
    by_group = kernel.reshape(kh, kw, group_in, groups, out // groups).transpose(3, 0, 4, 1, 2)
    u, values, v = np.linalg.svd(by_group.reshape(groups, kh * (out // groups), kw * group_in), full_matrices=False)
    if rank is None:
        rank = _least_rank(values, tolerance, max(u.shape[1], v.shape[2]), dtype)
    most = values.shape[1]
    if rank > most:
        expected = f"at most {most}, where nothing is lost: the smaller side of a {u.shape[1]} x {v.shape[2]} matrix"
        raise ArgumentError(OPERATION, "rank", str(rank), expected)

    per_rank, full = groups * kw * group_in * along_h + kh * out, kh * kw * group_in * out
    break_even = full / per_rank
    tails = _tails(values)
    if rank * per_rank >= full and not allow_more:
        raise ArgumentError(
            OPERATION,
            "rank" if tolerance is None else "tolerance",
            f"{rank if tolerance is None else tolerance}: {rank * per_rank:,} multiply-accumulates at each place",
            f"fewer than the {full:,} of the 2-D kernel",
            _instead(tails, break_even),
        )

    root = np.sqrt(values[:, :rank])
    rows = (v[:, :rank] * root[:, :, None]).reshape(groups, rank, kw, group_in).transpose(2, 3, 0, 1)
    columns = (u[:, :, :rank] * root[:, None, :]).reshape(groups, kh, out // groups, rank).transpose(1, 3, 0, 2)
    factors = rows.reshape(kw, group_in, groups * rank), columns.reshape(kh, rank, out)
    narrow = [round_to(dtype, part) for part in factors]
    # the order of the axes of a 1-D kernel is its own inverse
    made = [back(np.ascontiguousarray(part.transpose(where.kernel_to_channels_last))) for part in narrow]
    error = _error(kernel, narrow[0], narrow[1], groups)
    return Factorization(
        made[0], made[1], rank, groups, error, float(tails[rank]), rank * per_rank, full, break_even, values
    )


def _values(weight: Any) -> tuple[npt.NDArray[Any], str, Callable[[Floats], Array]]:
    """The numbers of an array, its dtype, and how numbers of that dtype become an array of its kind again.

    Args:
        weight: a NumPy array or a tensor of an installed framework, of any shape.

    Returns:
        A NumPy array of its shape (of float32 for bfloat16); the dtype that it has; and a function from a float64 array
        of any shape to an array of the weight's kind and dtype.

    Raises:
        ArgumentError: it is no array.
    """
    owner = name_of_array(weight)
    if owner is None:
        raise ArgumentError(
            OPERATION, "weight", type(weight).__name__, "a NumPy array or a tensor of an installed framework"
        )
    if owner == "numpy":
        array = np.asarray(weight)
        return array, array.dtype.name, lambda part: part.astype(array.dtype)
    backend = get_backend(owner)
    weight = backend.prepare(weight)
    dtype, device = backend.dtype(weight), backend.device(weight) or "cpu"
    # NumPy alone has no bfloat16
    wide = backend.cast(weight, "float32") if dtype == "bfloat16" else weight
    like = np.dtype("float32" if dtype == "bfloat16" else dtype)
    return backend.to_numpy(wide), dtype, lambda p: backend.cast(backend.from_numpy(p.astype(like), device), dtype)


def _check(shape: tuple[int, ...], dtype: str, rank: object, tolerance: object) -> None:
    if len(shape) != 4 or 0 in shape:
        raise ArgumentError(
            OPERATION, "weight", f"shape {shape}", "(kh, kw, in, out), or (out, in, kh, kw) with layout='NCHW'"
        )
    if dtype not in DTYPES:
        raise ArgumentError(OPERATION, "weight", f"dtype {dtype}", f"one of {', '.join(DTYPES)}")
    if rank is not None and tolerance is not None:
        hint = "the error of a result says what its rank loses"
        raise ArgumentError(OPERATION, "tolerance", repr(tolerance), "nothing, as rank is given", hint)
    if rank is not None:
        positive(OPERATION, "rank", rank)
    if tolerance is not None and not (isinstance(tolerance, (int, float)) and 0 <= tolerance < 1):
        raise ArgumentError(OPERATION, "tolerance", repr(tolerance), "a relative error from 0 to below 1")


def _check_numbers(kernel: Floats, groups: int) -> None:
    if kernel.shape[3] % groups:
        raise ArgumentError(
            OPERATION, "groups", str(groups), f"a divisor of the kernel's {kernel.shape[3]} output channels"
        )
    if not np.isfinite(kernel).all():
        raise ArgumentError(OPERATION, "weight", "NaN or infinity", "finite numbers")


def _tails(values: Floats) -> Floats:
    """The relative error of each rank, from 0 on."""
    squares = np.square(values).sum(axis=0)
    # from the smallest on, so that small tails keep their digits
    left = np.append(np.cumsum(squares[::-1])[::-1], 0.0)
    whole = left[0]
    relative: Floats = np.sqrt(left / whole) if whole else np.zeros_like(left)
    return relative


def _least_rank(values: Floats, tolerance: float | None, side: int, dtype: str) -> int:
    """The least rank that meets the tolerance; without one the numerical rank, by LAPACK's and MATLAB's rule.

    Singular values below ``max(m, n) eps`` times the largest are what rounding the matrix may have made (Golub and Van
    Loan 2013, "Matrix Computations", 4th ed., section 5.4.1), with ``eps`` that of the weight's dtype.
    """
    if tolerance is None:
        noise = values.max() * side * 2 * UNIT_ROUNDOFF[dtype]
        return max(int((values > noise).sum(axis=1).max()), 1)
    return max(int(np.argmax(_tails(values) <= tolerance)), 1)


def _instead(tails: Floats, break_even: float) -> str:
    below = math.ceil(break_even) - 1
    if below < 1:
        return "no rank saves anything; allow_more=True returns it all the same"
    return f"rank={below} is the largest that saves, with a relative error of {tails[below]:.2g}; or allow_more=True"


def _error(kernel: Floats, rows: Floats, columns: Floats, groups: int) -> float:
    (kw, group_in, _), (kh, rank, out) = rows.shape, columns.shape
    factors = rows.reshape(kw, group_in, groups, rank), columns.reshape(kh, rank, groups, out // groups)
    again = np.einsum("jcgm,imgo->ijcgo", *factors, optimize=True).reshape(kernel.shape)
    norm = float(np.linalg.norm(kernel))
    return float(np.linalg.norm(kernel - again)) / norm if norm else 0.0

"""A sample as it came to what the tests take: named axes, whole numbers of blocks, few channels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from xconv.core.registry import get_backend, name_of_array
from xconv.system.errors import ArgumentError

Floats = npt.NDArray[np.floating[Any]]

OPERATION = "advise"

MOST_VALUES = {"L": 32_768, "HW": 16_384}
"""Values that are looked at: a correlation of 4 / sqrt(16384) = 0.03 is found, and smaller ones change no advice."""

BLOCK_POSITIONS = 4096
"""Positions of one block of a long series."""

TILE_POSITIONS = 48
"""Height and width of a block of a large map."""

MOST_LINES = 64
"""Lines that are compared with each other."""

MOST_CHANNELS = {"L": 8, "HW": 3}
"""Channels that are looked at: of more, their first principal components."""

EXAMPLES = {
    1: 'axes="L"',
    2: 'axes="LC" for a series with channels, "NL" for a batch of series, "HW" for a map',
    3: 'axes="NLC" for series with channels, "HWC" for a map with channels, "NHW" for a batch of maps',
    4: 'axes="NHWC" or "NCHW"',
}


@dataclass(frozen=True)
class Sample:
    """Data as (N, H, W, C); a series has H = 1. ``positions`` are the axes a kernel can slide along: "L" or "HW"."""

    values: npt.NDArray[Any]
    positions: str
    axes: str
    shape: tuple[int, ...]

    @property
    def is_map(self) -> bool:
        """Whether there are two axes to slide along."""
        return self.positions == "HW"

    def size(self, axis: str) -> int:
        """Positions along an axis."""
        return int(self.values.shape[1 if axis == "H" else 2])

    def blocks(self) -> tuple[Floats, Floats | None, Floats | None]:
        """Blocks (N, H, W, C) in float64, evenly spread; for a map, the same without its profile along H, along W."""
        values = self.values
        n, height, width, _ = values.shape
        channels = min(values.shape[3], MOST_CHANNELS[self.positions])
        mix = _mix(values, MOST_CHANNELS[self.positions])
        tall, wide = (min(height, TILE_POSITIONS), min(width, TILE_POSITIONS)) if self.is_map else (1, width)
        if self.is_map and n * height * width * channels <= MOST_VALUES[self.positions]:
            tall, wide = height, width
        if not self.is_map and n * width * channels > MOST_VALUES[self.positions]:
            wide = min(width, BLOCK_POSITIONS)
        cells = n, height // tall, width // wide
        places = np.unravel_index(
            _spread(int(np.prod(cells)), max(1, MOST_VALUES[self.positions] // (tall * wide * channels))), cells
        )
        steps = [max(1, cell - 1) for cell in cells[1:]]
        starts = [
            (i, (height - tall) * y // steps[0], (width - wide) * x // steps[1])
            for i, y, x in zip(*places, strict=True)
        ]

        def cut(array: Floats) -> Floats:
            return np.stack([array[min(i, len(array) - 1), y : y + tall, x : x + wide] for i, y, x in starts])

        whole = mix(cut(values))
        if not self.is_map or whole.shape[3] == 0:
            return whole, None, None
        found: list[Floats | None] = []
        for axis, others in ((1, n * width), (2, n * height)):
            profile = self._profile(axis, mix) if others >= 8 else None
            if profile is None:
                found.append(None)
                continue
            mean, spread = (cut(np.broadcast_to(part, (1, height, width, part.shape[3]))) for part in profile)
            found.append(np.where(spread > 0, (whole - mean) / np.where(spread > 0, spread, 1), 0.0))
        return whole, found[0], found[1]

    def strips(self, axis: str) -> Floats:
        """Lines along an axis (P, N, R, C), from all over the other one."""
        values = self.values if axis == "W" else self.values.transpose(0, 2, 1, 3)
        n, lines, positions, _ = values.shape
        channels = min(values.shape[3], MOST_CHANNELS[self.positions])
        rows = _spread(lines, MOST_LINES)
        length = min(positions, max(64, MOST_VALUES[self.positions] // (len(rows) * channels)))
        samples = _spread(n, max(1, MOST_VALUES[self.positions] // (len(rows) * channels * length)))
        start = (positions - length) // 2
        found: Floats = _mix(values, MOST_CHANNELS[self.positions])(values[samples][:, rows, start : start + length])
        return found.transpose(2, 0, 1, 3)

    def _profile(self, axis: int, mix: Any) -> tuple[Floats, Floats]:
        """The mean and the spread at each position of an axis, over all samples and lines across it."""
        total: Any = 0.0
        squares: Any = 0.0
        others = (0, 3 - axis)
        for sample in self.values:
            part = mix(sample[None])
            total = total + part.sum(others, keepdims=True)
            squares = squares + (part**2).sum(others, keepdims=True)
        count = self.values.shape[0] * self.values.shape[3 - axis]
        mean = total / count
        spread = np.sqrt(np.maximum(squares / count - mean**2, 0))
        # rounding in the difference of squares leaves a constant with a spread
        return mean, np.where(spread > 1e-6 * np.sqrt((squares / count).max()), spread, 0)


def sample_of(x: Any, axes: str | None) -> Sample:
    """An array as a sample.

    Raises:
        ArgumentError: no array of real, finite numbers; or its axes are not named, or named wrongly.

    >>> sample_of(np.zeros((5, 100, 3)), "NLC").values.shape
    (5, 1, 100, 3)
    >>> sample_of(np.zeros((100, 3)), None)  # doctest: +ELLIPSIS
    Traceback (most recent call last):
        ...
    xconv.errors.ArgumentError: advise: axes: got None for shape (100, 3), expected a name for each axis. Hint: ...
    """
    array = _array(x)
    axes = _axes(array.shape, axes)
    _look_at(array)
    order = [axes.index(letter) for letter in "NHWLC" if letter in axes]
    shape = tuple(int(size) for size in array.shape)
    array = array.transpose(order)
    for position, letter in enumerate("NHWC" if "H" in axes else "NLC"):
        if letter not in axes:
            array = np.expand_dims(array, position)
    if "L" in axes:
        return Sample(array[:, None], "L", axes, shape)
    if 1 in array.shape[1:3]:  # one line of a map is a series
        return Sample(array.reshape(len(array), 1, -1, array.shape[3]), "L", axes, shape)
    return Sample(array, "HW", axes, shape)


def _array(x: Any) -> npt.NDArray[Any]:
    name = None if isinstance(x, (list, tuple)) else name_of_array(x)
    if name is not None and name != "numpy":
        backend = get_backend(name)
        if refused := backend.unusable(x):
            raise ArgumentError(OPERATION, "sample", refused[0], "a dense array", refused[1])
        # NumPy alone has no bfloat16
        return backend.to_numpy(backend.cast(x, "float32") if backend.dtype(x) == "bfloat16" else x)
    try:
        return np.asarray(x)
    except ValueError as error:
        raise ArgumentError(
            OPERATION, "sample", str(error), "an array with the same number of elements in each row"
        ) from error


def _axes(shape: tuple[int, ...], axes: str | None) -> str:
    rank = len(shape)
    if rank not in EXAMPLES:
        raise ArgumentError(OPERATION, "sample", f"rank {rank}, shape {shape}", "one to four axes")
    if axes is None:
        if rank == 1:
            return "L"
        if rank == 4 and not shape[1] <= 4 < shape[3]:
            return "NHWC"
        expected = "a name for each axis" if rank < 4 else "a name for each axis: it looks like channels first"
        raise ArgumentError(OPERATION, "axes", f"None for shape {shape}", expected, f"write {EXAMPLES[rank]}")
    named = str(axes).upper()
    named = named.replace("W", "L") if "W" in named and "H" not in named else named
    letters = set(named)
    kinds = {"L"} <= letters <= set("NLC") or {"H", "W"} <= letters <= set("NHWC")
    if len(named) != rank or len(letters) != rank or not kinds:
        expected = f"{rank} of the letters N, L, C or N, H, W, C for shape {shape}, each once, with L or both H and W"
        raise ArgumentError(OPERATION, "axes", repr(axes), expected, f"write {EXAMPLES[rank]}")
    return named


def _look_at(array: npt.NDArray[Any]) -> None:
    if array.size == 0:
        raise ArgumentError(OPERATION, "sample", f"shape {array.shape}, without a value", "data")
    if array.dtype.kind == "c":
        hint = "np.abs(x), or real and imaginary part as two channels"
        raise ArgumentError(OPERATION, "sample", str(array.dtype), "real numbers", hint)
    if array.dtype.kind not in "biufV" or array.dtype.names is not None:
        raise ArgumentError(OPERATION, "sample", f"dtype {array.dtype}", "numbers")
    try:
        finite = True if array.dtype.kind in "biu" else np.isfinite(array)
    except TypeError as error:
        raise ArgumentError(OPERATION, "sample", f"dtype {array.dtype}", "numbers") from error
    if not np.all(finite):
        bad = np.argwhere(~np.asarray(finite))
        got = f"{len(bad)} of {array.size} values NaN or infinite, the first at {tuple(int(i) for i in bad[0])}"
        raise ArgumentError(OPERATION, "sample", got, "finite values", "fill gaps, or cut them out at both ends")


def _mix(values: npt.NDArray[Any], most: int) -> Any:
    """A function that gives float64 and at most ``most`` channels: those that vary, or principal components of them."""
    flat = values.reshape(-1, values.shape[3])
    varies = np.flatnonzero(flat.max(0) != flat.min(0))
    seen = flat[_spread(len(flat), 16_384)][:, varies].astype(np.float64)
    center = seen.mean(0)
    if len(varies) <= most:
        return lambda part: part[..., varies].astype(np.float64) - center
    scale = seen.std(0)
    scale = np.where(scale > 0, scale, 1)
    scaled = (seen - center) / scale
    _, vectors = np.linalg.eigh(scaled.T @ scaled)
    basis = vectors[:, : -most - 1 : -1] / scale[:, None]
    return lambda part: (part[..., varies].astype(np.float64) - center) @ basis


def _spread(count: int, most: int) -> npt.NDArray[np.intp]:
    """At most ``most`` of ``count`` indices, evenly spread."""
    return np.unique(np.linspace(0, count - 1, min(count, most)).round().astype(np.intp))

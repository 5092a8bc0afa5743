"""Files of data. They are not trusted: nothing in them is run, and none may claim more memory than the limit."""

from __future__ import annotations

import csv
import importlib
import math
import warnings
import wave
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from xconv.advice.sample import OPERATION
from xconv.system.errors import ArgumentError, UnsupportedError

Array = npt.NDArray[Any]

LARGEST_FILE_BYTES = 512 * 2**20
"""Bytes of a file, and of what it unpacks to."""

Read = tuple[Array, str | None, list[str]]
"""An array, its axes if the kind of file names them, and what was done on the way."""


def read(path: Path, key: str | None = None, largest: int = LARGEST_FILE_BYTES) -> Read:
    """The array in a .npy, .npz, .wav, .csv or .png file.

    Args:
        path: a regular file; the end of its name says its kind.
        key: which array of a .npz file; not needed if there is one.
        largest: bytes that the file, or what it unpacks to, may have.

    Raises:
        ArgumentError: no such file, another kind, too large, or not what its name says.
        UnsupportedError: a .png file without Pillow.
    """
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        raise ArgumentError(OPERATION, "file", str(path), f"a name that ends with one of {', '.join(_READERS)}")
    try:
        if not path.is_file():
            raise ArgumentError(OPERATION, "file", str(path), "a file that exists")
        _fits(path.name, path.stat().st_size, largest)
        return reader(path, key, largest)
    except (OSError, EOFError, ValueError, OverflowError, zipfile.BadZipFile, wave.Error, csv.Error) as error:
        if isinstance(error, ArgumentError):
            raise
        raise ArgumentError(OPERATION, "file", str(path), f"a readable {path.suffix} file ({error})") from error


def _fits(name: str, size: int, largest: int) -> None:
    if size > largest:
        got = f"{name} with {size / 2**20:,.0f} MiB"
        raise ArgumentError(OPERATION, "file", got, f"at most {largest / 2**20:,.0f} MiB", "save a part of it")


def _npy(path: Path, key: str | None, largest: int) -> Read:
    del key
    with path.open("rb") as file:
        return _npy_array(file, path.name, largest), None, []


def _npy_array(file: IO[bytes], name: str, largest: int) -> Array:
    """An array in NumPy's format, after a look at how much memory its header asks for."""
    version = np.lib.format.read_magic(file)
    if version not in ((1, 0), (2, 0)):
        raise ValueError(f"its format is {version}, of records")
    header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, fortran, dtype = header(file)
    if dtype.hasobject or dtype.names is not None:
        raise ArgumentError(OPERATION, "file", f"{name} with dtype {dtype}", "numbers, not Python objects or records")
    count = math.prod(shape)
    _fits(name, count * dtype.itemsize, largest)
    data = file.read(count * dtype.itemsize)
    if len(data) < count * dtype.itemsize:
        raise ValueError(f"{len(data)} of {count * dtype.itemsize} bytes are there")
    return np.frombuffer(data, dtype, count).reshape(shape, order="F" if fortran else "C")


def _npz(path: Path, key: str | None, largest: int) -> Read:
    with zipfile.ZipFile(path) as archive:
        names = [name.removesuffix(".npy") for name in archive.namelist() if name.endswith(".npy")]
        if key is None and len(names) == 1:
            key = names[0]
        if key not in names:
            got = "no key" if key is None else f"key {key!r}"
            raise ArgumentError(OPERATION, "key", got, f"one of {', '.join(names) or 'no arrays'} of {path.name}")
        with archive.open(f"{key}.npy") as file:
            return _npy_array(file, key, largest), None, []


def _wav(path: Path, key: str | None, largest: int) -> Read:
    del key, largest
    with wave.open(str(path), "rb") as file:
        width, channels, rate = file.getsampwidth(), file.getnchannels(), file.getframerate()
        data = np.frombuffer(file.readframes(file.getnframes()), np.uint8)
    data = data[: len(data) // (width * channels) * width * channels]
    if width == 1:
        values = data.astype(np.int16) - 128
    else:  # 24 bits have no type: they are the high bytes of 32
        padded = np.zeros((len(data) // width, 4), np.uint8)
        padded[:, 4 - width :] = data.reshape(-1, width)
        values = padded.view("<i4")[:, 0]
    return values.reshape(-1, channels), "LC", [f"{rate} samples a second: a lag of {rate // 1000 or 1} is about 1 ms"]


def _csv(path: Path, key: str | None, largest: int) -> Read:
    del key, largest
    with path.open(encoding="utf-8-sig", newline="") as file:
        start = file.read(4096)
        file.seek(0)
        delimiter = max(",;\t", key=start.count)
        lines = [line for line in csv.reader(file, delimiter=delimiter) if any(cell.strip() for cell in line)]
    notes = []
    if lines and all(_number(cell) is None for cell in lines[0] if cell.strip()):
        lines = lines[1:]
    if not lines:
        raise ValueError("no line of numbers is in it")
    if len({len(line) for line in lines}) > 1:
        raise ValueError("its lines have different numbers of columns")
    columns = [[_number(cell) for cell in column] for column in zip(*lines, strict=True)]
    kept = [column for column in columns if any(value is not None for value in column)]
    for number, column in enumerate(columns, start=1):
        if column in kept and None in column:
            raise ValueError(f"column {number} has {lines[column.index(None)][number - 1]!r} among its numbers")
    if not kept:
        raise ValueError("no column of numbers is in it")
    if dropped := len(columns) - len(kept):
        notes.append(f"{dropped} of {len(columns)} columns have no numbers and were left out")
    return np.array(kept, np.float64).T, "LC", notes


def _number(cell: str) -> float | None:
    """A cell as a number, an empty one as NaN, a word as None."""
    try:
        return float(cell) if cell.strip() else math.nan
    except ValueError:
        return None


def _png(path: Path, key: str | None, largest: int) -> Read:
    del key
    try:
        images = importlib.import_module("PIL.Image")
    except ImportError as error:
        raise UnsupportedError(
            "a .png file needs Pillow, which is not installed: pip install 'xconv[plots]'"
        ) from error
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # Pillow warns of images that unpack to a lot
        try:
            with images.open(path, formats=["PNG"]) as image:
                _fits(path.name, image.width * image.height * 4, largest)
                plain = image.mode in ("L", "I", "I;16", "F", "RGB")
                array = np.asarray(image if plain else image.convert("L" if image.mode in ("1", "LA") else "RGB"))
                notes = [] if plain else [f"an image of mode {image.mode} was made plain"]
        except (images.DecompressionBombError, Warning, SyntaxError) as error:
            raise ValueError(str(error)) from error
    return array, "HW" if array.ndim == 2 else "HWC", notes


_READERS: dict[str, Callable[[Path, str | None, int], Read]] = {
    ".npy": _npy,
    ".npz": _npz,
    ".wav": _wav,
    ".csv": _csv,
    ".png": _png,
}

"""``xconv advise`` and the files it reads, which may be anything."""

from __future__ import annotations

import io
import json
import struct
import wave
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import xconv
from xconv.advice import known
from xconv.advice.read import read
from xconv.cli import main
from xconv.core.backend import Backend

RNG = np.random.default_rng(0)


def test_a_file_and_what_is_said_of_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "map.npy"
    np.save(file, known.texture(RNG, 48, np.eye(5)))
    assert main(["advise", str(file), "--axes", "HW"]) == 0
    said = capsys.readouterr().out
    assert said.startswith("conv2d: ")
    assert "spatially_separable_conv2d" in said
    assert main(["advise", str(file), "--axes", "HW", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["recommendation"] == "conv2d"


def test_nothing_found_is_no(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "noise.npy"
    np.save(file, RNG.standard_normal(300))
    assert main(["advise", str(file)]) == 1
    assert capsys.readouterr().out.startswith("none: ")


def test_measured(backend: Backend, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    if backend.name != "torch":  # NumPy arrays are computed by torch, whatever else is there
        return
    file = tmp_path / "series.npy"
    np.save(file, known.autoregression(RNG, (300,), 0.8))
    assert main(["advise", str(file), "--measure", "--json"]) == 0
    [option] = json.loads(capsys.readouterr().out)["options"]
    assert 0 < option["seconds"] < 10


def test_plot(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="matplotlib is not installed (pip install matplotlib)")
    images = pytest.importorskip("PIL.Image", reason="Pillow is not installed (pip install pillow)")
    file, plot = tmp_path / "map.npy", tmp_path / "plot.png"
    for x in (known.separable(RNG, 40, 0.7), np.ones((20, 20))):
        np.save(file, x)
        main(["advise", str(file), "--axes", "HW", "--plot", str(plot)])
        with images.open(plot) as image:
            assert min(image.size) > 200
            assert np.ptp(np.asarray(image.convert("L"))) > 0
        plot.unlink()
    assert main(["advise", str(file), "--axes", "HW", "--plot", str(tmp_path / "plot.xyz")]) == 2


def test_npy_and_npz(tmp_path: Path) -> None:
    x = np.asfortranarray(RNG.integers(0, 9, (5, 7)))
    np.save(tmp_path / "a.npy", x)
    assert np.array_equal(read(tmp_path / "a.npy")[0], x)
    np.savez_compressed(tmp_path / "one.npz", x=x)
    assert np.array_equal(read(tmp_path / "one.npz")[0], x)
    np.savez(tmp_path / "two.npz", x=x, y=x + 1)
    assert np.array_equal(read(tmp_path / "two.npz", "y")[0], x + 1)
    for key in (None, "z"):
        with pytest.raises(xconv.ArgumentError, match="one of x, y"):
            read(tmp_path / "two.npz", key)


@pytest.mark.parametrize("width", [1, 2, 3, 4])
def test_wav(tmp_path: Path, width: int) -> None:
    top = 2 ** (8 * width - 1)
    samples = np.array([[0, -1], [top - 1, -top], [5, -5]])
    raw = (samples + 128).astype("u1") if width == 1 else samples.astype("<i4").view("u1").reshape(-1, 4)[:, :width]
    with wave.open(str(tmp_path / "a.wav"), "wb") as file:
        file.setnchannels(2)
        file.setsampwidth(width)
        file.setframerate(8000)
        file.writeframes(raw.tobytes())
    array, axes, _ = read(tmp_path / "a.wav")
    assert axes == "LC"
    scale = 2 ** (32 - 8 * width) if width > 1 else 1  # full scale is 32 bits
    assert np.array_equal(array, samples.astype(np.int64) * scale)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1,2\n3,4\n", [[1, 2], [3, 4]]),
        ("a,b\n1,2\n\n3,4", [[1, 2], [3, 4]]),
        ("\ufeffday;x\nmon;1e3\ntue;-2\n", [[1000], [-2]]),
        ("1\t2\n3\t4\n", [[1, 2], [3, 4]]),
        ("7\n8\n", [[7], [8]]),
    ],
)
def test_csv(tmp_path: Path, text: str, expected: Any) -> None:
    (tmp_path / "a.csv").write_text(text, encoding="utf-8")
    array, axes, _ = read(tmp_path / "a.csv")
    assert axes == "LC"
    assert array.tolist() == expected


def test_png(tmp_path: Path) -> None:
    images = pytest.importorskip("PIL.Image", reason="Pillow is not installed (pip install pillow)")
    colour = RNG.integers(0, 256, (9, 8, 3), dtype=np.uint8)
    images.fromarray(colour).save(tmp_path / "a.png")
    array, axes, _ = read(tmp_path / "a.png")
    assert axes == "HWC"
    assert np.array_equal(array, colour)
    for mode in ("L", "P", "1", "LA", "RGBA"):
        images.fromarray(colour).convert(mode).save(tmp_path / "b.png")
        array, axes, _ = read(tmp_path / "b.png")
        assert array.shape[:2] == (9, 8)
        assert len(axes or "") == array.ndim


def _claims(shape: tuple[int, ...]) -> bytes:
    """A .npy file that claims a shape and has eight bytes."""
    text = io.BytesIO()
    np.lib.format.write_array_header_1_0(text, {"descr": "<f8", "fortran_order": False, "shape": shape})
    return text.getvalue() + bytes(8)


def _zipped(name: str, data: bytes) -> bytes:
    text = io.BytesIO()
    with zipfile.ZipFile(text, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, data)
    return text.getvalue()


def _pickled() -> bytes:
    text = io.BytesIO()
    np.save(text, np.array([print], dtype=object), allow_pickle=True)
    return text.getvalue()


BAD = {
    "empty.npy": b"",
    "text.npy": b"hello",
    "claims.npy": _claims((10**12,)),
    "negative.npy": _claims((-1,)),
    "short.npy": _claims((9,)),
    "objects.npy": _pickled(),
    "objects.npz": _zipped("x.npy", _pickled()),
    "claims.npz": _zipped("x.npy", _claims((10**12,))),
    "no.npz": _zipped("x.txt", b"1"),
    "text.npz": b"hello",
    "text.wav": b"hello",
    "float.wav": b"RIFF" + struct.pack("<I", 36) + b"WAVEfmt " + struct.pack("<IHHIIHH", 16, 3, 1, 8000, 32000, 4, 32),
    "words.csv": b"a,b\nc,d\n",
    "mixed.csv": b"1,2\nx,3\n",
    "ragged.csv": b"1,2\n3\n",
    "gap.csv": b"1\n\n2,\n",
    "bytes.csv": b"\xff\xfe\x00\x01",
    "text.png": b"hello",
    "cut.png": b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR" + struct.pack(">IIBBBBB", 65535, 65535, 8, 0, 0, 0, 0) + bytes(4),
    "what.mat": b"hello",
}


@pytest.mark.parametrize("name", BAD)
def test_bad_files_end_with_a_word_and_2(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / name).write_bytes(BAD[name])
    assert main(["advise", str(tmp_path / name)]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("xconv advise: advise: ")
    assert ("Python objects" in said.err) == name.startswith("objects")


def test_size_limit(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "bomb.npz", x=np.zeros(100_000))
    assert (tmp_path / "bomb.npz").stat().st_size < 10_000
    with pytest.raises(xconv.ArgumentError, match="at most"):
        read(tmp_path / "bomb.npz", largest=50_000)
    np.save(tmp_path / "large.npy", np.zeros(10_000))
    with pytest.raises(xconv.ArgumentError, match="at most"):
        read(tmp_path / "large.npy", largest=50_000)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["no-such-file.npy"], "a file that exists"),
        ([".npy"], "a name that ends with"),
        (["a.npy", "--seed", "-1"], "0 or more"),
        (["a.npy", "--plot", "no/such/folder/a.png"], "a folder that exists"),
    ],
)
def test_wrong_use(arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["advise", *arguments]) == 2
    assert words in capsys.readouterr().err

"""Compiled code in files: whole or ignored, private, bounded, off when asked; the bits of code that is compiled."""

from __future__ import annotations

import errno
import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from xconv.direct import objectcache
from xconv.direct.dense import DenseTile
from xconv.direct.narrow import NarrowTile
from xconv.direct.processor import Processor, detect_processor

CODE = bytes(range(256)) * 9


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache's folder, which is not there yet."""
    monkeypatch.setenv("XCONV_CACHE", str(tmp_path / "kept"))
    monkeypatch.setattr(objectcache, "_written", {})
    return tmp_path / "kept" / "objects"


def test_what_is_written_is_read(folder: Path) -> None:
    assert objectcache.read("a") is None
    assert not folder.exists(), "nothing is made to read"
    objectcache.write("a", CODE)
    assert objectcache.read("a") == CODE
    assert objectcache.read("b") is None
    objectcache.write("a", b"another")
    assert objectcache.read("a") == b"another"
    assert [file.name for file in folder.iterdir()] == ["a"]


def test_it_is_the_user_s_alone(folder: Path) -> None:
    objectcache.write("a", CODE)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE((folder / "a").stat().st_mode) == 0o600


def test_a_damaged_file_is_ignored(folder: Path) -> None:
    """Each byte flipped, cut short anywhere, longer, empty, another one's."""
    objectcache.write("a", CODE)
    objectcache.write("b", CODE)
    file = folder / "a"
    whole = file.read_bytes()
    wrong = [whole[:n] for n in range(len(whole))] + [whole + b"0", (folder / "b").read_bytes()]
    for place in range(len(whole)):
        wrong.append(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
    for content in wrong[:: 7 if len(wrong) > 1000 else 1]:
        file.write_bytes(content)
        assert objectcache.read("a") is None
    file.write_bytes(whole)
    assert objectcache.read("a") == CODE


def others_may_enter(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    del monkeypatch
    folder.chmod(0o750)


def others_may_write_a_file(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    del monkeypatch
    (folder / "a").chmod(0o620)


def somebody_else_s(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: folder.stat().st_uid + 1)


def a_link_to_a_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    del monkeypatch
    folder.rename(folder.with_name("elsewhere"))
    folder.symlink_to(folder.with_name("elsewhere"))


def a_link_to_a_file(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    del monkeypatch
    (folder / "a").rename(folder.parent / "a")
    (folder / "a").symlink_to(folder.parent / "a")


def no_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    del monkeypatch
    folder.rename(folder.with_name("elsewhere"))
    folder.write_text("a file")


def unreadable(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    del folder

    def refuse(*_: Any, **__: Any) -> int:
        raise OSError(errno.EIO, "broken")

    monkeypatch.setattr(os, "open", refuse)


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="no such memory here")
@pytest.mark.parametrize(
    "what",
    [
        others_may_enter,
        others_may_write_a_file,
        somebody_else_s,
        a_link_to_a_folder,
        a_link_to_a_file,
        no_folder,
        unreadable,
    ],
)
def test_what_is_not_trusted_is_ignored(
    what: Callable[[Path, pytest.MonkeyPatch], None], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    objectcache.write("a", CODE)
    what(folder, monkeypatch)
    assert objectcache.read("a") is None
    objectcache.write("c", CODE)  # no error
    if what not in (others_may_write_a_file, a_link_to_a_file):  # the folder itself
        assert not (folder.is_dir() and (folder / "c").exists())


@pytest.mark.parametrize("call", ["fdopen", "replace", "mkdir"])
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EACCES, errno.EDQUOT])
def test_where_it_cannot_be_written_nothing_happens(
    call: str, number: int, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise OSError(number, "refused")

    monkeypatch.setattr(os, call, refuse)
    objectcache.write("a", CODE)
    assert not list(folder.parent.rglob("*.*")), "nothing is left of a file that was not finished"
    assert objectcache.read("a") is None


def test_it_is_bounded(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest go first, and what was not written to its end; what is read is young again, others' files stay."""
    names = [f"{number:064x}" for number in range(50)]
    monkeypatch.setattr(objectcache, "LIMIT_BYTES", 20 * len(objectcache._add_checksum(names[0], CODE)))
    objectcache.write(names[0], CODE)
    old = time.time() - 100 * 24 * 3600
    others, unfinished, abandoned = folder / "others", f"{names[0]}.{0:032x}", f"{names[0]}.{1:032x}"
    for file in (others, folder / unfinished, folder / abandoned):
        file.write_bytes(CODE)
    for file in (others, folder / abandoned):
        os.utime(file, (old, old))
    for number, name in enumerate(names[1:]):
        objectcache.write(name, CODE)
        os.utime(folder / name, (old + number, old + number))
        assert objectcache.read(names[0]) == CODE
    others.unlink()
    left = sorted(file.name for file in folder.iterdir())
    assert sum((folder / name).stat().st_size for name in left) <= objectcache.LIMIT_BYTES
    assert left == [names[0], unfinished, *names[52 - len(left) :]]
    assert len(left) > 15


def test_its_key_is_all_that_makes_the_code(monkeypatch: pytest.MonkeyPatch) -> None:
    dense, processor = DenseTile(6, 4, 0, 48, 48, 97, 64), detect_processor()
    narrow = NarrowTile(6, 4, 0, 48, 48)
    keys = {
        objectcache.make_key("tile", tile, dtype, which)
        for tile in (dense, narrow, DenseTile(6, 4, 0, 48, 48, 97, 64, 1))
        for dtype in ("float32", "float64")
        for which in (
            processor,
            Processor(processor.vector_bytes, processor.vector_registers, processor.cpu),
            Processor(16, 16),
        )
    }
    assert len(keys) == 18
    own = objectcache.make_key("tile", dense)
    assert own == objectcache.make_key("tile", DenseTile(6, 4, 0, 48, 48, 97, 64))
    made_by = objectcache._describe_compiler()
    assert made_by is not None
    for place in range(len(made_by)):
        other = [*made_by]
        other[place] += "0"
        monkeypatch.setattr(objectcache, "_describe_compiler", lambda other=other: tuple(other))
        assert objectcache.make_key("tile", dense) != own
    monkeypatch.setattr(objectcache, "_describe_compiler", lambda: None)
    assert objectcache.make_key("tile", dense) is None


def test_a_changed_source_is_another_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "code.py").write_text("one")
    monkeypatch.setattr(objectcache, "__file__", str(tmp_path / "objectcache.py"))
    made_by = objectcache._describe_compiler.__wrapped__
    assert made_by() is None, "sources that are not there"
    (tmp_path / "objectcache.py").write_text("two")
    first = made_by()
    assert first == made_by()
    (tmp_path / "code.py").write_text("One")
    assert made_by() != first


def test_without_a_home_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XCONV_CACHE")
    monkeypatch.setattr("platformdirs.user_cache_path", lambda *_, **__: Path("~/.cache/xconv"))
    assert objectcache.find_folder() is None
    assert "no home" in objectcache.describe()


def test_in_another_user_s_home_nothing_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XCONV_CACHE")
    monkeypatch.setattr("platformdirs.user_cache_path", lambda *_, **__: tmp_path / "xconv")
    monkeypatch.setattr(os, "geteuid", lambda: tmp_path.stat().st_uid + 1)
    objectcache.write("a", CODE)
    assert not list(tmp_path.iterdir())
    monkeypatch.undo()


def test_what_it_says_of_itself(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "no folder yet" in objectcache.describe()
    objectcache.write("a", CODE)
    assert f"{folder} (1 files, 0.0 MB" in objectcache.describe()
    folder.chmod(0o755)
    assert "others may enter" in objectcache.describe()
    monkeypatch.setenv("XCONV_CACHE", "off")
    assert objectcache.describe() == "no file (XCONV_CACHE=off)"


LAYERS = """
import hashlib, sys
import numpy as np
from xconv.direct import functions
from xconv.direct.processor import detect_processor
from xconv.direct.prepared import prepare
from xconv.direct.team import run_in_pool
from xconv.core.problem import DIRECTIONS, ConvProblem
compiled = []
own = functions.compile_object
functions.compile_object = lambda *given: compiled.append(given) or own(*given)
rng, told = np.random.default_rng(0), hashlib.sha256()
for dtype in ("float32", "float64"):
    for inputs, outputs, groups, more in (
        (5, 70, 1, {}), (40, 3, 1, {"stride": 2}), (33, 33, 33, {"dilation": 2}), (8, 16, 4, {}), (1, 1, 1, {}),
    ):
        problem = ConvProblem(2, 50, 1, inputs, outputs, kernel=5, groups=groups, padding=(2, 1), dtype=dtype, **more)
        x, w, dy = (rng.standard_normal(shape).astype(dtype) for shape in
                    (problem.input_shape, problem.weight_shape, problem.output_shape))
        for direction in DIRECTIONS:
            ready = prepare(direction, problem, 1)
            if direction == "weight_gradient":
                y = ready.weight_gradient(x.ctypes.data, dy.ctypes.data, run_in_pool)
            else:
                a, y = (x, np.empty_like(dy)) if direction == "forward" else (dy, np.empty_like(x))
                packed = ready.method.pack(w) if ready.packs_weight else w
                ready.run(a.ctypes.data, packed.ctypes.data, None, y.ctypes.data, run_in_pool)
            told.update(np.ascontiguousarray(y).tobytes())
print(told.hexdigest(), len(compiled))
"""


def run_layers(cache: str, before: str = "") -> tuple[str, int]:
    """The hash of all results, and how many functions were compiled, in a fresh process."""
    command = [sys.executable, "-c", before + LAYERS]
    done = subprocess.run(
        command, env={**os.environ, "XCONV_CACHE": cache}, capture_output=True, text=True, check=False, timeout=200
    )
    assert done.returncode == 0, done.stderr[-2000:]
    bits, compiled = done.stdout.split()
    return bits, int(compiled)


def test_the_bits_are_those_of_fresh_code(tmp_path: Path) -> None:
    """Without files, while they are written, from them, and when all are damaged, which mends them."""
    bits, count = run_layers("off")
    assert count > 20
    assert run_layers(str(tmp_path)) == (bits, count)
    assert run_layers(str(tmp_path)) == (bits, 0)
    files = sorted((tmp_path / "objects").iterdir())
    assert len(files) == count
    for number, file in enumerate(files):
        content = bytearray(file.read_bytes())
        content[number * 37 % len(content)] ^= 0x55
        file.write_bytes(content)
    assert run_layers(str(tmp_path)) == (bits, count)
    assert run_layers(str(tmp_path)) == (bits, 0)


KILLED = """
import os, signal
from xconv.direct import objectcache
os.replace = lambda *_, **__: os.kill(os.getpid(), signal.SIGKILL)
objectcache.write("a", b"code" * 1000)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no such memory here")
def test_a_process_that_is_killed_while_it_writes_leaves_nothing_to_read(folder: Path) -> None:
    done = subprocess.run([sys.executable, "-c", KILLED], check=False, timeout=100)
    assert done.returncode == -signal.SIGKILL
    assert len(list(folder.iterdir())) == 1
    assert objectcache.read("a") is None
    objectcache.write("a", CODE)
    assert objectcache.read("a") == CODE


BOTH = """
import sys
from xconv.direct import objectcache
for n in range(1500):
    code = bytes([n % 256]) * 5000
    objectcache.write("a", code)
    found = objectcache.read("a")
    assert found is not None and len(found) == 5000 and len(set(found)) == 1, n
"""


def test_two_processes_may_write_the_same_file(folder: Path) -> None:
    both = [subprocess.Popen([sys.executable, "-c", BOTH], stderr=subprocess.PIPE, text=True) for _ in range(2)]
    for process in both:
        _, said = process.communicate(timeout=200)
        assert process.returncode == 0, said
    assert [file.name for file in folder.iterdir()] == ["a"]


def test_only_a_call_that_compiles_makes_a_file(tmp_path: Path, loaded: Sequence[str]) -> None:
    """Neither an import nor what is turned off does."""
    call = "import numpy as np; xconv.conv1d(np.ones((1, 9, 2), 'f'), np.ones((3, 2, 4), 'f'), formulation='direct')"
    home = {**os.environ, "HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path)}
    del home["XCONV_CACHE"]
    for code, more, made in (("", {}, False), (call, {"XCONV_CACHE": "off"}, False), (call, {}, True)):
        if code and not {"torch", "tensorflow"} & set(loaded):
            continue
        command = [sys.executable, "-c", f"import xconv; {code}"]
        done = subprocess.run(command, env={**home, **more}, capture_output=True, text=True, check=False, timeout=200)
        assert done.returncode == 0, done.stderr
        assert (tmp_path / "xconv").exists() is made

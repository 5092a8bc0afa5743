"""Keeping freed memory: page faults are counted, times are not."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

import xconv
from xconv.system import allocator

needs_glibc = pytest.mark.skipif(
    allocator.unavailable() is not None, reason=f"freed memory cannot be kept: {allocator.unavailable()}"
)

COUNT = """
import json, resource, threading
import numpy as np, xconv

def faults(mebibytes=128):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    np.ones(mebibytes << 20, np.uint8)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

def least():
    return min(faults() for _ in range(3))

said = {}
"""


def counted(code: str, **environment: str) -> dict[str, int]:
    # NumPy asks for huge pages, of which there are few; what is counted here is what a framework does that does not
    ours = {name: value for name, value in os.environ.items() if not name.startswith(("MALLOC_", "GLIBC_TUNABLES"))}
    done = subprocess.run(
        [sys.executable, "-c", COUNT + code + "\nprint(json.dumps(said))"],
        env={**ours, "NUMPY_MADVISE_HUGEPAGE": "0", **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    said: dict[str, int] = json.loads(done.stdout)
    if said["before"] < 32:
        pytest.skip("this kernel counts no page faults")
    return said


@needs_glibc
def test_no_faults_inside_and_as_many_as_before_after() -> None:
    said = counted("""
said["before"] = least()
with xconv.keep_freed_memory():
    said["inside"] = least()
said["after"] = least()
handle = xconv.keep_freed_memory(None)
said["called"] = least()
handle.restore()
said["restored"] = least()
""")
    for name in ("inside", "called"):
        assert said[name] * 20 < said["before"]
    for name in ("after", "restored"):
        assert said[name] * 2 > said["before"]


@needs_glibc
def test_larger_than_the_limit_is_not_kept() -> None:
    said = counted("""
said["before"] = least()
with xconv.keep_freed_memory(64 << 20):
    said["larger"] = least()
    with xconv.keep_freed_memory(256 << 20):
        said["nested"] = least()
    said["larger again"] = least()
""")
    assert said["nested"] * 20 < said["before"]
    assert min(said["larger"], said["larger again"]) * 2 > said["before"]


@needs_glibc
def test_what_is_free_is_given_back() -> None:
    said = counted("""
def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize() >> 20

said["before"] = least()
said["resident before"] = resident()
with xconv.keep_freed_memory():
    least()
    said["resident inside"] = resident()
said["resident after"] = resident()
""")
    assert said["resident inside"] > said["resident before"] + 100
    assert said["resident after"] < said["resident before"] + 28


@needs_glibc
def test_after_it_blocks_of_a_few_mebibytes_cost_no_faults() -> None:
    said = counted("""
said["before"] = least()
xconv.keep_freed_memory().restore()
faults(8)
said["after"] = faults(8)
""")
    assert said["after"] * 20 < said["before"]


@needs_glibc
def test_threads_share_with_one_arena() -> None:
    said = counted(
        """
said["before"] = least()
with xconv.keep_freed_memory():
    thread = threading.Thread(target=lambda: said.update(thread=least()))
    thread.start()
    thread.join()
""",
        MALLOC_ARENA_MAX="1",
    )
    assert said["thread"] * 20 < said["before"]


@needs_glibc
@pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler to make another malloc with")
def test_another_malloc_is_noticed(tmp_path: Path) -> None:
    (tmp_path / "other.c").write_text(
        "extern void *__libc_malloc(unsigned long); void *malloc(unsigned long n) { return __libc_malloc(n); }"
    )
    library = str(tmp_path / "other.so")
    subprocess.run(
        ["cc", "-shared", "-fPIC", "-fno-builtin", "-o", library, str(tmp_path / "other.c")],
        check=True,
        capture_output=True,
    )
    done = subprocess.run(
        [sys.executable, "-c", "import xconv; print(xconv.system.allocator.unavailable())"],
        env={**os.environ, "LD_PRELOAD": library},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "another malloc is loaded before glibc's" in done.stdout


class OldGlibc:
    """Refuses what old ones refuse, and tells what it was told."""

    def __init__(self, largest: int) -> None:
        self.largest = largest
        self.values: dict[int, int] = {}
        self.trims: list[int] = []

    def mallopt(self, name: int, value: int) -> int:
        if name == allocator.MMAP_THRESHOLD and not 0 <= value <= self.largest:
            return 0
        self.values[name] = value
        return 1

    def malloc_trim(self, kept: int) -> int:
        self.trims.append(kept)
        return 1


@pytest.fixture
def old(monkeypatch: pytest.MonkeyPatch) -> OldGlibc:
    libc = OldGlibc(32 << 20)
    monkeypatch.setattr(allocator, "_libc", lambda: libc)
    monkeypatch.setattr(allocator, "unavailable", lambda: None)
    for name in ("MALLOC_MMAP_MAX_", "MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_"):
        monkeypatch.delenv(name, raising=False)
    return libc


AFTER = {allocator.MMAP_THRESHOLD: 32 << 20, allocator.TRIM_THRESHOLD: 64 << 20, allocator.MMAP_MAX: 65536}


def test_nested_and_restored_in_any_order(old: OldGlibc) -> None:
    small = xconv.keep_freed_memory(1 << 20)
    assert old.values[allocator.MMAP_MAX] == 65536
    with xconv.keep_freed_memory(1 << 30) as large:
        assert old.values[allocator.MMAP_MAX] == 0
        assert old.values[allocator.TRIM_THRESHOLD] == 1 << 30
        with xconv.keep_freed_memory(None):
            assert old.values[allocator.TRIM_THRESHOLD] == -1
        small.restore()
        small.restore()
        assert not small.active
        assert large.active
        assert old.values[allocator.TRIM_THRESHOLD] == 1 << 30
        assert old.trims == [1 << 30]
        with xconv.keep_freed_memory(1 << 20):
            assert old.values[allocator.TRIM_THRESHOLD] == 1 << 30
        assert old.trims == [1 << 30]
    assert repr(large) == f"<KeptMemory limit={1 << 30} restored>"
    assert old.values == AFTER
    assert old.trims == [1 << 30, 0]
    large.restore()
    assert old.trims == [1 << 30, 0]


def test_restored_after_an_error(old: OldGlibc) -> None:
    with pytest.raises(RuntimeError), xconv.keep_freed_memory():
        raise RuntimeError
    assert old.values == AFTER


def test_the_environment_is_put_back(old: OldGlibc, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MALLOC_MMAP_THRESHOLD_", "1000000")
    monkeypatch.setenv("MALLOC_TRIM_THRESHOLD_", "2000000")
    monkeypatch.setenv("MALLOC_MMAP_MAX_", "many")
    xconv.keep_freed_memory().restore()
    assert old.values == {
        allocator.MMAP_THRESHOLD: 1_000_000,
        allocator.TRIM_THRESHOLD: 2_000_000,
        allocator.MMAP_MAX: 65536,
    }


def test_many_threads(old: OldGlibc) -> None:
    def work(limit: int) -> None:
        for _ in range(50):
            with xconv.keep_freed_memory(limit):
                assert old.values[allocator.TRIM_THRESHOLD] >= limit

    threads = [threading.Thread(target=work, args=(1 << n,)) for n in range(20, 24)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert old.values == AFTER
    assert allocator._kept == []


@pytest.mark.parametrize("limit", [0, -1, 2**31, 1.5, True, "1 GiB"])
def test_limits_that_are_none(limit: Any) -> None:
    with pytest.raises(xconv.ArgumentError, match="keep_freed_memory: limit"):
        xconv.keep_freed_memory(limit)


def test_other_platforms(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "confstr", lambda _: None, raising=False)
    monkeypatch.setattr(sys, "platform", "linux")
    assert "another C library" in str(allocator.unavailable())
    monkeypatch.setattr(sys, "platform", "darwin")
    with pytest.raises(xconv.UnsupportedError, match="this is darwin"):
        xconv.keep_freed_memory()
    assert allocator._kept == []

"""Compiled code in files: a layer that a process of this user has compiled is not compiled by another.

The files are the user's own: they lie in a folder that nobody else may enter, and each has a checksum, its key in it.
What is wrong with one, or with the folder, only means that the code is compiled again; it is never an error.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
import stat
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path

VARIABLE = "XCONV_CACHE"
"""The environment variable that turns it off, by :data:`OFF`, or names another folder."""

OFF = "off"

LIMIT_BYTES = 16 << 20
"""Bytes of all files of a folder, beyond which the oldest are deleted; several processes may exceed it by a sixteenth
each."""

LARGEST_BYTES = 1 << 20
"""Bytes of one file; a larger one is nobody's."""

USED_S = 24 * 3600.0
"""Seconds after which a file that is read counts as new again."""

ABANDONED_S = 600.0
"""Seconds after which a file that was not written to its end is deleted."""

_NAME = re.compile(r"[0-9a-f]{64}(\.[0-9a-f]{32})?")
"""What files are called, and those that are not finished."""

_MAGIC = b"xconv object 1\n"


def find_folder() -> Path | None:
    """Where the files lie: ``objects`` in the user's cache folder for xconv or in what ``XCONV_CACHE`` names.

    None if it is turned off.

    >>> find_folder() is None or find_folder().name == "objects"
    True
    """
    named = os.environ.get(VARIABLE)
    if named == OFF:
        return None
    if named:
        return Path(named).absolute() / "objects"
    from platformdirs import user_cache_path

    path = user_cache_path("xconv", appauthor=False) / "objects"
    return path if path.is_absolute() else None  # whose user has no home


def make_key(*parts: object) -> str | None:
    """A name for the code that such parts describe, which changes with whatever else it is made by.

    None if that cannot be known, and nothing may be kept: xconv's own sources are not to be read here.
    """
    made_by = _describe_compiler()
    return None if made_by is None else hashlib.sha256(repr((made_by, *parts)).encode()).hexdigest()


@cache
def _describe_compiler() -> Sequence[str] | None:
    """The versions of what compiles, and the sources of what writes the code."""
    import llvmlite
    import llvmlite.binding as llvm

    from xconv.system.version import __version__

    read, here = hashlib.sha256(), Path(__file__).parent
    try:
        for file in sorted(here.glob("*.py")):
            text = file.read_bytes()
            read.update(f"{file.name} {len(text)}\n".encode() + text)
        Path(__file__).stat()
    except OSError:  # it was not read from a folder
        return None
    llvm_version = ".".join(map(str, llvm.llvm_version_info))
    return __version__, read.hexdigest(), llvmlite.__version__, llvm_version, llvm.get_process_triple()


def read(name: str) -> bytes | None:
    """The code of a key, if it is there and whole."""
    path = find_folder()
    if path is None:
        return None
    try:
        with _open_folder(path) as place, open(_locate(path, name), "rb", opener=_make_opener(place)) as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode) or status.st_size > LARGEST_BYTES or not _is_own(status, others=0o022):
                return None
            content = file.read(LARGEST_BYTES + 1)
            if time.time() - status.st_mtime > USED_S:
                with suppress(OSError):  # a folder that may only be read
                    os.utime(_locate(path, name), dir_fd=place)
    except OSError:
        return None
    code = content[len(_MAGIC) + hashlib.sha256().digest_size :]
    return code if content == _add_checksum(name, code) else None


def write(name: str, code: bytes) -> None:
    """Keep the code of a key, whole or not at all; where that cannot be done nothing happens."""
    path, content = find_folder(), _add_checksum(name, code)
    if path is None or len(content) > LARGEST_BYTES:
        return
    try:
        _make_folder(path)
        with _open_folder(path) as place:
            _write_whole(path, place, name, content)
            _delete_oldest(path, place, len(content))
    except OSError:
        return


def describe() -> str:
    """Where code is kept, and how much of it, or why it is not."""
    path = find_folder()
    if path is None:
        return f"no file ({VARIABLE}={OFF})" if os.environ.get(VARIABLE) == OFF else "no file (the user has no home)"
    try:
        with _open_folder(path):
            sizes = [file.stat().st_size for file in path.iterdir()]
    except FileNotFoundError:
        return f"{path} (no folder yet)"
    except OSError as error:
        return f"no file: {path}: {error.strerror}"
    return f"{path} ({len(sizes)} files, {sum(sizes) / 1e6:.1f} MB; {VARIABLE}={OFF} turns it off)"


def _make_folder(path: Path) -> None:
    """Make a folder of one's own, unless one works in another user's home, as root may."""
    above = next(folder for folder in path.parents if folder.exists())
    if not os.environ.get(VARIABLE) and not _is_own(above.stat(), others=0):
        raise PermissionError
    path.mkdir(mode=0o700, parents=True, exist_ok=True)


def _add_checksum(name: str, code: bytes) -> bytes:
    return _MAGIC + hashlib.sha256(name.encode() + code).digest() + code


def _write_whole(path: Path, place: int | None, name: str, content: bytes) -> None:
    # no fsync: what a power cut leaves of a file has not its checksum
    unfinished = f"{name}.{uuid.uuid4().hex}"
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    try:
        with os.fdopen(os.open(_locate(path, unfinished), flags, 0o600, dir_fd=place), "wb") as file:
            file.write(content)
        os.replace(_locate(path, unfinished), _locate(path, name), src_dir_fd=place, dst_dir_fd=place)
    except OSError:
        with suppress(OSError):
            os.unlink(_locate(path, unfinished), dir_fd=place)
        raise


_written: dict[Path, int] = {}
"""Bytes that this process has written to a folder since it looked through it."""


def _delete_oldest(path: Path, place: int | None, more: int) -> None:
    """Delete the oldest files of a folder that has become too large, and what was not written to its end."""
    share = LIMIT_BYTES // 16  # that a process writes before it looks again
    if path in _written and _written[path] + more <= share:
        _written[path] += more
        return
    _written[path], found, now = 0, [], time.time()
    with os.scandir(path if place is None else place) as entries:
        for entry in entries:
            if not _NAME.fullmatch(entry.name):  # somebody else's
                continue
            with suppress(FileNotFoundError):  # another process was first
                status = entry.stat(follow_symlinks=False)
                is_abandoned = "." in entry.name and now - status.st_mtime > ABANDONED_S
                found.append((0.0 if is_abandoned else status.st_mtime, status.st_size, entry.name))
    left = sum(size for _, size, _ in found)
    for written, size, name in sorted(found):
        if written and left <= LIMIT_BYTES - share:
            break
        with suppress(OSError):
            os.unlink(_locate(path, name), dir_fd=place)
        left -= size


# Where a system has them, folders are opened once and files in them by that: another folder that is put in its place
# meanwhile is not entered.
_HAS_PLACES = {os.open, os.unlink, os.rename, os.utime} <= os.supports_dir_fd and os.scandir in os.supports_fd


@contextmanager
def _open_folder(path: Path) -> Iterator[int | None]:
    """A folder that is the user's own and that nobody else may enter."""
    if not _HAS_PLACES:  # Windows, whose folders of a user are closed to others as they come
        yield None
        return
    place = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        if not _is_own(os.fstat(place), others=0o077):
            raise PermissionError(errno.EACCES, "it is another user's folder, or others may enter it")
        yield place
    finally:
        os.close(place)


def _is_own(status: os.stat_result, others: int) -> bool:
    """Whether a file is this user's, and others have no right of those."""
    return not hasattr(os, "geteuid") or (status.st_uid == os.geteuid() and not status.st_mode & others)


def _locate(path: Path, name: str) -> str:
    return name if _HAS_PLACES else str(path / name)


def _make_opener(place: int | None) -> Callable[[str, int], int]:
    return lambda name, flags: os.open(name, flags | getattr(os, "O_NOFOLLOW", 0), dir_fd=place)

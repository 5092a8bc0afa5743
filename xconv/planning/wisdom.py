"""What was measured on this machine: for a problem, which formulation is the fastest (the word is FFTW's).

Wisdom is kept in memory and used by whoever asks; it goes to a file, and comes from one, only when :func:`save` and
:func:`load` are called. Nothing that a file says is believed unchecked, and a formulation that it names is only a name:
the planner asks the backend for it.

>>> from xconv import ConvProblem, wisdom
>>> problem = ConvProblem(outer=8, length=1000, inner=1, in_channels=16, out_channels=32, kernel=9)
>>> key = wisdom.Key("torch", "0.0", "doctest", 1, "NWC", "forward", problem)
>>> wisdom.remember(key, wisdom.Entry("taps", seconds=0.001, own_seconds=0.002, measured="2026-11-21"))
>>> wisdom.find(key).formulation
'taps'
>>> wisdom.forget(problem=problem)
1
>>> wisdom.find(key)
"""

from __future__ import annotations

import os
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeAlias

from xconv.core.problem import ConvProblem
from xconv.planning.wisdomfile import Entry, Key, check, merge, read, to_text
from xconv.system.errors import ArgumentError, WisdomError
from xconv.system.files import write_whole

__all__ = ["Entry", "Key", "default_file", "entries", "find", "forget", "knows", "load", "remember", "save", "version"]

VARIABLE = "XCONV_WISDOM"
LOCK_SECONDS = 10.0
"""How long another process is waited for that is writing the same file."""

PathName: TypeAlias = str | os.PathLike[str]

_lock = threading.Lock()  # of every change
_entries: dict[
    Key, Entry
] = {}  # never changed but replaced, so that looking up needs no lock and sees no half of a change
_problems: frozenset[ConvProblem] = frozenset()
_version = 0


def find(key: Key) -> Entry | None:
    """What is known of a problem on a device, or None. There is never anything known of symbolic sizes.

    Args:
        key: backend, version, device, threads, layout, direction and problem.

    Returns:
        The entry, or None.
    """
    return _entries.get(key) if key.problem.is_static else None


def knows(problem: ConvProblem) -> bool:
    """Whether anything was measured of a problem whose sizes are known, in any direction, layout or framework.

    Args:
        problem: one whose sizes are known.

    Returns:
        Whether there is an entry.
    """
    return problem in _problems


def remember(key: Key, entry: Entry) -> None:
    """Keep a measurement in memory; it replaces what was known, whatever the dates say.

    Args:
        key: what was measured, and where.
        entry: what came out.

    Raises:
        ArgumentError: a value that could not have been measured, and could not be saved.
    """
    try:
        check(key, entry)
    except ValueError as error:
        raise ArgumentError("wisdom.remember", "entry", str(error), "the key and the result of a measurement") from None
    with _lock:
        if _entries.get(key) != entry:
            changed = dict(_entries)
            changed.pop(key, None)
            merge(changed, {key: entry})
            _replace(changed)


def entries() -> dict[Key, Entry]:
    """A copy of all that is known in memory.

    Returns:
        What was measured, and what came out.

    >>> type(entries())
    <class 'dict'>
    """
    return dict(_entries)


def version() -> int:
    """A number that grows with every change of what is known, for those who keep what they made of it.

    Returns:
        A number of this process.

    >>> version() <= version()
    True
    """
    return _version


def forget(
    *,
    backend: str | None = None,
    formulation: str | None = None,
    problem: ConvProblem | None = None,
    file: bool | PathName = False,
) -> int:
    """Forget everything, or what is of one backend, formulation or problem; returns how many entries that were.

    Args:
        backend: forget only what is of this backend.
        formulation: forget only where this formulation was found the fastest.
        problem: forget only what is of this problem.
        file: also forget it in a file: True for the default one, or its name. With no other argument the file is
            deleted, so that ``forget(file=True)`` is the state in which nothing was ever measured.

    Returns:
        How many entries were forgotten.

    Raises:
        WisdomError: the file cannot be changed; then nothing is forgotten in memory either.
    """

    def meant(key: Key, entry: Entry) -> bool:
        return (
            backend in (None, key.backend)
            and formulation in (None, entry.formulation)
            and problem in (None, key.problem)
        )

    def without(known: dict[Key, Entry]) -> dict[Key, Entry] | None:
        gone.update(key for key, entry in known.items() if meant(key, entry))
        if (backend, formulation, problem) == (None, None, None):
            return None
        return {key: entry for key, entry in known.items() if key not in gone}

    gone: set[Key] = set()
    warning = None
    if file is not False:
        target = _where(None if file is True else file)
        if _there(target):
            warning = _rewrite(target, without)
    with _lock:
        in_memory = [key for key, entry in _entries.items() if meant(key, entry)]
        if in_memory:
            _replace({key: entry for key, entry in _entries.items() if not meant(key, entry)})
    if warning:
        warnings.warn(warning, RuntimeWarning, stacklevel=2)
    return len(gone.union(in_memory))


def load(path: PathName | None = None) -> int:
    """Take what a file knows into memory, where it is newer than what is there; returns how many entries that were.

    What is wrong in the file is left out, with one warning; a file that is not there is an empty one.

    Args:
        path: the file; by default :func:`default_file`.

    Returns:
        How many entries were taken.
    """
    file = _where(path)
    try:
        found, wrong = read(file)
    except OSError as error:
        found, wrong = {}, f"it cannot be read: {error}"
    with _lock:
        taken = [key for key in found if key not in _entries or found[key].measured > _entries[key].measured]
        changed = dict(_entries)
        merge(changed, {key: found[key] for key in taken})
        count = sum(key in changed for key in taken)
        if count:
            _replace(changed)
    if wrong:
        warnings.warn(f"left out what is wrong in the wisdom file {file}: {wrong}", RuntimeWarning, stacklevel=2)
    return count


def save(path: PathName | None = None) -> Path:
    """Add what is in memory to a file; of two measurements of one thing the later one stays. Returns the file.

    The file is always a whole one, and what two processes save at once is both there. One in which something is wrong
    is moved to the same name with ``.broken``, with a warning, and what is good in it is kept.

    Args:
        path: the file; by default :func:`default_file`.

    Returns:
        The file.

    Raises:
        WisdomError: the file cannot be written; it is left as it was.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     load(save(f"{folder}/wisdom.json"))
    0
    """
    file = _where(path)
    mine = entries()

    def with_mine(theirs: dict[Key, Entry]) -> dict[Key, Entry]:
        merge(theirs, mine)
        return theirs

    warning = _rewrite(file, with_mine)
    if warning:
        warnings.warn(warning, RuntimeWarning, stacklevel=2)
    return file


def default_file() -> Path:
    """Where wisdom is kept: what ``XCONV_WISDOM`` says, or ``wisdom.json`` in the user's cache folder for xconv.

    Returns:
        A path; the file need not be there.

    >>> default_file().suffix
    '.json'
    """
    named = os.environ.get(VARIABLE)
    if named:
        return Path(named)
    from platformdirs import user_cache_path

    return user_cache_path("xconv", appauthor=False) / "wisdom.json"


def _replace(changed: dict[Key, Entry]) -> None:
    global _entries, _problems, _version  # noqa: PLW0603 - what is known of one machine is one
    _entries, _problems = changed, frozenset(key.problem for key in changed)
    _version += 1


def _where(path: PathName | None) -> Path:
    # resolved, so that a link is followed and stays a link
    return Path(os.path.realpath(os.path.expanduser(default_file() if path is None else path)))


def _there(file: Path) -> bool:
    try:
        file.stat()
    except FileNotFoundError:
        return False
    except OSError:
        return True  # and whoever opens it tells why not
    return True


def _rewrite(file: Path, change: Callable[[dict[Key, Entry]], dict[Key, Entry] | None]) -> str | None:
    """Replace a file by what is made of its good entries, or delete it; returns a warning if something was wrong."""
    with _locked(file):
        known, wrong = read(file)
        kept = change(known)
        if kept is None:
            file.unlink(missing_ok=True)
            return None
        if not wrong:
            write_whole(file, to_text(kept))
            return None
        aside = file.with_name(f"{file.name}.broken")
        file.replace(aside)
        try:
            write_whole(file, to_text(kept))
        except BaseException:
            aside.replace(file)
            raise
        return f"moved the wisdom file {file} to {aside.name} and left out what is wrong in it: {wrong}"


@contextmanager
def _locked(file: Path) -> Iterator[None]:
    """Alone with a file; whatever goes wrong with it is a :class:`WisdomError`."""
    from filelock import FileLock, Timeout

    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{file}.lock", timeout=LOCK_SECONDS):
            yield
    except Timeout:
        raise WisdomError(
            f"wisdom in {file} cannot be written: another process has held {file.name}.lock for {LOCK_SECONDS:g} s"
        ) from None
    except (OSError, NotImplementedError) as error:  # the second: a file system that has no locks
        raise WisdomError(f"wisdom in {file} cannot be written: {error}") from error

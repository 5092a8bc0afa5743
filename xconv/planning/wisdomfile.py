"""What a file of wisdom looks like, and what is believed of one: nothing that has not been checked.

``{"version": 1, "entries": [{...}, ...]}``, one entry on a line, each with every field of :class:`Key` and
:class:`Entry` and with no other.
"""

from __future__ import annotations

import json
import re
import stat
from collections.abc import Collection, Mapping
from dataclasses import asdict, fields
from datetime import UTC, datetime, timedelta
from pathlib import Path
from reprlib import repr as short
from typing import Any, NamedTuple

from xconv.core.layouts import LAYOUTS
from xconv.core.problem import DIRECTIONS, DTYPES, PADDING_MODES, ConvProblem
from xconv.system.errors import ArgumentError

FORMAT_VERSION = 1
MAX_ENTRIES = 4096
"""The most entries that are kept, in memory and in a file; the oldest measurements go first."""
MAX_BYTES = 16 << 20
MAX_SIZE = 2**63 - 1
MAX_SECONDS = 1e9


class Key(NamedTuple):
    """What a measurement is of. ``version`` is the framework's, ``threads`` how many it computed with.

    ``device`` is any text that tells one device from another. Where one home directory serves several machines, it
    should name the processor, or each machine should have a file of its own (``XCONV_WISDOM``).
    """

    backend: str
    version: str
    device: str
    threads: int
    layout: str
    direction: str
    problem: ConvProblem


class Entry(NamedTuple):
    """What was measured: the fastest formulation, its time, the time of the framework's own operation, and when.

    ``measured`` is ``"2026-11-21"`` or, in UTC, ``"2026-11-21T09:30:00Z"``.
    """

    formulation: str
    seconds: float
    own_seconds: float
    measured: str


def check(key: Key, entry: Entry) -> None:
    """Refuse with a ``ValueError`` what could not have been measured."""
    for name, text in (
        ("backend", key.backend),
        ("version", key.version),
        ("device", key.device),
        ("formulation", entry.formulation),
    ):
        if not (isinstance(text, str) and 0 < len(text) <= 128 and text.isascii() and text.isprintable()):
            raise ValueError(f"{name} is {short(text)}, not a short text")
    _integer("threads", key.threads, 0, 2**20)
    _word("layout", key.layout, LAYOUTS)
    _word("direction", key.direction, DIRECTIONS)
    if not isinstance(key.problem, ConvProblem):
        raise ValueError(f"problem is {short(key.problem)}, not a ConvProblem")
    _check_problem(vars(key.problem))
    for name, seconds in (("seconds", entry.seconds), ("own_seconds", entry.own_seconds)):
        if not isinstance(seconds, (float, int)) or isinstance(seconds, bool) or not 0 < seconds <= MAX_SECONDS:
            raise ValueError(f"{name} is {short(seconds)}, not a time")
    _check_date(entry.measured)


def to_text(entries: Mapping[Key, Entry]) -> str:
    """The file that holds these entries."""
    lines = []
    for key, entry in entries.items():
        record = {**key._asdict(), "problem": asdict(key.problem), **entry._asdict()}
        lines.append(json.dumps(record, allow_nan=False))
    return f'{{"version": {FORMAT_VERSION}, "entries": [\n' + ",\n".join(lines) + "\n]}\n"


def from_text(text: str) -> tuple[dict[Key, Entry], str | None]:
    """The good entries of a file, and what was wrong with the others or with all of it.

    >>> from_text("[]")
    ({}, 'it is not a file of wisdom')
    >>> from_text('{"version": 2, "entries": []}')
    ({}, 'its version is 2, not 1')
    """
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        return {}, f"it is not JSON: {error or type(error).__name__}"
    if not isinstance(found, dict) or set(found) != {"version", "entries"} or not isinstance(found["entries"], list):
        return {}, "it is not a file of wisdom"
    if type(found["version"]) is not int or found["version"] != FORMAT_VERSION:
        return {}, f"its version is {short(found['version'])}, not {FORMAT_VERSION}"
    if len(found["entries"]) > MAX_ENTRIES:
        return {}, f"it has {len(found['entries'])} entries, more than {MAX_ENTRIES}"
    good: dict[Key, Entry] = {}
    wrong: list[str] = []
    for number, record in enumerate(found["entries"]):
        try:
            key, entry = _from_record(record)
        except ValueError as error:
            wrong.append(f"entry {number}: {error}")
        else:
            merge(good, {key: entry})
    return good, f"{len(wrong)} of its {len(found['entries'])} entries are wrong, {wrong[0]}" if wrong else None


def read(file: Path) -> tuple[dict[Key, Entry], str | None]:
    """As :func:`from_text`; a file that is not there has no entries and nothing wrong.

    Raises:
        OSError: there is something that is no file, or that may not be read.
    """
    try:
        found = file.stat()
    except FileNotFoundError:
        return {}, None
    if not stat.S_ISREG(found.st_mode):
        # and opening a pipe would wait for its writer
        raise OSError("it is not a file")
    with file.open("rb") as stream:
        data = stream.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        return {}, f"it is larger than {MAX_BYTES >> 20} MiB"
    try:
        return from_text(data.decode())
    except UnicodeDecodeError:
        return {}, "it is not text"


def merge(into: dict[Key, Entry], more: Mapping[Key, Entry]) -> None:
    """Add entries; of two for one key the later measurement stays, and of more than ``MAX_ENTRIES`` the latest ones."""
    for key, entry in more.items():
        if key not in into or entry.measured >= into[key].measured:
            into.pop(key, None)  # so that the order tells ages apart where dates do not
            into[key] = entry
    if len(into) > MAX_ENTRIES:
        for key in sorted(into, key=lambda key: into[key].measured)[: len(into) - MAX_ENTRIES]:
            del into[key]


def _from_record(record: object) -> tuple[Key, Entry]:
    values = _fields("the entry", record, [*Key._fields, *Entry._fields])
    sizes = _fields("the problem", values["problem"], [field.name for field in fields(ConvProblem)])
    if isinstance(sizes["padding"], list):
        sizes = {**sizes, "padding": tuple(sizes["padding"])}
    _check_problem(sizes)
    try:
        problem = ConvProblem(**sizes)
    except ArgumentError as error:
        raise ValueError(str(error)) from None
    key = Key(**{**{name: values[name] for name in Key._fields}, "problem": problem})
    entry = Entry(**{name: values[name] for name in Entry._fields})
    check(key, entry)
    return key, entry


def _check_problem(sizes: Mapping[str, Any]) -> None:
    for name in ("outer", "length", "inner"):
        _integer(name, sizes[name], 0, MAX_SIZE)
    for name in ("in_channels", "out_channels", "kernel", "stride", "dilation", "groups"):
        _integer(name, sizes[name], 1, MAX_SIZE)
    padding = sizes["padding"]
    if not isinstance(padding, tuple) or len(padding) != 2:
        raise ValueError(f"padding is {short(padding)}, not two integers")
    for amount in padding:
        _integer("padding", amount, -MAX_SIZE, MAX_SIZE)  # a negative pad crops
    _word("padding_mode", sizes["padding_mode"], PADDING_MODES)
    _word("dtype", sizes["dtype"], DTYPES)


def _check_date(text: object) -> None:
    if not (isinstance(text, str) and re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}(T[0-9]{2}:[0-9]{2}:[0-9]{2}Z)?", text)):
        raise ValueError(f"measured is {short(text)}, not a date")
    try:
        when = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"measured is {text!r}, not a date") from None
    # one from a clock that ran ahead would win over every later measurement
    if when.replace(tzinfo=UTC) > datetime.now(UTC) + timedelta(days=1):
        raise ValueError(f"measured is {text!r}, in the future")


def _fields(what: str, record: object, names: list[str]) -> dict[str, Any]:
    if not isinstance(record, dict):
        raise ValueError(f"{what} is {short(record)}, not an object")
    if record.keys() != set(names):
        missing, unknown = sorted(set(names) - record.keys()), sorted(record.keys() - set(names))
        raise ValueError(f"{what} lacks {short(missing)}" if missing else f"{what} has unknown fields {short(unknown)}")
    return record


def _integer(name: str, value: object, low: int, high: int) -> None:
    if type(value) is not int or not low <= value <= high:
        raise ValueError(f"{name} is {short(value)}, not an integer from {low} to {high}")


def _word(name: str, value: object, known: Collection[str]) -> None:
    if not isinstance(value, str) or value not in known:
        raise ValueError(f"{name} is {short(value)}, not one of {', '.join(known)}")

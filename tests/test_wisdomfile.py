"""Wisdom files: what one may hold, who may write at once, and what happens when one is broken."""

from __future__ import annotations

import json
import multiprocessing
import os
import subprocess
import sys
import warnings
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import xconv
from tests.wisdom_samples import ENTRY, PROBLEM, fill, key
from xconv import ConvProblem
from xconv.planning import wisdom, wisdomfile
from xconv.planning.wisdom import Entry, Key

pytestmark = pytest.mark.usefixtures("nothing_known")


def test_round_trip(tmp_path: Path) -> None:
    fill()
    strange = replace(PROBLEM, outer=0, padding=(-3, 2**62), padding_mode="circular", dtype="bfloat16", groups=4)
    wisdom.remember(
        key(problem=strange, device="NVIDIA H200 (141 GB)"), ENTRY._replace(measured="2026-01-02T03:04:05Z")
    )
    known = wisdom.entries()
    file = wisdom.save(tmp_path / "new" / "w.json")
    assert file == tmp_path / "new" / "w.json"
    wisdom.forget()
    assert wisdom.load(file) == 4
    assert wisdom.entries() == known
    assert wisdom.save(str(file)) == file
    assert json.loads(file.read_text())["version"] == 1


sizes = st.integers(0, wisdomfile.MAX_SIZE)
counts = st.integers(1, wisdomfile.MAX_SIZE)
times = st.floats(0, 1e9, exclude_min=True)
names = st.text(st.characters(min_codepoint=32, max_codepoint=126), min_size=1, max_size=128)
pads = st.integers(-wisdomfile.MAX_SIZE, wisdomfile.MAX_SIZE)
problems = st.builds(
    ConvProblem,
    *(sizes, sizes, sizes),
    *(counts, counts, counts),
    stride=counts,
    dilation=counts,
    padding=st.tuples(pads, pads),
    padding_mode=st.sampled_from(["zeros", "reflect", "replicate", "circular"]),
    dtype=st.sampled_from(["float32", "float64", "float16", "bfloat16"]),
)
keys = st.builds(
    Key,
    *(names, names, names),
    st.integers(0, 1024),
    st.sampled_from(["NWC", "NCW", "NHWC", "NCHW"]),
    st.sampled_from(["forward", "input_gradient", "weight_gradient"]),
    problems,
)
measurements = st.builds(Entry, names, times, times, st.dates(max_value=datetime(2026, 1, 1).date()).map(str))


@given(st.dictionaries(keys, measurements, max_size=5))
def test_what_is_written_is_what_is_read(known: dict[Key, Entry]) -> None:
    assert wisdomfile.from_text(wisdomfile.to_text(known)) == (known, None)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(st.data())
def test_any_value_in_any_place_is_survived(data: st.DataObject) -> None:
    record = json.loads(wisdomfile.to_text({key(): ENTRY}))["entries"][0]
    where = record["problem"] if data.draw(st.booleans()) else record
    where[data.draw(st.sampled_from([*where, "new"]))] = data.draw(json_values)
    good, wrong = wisdomfile.from_text(json.dumps({"version": 1, "entries": [record]}))
    assert (len(good), wrong is None) in {(1, True), (0, False)}
    for found in good.items():
        wisdomfile.check(*found)


def test_the_later_measurement_stays(tmp_path: Path) -> None:
    file = tmp_path / "w.json"
    early, late = ENTRY._replace(measured="2026-01-02"), ENTRY._replace(measured="2026-01-02T10:00:00Z", seconds=1.0)
    wisdom.remember(key(), late)
    wisdom.save(file)
    wisdom.remember(key(), early)
    wisdom.save(file)
    assert wisdom.load(file) == 1
    assert wisdom.find(key()) == late
    wisdom.remember(key(), late._replace(seconds=2.0))
    assert wisdom.load(file) == 0  # of two of one time, the one that is there


def test_a_file_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "w.json"
    monkeypatch.setattr(wisdomfile, "MAX_ENTRIES", 3)
    for number in range(6):
        wisdom.remember(key(number), ENTRY._replace(measured=f"2026-01-0{number + 1}"))
        wisdom.save(file)
        wisdom.forget()
    assert wisdom.load(file) == 3
    assert {k.problem.length for k in wisdom.entries()} == {1003, 1004, 1005}
    monkeypatch.setattr(wisdomfile, "MAX_ENTRIES", 2)
    wisdom.forget()
    with pytest.warns(RuntimeWarning, match="3 entries, more than 2"):
        assert wisdom.load(file) == 0


def record(**changes: object) -> dict[str, object]:
    made = json.loads(wisdomfile.to_text({key(): ENTRY}))["entries"][0]
    return {**made, **changes}


def problem(**changes: object) -> dict[str, object]:
    made: dict[str, object] = json.loads(wisdomfile.to_text({key(): ENTRY}))["entries"][0]["problem"]
    return {**made, **changes}


def whole(*records: object) -> str:
    return json.dumps({"version": 1, "entries": list(records)})


BROKEN_FILES: dict[str, str | bytes] = {
    "empty": "",
    "truncated": wisdomfile.to_text({key(): ENTRY})[:-20],
    "not JSON": "wisdom",
    "not text": b"\xff\xfe\x00",
    "a list": "[]",
    "a number": "1",
    "null": "null",
    "wrong version": '{"version": 2, "entries": []}',
    "version true": '{"version": true, "entries": []}',
    "version 1.0": '{"version": 1.0, "entries": []}',
    "no version": '{"entries": []}',
    "no entries": '{"version": 1}',
    "entries an object": '{"version": 1, "entries": {}}',
    "more fields": '{"version": 1, "entries": [], "code": "import os"}',
    "deep": "[" * 1_000_000,
    "deep and closed": "[" * 100_000 + "]" * 100_000,
    "a huge number": '{"version": ' + "9" * 10_000 + ', "entries": []}',
    "not a number": whole(record()).replace("0.001", "NaN"),
    "infinity": whole(record()).replace("0.001", "-Infinity"),
    "too large": " " * (wisdomfile.MAX_BYTES + 1),
    "too many": '{"version": 1, "entries": [' + "0," * wisdomfile.MAX_ENTRIES + "0]}",
}

BROKEN_ENTRIES = {
    "null": None,
    "a list": [1, 2],
    "empty": {},
    "an unknown field": record(code="import os"),
    "a field missing": {name: value for name, value in record().items() if name != "device"},
    "a negative time": record(seconds=-0.001),
    "no time": record(seconds=0),
    "an infinite time": record(seconds=1e999),
    "an endless time": record(seconds=1e10),
    "a time in words": record(own_seconds="0.1"),
    "a huge integer": record(seconds=10**400),
    "an unknown layout": record(layout="WNC"),
    "a layout that is a list": record(layout=["NWC"]),
    "an unknown direction": record(direction="backward"),
    "threads in words": record(threads="2"),
    "negative threads": record(threads=-1),
    "threads true": record(threads=True),
    "a date that is none": record(measured="2026-13-01"),
    "a date in the future": record(measured=(datetime.now(UTC) + timedelta(days=3)).strftime("%Y-%m-%dT%H:%M:%SZ")),
    "another way to write a date": record(measured="2026-W01-1"),
    "a long name": record(formulation="x" * 129),
    "a name with a line break": record(formulation="a\nb"),
    "a name that is an object": record(backend={"torch": 1}),
    "a problem that is a list": record(problem=[]),
    "a problem with more": record(problem=problem(code=1)),
    "a problem with less": record(problem={"outer": 1}),
    "an unknown dtype": record(problem=problem(dtype="int8")),
    "an unknown padding mode": record(problem=problem(padding_mode="wrap")),
    "a negative size": record(problem=problem(length=-1)),
    "a huge size": record(problem=problem(length=2**63)),
    "a broken size": record(problem=problem(length=1.5)),
    "no kernel": record(problem=problem(kernel=0)),
    "groups that do not divide": record(problem=problem(groups=3)),
    "one pad": record(problem=problem(padding=[1])),
    "a pad in words": record(problem=problem(padding=[1, "1"])),
}


def put(file: Path, content: str | bytes) -> None:
    file.write_bytes(content if isinstance(content, bytes) else content.encode())


@pytest.mark.parametrize("name", BROKEN_FILES)
def test_broken_files(name: str, tmp_path: Path) -> None:
    file = tmp_path / "w.json"
    put(file, BROKEN_FILES[name])
    wisdom.remember(key(5), ENTRY)
    with pytest.warns(RuntimeWarning, match=r"w\.json: ") as seen:
        assert wisdom.load(file) == 0
    assert len(seen) == 1
    assert len(str(seen[0].message)) < 500
    assert seen[0].filename == __file__
    assert wisdom.entries() == {key(5): ENTRY}
    # and saving loses neither what is new nor what was there
    with pytest.warns(RuntimeWarning, match=r"moved the wisdom file .*w\.json to w\.json\.broken") as seen:
        wisdom.save(file)
    assert len(seen) == 1
    assert seen[0].filename == __file__
    content = BROKEN_FILES[name]
    assert (tmp_path / "w.json.broken").read_bytes() == (content if isinstance(content, bytes) else content.encode())
    assert wisdom.forget() == 1
    assert wisdom.load(file) == 1


@pytest.mark.parametrize("name", BROKEN_ENTRIES)
def test_broken_entries(name: str, tmp_path: Path) -> None:
    file = tmp_path / "w.json"
    other = record(backend="tensorflow")
    put(file, whole(other, BROKEN_ENTRIES[name], record()))
    with pytest.warns(RuntimeWarning, match="1 of its 3 entries are wrong, entry 1: ") as seen:
        assert wisdom.load(file) == 2
    assert len(seen) == 1
    assert len(str(seen[0].message)) < 500
    assert wisdom.entries() == {key(backend="tensorflow"): ENTRY, key(): ENTRY}


def test_no_file_is_an_empty_one(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert wisdom.load(tmp_path / "none.json") == 0
        assert wisdom.load() == 0


def test_what_is_no_file(tmp_path: Path) -> None:
    wisdom.remember(key(), ENTRY)
    (tmp_path / "folder" / "inside").mkdir(parents=True)
    file = tmp_path / "file"
    file.write_text("")
    for path in (tmp_path / "folder", file / "below", Path(os.devnull)):
        with pytest.warns(RuntimeWarning, match="cannot be read"):
            assert wisdom.load(path) == 0
    for path in (tmp_path / "folder", file / "below"):
        for change in (wisdom.save, lambda path: wisdom.forget(file=path)):
            with pytest.raises(xconv.WisdomError, match="cannot be written"):
                change(path)
    assert (tmp_path / "folder" / "inside").is_dir()
    assert file.read_text() == ""
    assert wisdom.find(key()) == ENTRY


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with names here")
def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.warns(RuntimeWarning, match="not a file"):
        assert wisdom.load(tmp_path / "pipe") == 0


def test_unreadable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    wisdom.remember(key(), ENTRY)
    file = wisdom.save(tmp_path / "w.json")
    before = file.read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", refused)  # rather than its mode, which does not hold back root
        with pytest.warns(RuntimeWarning, match="Permission denied"):
            assert wisdom.load(file) == 0
        with pytest.raises(xconv.WisdomError, match="Permission denied"):
            wisdom.save(file)
    assert file.read_bytes() == before


@pytest.mark.parametrize("content", [wisdomfile.to_text({key(9): ENTRY}), "broken"])
@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_failure_leaves_the_old_file(
    content: str, step: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    replace_file = Path.replace

    def replace_but_not_by_the_new(self: Path, target: Path) -> Path:
        if self.name.startswith("w.json") and Path(target).name == "w.json" and self.name != "w.json.broken":
            full()
        return replace_file(self, target)

    file = tmp_path / "w.json"
    file.write_text(content)
    wisdom.remember(key(), ENTRY)
    if step == "fsync":
        monkeypatch.setattr(os, "fsync", full)
    else:
        monkeypatch.setattr(Path, "replace", replace_but_not_by_the_new)
    with pytest.raises(xconv.WisdomError, match=r"w\.json cannot be written.*No space left"):
        wisdom.save(file)
    assert file.read_text() == content
    assert {found.name for found in tmp_path.iterdir()} <= {"w.json", "w.json.lock"}


def test_a_process_that_dies_while_it_saves_leaves_the_old_file(tmp_path: Path) -> None:
    wisdom.remember(key(), ENTRY)
    file = wisdom.save(tmp_path / "w.json")
    before = file.read_bytes()
    code = f"import os; os.fsync = lambda _: os._exit(9)\nfrom xconv import wisdom; wisdom.save({str(file)!r})"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 9
    assert file.read_bytes() == before
    wisdom.remember(key(1), ENTRY)
    wisdom.save(file)  # the lock died with it
    wisdom.forget()
    assert wisdom.load(file) == 2


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    wisdom.remember(key(), ENTRY)
    real, link = tmp_path / "real.json", tmp_path / "link.json"
    link.symlink_to(real)
    assert wisdom.save(link) == real
    real.chmod(0o640)
    wisdom.save(link)
    assert link.is_symlink()
    assert real.stat().st_mode & 0o777 == 0o640


def test_waiting_for_a_lock_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from filelock import FileLock

    monkeypatch.setattr(wisdom, "LOCK_SECONDS", 0.1)
    with (
        FileLock(tmp_path / "w.json.lock"),
        pytest.raises(xconv.WisdomError, match=r"another process has held w\.json\.lock for 0\.1 s"),
    ):
        wisdom.save(tmp_path / "w.json")


def save_one_after_the_other(file: str, first: int, start: Any) -> None:
    start.wait(60)
    for number in range(first, first + 10):
        wisdom.remember(key(number), ENTRY)
        wisdom.save(file)
        wisdom.forget()


def test_two_processes_save_at_once(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    file, start = str(tmp_path / "w.json"), context.Barrier(2)
    processes = [context.Process(target=save_one_after_the_other, args=(file, 100 * n, start)) for n in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(120)
    assert [process.exitcode for process in processes] == [0, 0]
    assert wisdom.load(file) == 20


def test_default_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XCONV_WISDOM", str(tmp_path / "mine.json"))
    assert wisdom.default_file() == tmp_path / "mine.json"
    monkeypatch.setenv("XCONV_WISDOM", "")
    assert wisdom.default_file().name == "wisdom.json"
    assert "xconv" in str(wisdom.default_file())


def test_nothing_is_read_or_written_unasked() -> None:
    code = """
import sys, os
opened = []
sys.addaudithook(lambda event, args: opened.append(str(args[0])) if event == "open" else None)
import numpy as np, xconv
a = np.ones((1, 1, 1), "f4")
xconv.wisdom.find(xconv.wisdom.Key("torch", "", "", 1, "NWC", "forward", xconv.ConvProblem(1, 1, 1, 1, 1, 1)))
print([name for name in opened if "wisdom.json" in name], "filelock" in sys.modules, "platformdirs" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[] False False"

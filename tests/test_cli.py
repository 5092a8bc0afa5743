"""The command line, as its users meet it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import cast

import pytest

import xconv
from xconv.cli import main
from xconv.core.backend import Backend
from xconv.parity import cases, running
from xconv.system.files import write_whole


@pytest.mark.parametrize("every", [8, pytest.param(1, marks=pytest.mark.extended)])
def test_parity_agrees(
    backend: Backend,
    every: int,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Of the cases that it checks one in eight, and all: every formulation of every case takes a while."""
    monkeypatch.setattr(running, "cases_of", lambda tier: cases(tier)[::every])
    file = tmp_path / "report.json"
    command = ["parity", "--backend", backend.name, "--device", "cpu", "--dtype", "float32", "--mode", "eager"]
    assert main([*command, "--json", str(file)]) == 0
    said = capsys.readouterr().out
    assert "results agree with the reference" in said
    report = json.loads(file.read_text())
    assert report["ok"]
    assert report["backends"] == {backend.name: backend.version()}
    assert {row["verdict"] for row in report["rows"]} == {"exact", "within bound", "unsupported"}
    assert list(tmp_path.iterdir()) == [file]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--backend", "troch"], "did you mean 'torch'"),
        (["--dtype", "float23"], "'float32'"),
        (["--device", "cuda:9", "--backend", "torch"], "'cpu'"),
        (["--fuzz", "-1"], "0 or more"),
        (["--limit", "0"], "above 0"),
        (["--html", "no/such/folder/page.html"], "a file in a folder that exists"),
    ],
)
def test_wrong_use(arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["parity", *arguments]) == 2
    assert words in capsys.readouterr().err


def test_help_and_unknown_commands(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as done:
        main(["parity", "--help"])
    assert done.value.code == 0
    assert "float64 reference" in capsys.readouterr().out
    with pytest.raises(SystemExit) as done:
        main(["partiy"])
    assert done.value.code == 2


def test_the_package_is_the_command() -> None:
    command = [sys.executable, "-m", "xconv", "parity", "--help"]  # which loads no framework
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "float64 reference" in done.stdout


def test_backends_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["backends", "--json"]) == 0
    found = {entry["backend"]: entry for entry in json.loads(capsys.readouterr().out)}
    assert set(found) == set(xconv.backends())
    assert all(entry["devices"][0] == "cpu" for entry in found.values())
    assert main(["backends"]) == 0
    assert "formulations" in capsys.readouterr().out


def test_files_are_written_whole_or_not_at_all(tmp_path: Path) -> None:
    file = tmp_path / "report.json"
    file.write_text("before")
    with pytest.raises(TypeError):
        write_whole(file, cast("str", 3))
    assert file.read_text() == "before"
    assert list(tmp_path.iterdir()) == [file]

"""The shared suite, run against a backend that somebody else wrote."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ET
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from xconv.core.registry import known
from xconv.system.errors import BackendError
from xconv.testing.expectations import Expectations


@dataclass(frozen=True)
class Conformance:
    """What a backend does of what it should.

    Attributes:
        backend: its name.
        passed: how many tests passed.
        skipped: how many were skipped.
        gaps: how many are known to fail, and do.
        failed: the names of tests that failed, with what they said.
        closed: the names of gaps that no longer fail, with what pytest says of them.
    """

    backend: str
    passed: int
    skipped: int
    gaps: int
    failed: Mapping[str, str]
    closed: Mapping[str, str]

    @property
    def ok(self) -> bool:
        """Whether all that was not known to fail passed, and all that was failed."""
        return bool(self.passed) and not self.failed and not self.closed

    def __str__(self) -> str:
        lines = [
            f"{self.backend}: {self.passed} passed, {len(self.failed)} failed, {self.gaps} known gaps, "
            f"{self.skipped} skipped, {len(self.closed)} gaps that no longer fail"
        ]
        lines += [f"failed: {name}: {said}" for name, said in self.failed.items()]
        lines += [f"no longer fails: {name}: {said}" for name, said in self.closed.items()]
        return "\n".join(lines)


def conformance(
    backend: str,
    *,
    include: Sequence[str] = ("*",),
    exclude: Mapping[str, str] | None = None,
    gaps: Mapping[str, str] | None = None,
    options: Sequence[str] = (),
) -> Conformance:
    """Run the shared suite against a backend, in a process of its own.

    It takes minutes; ``options=["-n", "4"]`` shares it among processes (pytest-xdist), and a file of patterns with
    ``pytest --pyargs xconv.testing.suite --xconv-backends NAME --xconv-conformance FILE`` does the same in CI.

    Args:
        backend: the name under which it is registered (entry point group ``xconv.backends``).
        include: patterns of the tests to run, ``*`` for anything.
        exclude: patterns of the tests to leave out, each with the reason.
        gaps: patterns of the tests that are known to fail, each with the reason; one that passes is reported.
        options: more for pytest.

    Returns:
        The counts, and what failed.

    Raises:
        BackendError: no backend of that name, or the suite could not run; the text says why.
        ValueError: a pattern without a reason.

    >>> from xconv.testing import conformance
    >>> found = conformance("torch", include=["test_integers*[[]torch-cpu-conv1d-empty-batch]"])  # doctest: +SKIP
    """
    known(backend)
    expected = Expectations(list(include), exclude or {}, gaps or {})
    expected.check()
    with tempfile.TemporaryDirectory() as folder:
        patterns, junit = Path(folder, "patterns.json"), Path(folder, "junit.xml")
        patterns.write_text(expected.to_json(), "utf-8")
        command = [sys.executable, "-m", "pytest", "--pyargs", "xconv.testing.suite", "-q", "--no-header"]
        command += ["-p", "no:cacheprovider", "-c", str(Path(__file__).with_name("suite") / "pytest.ini")]
        command += ["--xconv-backends", backend, "--xconv-conformance", str(patterns), f"--junit-xml={junit}"]
        done = subprocess.run([*command, *options], text=True, capture_output=True, check=False)
        if done.returncode not in (0, 1):  # all passed, or some failed
            said = (done.stderr.strip() or done.stdout.strip()).splitlines()
            raise BackendError(f"the suite could not run on {backend!r}: {said[-1] if said else done.returncode}")
        return _read(backend, ET.parse(junit).getroot())


def _read(backend: str, root: ET.Element) -> Conformance:
    passed = skipped = gaps = 0
    failed: dict[str, str] = {}
    closed: dict[str, str] = {}
    for case in root.iter("testcase"):
        name = case.get("name", "")
        bad = [*case.iter("failure"), *case.iter("error")]
        left = case.find("skipped")
        if bad:
            said = bad[0].get("message") or ""
            (closed if "[XPASS(strict)]" in said else failed)[name] = said.splitlines()[0] if said else ""
        elif left is not None:
            gaps, skipped = (gaps + 1, skipped) if left.get("type") == "pytest.xfail" else (gaps, skipped + 1)
        else:
            passed += 1
    return Conformance(backend, passed, skipped, gaps, failed, closed)

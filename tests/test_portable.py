"""What only some systems have is not needed: no count of allowed cores, no page faults."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from xconv.system.cores import allowed_cores

ELSEWHERE = """
import os, pkgutil, sys
import psutil  # which knows by itself what the true system has
sys.modules["resource"] = None
for name in ("sched_getaffinity", "confstr", "geteuid", "getuid", "fork", "register_at_fork"):
    if hasattr(os, name):
        delattr(os, name)
import xconv
for module in pkgutil.walk_packages(xconv.__path__, "xconv."):
    if not any(part in module.name for part in ("on_", "suite", "peers", "pytest_plugin", "__main__", "junit")):
        __import__(module.name)
from xconv.bench.stopwatch import PreparedCall, Stopwatch
from xconv.bench.usage import usage
from xconv.direct.availability import unavailable
from xconv.doctor import machine
watch = Stopwatch(lambda **_: PreparedCall(lambda: None), lambda: None)
watch.prepare(0, 1e-4)
print(usage() == (0, 0), machine.machine().cores >= 1, unavailable() is None)
"""


def test_a_system_without_some_calls() -> None:
    done = subprocess.run([sys.executable, "-c", ELSEWHERE], capture_output=True, text=True, check=False, timeout=200)
    assert done.stdout.split() == ["True"] * 3, done.stderr[-2000:]


def test_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    if hasattr(os, "sched_getaffinity"):
        assert allowed_cores() == len(os.sched_getaffinity(0))
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    assert allowed_cores() == os.cpu_count()
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert allowed_cores() == 1

"""Systems that forbid to run memory that was written: a sentence, other formulations, and never a crash."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from xconv.direct.executable import refused

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="no such memory here")

HERE = Path(__file__).parent
SENTENCE = "the system forbids to run memory that was written (mprotect: Permission denied)"


def said_by(code: str, **environment: str) -> str:
    """What a fresh process prints, which must not die."""
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(HERE), *sys.path]), **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=200,
    )
    assert done.returncode == 0, (done.returncode, done.stderr[-2000:])
    return done.stdout


CALLS = """
import numpy as np, xconv
from forbidding import forbid
backend = xconv.get_backend("{name}")
x, w = np.ones((1, 60, 8), "float32"), np.ones((3, 8, 16), "float32")
early = {early}
if early:
    forbid("{way}")
print(xconv.conv1d(x, w, backend="{name}").sum())
if not early:
    forbid("{way}")
    print(xconv.conv1d(x, w, backend="{name}").sum())
print(xconv.conv1d(x, w[:2], backend="{name}").sum())
print(xconv.conv1d_transpose(x, w[:2].swapaxes(1, 2).copy(), backend="{name}").sum())
call = xconv.resolve("conv1d", x.shape, w[:1].shape)
print("direct" in [each.formulation for each in xconv.plan(call, backend="{name}").choices.values()])
try:
    print(xconv.conv1d(x, w[:1], backend="{name}", formulation="direct").sum())
except xconv.UnsupportedError as error:
    print(error)
"""


@pytest.mark.parametrize("early", [True, False])
@pytest.mark.parametrize("way", ["mdwe", "seccomp"])
def test_there_are_the_other_formulations(backend: Any, way: str, early: bool) -> None:
    """Forbidden before the first call, and after it: TensorFlow's own ops die of it, unless oneDNN is off."""
    if "direct" not in [form.name for form in backend.formulations]:
        return
    said = said_by(CALLS.format(name=backend.name, way=way, early=early), TF_ENABLE_ONEDNN_OPTS="0").splitlines()
    numbers, (takes, error) = said[:-2], said[-2:]
    forward = [58 * 16 * 24.0] * (2 - early)
    assert [float(number) for number in numbers] == [*forward, 59 * 16 * 16.0, 60 * 2 * 8 * 16.0]
    assert takes == "False"
    assert "formulation 'direct'" in error
    assert f"no code can be compiled here ({SENTENCE})" in error


LINKED = """
from forbidding import forbid
import numpy as np, xconv
from xconv.direct import availability, linked, prepared
from xconv.core.problem import ConvProblem
problem = ConvProblem(1, 50, 1, 4, 16, kernel=3)
prepared.prepare("forward", problem, 1)
forbid("mdwe")
prepared.prepare("forward", problem, 1)
try:
    prepared.prepare("weight_gradient", problem, 1)
except xconv.UnsupportedError as error:
    print(error)
availability.refused = lambda: None  # a system that cannot be asked
print(availability.unavailable())
"""


def test_what_is_linked_later_says_it_too() -> None:
    """From files too; and where the system cannot be asked LLVM is tried in a way that it survives."""
    linked, tried = said_by(LINKED).splitlines()
    assert linked == f"no code can be compiled here ({SENTENCE})"
    assert tried.startswith("RuntimeError: ")


def test_kept_code_needs_the_same_right(tmp_path: Path) -> None:
    cached = {"XCONV_CACHE": str(tmp_path)}
    said_by(LINKED.replace('forbid("mdwe")', ""), **cached)
    assert said_by(LINKED, **cached).splitlines()[0] == f"no code can be compiled here ({SENTENCE})"


DOCTOR = """
from forbidding import forbid
forbid("mdwe")
from xconv.doctor import examine
report = examine([], capabilities=False)
print(report.compiler.unavailable)
"""


def test_the_doctor_says_it() -> None:
    assert said_by(DOCTOR).strip() == SENTENCE


def test_nothing_is_refused_where_the_tests_run() -> None:
    assert refused() is None

"""The package: what importing it costs, how backends are found, what is said when one is missing."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from importlib.metadata import entry_points
from pathlib import Path

import pytest

import xconv
from xconv.core import registry
from xconv.core.backend import Backend
from xconv.core.registry import BackendSpec

ROOT = Path(__file__).parent.parent
ONLY_COMMANDS = ("msgspec", "psutil", "cpuinfo")
"""Libraries that commands and reports need, and no call."""


def python(code: str, *flags: str) -> str:
    done = subprocess.run([sys.executable, *flags, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_import_loads_no_framework() -> None:
    code = "import sys, xconv, xconv.cost, xconv.parity, xconv.reference, xconv.testing; xconv.backends(); "
    code += "frameworks = ('torch', 'tensorflow', 'keras', 'jax', 'onnx', 'onnxruntime', 'scipy'); "
    loaded = python(code + "print([m for m in frameworks if m in sys.modules])")
    assert loaded == "[]"


def test_import_alone_does_not_even_need_numpy() -> None:
    assert python(f"import sys, xconv; print([m for m in ('numpy', *{ONLY_COMMANDS}) if m in sys.modules])") == "[]"


def test_numpy_call_loads_only_its_backend() -> None:
    code = "import sys, numpy as np, xconv; a = np.ones((1, 1, 1), 'f4'); xconv.conv1d(a, a); "
    assert python(code + f"print([m for m in ('tensorflow', *{ONLY_COMMANDS}) if m in sys.modules])") == "[]"


def test_backends_are_entry_points() -> None:
    points = {point.name: point.value for point in entry_points(group="xconv.backends")}
    assert points == {"torch": "xconv_torch:SPEC", "tensorflow": "xconv_tensorflow:SPEC", "jax": "xconv_jax:SPEC"}
    assert set(xconv.backends()) <= set(points)


def test_missing_framework_says_what_to_install() -> None:
    code = """
import sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name == "tensorflow" or name.startswith("tensorflow."):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
import importlib.util
real = importlib.util.find_spec
importlib.util.find_spec = lambda name, *a: None if name == "tensorflow" else real(name, *a)
sys.meta_path.insert(0, Absent())
import numpy as np, xconv
assert "torch" in xconv.backends(), xconv.backends()
assert "tensorflow" not in xconv.backends(), xconv.backends()
a = np.ones((1, 1, 1), "f4")
assert xconv.conv1d(a, a).shape == (1, 1, 1)
try:
    xconv.conv1d(a, a, backend="tensorflow")
except xconv.BackendError as error:
    print(error)
"""
    assert python(code) == (
        "backend 'tensorflow' needs tensorflow, which is not installed: pip install 'xconv[tensorflow]'; "
        "or pass backend='torch'"
    )


def test_a_requested_backend_that_is_not_there_fails_the_run() -> None:
    flags = (
        "-q",
        "-p",
        "no:cacheprovider",
        "--xconv-backends",
        "torch,jaxx",
        "xconv/testing/suite/test_views.py",
        "-k",
        "nested",
    )
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *flags], capture_output=True, text=True, cwd=ROOT, check=False
    )
    assert done.returncode == 1
    assert "no backend is called 'jaxx'" in done.stdout


def test_broken_backends_do_not_break_xconv(monkeypatch: pytest.MonkeyPatch) -> None:
    def load() -> Backend:
        raise ImportError("libcuda.so: not found")

    spec = BackendSpec("broken", ("broken",), "json", "pip install broken", load)
    monkeypatch.setitem(registry._SPECS, "broken", spec)
    monkeypatch.setitem(registry._BROKEN, "worse", "SyntaxError: invalid syntax")
    with pytest.raises(xconv.BackendError, match=r"installed but failed to load: libcuda\.so"):
        xconv.get_backend("broken")
    with pytest.raises(xconv.BackendError, match="registered but could not be loaded: SyntaxError"):
        xconv.get_backend("worse")


def test_wheel_holds_the_core_and_both_backends(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "-q", "-w", tmp_path, ROOT],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    [wheel] = tmp_path.glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    for wanted in (
        "xconv/py.typed",
        "xconv/bench/catalogue.json",
        "xconv_torch/backend.py",
        "xconv_tensorflow/py.typed",
    ):
        assert wanted in names
    target = tmp_path / "site"
    subprocess.run([sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", target, wheel], check=True)
    code = (
        f"import sys; sys.path.insert(0, {str(target)!r}); import xconv; print(xconv.__file__, *xconv.backends());"
        "xconv.get_backend('torch')"
    )
    where, *names_found = python(code, "-I").split()
    assert Path(where).is_relative_to(target)
    assert "torch" in names_found


def test_signatures_agree() -> None:
    """The operations take the same options in the same order, with the same defaults."""
    import inspect

    def options(name: str) -> dict[str, object]:
        parameters = inspect.signature(getattr(xconv, name)).parameters.values()
        return {p.name: p.default for p in parameters if p.kind is p.KEYWORD_ONLY and p.name != "layout"}

    base = options("conv1d")
    without = {name: default for name, default in base.items() if name != "formulation"}
    for name in ("conv1d_rows", "conv1d_columns", "spatially_separable_conv2d"):
        assert options(name) == base
    for name in ("conv2d_as_1d", "conv2d"):
        assert options(name) == without
    assert {k: v for k, v in options("conv1d_transpose").items() if k != "output_padding"} == base


def test_backends_read_side_by_side() -> None:
    """Same names in the same places; torch has more modules, for what TensorFlow does itself or has no need of."""

    def files(name: str, folder: str = ".") -> set[str]:
        return {path.name for path in (ROOT / "backends" / name / folder).glob("*.py")}

    own = {"autograd.py", "batched.py", "executions.py", "lowered.py", "node.py", "traced.py"}
    assert files("xconv_torch") - own == files("xconv_tensorflow") - {"threads.py"} == files("xconv_jax")
    for folder in ("layers", "models"):
        assert files("xconv_torch", folder) == files("xconv_tensorflow", folder)

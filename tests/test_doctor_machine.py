"""What the doctor reads: of the machine, and of the frameworks, which it leaves as they are."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from xconv.core.backend import Backend
from xconv.doctor import machine

# --- the machine ---


def test_control_groups(tmp_path: Path) -> None:
    inner = tmp_path / "user" / "job"
    inner.mkdir(parents=True)
    (tmp_path / "cpu.max").write_text("max 100000\n")
    (inner.parent / "cpu.max").write_text("150000 100000\n")
    (inner / "cpu.max").write_text("400000 100000\n")
    (inner / "memory.max").write_text("1048576\n")
    assert machine.cpu_limit(tmp_path, "0::/user/job\n") == 1.5
    assert machine.memory_limit(tmp_path, "0::/user/job\n") == 1 << 20
    assert machine.cpu_limit(tmp_path, "0::/\n") is None


def test_control_groups_of_version_1(tmp_path: Path) -> None:
    folder = tmp_path / "cpu" / "job"
    folder.mkdir(parents=True)
    (folder / "cpu.cfs_quota_us").write_text("50000\n")
    (folder / "cpu.cfs_period_us").write_text("100000\n")
    (tmp_path / "cpu" / "cpu.cfs_quota_us").write_text("-1\n")
    assert machine.cpu_limit(tmp_path, "3:cpuset:/\n1:cpu:/job\n0::/\n") == 0.5


@pytest.fixture
def asked_anew() -> Iterator[None]:
    machine.processor.cache_clear()
    yield
    machine.processor.cache_clear()


@pytest.mark.usefixtures("asked_anew")
@pytest.mark.parametrize("found", [{}, {"brand_raw": "", "flags": None}, Exception("it only works on some processors")])
def test_a_processor_that_is_not_known(found: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def get_cpu_info() -> Any:
        if isinstance(found, Exception):
            raise found
        return found

    monkeypatch.setattr("cpuinfo.get_cpu_info", get_cpu_info)
    monkeypatch.setattr("platform.processor", lambda: "z80")
    assert machine.processor() == ("z80", frozenset())
    monkeypatch.setattr("cpuinfo.get_cpu_info", None)  # asked once for a process
    assert (machine.machine().cpu, machine.machine().instructions) == ("z80", ())


@pytest.mark.usefixtures("asked_anew")
def test_the_processor_is_named_as_its_system_names_it() -> None:
    file = Path("/proc/cpuinfo")
    text = file.read_text() if file.exists() else ""
    [name, flags] = [re.search(rf"^{field}\s*: (.*)$", text, re.MULTILINE) for field in ("model name", "flags")]
    found, has = machine.processor()
    assert found
    assert name is None or found == name[1].strip()
    assert flags is None or set(machine.INSTRUCTIONS) & set(flags[1].split()) <= has


def test_the_memory_is_what_is_there_or_less(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "memory_limit", lambda: None)
    there = machine.machine().memory
    assert there is not None
    assert not hasattr(os, "sysconf") or there == os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    monkeypatch.setattr(machine, "memory_limit", lambda: 1 << 20)
    assert machine.machine().memory == 1 << 20


def test_variables_that_count() -> None:
    given = {
        "OMP_NUM_THREADS": "2",
        "TF_VAR_password": "secret",
        "TF_XLA_FLAGS": "-x",
        "HOME": "/",
        "JAX_PLATFORMS": "",
    }
    assert set(machine.environment(given)) == {"OMP_NUM_THREADS", "TF_XLA_FLAGS", "JAX_PLATFORMS"}


def test_openmp_runtimes() -> None:
    maps = "7f-7f r-xp 00 fe:01 1 /a/libiomp5.so\n7f-7f r--p 00 fe:01 1 /a/libgomp-a3.so.1\n7f r-xp 0 0:0 0 [vdso]\n"
    assert machine.openmp_runtimes(maps + maps + "7f-7f r-xp 00 fe:01 1 /a/libc.so.6\n") == (
        "/a/libgomp-a3.so.1",
        "/a/libiomp5.so",
    )


# --- it changes nothing, and imports nothing ---


def python(code: str, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, env={**os.environ, **environment}
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout.strip()


def test_the_doctor_imports_no_framework(loaded: dict[str, Backend]) -> None:
    code = f"""
import sys
from xconv.doctor import examine
from xconv.doctor.process import Process
Process.ask = None  # so that nothing is tried
report = examine({list(loaded)!r}, capabilities=False)
assert [f.state for f in report.frameworks] == ["ready"] * {len(loaded)}, report.frameworks
assert {{f.process for f in report.frameworks}} == {{"fresh"}}
print([m for m in ("torch", "tensorflow", "keras", "jax") if m in sys.modules])
"""
    assert python(code) == "[]"


LOOKS = {
    "torch": """
import torch
def flags():
    b = torch.backends
    return [b.cudnn.conv.fp32_precision, b.cuda.matmul.fp32_precision, b.mkldnn.conv.fp32_precision,
            b.mkldnn.matmul.fp32_precision, b.cudnn.benchmark, b.cudnn.deterministic, b.mkldnn.enabled,
            torch.are_deterministic_algorithms_enabled(), torch.get_num_threads(), torch.get_default_dtype(),
            torch.is_grad_enabled(), torch.initial_seed()]
def change():
    torch.backends.cudnn.conv.fp32_precision = "ieee"
    torch.backends.mkldnn.matmul.fp32_precision = "bf16"
    torch.use_deterministic_algorithms(True)
    torch.set_num_threads(2)
told = {"threads": 2, "tf32": False, "deterministic": True, "fp32_precision mkldnn.matmul": "bf16"}
""",
    "tensorflow": """
import tensorflow as tf
from tensorflow.python.eager import context
from tensorflow.python.framework.config import is_op_determinism_enabled
def flags():
    e = tf.config.experimental
    return [e.tensor_float_32_execution_enabled(), is_op_determinism_enabled(), tf.config.optimizer.get_jit(),
            tf.config.threading.get_intra_op_parallelism_threads(), tf.config.functions_run_eagerly(),
            context.context()._initialized]
def change():
    tf.config.experimental.enable_tensor_float_32_execution(False)
    tf.config.experimental.enable_op_determinism()
    tf.config.threading.set_intra_op_parallelism_threads(2)
told = {"threads": 2, "tf32": False, "deterministic": True, "intra_op_threads": 2}
""",
    "jax": """
import jax
def flags():
    return dict(jax.config.values)
def change():
    jax.config.update("jax_default_matmul_precision", "float32")
    jax.config.update("jax_enable_x64", not jax.config.jax_enable_x64)
told = {"tf32": False, "matmul_precision": "float32"}
""",
}


def test_reading_changes_no_flag_and_tells_what_was_set(backend: Backend) -> None:
    code = f"""{LOOKS[backend.name]}
from xconv.doctor import examine
first = flags()
examine([{backend.name!r}], capabilities=False)
assert flags() == first, (first, flags())
change()
before = flags()
assert before != first
[found] = examine([{backend.name!r}], capabilities=False).frameworks
assert flags() == before, (before, flags())
assert found.process == "this" and found.threads == told.pop("threads", found.threads), found
assert told.items() <= found.settings.items(), found.settings
print("same")
"""
    assert python(code).splitlines()[-1] == "same"


def test_old_switches_of_torch_are_read_where_there_are_no_new_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    from types import ModuleType, SimpleNamespace

    from xconv.doctor.on_torch import precision

    old = ModuleType("torch")
    conv, matmul = SimpleNamespace(allow_tf32=True), SimpleNamespace(allow_tf32=False)
    vars(old)["backends"] = SimpleNamespace(cudnn=conv, cuda=SimpleNamespace(matmul=matmul))
    monkeypatch.setitem(sys.modules, "torch", old)
    assert precision() == {"tf32": True, "allow_tf32 cudnn": True, "allow_tf32 matmul": False}

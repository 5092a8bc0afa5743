"""The machine, as this process may use it; no framework is needed to tell."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Collection, Iterable, Mapping
from fnmatch import fnmatchcase
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import xconv
from xconv.doctor.found import Allocator, Compiler, Machine
from xconv.system.allocator import unavailable
from xconv.system.cores import allowed_cores

INSTRUCTIONS = {
    "avx2": "AVX2",
    "fma": "FMA",
    "avx512f": "AVX-512",
    "avx512_vnni": "AVX-512 VNNI",
    "avx512_bf16": "AVX-512 BF16",
    "avx512_fp16": "AVX-512 FP16",
    "amx_tile": "AMX",
    "amx_bf16": "AMX BF16",
    "asimd": "NEON",
    "sve": "SVE",
    "sve2": "SVE2",
    "bf16": "BF16",
}
"""Flags of processors (x86 and ARM) that change which kernels a framework takes, by their usual names."""

VARIABLES = {
    "OMP_*": "OpenMP: torch's threads",
    "KMP_*": "Intel's and LLVM's OpenMP",
    "GOMP_*": "GNU's OpenMP",
    "MKL_*": "MKL: threads, and bits (MKL_CBWR)",
    "OPENBLAS_*": "OpenBLAS: NumPy's threads",
    "ONEDNN_*": "oneDNN: its instruction set, its log",
    "DNNL_*": "oneDNN: its instruction set, its log",
    "ATEN_CPU_CAPABILITY": "torch's instruction set",
    "TORCH_*": "torch",
    "TORCHINDUCTOR_*": "torch.compile",
    "TORCHDYNAMO_*": "torch.compile",
    "PYTORCH_*": "torch: memory",
    # not TF_*: those are Terraform's too, secrets among them
    "TF_ENABLE_*": "TensorFlow: oneDNN and others",
    "TF_DISABLE_*": "TensorFlow",
    "TF_NUM_*": "TensorFlow's threads",
    "TF_CPP_*": "TensorFlow's log",
    "TF_XLA_*": "TensorFlow: XLA",
    "TF_CUDNN_*": "TensorFlow: choice of algorithms, bits",
    "TF_GPU_*": "TensorFlow: GPU threads and memory",
    "TF_FORCE_*": "TensorFlow: GPU memory",
    "TF_DETERMINISTIC_OPS": "TensorFlow: bits",
    "TF_USE_LEGACY_KERAS": "TensorFlow: Keras 2",
    "TF_OVERRIDE_GLOBAL_THREADPOOL": "TensorFlow's threads",
    "XLA_*": "XLA: JAX and TensorFlow",
    "JAX_*": "JAX: precision, devices",
    "NPROC": "JAX's threads",
    "CUDA_VISIBLE_DEVICES": "which GPUs are seen",
    "CUDA_LAUNCH_BLOCKING": "GPU work waits",
    "NVIDIA_TF32_OVERRIDE": "TF32, whatever a framework says",
    "CUBLAS_WORKSPACE_CONFIG": "cuBLAS: bits",
    "CUDNN_*": "cuDNN",
    "MALLOC_*": "glibc's malloc: page faults",
    "LD_PRELOAD": "libraries before all others: malloc?",
    "CXX": "the compiler of torch.compile",
    "XCONV_*": "xconv",
}
"""Environment variables that change results or speed, and what they are of."""


def machine() -> Machine:
    """Versions, CPU, cores and memory."""
    import psutil

    cpu, flags = processor()
    limits = [limit for limit in (cpu_limit(), float(allowed_cores())) if limit is not None]
    sizes = [size for size in (memory_limit(), psutil.virtual_memory().total) if size is not None]
    return Machine(
        platform=f"{platform.platform()}, {'.'.join(filter(None, platform.libc_ver()[:1])) or 'libc unknown'}",
        python=platform.python_version(),
        numpy=installed_version("numpy") or "not installed",
        xconv=xconv.__version__,
        cpu=cpu,
        instructions=instructions(flags),
        cores=min(limits),
        cores_present=os.cpu_count() or 1,
        memory=min(sizes),
    )


def allocator() -> Allocator:
    """Whether freed memory can be kept, and the kernel's setting of transparent huge pages."""
    said = _read(Path("/sys/kernel/mm/transparent_hugepage/enabled"))
    return Allocator(unavailable(), said.partition("[")[2].partition("]")[0] or None)


def compiler() -> Compiler:
    """Whether code can be compiled in this process, and for what."""
    from xconv.direct import objectcache
    from xconv.direct.availability import unavailable as without
    from xconv.direct.processor import detect_processor

    reason, version = without(), installed_version("llvmlite")
    if reason is not None:
        return Compiler(reason, version, None, None)
    return Compiler(None, version, detect_processor().cpu, detect_processor().vector_bytes, objectcache.describe())


def environment(variables: Mapping[str, str] | None = None) -> dict[str, str]:
    """The variables of VARIABLES that are set."""
    given = os.environ if variables is None else variables
    return {name: given[name] for name in sorted(given) if meaning(name) is not None}


def meaning(variable: str) -> str | None:
    """What an environment variable is of, or None if it changes nothing here.

    >>> meaning("OMP_NUM_THREADS"), meaning("HOME")
    ("OpenMP: torch's threads", None)
    """
    return next((of for pattern, of in VARIABLES.items() if fnmatchcase(variable, pattern)), None)


def installed_version(distribution: str) -> str | None:
    """The version of an installed package, without importing it."""
    try:
        return version(distribution)
    except PackageNotFoundError:
        return None


@cache
def processor() -> tuple[str, frozenset[str]]:
    """The processor's name, and the flags of what it can do: on Linux, macOS and Windows, asked once for a process."""
    from cpuinfo import get_cpu_info

    try:
        info = get_cpu_info()
    except Exception:  # noqa: BLE001 - it raises a plain Exception for a processor that it has never heard of
        info = {}
    return info.get("brand_raw") or platform.processor() or platform.machine(), frozenset(info.get("flags") or ())


def instructions(flags: Collection[str]) -> tuple[str, ...]:
    """The instruction sets of INSTRUCTIONS that are among a processor's flags.

    >>> instructions({"fpu", "avx512f", "avx2"})
    ('AVX2', 'AVX-512')
    """
    return tuple(shown for flag, shown in INSTRUCTIONS.items() if flag in flags)


def cpu_limit(root: Path = Path("/sys/fs/cgroup"), groups: str | None = None) -> float | None:
    """The cores that the control groups of this process allow it, which may be a fraction, or None."""
    found = []
    for folder in _groups(root, groups, "cpu"):
        quota, _, period = _read(folder / "cpu.max").partition(" ")  # version 2
        quota = quota or _read(folder / "cpu.cfs_quota_us")
        period = period or _read(folder / "cpu.cfs_period_us")
        if quota.strip().isdecimal() and period.strip().isdecimal():
            found.append(int(quota) / int(period))
    return min(found, default=None)


def memory_limit(root: Path = Path("/sys/fs/cgroup"), groups: str | None = None) -> int | None:
    """The bytes that the control groups of this process allow it, or None."""
    found = []
    for folder in _groups(root, groups, "memory"):
        for name in ("memory.max", "memory.limit_in_bytes"):
            text = _read(folder / name).strip()
            if text.isdecimal():
                found.append(int(text))
    return min(found, default=None)


def openmp_runtimes(maps: str | None = None) -> tuple[str, ...]:
    """The OpenMP libraries that are loaded in this process, by their files, from the text of /proc/self/maps."""
    text = _read(Path("/proc/self/maps")) if maps is None else maps
    files = {line.rpartition(" ")[2] for line in text.splitlines() if "/" in line}
    kinds = ("libgomp", "libiomp", "libomp.", "libomp-", "vcomp")
    return tuple(sorted(file for file in files if file.rpartition("/")[2].startswith(kinds)))


def _groups(root: Path, groups: str | None, controller: str) -> Iterable[Path]:
    """The folders of this process's control groups, and all above them, which limit it too."""
    text = _read(Path("/proc/self/cgroup")) if groups is None else groups
    for line in text.splitlines():
        _, controllers, group = line.split(":", 2)
        if controllers and controller not in controllers.split(","):
            continue
        top = root / controllers if controllers else root
        folder = top / group.lstrip("/")
        yield from dict.fromkeys([folder, *(above for above in folder.parents if above.is_relative_to(top)), top])


def _read(file: Path) -> str:
    """The text of one of the kernel's files; nothing where there is none, or on another system."""
    if sys.platform != "linux" and file.is_relative_to("/proc"):
        return ""
    try:
        return file.read_text(errors="replace")
    except OSError:
        return ""

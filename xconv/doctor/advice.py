"""What is wrong or might be better, and what to do about it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from xconv.doctor.found import Allocator, Cell, Compiler, DoctorAdvice, Framework, Machine, Wisdom
from xconv.doctor.frameworks import is_older, oldest
from xconv.doctor.machine import meaning

MODES = ("forward", "gradient")


def advice(
    machine: Machine,
    frameworks: Sequence[Framework],
    allocator: Allocator,
    compiler: Compiler,
    wisdom: Wisdom,
    environment: dict[str, str],
    cells: Sequence[Cell],
) -> tuple[DoctorAdvice, ...]:
    """Problems first, then warnings."""
    found = [*_of_cells(cells)]
    for framework in frameworks:
        found += _of_framework(framework, machine, environment)
    found += [*_of_compiler(compiler, frameworks), *_of_memory(allocator, wisdom)]
    return tuple(sorted(found, key=lambda one: one.kind != "problem"))


def _problem(what: str, do: str) -> DoctorAdvice:
    return DoctorAdvice("problem", what, do)


def _warning(what: str, do: str) -> DoctorAdvice:
    return DoctorAdvice("warning", what, do)


def _of_cells(cells: Sequence[Cell]) -> Iterator[DoctorAdvice]:
    """What xconv itself should do and does not. A compiler that does not run is a warning: xconv runs without."""
    for backend, device in dict.fromkeys((cell.backend, cell.device) for cell in cells):
        here = f"{backend} on {device}"
        mine = [cell for cell in cells if (cell.backend, cell.device) == (backend, device) and cell.subject != "own op"]
        wrong = [cell for cell in mine if cell.verdict == "WRONG"]
        if wrong:
            yield _problem(
                f"{here}: {len(wrong)} of {len(mine)} checks of xconv give WRONG numbers, {_example(wrong[0])}",
                f"do not trust results on this device; `xconv parity --backend {backend} --device {device}` tells "
                "more, please report it",
            )
        failed = [cell for cell in mine if cell.verdict not in ("yes", "WRONG") and _is_serious(cell)]
        if failed:
            yield _problem(
                f"{here}: {len(failed)} of {len(mine)} checks of xconv do not run, {_example(failed[0])}",
                f"see whether {backend} itself works here; if it does, please report it",
            )
        for mode in dict.fromkeys(cell.mode for cell in mine):
            refused = [cell for cell in mine if cell.mode == mode and cell.verdict == "error" and not _is_serious(cell)]
            if refused:
                yield _warning(
                    f'{here}: compiling with "{mode}" fails, {_example(refused[0])}',
                    "compile with another mode, or mend what the message names (inductor needs a C++ compiler)",
                )


def _is_serious(cell: Cell) -> bool:
    return cell.mode in MODES or cell.verdict != "error"


def _example(cell: Cell) -> str:
    return f"such as {cell.name} {cell.dtype} {cell.mode}: {cell.verdict} {cell.detail}".rstrip()


def _of_framework(framework: Framework, machine: Machine, environment: dict[str, str]) -> Iterator[DoctorAdvice]:
    name = framework.backend
    if framework.state == "broken":
        install = f"reinstall {name}, or uninstall it: xconv runs without"
        yield _problem(f"{name} {framework.version or ''} does not load: {framework.detail}", install)
    supported = oldest(name)
    if framework.version and supported and is_older(framework.version, supported):
        yield _warning(
            f"{name} {framework.version} is older than {supported}, the oldest that xconv supports",
            f"pip install --upgrade {name}",
        )
    if framework.state != "ready":
        return
    yield from _of_threads(framework, machine, environment)
    yield from _of_settings(framework, machine, environment)
    kinds = {file.rpartition("/")[2].partition(".")[0].partition("-")[0] for file in framework.openmp}
    if len(kinds) > 1:
        where = "this process" if framework.process == "this" else name
        yield _warning(
            f"two OpenMP runtimes are loaded by {where}, {' and '.join(sorted(kinds))}: their threads wait for each "
            "other, and may deadlock after a fork",
            "install packages from one source, or set OMP_NUM_THREADS=1",
        )


def _of_settings(framework: Framework, machine: Machine, environment: dict[str, str]) -> Iterator[DoctorAdvice]:
    """What the framework is set to, where that is slower, less precise or not the same in each run."""
    name, settings = framework.backend, framework.settings or {}
    gpu = any(device != "cpu" for device in framework.devices)
    if gpu and settings.get("tf32") and environment.get("NVIDIA_TF32_OVERRIDE") != "0":
        yield _warning(
            f"{name}: TF32 is on: float32 convolutions on the GPU round their operands to 10 bits",
            f"for full precision: {PRECISE.get(name, 'see its documentation')}, or NVIDIA_TF32_OVERRIDE=0",
        )
    for switch in ("mkldnn.conv", "mkldnn.matmul"):
        value = settings.get(f"fp32_precision {switch}")
        if value in ("bf16", "tf32"):
            yield _warning(
                f"{name}: float32 on the CPU may be computed in {value}",
                f'torch.backends.{switch}.fp32_precision = "ieee"',
            )
    x86 = any(flag in machine.instructions for flag in ("AVX2", "AVX-512"))
    if name == "tensorflow" and settings.get("onednn") is False and x86:
        yield _warning(
            "tensorflow computes without oneDNN: slower, and its own ops refuse grouped and dilated gradients",
            "set TF_ENABLE_ONEDNN_OPTS=1 before TensorFlow is imported",
        )
    if name == "torch" and settings.get("onednn") is False:
        yield _warning("torch computes without oneDNN: slower", "torch.backends.mkldnn.enabled = True")
    if gpu and settings.get("autotune"):
        yield _warning(
            f"{name}: cuDNN times its algorithms, and may give other bits in the next run",
            "torch.backends.cudnn.benchmark = False, where the same bits are wanted",
        )
    if name == "torch" and gpu and settings.get("deterministic") and "CUBLAS_WORKSPACE_CONFIG" not in environment:
        yield _warning(
            "torch: deterministic algorithms are asked for, and cuBLAS will refuse",
            "set CUBLAS_WORKSPACE_CONFIG=:4096:8 before torch is imported",
        )
    if not gpu and settings.get("cuda") and environment.get("CUDA_VISIBLE_DEVICES") in ("", "-1"):
        yield _warning(f"{name} sees no GPU: CUDA_VISIBLE_DEVICES hides them", "unset CUDA_VISIBLE_DEVICES")


PRECISE = {
    "torch": 'torch.backends.cudnn.conv.fp32_precision = "ieee" and torch.backends.cuda.matmul.fp32_precision = "ieee"',
    "tensorflow": "tf.config.experimental.enable_tensor_float_32_execution(False)",
    "jax": 'jax.config.update("jax_default_matmul_precision", "float32")',
}
"""How each framework is told to compute float32 in full; benchmarks and parity checks of xconv do it themselves."""

THREADS = {
    "torch": "torch.set_num_threads({0}) or OMP_NUM_THREADS={0}",
    "tensorflow": "tf.config.threading.set_intra_op_parallelism_threads({0}) or TF_NUM_INTRAOP_THREADS={0}",
    "jax": "NPROC={0} before jax is imported",
}


def _of_threads(framework: Framework, machine: Machine, environment: dict[str, str]) -> Iterator[DoctorAdvice]:
    threads, whole = framework.threads, max(1, int(machine.cores))
    if threads is None or threads <= machine.cores:
        return
    said = [f"{name}={value}" for name, value in environment.items() if "THREADS" in name and meaning(name)]
    because = f" ({', '.join(said)})" if said else ""
    yield _warning(
        f"{framework.backend} computes with {threads} threads, and this process may use {machine.cores:g} cores"
        f"{because}: threads wait for each other",
        THREADS.get(framework.backend, "set OMP_NUM_THREADS={0}").format(whole),
    )


def _of_compiler(compiler: Compiler, frameworks: Sequence[Framework]) -> Iterator[DoctorAdvice]:
    if compiler.unavailable and any(framework.state == "ready" for framework in frameworks):
        yield _warning(
            f'the formulation "direct", the fastest one for most layers, cannot be compiled: {compiler.unavailable}',
            "pip install llvmlite" if compiler.llvmlite is None else "see docs/direct.md; all else works without",
        )


def _of_memory(allocator: Allocator, wisdom: Wisdom) -> Iterator[DoctorAdvice]:
    if allocator.unavailable and "LD_PRELOAD" in allocator.unavailable:
        yield _warning(
            f"xconv.keep_freed_memory() cannot work: {allocator.unavailable}",
            "start without LD_PRELOAD, unless that malloc keeps memory itself",
        )
    if wisdom.wrong:
        yield _warning(
            f"the wisdom file {wisdom.file}: {wisdom.wrong}",
            "`xconv tune` writes a good one and moves this one aside; `xconv tune --forget` deletes it",
        )
    if wisdom.stale:
        yield _warning(
            f"{wisdom.stale} of {wisdom.entries} entries of wisdom were measured with other versions of the "
            "frameworks, and are not used",
            "`xconv tune` again, or `xconv tune --forget`",
        )

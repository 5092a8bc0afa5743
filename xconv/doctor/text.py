"""The report for people: the summary first, what to do last, 100 columns wide."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Iterable, Sequence

from xconv.core.operations import OPERATIONS
from xconv.core.problem import DTYPES
from xconv.doctor.features import FEATURES
from xconv.doctor.found import Cell, DoctorReport, Framework, Setting
from xconv.doctor.machine import meaning

WIDTH, INDENT = 100, "  "
LABELS = {
    "tf32": "TF32",
    "onednn": "oneDNN",
    "cpu_kernels": "kernels for",
    "deterministic": "deterministic algorithms only",
    "autotune": "cuDNN times its algorithms",
    "cudnn": "cuDNN",
    "cudnn_deterministic": "cuDNN deterministic only",
    "cuda": "CUDA",
    "interop_threads": "operations at once",
    "intra_op_threads": "threads that were set",
    "default_dtype": "default dtype",
    "xla_clustering": "XLA where nobody asked",
    "functions_run_eagerly": "tf.function is switched off",
    "matmul_precision": "default matmul precision",
    "float64": "float64 (jax_enable_x64)",
    "jit": "compiling (jax.jit)",
    "default_device": "default device",
}
HOW = {"this": "as this process has it", "fresh": "as a new process has it"}


def shown(report: DoctorReport) -> str:
    """The whole report."""
    parts = [_summary(report), _machine(report)]
    parts += [_framework(framework) for framework in report.frameworks if framework.state == "ready"]
    parts += [_environment(report.environment), _operations(report.cells), _own_ops(report.cells), _advice(report)]
    return "\n\n".join(part for part in parts if part)


def _summary(report: DoctorReport) -> str:
    rows = []
    for framework in report.frameworks:
        detail = framework.detail
        if framework.state == "ready":
            detail = f"devices: {', '.join(framework.devices)}; threads: {framework.threads}"
        rows.append([framework.backend, framework.version or "-", framework.state, detail])
    kinds = Counter(advice.kind for advice in report.advice)
    mine = [cell for cell in report.cells if cell.subject == "operation"]
    said = f"xconv {report.machine.xconv}: "
    if not report.cells:
        said += "what is here and how it is set; nothing was tried. "
    if mine:
        right = sum(cell.verdict == "yes" for cell in mine)
        said += f"{right} of {len(mine)} checks of its operations give the right bits. "
    if kinds:
        counted = [_count(kinds[kind], kind) for kind in ("problem", "warning") if kinds[kind]]
        said += f"See the end for {' and '.join(counted)}."
    else:
        said += "No problems, no warnings."
    return f"{said}\n\n{_table(rows, ['backend', 'version', 'state', ''], [None, None, None, 62])}"


def _machine(report: DoctorReport) -> str:
    machine, allocator, compiler, wisdom = report.machine, report.allocator, report.compiler, report.wisdom
    llvm = f"llvmlite {compiler.llvmlite}"
    made = compiler.unavailable or f"compiled by {llvm} for {compiler.processor}, vectors of {compiler.vector} bytes"
    cores = f"{machine.cores:g} of {machine.cores_present}"
    memory = "unknown" if machine.memory is None else f"{machine.memory / 2**30:.1f} GiB"
    kept = "no: " + allocator.unavailable if allocator.unavailable else "yes, with xconv.keep_freed_memory()"
    entries = f"{wisdom.entries} entries" + (f", {wisdom.stale} of other versions" if wisdom.stale else "")
    loaded = f"{wisdom.in_memory} loaded" if wisdom.in_memory else "not loaded: xconv.wisdom.load() does"
    rows = [
        ["system", machine.platform],
        ["Python, NumPy", f"{machine.python}, {machine.numpy}"],
        ["CPU", f"{machine.cpu} ({', '.join(machine.instructions) or 'instruction sets unknown'})"],
        ["cores, memory to use", f"{cores} cores, {memory}"],
        ["freed memory can be kept", kept],
        ['formulation "direct"', f"no: {made}" if compiler.unavailable else made],
        *([["compiled code is kept in", compiler.files]] if compiler.files else []),
        ["large pages of the kernel", allocator.large_pages or "unknown"],
        ["wisdom", f"{wisdom.file} ({entries}; {loaded})" if wisdom.exists else f"{wisdom.file} (no file yet)"],
    ]
    return _titled("The machine", _table(rows, [], [None, 70]))


def _framework(framework: Framework) -> str:
    """Settings, without those of a GPU where there is none: JSON has them all."""
    settings, gpu = framework.settings or {}, any(device != "cpu" for device in framework.devices)
    rows = [[LABELS.get(name, name), _said(name, value)] for name, value in settings.items() if gpu or not _gpu(name)]
    if framework.openmp:
        rows.append(["OpenMP", ", ".join(sorted({file.rpartition("/")[2] for file in framework.openmp}))])
    if not rows:
        return ""
    title = f"{framework.backend} {framework.version}, {HOW.get(framework.process, '')}"
    if not gpu:
        title += " (no GPU is seen; its settings are left out)"
    return _titled(title, _table(rows, [], [None, 60]))


def _gpu(setting: str) -> bool:
    return setting in ("tf32", "autotune", "cuda") or "cudnn" in setting or "cuda." in setting


def _environment(variables: dict[str, str]) -> str:
    rows = [[name, value, meaning(name)] for name, value in variables.items()]
    return _titled("Environment variables that count", _table(rows, [], [None, 35, 35])) if rows else ""


def _operations(cells: Sequence[Cell]) -> str:
    """For each device a table of operations: "yes" is for all dtypes, else which dtypes fail."""
    texts = []
    for backend, device in _places(cells):
        mine = [cell for cell in cells if (cell.backend, cell.device, cell.subject) == (backend, device, "operation")]
        modes = list(dict.fromkeys(cell.mode for cell in mine))
        notes: dict[str, int] = {}
        rows = []
        for name in OPERATIONS:
            there = {mode: [cell for cell in mine if (cell.name, cell.mode) == (name, mode)] for mode in modes}
            rows.append([name, *(_all_of(there[mode], notes) for mode in modes)])
        title = f"What xconv does on {backend} {device}, in {', '.join(DTYPES)}"
        texts.append(_titled(title, _table(rows, ["", *modes]) + _notes(notes)))
    return "\n\n".join(texts)


def _own_ops(cells: Sequence[Cell]) -> str:
    """For each device the features that the framework's own op, or xconv, does not do; the others in a sentence."""
    texts = []
    for backend, device in _places(cells):
        mine: dict[tuple[str, ...], Cell] = {
            (cell.name, cell.subject, cell.mode): cell
            for cell in cells
            if (cell.backend, cell.device) == (backend, device) and cell.subject != "operation"
        }
        if not mine:
            continue
        notes: dict[str, int] = {}
        rows, right = [], []
        for name in FEATURES:
            squares = (("own op", "forward"), ("own op", "gradient"), ("feature", "gradient"))
            row = [name, *(_all_of([mine[name, *square]], notes) for square in squares)]
            if set(row[1:]) == {"yes"}:
                right.append(name)
            else:
                rows.append(row)
        text = _table(rows, ["", "own op", "its gradient", "xconv"]) + _notes(notes) if rows else ""
        also = "also for" if rows else "for"
        text += "\n" + "\n".join(_wrapped(f"All yes {also}: {'; '.join(right)}.", "")) if right else ""
        texts.append(_titled(f"What {backend}'s own op would do on {device}", text.strip("\n")))
    return "\n\n".join(texts)


def _advice(report: DoctorReport) -> str:
    lines = []
    for number, advice in enumerate(report.advice, 1):
        lines += _wrapped(f"{number}. {advice.kind.upper()}: {advice.what}", "   ")
        lines += _wrapped(f"   To do: {advice.do}", "   ")
    return _titled("Problems and warnings", "\n".join(lines)) if lines else ""


def _all_of(cells: Sequence[Cell], notes: dict[str, int]) -> str:
    """The verdict on cells that differ in their dtype, each kind of failure with the number of its note."""
    failed = [cell for cell in cells if cell.verdict != "yes"]
    if not failed:
        return "yes"
    said: dict[str, list[str]] = {}
    for cell in failed:
        said.setdefault(f"{cell.verdict}{_note(cell, notes)}", []).append(cell.dtype)
    if len(failed) == len(cells) and len(said) == 1:
        return next(iter(said))
    return ", ".join(f"{', '.join(dtypes)}: {verdict}" for verdict, dtypes in said.items())


def _note(cell: Cell, notes: dict[str, int]) -> str:
    if not cell.detail:
        return ""
    if cell.verdict in ("aborts", "no answer"):
        what, colon, rest = cell.detail.partition(": ")
        joined = f": {what}" if cell.verdict == "aborts" else f" {what}"
        return joined + (f" [{notes.setdefault(rest, len(notes) + 1)}]" if colon else "")
    return f" [{notes.setdefault(cell.detail, len(notes) + 1)}]"


def _notes(notes: dict[str, int]) -> str:
    lines = [line for text, number in notes.items() for line in _wrapped(f"[{number}] {text}", "    ")]
    return "".join(f"\n{line}" for line in lines)


def _places(cells: Iterable[Cell]) -> list[tuple[str, str]]:
    return list(dict.fromkeys((cell.backend, cell.device) for cell in cells))


def _wrapped(text: str, indent: str) -> list[str]:
    return textwrap.wrap(text, WIDTH - len(INDENT), subsequent_indent=indent, break_on_hyphens=False)


def _titled(title: str, text: str) -> str:
    return f"{title}\n\n{textwrap.indent(text, INDENT)}"


def _table(rows: Sequence[Sequence[object]], headers: Sequence[str], widths: Sequence[int | None] | None = None) -> str:
    from tabulate import tabulate

    how = "simple" if headers else "plain"
    return tabulate(rows, headers, tablefmt=how, disable_numparse=True, maxcolwidths=widths)


def _said(name: str, value: Setting) -> str:
    if name.endswith("_threads") and value == 0:
        return "as many as there are cores"
    if (name.startswith("fp32_precision") and value == "none") or (name == "matmul_precision" and value is None):
        return "the framework's default"
    if value is None:
        return "none"
    return {True: "on", False: "off"}[value] if isinstance(value, bool) else str(value)


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"

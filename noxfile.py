"""The project's sessions; ``nox --list`` names them, CONTRIBUTING.md says when each is run.

Each makes its own environment with pip and the versions of constraints.txt. What stands behind ``--`` is passed on:
``nox -s bench -- --tier full``, ``nox -s tests -- -k gradients``.
"""

from __future__ import annotations

import os
from pathlib import Path
from tempfile import TemporaryDirectory

import nox

nox.options.sessions = ["lint", "typecheck", "tests"]
nox.options.default_venv_backend = "virtualenv"
nox.options.reuse_existing_virtualenvs = True
nox.needs_version = ">=2024.10"

ROOT = Path(__file__).parent
ONE_THREAD = {
    "OMP_NUM_THREADS": "1",
    "TF_NUM_INTRAOP_THREADS": "1",
    "TF_NUM_INTEROP_THREADS": "1",
    "TF_CPP_MIN_LOG_LEVEL": "3",
}

SCHEMAS = {
    "vendor.github-workflows": ".github/workflows/*.yml",
    "custom.github-workflows-require-timeout": ".github/workflows/*.yml",
    "vendor.github-issue-forms": ".github/ISSUE_TEMPLATE/[!c]*.yml",
    "vendor.github-issue-config": ".github/ISSUE_TEMPLATE/config.yml",
    "vendor.citation-file-format": "CITATION.cff",
}
"""What check-jsonschema compares with which files; all schemas come with it."""


QUICK_START = {"PYTHONDONTWRITEBYTECODE": "", "TORCHINDUCTOR_COMPILE_THREADS": "1"}
"""Modules are compiled once, not in each of some hundred processes; torch starts no processes to compile in."""

NOT_LONG = ("-m", "not extended")
SUITE = "xconv/testing/suite"
FOR_JAX = "tests/backends/test_jax.py"
MORE_FOR_JAX = tuple(f"{SUITE}/test_{name}.py" for name in ("formulations", "faults", "views"))


def install(session: nox.Session, *what: str) -> None:
    """Install with the project's own versions."""
    session.install("-c", "constraints.txt", *what)


def install_frameworks(session: nox.Session, extra: str) -> None:
    """Install an extra; torch first and alone, because a range of it may resolve to another build."""
    install(session, "torch")
    install(session, "-e", f".[{extra}]")


def run_pytest(session: nox.Session, backends: str, *what: str, onednn: bool = True) -> None:
    """Two processes; the one that is done first takes half of what the other has left."""
    session.run(
        "pytest", "-q", "-n", "2", "--dist", "worksteal", "--xconv-backends", backends, *what,
        env={**ONE_THREAD, **QUICK_START, "TF_ENABLE_ONEDNN_OPTS": str(int(onednn))},
    )  # fmt: skip


@nox.session
def tests(session: nox.Session) -> None:
    """What each contributor runs: all but the long tests, and JAX's tests."""
    install_frameworks(session, "dev")
    run_pytest(session, "torch,tensorflow", *NOT_LONG, *session.posargs)
    if not session.posargs:
        # JAX compiles each shape: `nox -s conformance -- jax` runs all of the suite in half an hour
        run_pytest(session, "jax", *NOT_LONG, FOR_JAX)


@nox.session
def extended(session: nox.Session) -> None:
    """The long tests, which CI runs as well: those that are marked, TensorFlow's with oneDNN off, more of JAX's."""
    install_frameworks(session, "dev")
    run_pytest(session, "torch,tensorflow", "-m", "extended", *session.posargs)
    if not session.posargs:
        run_pytest(session, "tensorflow", SUITE, "tests/backends/test_tensorflow.py", onednn=False)
        run_pytest(session, "jax", *MORE_FOR_JAX)


CORE = [
    "tests/test_allocator.py",
    "tests/test_bench_report.py",
    "tests/test_diagnosis.py",
    "tests/test_direct.py",
    "tests/test_direct_order.py",
    "tests/test_direct_schedules.py",
    "tests/test_executable.py",
    "tests/test_functions.py",
    "tests/test_objectcache.py",
    "tests/test_portable.py",
    "tests/test_project.py",
    "tests/test_reference.py",
    "tests/test_wisdomfile.py",
]
"""Tests that need no framework; of those in them that are given a backend, none is run where there is none."""


@nox.session
def core(session: nox.Session) -> None:
    """The tests that need no framework, where none is installed."""
    install(session, "-e", ".[bench,direct,testing]", "pytest-xdist")
    session.run("pytest", "-n", "2", "-q", *(session.posargs or CORE), env=ONE_THREAD)


LOWEST = {
    "core": ("bench,direct,testing", CORE),
    "torch": ("torch,testing", ["tests/backends/test_torch.py"]),
    "tensorflow": ("tensorflow,testing", ["tests/backends/test_tensorflow.py"]),
    "jax": ("jax,testing", ["tests/backends/test_jax.py"]),
}
"""Extras and tests of each environment of :func:`minimum`."""

RANGE_PROOF = [
    "xconv/testing/suite/test_formulations.py",
    "xconv/testing/suite/test_faults.py",
    "xconv/testing/suite/test_views.py",
]
"""Tests of the shared suite that meet every call of a framework that a backend makes, in a few minutes."""


@nox.session
@nox.parametrize("framework", list(LOWEST), ids=list(LOWEST))
def minimum(session: nox.Session, framework: str) -> None:
    """The lowest versions that pyproject.toml states, one framework at a time: ``nox -s "minimum(jax)"``.

    uv resolves them: the lowest of each range that the framework's own requirements allow. torch comes from its index
    of CPU builds, and so is tried only where that can be reached.
    """
    install(session, "uv")
    extras, own = LOWEST[framework]
    index = ["--torch-backend", "cpu"] if framework == "torch" else []
    session.run("uv", "pip", "install", "--quiet", "--resolution", "lowest-direct", *index, "-e", f".[{extras}]")
    shared = [] if framework == "core" else [*RANGE_PROOF, "--xconv-backends", framework]
    one_dnn = {"TF_ENABLE_ONEDNN_OPTS": "1"} if framework == "tensorflow" else {}
    session.run("pytest", "-q", *own, *shared, *session.posargs, env={**ONE_THREAD, **one_dnn})


@nox.session
def coverage(session: nox.Session) -> None:
    """Which lines and branches ``tests/`` reaches on torch and TensorFlow, processes that it starts included.

    The shared suite is left out: it repeats the same lines for every case. A summary, and ``site/coverage/index.html``.
    """
    install_frameworks(session, "dev")
    session.run(
        "pytest", "-n", "2", "-q", "--xconv-backends", "torch,tensorflow",
        "--cov", "--cov-report=term:skip-covered", "--cov-report=html", *(session.posargs or ["tests"]),
        env={**ONE_THREAD, "TF_ENABLE_ONEDNN_OPTS": "1"},
    )  # fmt: skip
    session.log(f"open {ROOT / 'site' / 'coverage' / 'index.html'}")


@nox.session
def dist(session: nox.Session) -> None:
    """Build what is released into dist/, check it, and use the wheel from an environment that has nothing else."""
    install(session, "build", "hatchling", "editables", "twine")
    folder = ROOT / "dist"
    for old in folder.glob("xconv-*"):
        old.unlink()
    session.run("python", "-m", "build", "--no-isolation", "--outdir", str(folder))
    session.run("twine", "check", "--strict", *map(str, sorted(folder.glob("xconv-*"))))
    [wheel] = folder.glob("*.whl")
    with TemporaryDirectory() as empty:
        session.run("python", "-m", "venv", f"{empty}/venv")
        there = f"{empty}/venv/{'Scripts' if os.name == 'nt' else 'bin'}"
        limits = ("-c", str(ROOT / "constraints.txt"))
        session.run(f"{there}/python", "-m", "pip", "install", "-q", *limits, "torch", external=True)
        session.run(f"{there}/python", "-m", "pip", "install", "-q", *limits, f"{wheel}[torch]", external=True)
        with session.chdir(empty):  # not the clone, whose folder xconv would be found first
            session.run(f"{there}/xconv", "doctor", "--quick", "--backend", "torch", external=True)
            session.run(
                f"{there}/xconv", "parity", "--backend", "torch", "--mode", "eager", external=True, env=ONE_THREAD
            )


@nox.session
def conformance(session: nox.Session) -> None:
    """The whole shared suite on one backend: ``-- jax``, and after it anything for pytest."""
    name, *rest = session.posargs or ["jax"]
    install_frameworks(session, f"{name},testing")
    install(session, "pytest-xdist")
    session.run("pytest", "-n", "2", "-q", "xconv/testing/suite", "--xconv-backends", name, *rest, env=ONE_THREAD)


@nox.session
def bench(session: nox.Session) -> None:
    """Measure: ``-- --tier default|full``, ``-- --case whisper_conv1``, ``-- --threads 2``, ``-- --device cuda:0``.

    ``-- --compare bench-results/RUN.json`` fails if anything is slower than in that run. ``-- --peers all`` installs
    JAX and ONNX Runtime too, and measures them; without ``--peers``, those that are installed already take part. The
    samples, a page that opens offline and a summary in Markdown are kept under ``bench-results/``.
    """
    asked = any(word.split("=")[0] == "--peers" for word in session.posargs)
    install_frameworks(session, "all,bench,peers" if asked else "all,bench")
    named = any(word.startswith("benchmarks") for word in session.posargs)
    results = ROOT / "bench-results"
    results.mkdir(exist_ok=True)
    session.run(
        "pytest",
        *([] if named else ["benchmarks"]),
        "-q",
        "--benchmark-quiet",
        *("-o", "faulthandler_timeout=0"),  # a group of large layers takes minutes
        f"--benchmark-json={results / 'latest.json'}",
        f"--report-html={results / 'latest.html'}",
        f"--report-markdown={results / 'latest.md'}",
        *session.posargs,
    )
    session.log(f"the report is {results / 'latest.html'}; the samples, for --compare, are {results / 'latest.json'}")


@nox.session
def parity(session: nox.Session) -> None:
    """Do the backends agree here? ``-- --tier default``, ``-- --fuzz 500``, ``-- --html parity.html``."""
    install_frameworks(session, "all,testing")
    session.run("xconv", "parity", *session.posargs, env={**ONE_THREAD})


@nox.session
def lint(session: nox.Session) -> None:
    """Format and lint; which way imports go; workflows, issue forms and the citation against their schemas."""
    install(session, "ruff", "check-jsonschema", "import-linter")
    session.run("ruff", "format", *(["--check"] if os.environ.get("CI") else []), ".")
    session.run("ruff", "check", ".")
    session.run("lint-imports", env={"PYTHONPATH": os.pathsep.join([".", "backends"])})  # it reads, and runs nothing
    for schema, pattern in SCHEMAS.items():
        session.run("check-jsonschema", "--builtin-schema", schema, *map(str, sorted(ROOT.glob(pattern))))


@nox.session
def typecheck(session: nox.Session) -> None:
    """Strict type checking."""
    install(session, "torch")
    install(
        session,
        "-e",
        ".",
        "mypy",
        "pytest",
        "hypothesis",
        "scipy",
        "tqdm",
        "types-tabulate",
        "types-tqdm",
        "nox",
    )
    session.run("mypy")


@nox.session
def docs(session: nox.Session) -> None:
    """Build the documentation into site/, strictly: a link, a name or a page that leads nowhere is an error."""
    install_frameworks(session, "all,docs,testing")
    session.run("python", "-m", "doctest", "docs/schema_tables.py", "docs/command_pages.py")
    session.run("sphinx-build", "-W", "--keep-going", "-q", "-E", "docs", "site", *session.posargs, env=ONE_THREAD)
    session.log(f"open {ROOT / 'site' / 'index.html'}")

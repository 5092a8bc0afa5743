"""How the suites are measured and told: one session, one progress bar, replayed samples, and a summary at the end.

A suite has ``questions(tier, backends, peers)``: groups of contenders. The first test of a group measures all of it,
interleaved; each test then replays its own samples through pytest-benchmark, so that its JSON, groups and comparisons
all work.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from tqdm import tqdm

import xconv
from xconv.bench import regressions, run_files
from xconv.bench.catalogue import TIERS
from xconv.bench.contender import DIRECTIONS
from xconv.bench.peers import Peer, choose
from xconv.bench.results import Group, Result, Run
from xconv.bench.running import Session, Settings, chosen, described_machine
from xconv.bench.suites import Question
from xconv.bench.text import to_text
from xconv.commands.bench import FORMATS, backends_of, look_at, written
from xconv.system.files import write_whole

SESSION, BEFORE = pytest.StashKey[Session](), pytest.StashKey[Run]()
PEERS, LEFT_OUT = pytest.StashKey[list[Peer]](), pytest.StashKey[list[Peer]]()


class ReplayClock:
    """A clock that only samples move."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


CLOCK = ReplayClock()
INTERRUPTED = threading.Event()


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("xconv")
    group.addoption("--tier", choices=TIERS, default="smoke", help="how many layers: smoke is minutes, full is hours")
    group.addoption("--case", default="", help="only groups whose name contains this")
    group.addoption("--backends", default="", help="only these backends, comma-separated (default: all installed)")
    group.addoption("--direction", choices=(*DIRECTIONS, "both"), default="both", help="only this direction")
    group.addoption("--peers", default="installed", help="who else: installed, all, none, or names: jax,torch recipe")
    group.addoption("--threads", type=int, default=1, help="threads of each framework (default: 1, which repeats best)")
    group.addoption("--device", default="cpu", help='"cpu", "cuda:0", ...')
    group.addoption("--rounds", type=int, default=16, help="samples of each contender")
    group.addoption("--seed", type=int, default=0, help="of the order in which contenders are timed")
    group.addoption("--compare", type=Path, metavar="RUN", help="fail if anything is slower than in an earlier run")
    for name in FORMATS:
        group.addoption(f"--report-{name}", type=Path, metavar="FILE", help=f"write the report as {name}")


def pytest_configure(config: pytest.Config) -> None:
    option = config.getoption
    try:
        config.stash[PEERS], config.stash[LEFT_OUT] = choose(option("--peers"))
    except ValueError as error:
        raise pytest.UsageError(f"--peers: {error}") from None
    named = [name.strip() for name in option("--backends").split(",") if name.strip()]
    settings = Settings(*(option(f"--{name}") for name in ("tier", "case", "threads", "device", "rounds", "seed")))
    try:
        if option("--compare"):
            config.stash[BEFORE] = run_files.read(option("--compare"))
        files = {f"--report-{name}": option(f"--report-{name}") for name in FORMATS}
        look_at(settings, files)
        if BEFORE in config.stash:
            regressions.look_at(config.stash[BEFORE], asdict(settings), described_machine())
        config.stash[SESSION] = Session(settings, backends_of(named))
    except xconv.XconvError as error:
        raise pytest.UsageError(str(error)) from None


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """One test for each contender of each group of the suite."""
    config = metafunc.config
    option, backends = config.getoption, config.stash[SESSION].backends
    made = metafunc.module.questions(option("--tier"), backends, config.stash[PEERS])
    parameters = [
        pytest.param(question, index, id=f"{question.name}-{contender.label}".replace(" ", "_"))
        for question in chosen(made, option("--case"), option("--direction"))
        for index, contender in enumerate(question.contenders)
    ]
    metafunc.parametrize(("question", "index"), parameters)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    # a suite without a chosen group has one test without parameters
    items[:] = [i for i in items if isinstance(i, pytest.Function) and isinstance(i.callspec.params.get("index"), int)]
    for item in items:
        item.add_marker(pytest.mark.benchmark(timer=CLOCK))


@pytest.fixture(scope="session")
def session(request: pytest.FixtureRequest) -> Iterator[Session]:
    with request.config.stash[SESSION] as session:
        yield session


@pytest.fixture
def measured(request: pytest.FixtureRequest, session: Session, question: Question, index: int) -> Result:
    """The result of this test's contender; the first test of a group measures all of it."""
    done = {group.name: group for group in session.groups}
    if question.name not in done:
        items = [item for item in request.session.items if isinstance(item, pytest.Function)]
        names: set[str] = {getattr(item.callspec.params["question"], "name", "") for item in items}
        done[question.name] = _measure(request, session, question, len(names))
        if session.arena.interrupted:
            pytest.exit("interrupted; what was measured until now is kept", returncode=130)
    return done[question.name].contenders[index]


def _measure(request: pytest.FixtureRequest, session: Session, question: Question, total: int) -> Group:
    capture = request.config.pluginmanager.getplugin("capturemanager")
    with (
        capture.global_and_fixture_disabled(),
        tqdm(total=total, initial=len(session.groups), unit="group", leave=False, file=sys.stderr, disable=None) as bar,
    ):

        def progress(text: str) -> None:
            bar.set_description(f"{question.name}: {text}"[:70].ljust(70))

        session.limits(question.contenders[0])
        return session.measure(question, progress)


@pytest.fixture
def replay(benchmark: Any, measured: Result, session: Session, question: Question) -> None:
    """Hand the samples to pytest-benchmark. A contender that gave a wrong result fails here, and has no number."""
    contender, cost = measured.contender, measured.contender.cost()
    if measured.is_wrong:
        pytest.fail(measured.error, pytrace=False)
    if measured.error:
        pytest.skip(f"{'cannot' if measured.cannot else 'no number'}: {measured.error}")
    samples = iter(measured.samples)

    def advance() -> None:
        CLOCK.now += next(samples)

    fraction, binds = session.limits().fraction(cost, measured.seconds)
    benchmark.group = question.name
    benchmark.extra_info.update(
        backend=contender.backend,
        peer=contender.peer,
        chosen=measured.chosen,
        mode=contender.mode,
        channels=contender.channels,
        layer=contender.layer.name,
        operation=contender.layer.operation,
        direction=contender.direction,
        device=session.settings.device,
        dtype="float32",
        threads=session.settings.threads,
        time="cpu" if measured.use_cpu_time else "wall",
        flops=cost.flops,
        bytes=cost.bytes,
        first_call=measured.first_call,
        dispatch=measured.dispatch,
        faults=measured.faults,
        peak_bytes=measured.peak_bytes,
        fraction_of_limit=fraction,
        binds=binds,
    )
    benchmark.pedantic(advance, rounds=len(measured.samples), iterations=1)


def pytest_benchmark_update_json(config: pytest.Config, benchmarks: Any, output_json: dict[str, Any]) -> None:
    """The whole run, as ``xconv bench --json`` writes it."""
    del benchmarks
    output_json["xconv"] = run_files.to_json(config.stash[SESSION].record())


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Write the reports, and fail on a regression; also after Ctrl-C with what was measured."""
    config = session.config
    if not config.stash[SESSION].groups:
        return
    config.stash[SESSION].arena.interrupted |= INTERRUPTED.is_set()
    run = config.stash[SESSION].record()
    for name in FORMATS:
        if file := config.getoption(f"--report-{name}"):
            write_whole(file, written(name, run))
    if BEFORE in config.stash and exitstatus == pytest.ExitCode.OK:
        ok, _ = _compared(config)
        session.exitstatus = pytest.ExitCode.OK if ok else pytest.ExitCode.TESTS_FAILED


def _compared(config: pytest.Config) -> tuple[bool, str]:
    """Whether nothing is slower than before, and what was found."""
    try:
        found = regressions.compare(config.stash[BEFORE], config.stash[SESSION].record())
    except xconv.ArgumentError as error:
        return False, str(error)
    return found.ok, regressions.to_text(found)


def pytest_keyboard_interrupt() -> None:
    INTERRUPTED.set()


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    if not config.stash[SESSION].groups:
        return
    run = config.stash[SESSION].record()
    terminalreporter.write_line("")
    terminalreporter.write_line(to_text(run))
    if left := ", ".join(peer.name for peer in config.stash[LEFT_OUT]):
        terminalreporter.write_line(f"Left out, as not installed: {left} (pip install 'xconv[all,peers]').")
    if BEFORE in config.stash:
        terminalreporter.write_line("")
        terminalreporter.write_line(_compared(config)[1])

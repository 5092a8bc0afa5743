"""How the suites are measured and told: one arena, one progress bar, replayed samples, and tables at the end.

A suite is a list of groups of contenders. The first test of a group measures all of it, interleaved; each test then
replays its own samples through pytest-benchmark, so that its JSON, groups and comparisons all work.

A suite has ``groups(tier, backends)``; or ``groups_with_peers(tier, backends, peers)``, and ``summary(results,
limits)``, which is the text that is printed at the end.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from types import ModuleType
from typing import Any

import pytest
from tqdm import tqdm

import xconv
from suites import DIRECTIONS
from xconv.bench import Arena, Contender, Measurement
from xconv.bench.catalogue import TIERS
from xconv.bench.limits import Limits
from xconv.bench.peers import Peer, choose
from xconv.bench.ratios import compare
from xconv.bench.table import table

ARENA, RESULTS = pytest.StashKey[Arena](), pytest.StashKey[dict[str, list[Measurement]]]()
PEERS, LEFT_OUT = pytest.StashKey[list[Peer]](), pytest.StashKey[list[Peer]]()
SUITES, LIMITS = pytest.StashKey[dict[str, ModuleType]](), pytest.StashKey[Limits]()
"""The suites that have a summary, by the names of their groups; and the limits that they were measured under."""


class ReplayClock:
    """A clock that only samples move."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


CLOCK = ReplayClock()


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("xconv")
    group.addoption("--tier", choices=TIERS, default="smoke", help="how many layers: smoke is minutes, full is an hour")
    group.addoption("--case", default="", help="only groups whose name contains this")
    group.addoption("--backends", default="", help="only these backends, comma-separated (default: all installed)")
    group.addoption("--direction", choices=(*DIRECTIONS, "both"), default="both", help="only this direction")
    group.addoption(
        "--peers",
        default="installed",
        help="who else is measured in the suites that compare: installed, all, none, or names such as jax,torch recipe",
    )
    group.addoption("--opt-ins", action="store_true", help="xconv also with kept memory and packed weights")
    group.addoption("--threads", type=int, default=1, help="threads of each framework (default: 1, which repeats best)")
    group.addoption("--device", default="cpu", help='"cpu", "cuda:0", ...')
    group.addoption("--rounds", type=int, default=10, help="samples of each contender")


def pytest_configure(config: pytest.Config) -> None:
    config.stash[RESULTS], config.stash[SUITES] = {}, {}
    try:
        config.stash[PEERS], config.stash[LEFT_OUT] = choose(config.getoption("--peers"))
    except ValueError as error:
        raise pytest.UsageError(f"--peers: {error}") from None


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """One test for each contender of each group of the suite."""
    option, suite = metafunc.config.getoption, metafunc.module
    directions = DIRECTIONS if option("--direction") == "both" else (option("--direction"),)
    chosen = []
    for group, contenders in _groups(metafunc.config, suite).items():
        taken = [
            contender
            for contender in contenders
            if contender.direction in directions and (option("--opt-ins") or not contender.opt_ins)
        ]
        if not taken or option("--case") not in group:
            continue
        if hasattr(suite, "summary"):
            metafunc.config.stash[SUITES][group] = suite
        for index, contender in enumerate(taken):
            name = f"{group}-{contender.label}".replace(" ", "_")
            chosen.append(pytest.param(group, taken, index, id=name))
    metafunc.parametrize(("group", "contenders", "index"), chosen)


def _groups(config: pytest.Config, suite: ModuleType) -> Mapping[str, Sequence[Contender]]:
    names, tier = _backends(config), config.getoption("--tier")
    made: Mapping[str, Sequence[Contender]]
    if hasattr(suite, "groups_with_peers"):
        made = suite.groups_with_peers(tier, names, config.stash[PEERS])
    else:
        made = suite.groups(tier, names)
    return made


def _backends(config: pytest.Config) -> list[str]:
    named = config.getoption("--backends")
    return named.split(",") if named else sorted(xconv.backends(), reverse=True)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    # a suite without a chosen group has one test without parameters
    items[:] = [i for i in items if isinstance(i, pytest.Function) and isinstance(i.callspec.params.get("index"), int)]
    for item in items:
        item.add_marker(pytest.mark.benchmark(timer=CLOCK))


@pytest.fixture(scope="session")
def arena(request: pytest.FixtureRequest) -> Iterator[Arena]:
    option = request.config.getoption
    with Arena(threads=option("--threads"), device=option("--device"), rounds=option("--rounds")) as arena:
        request.config.stash[ARENA] = arena
        yield arena


@pytest.fixture
def measured(
    request: pytest.FixtureRequest, arena: Arena, group: str, contenders: list[Contender], index: int
) -> Measurement:
    """The measurement of this test's contender; the first test of a group measures all of it."""
    results = request.config.stash[RESULTS]
    if group not in results:
        names = {item.callspec.params["group"] for item in request.session.items if isinstance(item, pytest.Function)}
        capture = request.config.pluginmanager.getplugin("capturemanager")
        with (
            capture.global_and_fixture_disabled(),
            tqdm(
                total=len(names),
                initial=len(results),
                unit="group",
                desc=f"{group:45.45}",
                leave=False,
                file=sys.stderr,
                disable=None,
            ) as bar,
        ):
            stash = request.config.stash
            if group in stash[SUITES] and LIMITS not in stash:
                stash[LIMITS] = arena.limits(_backends(request.config))
            results[group] = arena.measure(contenders, progress=lambda _: bar.refresh())
    return results[group][index]


@pytest.fixture
def replay(request: pytest.FixtureRequest, benchmark: Any, measured: Measurement, group: str) -> None:
    """Hand the samples to pytest-benchmark. A contender that gave a wrong result fails here, and has no number."""
    contender, cost = measured.contender, measured.contender.cost()
    if measured.cannot:
        pytest.skip(f"cannot: {measured.error}")
    if measured.error:
        pytest.fail(measured.error, pytrace=False)
    samples = iter(measured.samples)

    def advance() -> None:
        CLOCK.now += next(samples)

    benchmark.group = group
    benchmark.extra_info.update(
        backend=contender.backend,
        peer=contender.peer,
        chosen=measured.chosen,
        layer=contender.layer.name,
        operation=contender.layer.operation,
        direction=contender.direction,
        time="cpu" if measured.use_cpu_time else "wall",
        flops=cost.flops,
        bytes=cost.bytes,
        first_call=measured.first_call,
        wall=measured.wall,
        cpu=measured.cpu,
    )
    limits = request.config.stash.get(LIMITS, None)
    if limits and limits.flops:
        fraction, binds = limits.fraction(cost, measured.seconds)
        benchmark.extra_info.update(fraction_of_limit=fraction, binds=binds)
    benchmark.pedantic(advance, rounds=len(measured.samples), iterations=1)


def pytest_benchmark_update_json(config: pytest.Config, benchmarks: Any, output_json: dict[str, Any]) -> None:
    del benchmarks
    arena = config.stash.get(ARENA, None)
    limits = config.stash.get(LIMITS, None)
    compared = [
        {
            "group": group,
            "backend": found.key[0],
            "direction": found.key[1],
            "own": asdict(found.own) if found.own else None,
            "best": asdict(found.best) if found.best else None,
        }
        for group in config.stash[SUITES]
        for found in compare(config.stash[RESULTS].get(group, []), limits or Limits(0.0, 0.0))
    ]
    output_json["xconv"] = {
        "version": 1,
        "xconv": xconv.__version__,
        "tier": config.getoption("--tier"),
        "threads": config.getoption("--threads"),
        "device": config.getoption("--device"),
        "workers": arena.about() if arena else {},
        "limits": asdict(limits) if limits else {},
        "ratios": compared,
    }


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    for group, measurements in config.stash[RESULTS].items():
        terminalreporter.write_line("")
        terminalreporter.write_line(group)
        terminalreporter.write_line(table(measurements))
    if config.stash[RESULTS]:
        kind = "CPU" if config.getoption("--threads") == 1 and config.getoption("--device") == "cpu" else "wall"
        terminalreporter.write_line("")
        terminalreporter.write_line(
            f"{kind} time of one call, median of {config.getoption('--rounds')} interleaved blocks, "
            f"{config.getoption('--threads')} thread(s) on {config.getoption('--device')}; every result was verified "
            "first. 'ratio' is to the fastest of the group; +- is half the range of the middle half of the samples."
        )
    for suite in dict.fromkeys(config.stash[SUITES].values()):
        groups = [group for group, owner in config.stash[SUITES].items() if owner is suite]
        results = {group: config.stash[RESULTS][group] for group in groups if group in config.stash[RESULTS]}
        if results:
            terminalreporter.write_line("")
            terminalreporter.write_line(suite.summary(results, config.stash[LIMITS]))
            if left := ", ".join(peer.name for peer in config.stash[LEFT_OUT]):
                terminalreporter.write_line(f"Left out, as not installed: {left} (pip install 'xconv[all,peers]').")

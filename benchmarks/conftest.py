"""How the suites are measured and told: one arena, one progress bar, replayed samples, and tables at the end.

A suite is a list of groups of contenders. The first test of a group measures all of it, interleaved; each test then
replays its own samples through pytest-benchmark, so that its JSON, groups and comparisons all work.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import pytest
from tqdm import tqdm

import xconv
from xconv.bench import Arena, Contender, Measurement
from xconv.bench.catalogue import TIERS
from xconv.bench.table import table

ARENA, RESULTS = pytest.StashKey[Arena](), pytest.StashKey[dict[str, list[Measurement]]]()


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
    group.addoption("--threads", type=int, default=1, help="threads of each framework (default: 1, which repeats best)")
    group.addoption("--device", default="cpu", help='"cpu", "cuda:0", ...')
    group.addoption("--rounds", type=int, default=10, help="samples of each contender")


def pytest_configure(config: pytest.Config) -> None:
    config.stash[RESULTS] = {}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """One test for each contender of each group of the suite (the module's ``groups(tier, backends)``)."""
    option = metafunc.config.getoption
    names = option("--backends").split(",") if option("--backends") else sorted(xconv.backends(), reverse=True)
    made = metafunc.module.groups(option("--tier"), names)
    chosen = [
        pytest.param(group, contenders, index, id=f"{group}-{contender.label}".replace(" ", "_"))
        for group, contenders in made.items()
        if option("--case") in group
        for index, contender in enumerate(contenders)
    ]
    metafunc.parametrize(("group", "contenders", "index"), chosen)


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
            results[group] = arena.measure(contenders, progress=lambda _: bar.refresh())
    return results[group][index]


@pytest.fixture
def replay(benchmark: Any, measured: Measurement, group: str) -> None:
    """Hand the samples to pytest-benchmark. A contender that gave a wrong result fails here, and has no number."""
    contender, cost = measured.contender, measured.contender.cost()
    if measured.error:
        pytest.fail(measured.error, pytrace=False)
    samples = iter(measured.samples)

    def advance() -> None:
        CLOCK.now += next(samples)

    benchmark.group = group
    benchmark.extra_info.update(
        backend=contender.backend,
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
    benchmark.pedantic(advance, rounds=len(measured.samples), iterations=1)


def pytest_benchmark_update_json(config: pytest.Config, benchmarks: Any, output_json: dict[str, Any]) -> None:
    del benchmarks
    arena = config.stash.get(ARENA, None)
    output_json["xconv"] = {
        "version": 1,
        "xconv": xconv.__version__,
        "tier": config.getoption("--tier"),
        "threads": config.getoption("--threads"),
        "device": config.getoption("--device"),
        "workers": arena.about() if arena else {},
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

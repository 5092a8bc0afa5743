"""The axes of the shared suite: every test that takes `backend` runs on each requested one, on each device."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import pytest

import xconv
from xconv import dispatch, wisdom
from xconv.backend import Backend

DEVICES = ("cpu", "cuda:0")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--xconv-backends",
        default="torch,tensorflow",
        help="backends to test, comma-separated; one that does not load fails its tests",
    )


def requested(config: pytest.Config) -> list[str]:
    # torch first: TensorFlow imported before it has crashed some versions (pytorch#93884)
    names = str(config.getoption("--xconv-backends")).split(",")
    return sorted(names, key=lambda name: name != "torch")


NEEDED = {
    "test_torch.py": {"torch"},
    "test_apart.py": {"torch"},
    "test_tensorflow.py": {"tensorflow"},
    "test_jax.py": {"jax"},
    "test_framework_gaps.py": {"torch", "tensorflow"},
}
"""What is one framework's own is collected if that backend was asked for; then its absence is an error, not a skip."""


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    return True if NEEDED.get(collection_path.name, set()) - set(requested(config)) else None


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    # with one backend there is no other to compare it with
    if len(requested(config)) < 2:
        items[:] = [item for item in items if "test_frameworks_agree_with_each_other" not in item.name]


SKIPS = (
    "this machine has no cuda:0",
    "is not installed (pip install",
    "no pipes with names here",
    "this kernel counts no page faults",
    "freed memory cannot be kept",
    "no C compiler",
)
"""All that a test may be skipped for; any other reason is a failure, so that no test goes quietly."""


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: Any) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    del item, call
    report = yield
    if (
        report.skipped
        and not hasattr(report, "wasxfail")
        and not any(reason in str(report.longrepr) for reason in SKIPS)
    ):
        report.outcome, report.longrepr = "failed", f"no reason to skip a test (tests/conftest.py): {report.longrepr}"
    return report


@pytest.fixture
def looked_at_in_full(monkeypatch: pytest.MonkeyPatch) -> None:
    """No call is taken for one that was made before: for tests that put something else into a backend."""
    monkeypatch.setattr(dispatch, "find", lambda _: None)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "backend" in metafunc.fixturenames:
        metafunc.parametrize("backend", requested(metafunc.config), indirect=True, scope="session")
    if "device" in metafunc.fixturenames:
        metafunc.parametrize("device", DEVICES, indirect=True)


@pytest.fixture(scope="session")
def loaded(request: pytest.FixtureRequest) -> dict[str, Backend]:
    """Every requested backend. A backend that cannot load is an error, never a skip."""
    return {name: xconv.get_backend(name) for name in requested(request.config)}


@pytest.fixture(scope="session")
def backend(request: pytest.FixtureRequest, loaded: dict[str, Backend]) -> Backend:
    return loaded[request.param]


@pytest.fixture
def device(request: pytest.FixtureRequest, backend: Backend) -> str:
    if request.param not in backend.devices():
        pytest.skip(f"this machine has no {request.param} that its frameworks can use")
    return str(request.param)


@pytest.fixture
def nothing_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No wisdom, in memory or in the default file."""
    monkeypatch.setenv("XCONV_WISDOM", str(tmp_path / "default" / "wisdom.json"))
    wisdom.forget()
    yield
    wisdom.forget()

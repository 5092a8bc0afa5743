"""The axes of the shared suite: a test that takes `backend` runs on each requested one, on each device."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count

import pytest

import xconv
from xconv.calls import dispatch
from xconv.core.backend import Backend
from xconv.testing.requested import requested_backends

DEVICES = ("cpu", "cuda:0")

NO_DEVICE = "this machine has no cuda:0"
"""The one reason for which a test of the suite is skipped."""


TESTS_UNTIL_RELEASE = 50
"""Tests after which a backend lets go of what it has compiled (JAX keeps 20 MB of each of the suite's tests)."""

_tests = count(1)


def pytest_runtest_teardown(item: pytest.Item) -> None:
    """A process that tests shapes without end does not grow without end."""
    tested = getattr(item, "funcargs", {}).get("backend")
    if isinstance(tested, Backend) and next(_tests) % TESTS_UNTIL_RELEASE == 0:
        tested.release()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test for each backend, on each device."""
    if "backend" in metafunc.fixturenames:
        metafunc.parametrize("backend", requested_backends(metafunc.config), indirect=True, scope="session")
    if "device" in metafunc.fixturenames:
        metafunc.parametrize("device", DEVICES, indirect=True)


@pytest.fixture(scope="session")
def loaded(request: pytest.FixtureRequest) -> dict[str, Backend]:
    """Every requested backend. A backend that cannot load is an error, never a skip."""
    return {name: xconv.get_backend(name) for name in requested_backends(request.config)}


@pytest.fixture(scope="session")
def backend(request: pytest.FixtureRequest, loaded: dict[str, Backend]) -> Backend:
    """One of them."""
    return loaded[request.param]


@pytest.fixture
def device(request: pytest.FixtureRequest, backend: Backend) -> str:
    """A device; where the backend does not have it the test is skipped, and says so."""
    if request.param not in backend.devices():
        pytest.skip(f"this machine has no {request.param} that its frameworks can use")
    return str(request.param)


def explained(report: pytest.TestReport, reasons: Sequence[str]) -> pytest.TestReport:
    """The report of a test; a skip for another reason than these is a failure, so that no test goes quietly."""
    why = str(report.longrepr)
    if report.skipped and not hasattr(report, "wasxfail") and not any(reason in why for reason in reasons):
        report.outcome, report.longrepr = "failed", f"no known reason to skip a test: {why}"
    return report


@pytest.fixture
def looked_at_in_full(monkeypatch: pytest.MonkeyPatch, loaded: dict[str, Backend]) -> None:
    """Every call goes all steps, as if it were the first: for tests that put something else into a backend."""
    monkeypatch.setattr(dispatch, "find", lambda _: None)
    for backend in loaded.values():
        monkeypatch.setattr(backend, "lowered", lambda _: None)

"""The axes of the shared suite: every test that takes `backend` runs on each requested one, on each device."""

from __future__ import annotations

import pytest

import xconv
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

"""The pytest plugin: parity in a project's own tests.

Options name the backends and devices; the fixtures ``xconv_backend``, ``xconv_device`` and ``assert_parity`` and the
marker ``xconv_backends`` use them. What was compared goes into the JUnit file as properties. Nothing is imported until
a test asks for it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from xconv.core.backend import Backend
    from xconv.testing import Parity


def pytest_addoption(parser: pytest.Parser) -> None:
    """The options."""
    group = parser.getgroup("xconv", "parity of convolutions (xconv)")
    group.addoption(
        "--xconv-backends",
        metavar="NAMES",
        help="backends for tests that take one, comma-separated (default: all installed); one that does not load is an "
        "error, never a skip",
    )
    group.addoption(
        "--xconv-devices",
        metavar="NAMES",
        default="cpu",
        help='devices for tests that take one, comma-separated: cpu (default), cuda:0; "all" for what each backend has',
    )
    group.addoption(
        "--xconv-conformance",
        metavar="FILE",
        help="a JSON file of patterns for the conformance suite: include, exclude and gaps, each with its reason",
    )


def pytest_configure(config: pytest.Config) -> None:
    """The markers."""
    config.addinivalue_line(
        "markers", "xconv_backends(*names): the backends that a test with `xconv_backend` is for; others are left out"
    )
    config.addinivalue_line("markers", "extended: a long test of xconv's own that `nox -s tests` leaves to CI")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test for each backend, on each device."""
    if "xconv_backend" not in metafunc.fixturenames:
        return
    from xconv.testing.requested import requested_backends

    marker = metafunc.definition.get_closest_marker("xconv_backends")
    names = [name for name in requested_backends(metafunc.config) if marker is None or name in marker.args]
    metafunc.parametrize("xconv_backend", names, indirect=True, scope="session")
    if "xconv_device" in metafunc.fixturenames:
        metafunc.parametrize("xconv_device", metafunc.config.getoption("--xconv-devices").split(","), indirect=True)


@pytest.fixture(scope="session")
def xconv_backend(request: pytest.FixtureRequest) -> Backend:
    """A backend that was asked for; the test runs once for each.

    Args:
        request: pytest's; its parameter is the name.

    Returns:
        The backend.
    """
    import xconv

    return xconv.get_backend(request.param)


@pytest.fixture
def xconv_device(request: pytest.FixtureRequest, xconv_backend: Backend) -> str:
    """A device that was asked for; a backend without it is an error.

    Args:
        request: pytest's; its parameter is the device.
        xconv_backend: the backend that is to have it.

    Returns:
        The device: "cpu", "cuda:0".
    """
    if request.param not in xconv_backend.devices():
        known = ", ".join(xconv_backend.devices())
        pytest.fail(f"backend {xconv_backend.name} has no device {request.param}; it has {known}", pytrace=False)
    return str(request.param)


@pytest.fixture
def assert_parity(record_property: Callable[[str, object], None]) -> Callable[..., Parity]:
    """:func:`xconv.testing.assert_parity`; bound, ratio, versions and settings become properties in the JUnit file.

    Args:
        record_property: pytest's.

    Returns:
        A function of the same arguments and result.
    """
    from xconv import testing

    def checked(f: Any, g: Any, *inputs: Any, **options: Any) -> Parity:
        __tracebackhide__ = True
        try:
            found = testing.assert_parity(f, g, *inputs, **options)
        except testing.ParityError as error:
            for name, value in error.parity.properties().items():
                record_property(f"xconv {name}", value)
            raise
        for name, value in found.properties().items():
            record_property(f"xconv {name}", value)
        return found

    return checked

"""The suite's axes, and the patterns of what is known to be missing."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import pytest

from xconv.testing.axes import (
    NO_DEVICE,
    backend,
    device,
    explained,
    loaded,
    looked_at_in_full,
    pytest_generate_tests,
    pytest_runtest_teardown,
)
from xconv.testing.expectations import Expectations
from xconv.testing.requested import requested_backends

__all__ = ["backend", "device", "loaded", "looked_at_in_full", "pytest_generate_tests", "pytest_runtest_teardown"]


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out, or expect to fail, what the conformance file says; with one backend none can be compared to it."""
    if len(requested_backends(config)) < 2:
        items[:] = [item for item in items if "test_frameworks_agree_with_each_other" not in item.name]
    if file := config.getoption("--xconv-conformance"):
        Expectations.read(file).apply(config, items)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: Any) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """No test is skipped but for a device that is not there."""
    del item, call
    return explained((yield), [NO_DEVICE])

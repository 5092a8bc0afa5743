"""The axes of the shared suite, for the tests beside it; and what a test may be skipped for."""

from __future__ import annotations

import os
import signal
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import pytest

from xconv.bench import arena
from xconv.planning import wisdom
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
from xconv.testing.requested import requested_backends

os.environ["XCONV_CACHE"] = "off"  # what is tested is compiled, here and in the processes that tests start

collect_ignore = ["stranger"]
"""A third party's package: on the path of a test that asks for it, and of no other."""

__all__ = ["backend", "device", "loaded", "looked_at_in_full", "pytest_generate_tests", "pytest_runtest_teardown"]

NEEDED = {
    "holding.py": {"torch"},
    "two_dimensional_networks.py": {"torch"},
    "test_torch.py": {"torch"},
    "test_torch_not_plain.py": {"torch"},
    "test_torch_batched.py": {"torch"},
    "test_torch_hooks.py": {"torch"},
    "test_torch_programs.py": {"torch"},
    "test_torch_gradients_by_formulation.py": {"torch"},
    "test_direct_torch.py": {"torch"},
    "test_direct_order_torch.py": {"torch"},
    "test_torch_node.py": {"torch"},
    "test_direct_tensorflow.py": {"tensorflow"},
    "test_to_1d_torch.py": {"torch"},
    "test_to_1d_torch_models.py": {"torch"},
    "test_to_1d_torch_refusals.py": {"torch"},
    "test_tensorflow.py": {"tensorflow"},
    "test_tensorflow_plans.py": {"tensorflow"},
    "test_jax.py": {"jax"},
    "test_framework_gaps.py": {"torch", "tensorflow"},
    "test_fourier_powers.py": {"torch", "tensorflow"},
    "test_assert_parity.py": {"torch", "tensorflow"},
    "test_walk.py": {"torch", "tensorflow"},
    "test_mistrusted.py": {"torch", "tensorflow"},
    "test_models.py": {"torch", "tensorflow"},
    "test_port_mistakes.py": {"torch", "tensorflow"},
    "test_port_weights.py": {"torch", "tensorflow"},
    "test_layers.py": {"torch", "tensorflow"},
    "test_torch_layers.py": {"torch"},
    "test_keras_layers.py": {"tensorflow"},
    "test_networks.py": {"torch", "tensorflow"},
    "test_docs.py": {"torch", "tensorflow"},
    "test_training_agreement.py": {"torch", "tensorflow"},
    "test_costs.py": {"torch", "tensorflow"},
    "test_receptive_field.py": {"torch", "tensorflow"},
    "test_claims.py": {"torch", "tensorflow"},
    "test_xla_costs.py": {"jax"},
    "test_convert_keras.py": {"tensorflow"},
    "test_convert_keras_models.py": {"tensorflow"},
    "test_keras_variables.py": {"torch", "tensorflow", "jax"},
    "test_layer_attributes.py": {"torch", "tensorflow"},
}
"""What is one framework's own is collected if that backend was asked for; then its absence is an error, not a skip."""


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    return True if NEEDED.get(collection_path.name, set()) - set(requested_backends(config)) else None


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Where no framework is installed and none was asked for, tests that are given a backend have nothing to run on."""
    if not requested_backends(config):
        given = {"backend", "loaded"}
        alone = [item for item in items if given.isdisjoint(getattr(item, "fixturenames", ()))]
        config.hook.pytest_deselected(items=[item for item in items if item not in set(alone)])
        items[:] = alone


SKIPS = (
    NO_DEVICE,
    "is not installed (pip install",
    "no pipes with names here",
    "no such memory here",
    "this kernel counts no page faults",
    "freed memory cannot be kept",
    "no C compiler",
    "no browser to open the page in",
    "the kernel does not forget a peak of memory",
)
"""All that a test may be skipped for; any other reason is a failure, so that no test goes quietly."""


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: Any) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    del item, call
    return explained((yield), SKIPS)


@pytest.fixture
def nothing_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No wisdom, in memory or in the default file."""
    monkeypatch.setenv("XCONV_WISDOM", str(tmp_path / "default" / "wisdom.json"))
    wisdom.forget()
    yield
    wisdom.forget()


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """No block counts as disturbed, however busy the machine: for tests that are not about times."""
    monkeypatch.setattr(arena, "LEAST_SHARE", {"cpu": 0.0, "wall": 0.0})
    monkeypatch.setattr(arena, "MOST_SHARE", float("inf"))


@pytest.fixture
def interruptible() -> Iterator[None]:
    """SIGINT raises, also where whoever started the tests in the background has it ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)

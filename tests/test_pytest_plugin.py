"""The plugin in somebody else's project, and the conformance kit on a backend."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ET
from pathlib import Path
from unittest.mock import Mock

import pytest

import xconv
from xconv.core.backend import Backend
from xconv.testing import Conformance, axes, conformance
from xconv.testing.expectations import Expectations

pytest_plugins = ["pytester"]

USER = """
import numpy as np
import pytest

X = np.linspace(-1, 1, 60, dtype="float32").reshape(3, 20)

def test_port(assert_parity):
    assert_parity(lambda x: np.exp(x), lambda x: np.exp(x / 2) ** 2, X, walk=False)

def test_wrong_port(assert_parity):
    assert_parity(lambda x: np.exp(x), lambda x: np.exp(x) * 1.001, X)

def test_each(xconv_backend, xconv_device):
    x = xconv_backend.from_numpy(np.ones((1, 5, 1), "float32"), xconv_device)
    assert xconv_backend.shape(x) == (1, 5, 1)

@pytest.mark.xconv_backends("no such one")
def test_for_another(xconv_backend):
    raise AssertionError
"""


def test_fixtures_options_and_properties(pytester: pytest.Pytester, loaded: dict[str, Backend]) -> None:
    names = sorted(loaded)
    pytester.makepyfile(USER)
    done = pytester.runpytest_subprocess(
        "--xconv-backends", ",".join(names), "--junit-xml=junit.xml", "--strict-markers"
    )
    done.assert_outcomes(passed=1 + len(names), failed=1, skipped=1)
    root = ET.parse(pytester.path / "junit.xml").getroot()
    told = {
        case.get("name"): {p.get("name"): p.get("value") for p in case.iter("property")}
        for case in root.iter("testcase")
    }
    assert told["test_port"]["xconv result verdict"] == "within bound"
    assert 0 < float(str(told["test_port"]["xconv result ratio"])) <= 1
    assert float(str(told["test_wrong_port"]["xconv result ratio"])) > 1
    assert float(str(told["test_wrong_port"]["xconv result bound"])) > 0
    assert any(str(name).startswith("xconv version of") for name in told["test_port"])
    done.stdout.fnmatch_lines(["*ParityError*"])


def test_what_was_asked_for_and_is_not_there_is_an_error(pytester: pytest.Pytester, loaded: dict[str, Backend]) -> None:
    pytester.makepyfile("def test_each(xconv_backend, xconv_device): pass")
    done = pytester.runpytest_subprocess("--xconv-backends", "troch")
    done.assert_outcomes(errors=1)
    done.stdout.fnmatch_lines(["*did you mean 'torch'*"])
    done = pytester.runpytest_subprocess("--xconv-backends", next(iter(loaded)), "--xconv-devices", "cuda:77")
    done.assert_outcomes(errors=1)
    done.stdout.fnmatch_lines(["*has no device cuda:77; it has cpu*"])


def test_the_plugin_imports_no_framework(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        "import sys\n"
        "def test_nothing():\n"
        "    assert not {'torch', 'tensorflow', 'jax', 'numpy', 'xconv.testing'} & set(sys.modules)\n"
    )
    pytester.runpytest_subprocess("-p", "no:hypothesispytest").assert_outcomes(passed=1)


def test_conformance(loaded: dict[str, Backend]) -> None:
    name = next(iter(loaded))
    found = conformance(
        name,
        include=["test_half_precision*cpu*", "test_integers_agree*cpu-conv1d-empty-batch*"],
        exclude={"*bfloat16*": "a reason"},
        gaps={"*conv1d-empty-batch]": "it was broken once"},
    )
    assert found.passed > 50
    assert list(found.closed) == [f"test_integers_agree_bit_for_bit[{name}-cpu-conv1d-empty-batch]"]
    assert not found.failed
    assert not found.ok
    assert "no longer fails" in str(found)
    assert "it was broken once" in str(found)


def test_conformance_of_what_is_not_there() -> None:
    with pytest.raises(xconv.BackendError, match="did you mean 'torch'"):
        conformance("troch")
    with pytest.raises(xconv.BackendError, match="no test is called"):
        conformance("torch", include=["test_half_precision*"], gaps={"nothing": "a reason"})
    with pytest.raises(ValueError, match="has no reason"):
        conformance("torch", gaps={"*": " "})


def test_a_conformance_says_what_is_wrong() -> None:
    found = Conformance("mine", 3, 1, 2, {"test_a": "assert 1 == 2"}, {})
    assert str(found).splitlines() == [
        "mine: 3 passed, 1 failed, 2 known gaps, 1 skipped, 0 gaps that no longer fail",
        "failed: test_a: assert 1 == 2",
    ]
    assert not Conformance("mine", 0, 1, 2, {}, {}).ok
    assert Conformance("mine", 1, 0, 0, {}, {}).ok


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "truncated"),
        ("[]", "got `array`"),
        ('{"gap": {}}', "unknown field `gap`"),
        ('{"gaps": {"*": ""}}', "no reason"),
        ('{"gaps": {"*": 1}}', "`str`, got `int` - at"),
        ('{"include": "*"}', "`array`, got `str` - at `$.include`"),
        ('{"include": [1]}', "at `$.include[0]`"),
        ('{"gaps": ["a"]}', "at `$.gaps`"),
    ],
)
def test_a_file_of_patterns_is_not_trusted(text: str, said: str, tmp_path: Path) -> None:
    file = tmp_path / "gaps.json"
    file.write_text(text)
    with pytest.raises(xconv.ArgumentError, match=f"conformance: file.*{re.escape(said)}"):
        Expectations.read(file)
    good = Expectations(["a*"], {"b": "why"}, {"c": "why"})
    file.write_text(good.to_json())
    assert Expectations.read(file) == good
    assert json.loads(good.to_json())["gaps"] == {"c": "why"}


def test_a_skip_without_a_known_reason_fails(pytester: pytest.Pytester) -> None:
    pytester.makeconftest("from xconv.testing.suite.conftest import pytest_runtest_makereport")
    pytester.makepyfile(
        "import pytest\n"
        "def test_quietly(): pytest.skip('just because')\n"
        "def test_known(): pytest.skip('this machine has no cuda:0 that its frameworks can use')\n"
    )
    done = pytester.runpytest_subprocess()
    done.assert_outcomes(failed=1, skipped=1)
    done.stdout.fnmatch_lines(["*no known reason to skip a test*just because*"])


def test_a_backend_lets_go_of_what_it_compiled_now_and_then() -> None:
    backend = Mock(spec=Backend)
    item = Mock(spec=pytest.Item, funcargs={"backend": backend})
    for _ in range(2 * axes.TESTS_UNTIL_RELEASE):
        axes.pytest_runtest_teardown(item)
    assert backend.release.call_count == 2

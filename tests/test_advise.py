"""What is advised on data whose answer is known, and how often that is wrong."""

from __future__ import annotations

import json
from math import comb
from typing import Any

import numpy as np
import pytest

import xconv
from xconv.advice import field, known, lines, recommend, statistics
from xconv.advice.known import KNOWN, Known
from xconv.advice.reach import partial_correlations, reach
from xconv.core.backend import Backend

CHANCE = 1e-6
"""The probability with which a right method would fail a test of an error rate."""


def most_errors(samples: int, rate: float) -> int:
    """The number of errors that samples with this error rate exceed with a probability below CHANCE."""
    tail, errors = 1.0, -1
    while tail >= CHANCE:
        errors += 1
        tail -= comb(samples, errors) * rate**errors * (1 - rate) ** (samples - errors)
    return errors


@pytest.mark.parametrize("process", KNOWN, ids=lambda process: process.name)
def test_known_answers(process: Known) -> None:
    """Each process once; the seeds are fixed, and how often other ones err is measured in docs/advise.md."""
    sample = process.draw(np.random.default_rng([1, 5]))
    assert xconv.advise(sample, process.axes, seed=1).recommendation in process.right


@pytest.mark.parametrize("samples", [12, pytest.param(60, marks=pytest.mark.extended)])
def test_false_findings_are_as_rare_as_is_said(samples: int) -> None:
    wrong = 0
    for seed in range(samples):
        rng = np.random.default_rng([seed, 9])
        noise: dict[str, Any] = {
            "L": rng.standard_t(2, 60),
            "HW": rng.standard_normal((12, 14)),
            "NLC": rng.standard_normal((8, 12, 2)),
        }
        axes = list(noise)[seed % 3]
        wrong += xconv.advise(noise[axes], axes, seed=seed).recommendation != "none"
    assert wrong <= most_errors(samples, recommend.SIGNIFICANCE_LEVEL)


def test_p_is_uniform_without_dependence() -> None:
    """The share of p <= 0.2 is 0.2: the test is exact, whatever the distribution."""
    samples, below = 120, 0
    for seed in range(samples):
        rng = np.random.default_rng([seed, 3])
        found = statistics.permutation_test(rng.standard_t(1, (12, 3, 4, 1)), 0.01, rng, permutations=39)
        below += found.p <= 0.2
    assert below <= most_errors(samples, 0.2)
    assert samples - below <= most_errors(samples, 0.8)


def test_what_is_said_to_be_found_is_found() -> None:
    """A correlation of ``detectable`` is found with probability 0.9, up to what its own estimate errs."""
    noise = xconv.advise(np.random.default_rng(0).standard_normal(400))
    rho = noise.detectable
    weight = (1 - np.sqrt(1 - 4 * rho**2)) / (2 * rho)  # x[t] = e[t] + w e[t - 1] has r(1) = w / (1 + w^2)
    samples, missed = 30, 0
    for seed in range(samples):
        e = np.random.default_rng([seed, 4]).standard_normal(401)
        missed += xconv.advise(e[1:] + weight * e[:-1], seed=seed).recommendation == "none"
    # normal scores lose nothing on normal data, so the miss rate is 0.1; 0.2 leaves room for the Monte Carlo threshold
    assert missed <= most_errors(samples, 0.2)


def test_dependence_only_in_magnitudes_is_named() -> None:
    advice = xconv.advise(known.arch(np.random.default_rng(2), 3000))
    assert advice.recommendation == "conv1d"
    [axis] = advice.evidence
    assert axis.tested is not None
    assert axis.tested.kinds == ("magnitudes",)
    assert "squares" in advice.reason


def test_a_trend_alone_is_said_and_is_no_reason_to_convolve() -> None:
    rng = np.random.default_rng(0)
    for series in (np.arange(500.0), np.arange(500) / 50 + rng.standard_normal(500)):
        advice = xconv.advise(series)
        assert advice.recommendation == "none"
        assert any("linear trend" in note for note in advice.notes)


def test_a_random_walk_is_seen_and_differenced() -> None:
    [axis] = (advice := xconv.advise(np.random.default_rng(0).standard_normal(1000).cumsum())).evidence
    assert axis.walk
    assert advice.recommendation == "conv1d"
    assert axis.reach is not None
    assert axis.reach.stack == ((3, 1, 1),)
    [stationary] = xconv.advise(known.autoregression(np.random.default_rng(0), (1000,), 0.9)).evidence
    assert not stationary.walk


def test_reach_and_kernel() -> None:
    rng = np.random.default_rng(0)
    noise = rng.standard_normal(6003)
    moving = noise[3:] + noise[2:-1] + noise[1:-2] + noise[:-3]
    [axis] = xconv.advise(moving).evidence
    assert axis.reach is not None
    assert axis.reach.correlated == 3
    assert axis.reach.field >= 4
    [season] = xconv.advise(known.seasonal(rng, 2000, 37)).evidence
    assert season.reach is not None
    assert season.tested is not None
    assert season.tested.lag == 37
    assert season.reach.dilation == 37
    assert season.reach.field > 37


def test_partial_correlations_of_an_autoregression_end_at_its_order() -> None:
    r = [1.0, 0.3 / (1 - 0.4)]
    while len(r) < 12:
        r.append(0.3 * r[-1] + 0.4 * r[-2])
    partial = partial_correlations(np.array(r[1:]))
    assert partial[1] == pytest.approx(0.4)
    assert np.abs(partial[2:]).max() < 1e-9


def test_order_decides_the_kernel() -> None:
    x = known.autoregression(np.random.default_rng(0), (4000,), 0.0, 0.6)
    found = statistics.permutation_test(x[:, None, None, None], 0.01, np.random.default_rng(1))
    assert reach(found, 0.01).partial == 2
    assert reach(found, 0.01).kernel == 3


def test_images_shuffled_alike_have_no_neighbours() -> None:
    """One order of the pixels for all images leaves them dependent, but no nearer ones more than others."""
    datasets = pytest.importorskip(
        "sklearn.datasets", reason="scikit-learn is not installed (pip install scikit-learn)"
    )
    digits = datasets.load_digits().images[:300]
    assert xconv.advise(digits, "NHW").recommendation in ("separable", "conv2d")
    for seed in range(2):
        order = np.random.default_rng(seed).permutation(64)
        alike = digits.reshape(-1, 64)[:, order].reshape(digits.shape)
        assert xconv.advise(alike, "NHW").recommendation == "none"


def test_photographs() -> None:
    datasets = pytest.importorskip(
        "sklearn.datasets", reason="scikit-learn is not installed (pip install scikit-learn)"
    )
    china = datasets.load_sample_image("china.jpg")
    rng = np.random.default_rng(0)
    advice = xconv.advise(china, "HWC")
    assert advice.recommendation in ("separable", "conv2d")
    assert all(axis.verdict == "local" for axis in advice.evidence)
    pixels = rng.permutation(china.reshape(-1, 3)).reshape(china.shape)
    assert xconv.advise(pixels, "HWC").recommendation == "none"
    verdicts = {axis.axis: axis.verdict for axis in xconv.advise(rng.permutation(china), "HWC").evidence}
    assert verdicts == {"H": "none", "W": "local"}


def test_a_field_made_separable_holds_all_and_an_oblique_one_little() -> None:
    rng = np.random.default_rng(0)
    product = known.separable(rng, 64, 0.7)[None, :, :, None]
    found = field.shares(product, ("values",), (1, 1), rng)
    assert found.separable > 0.95
    assert max(found.rows, found.columns) < 0.7
    alternating = known.separable(rng, 64, -0.7)[None, :, :, None]
    assert field.shares(alternating, ("values",), (1, 1), rng).separable > recommend.LEAST_SHARE_KEPT
    # white noise beside it changes the eigenvalues, not the eigenvectors
    noisy = product / product.std() + rng.standard_normal(product.shape)
    assert field.shares(noisy, ("values",), (1, 1), rng).separable > 0.9
    oblique = known.texture(rng, 64, np.eye(5))[None, :, :, None]
    found = field.shares(oblique, ("values",), (1, 1), rng)
    assert found.separable < 0.3
    assert found.p == 1 / (field.SURROGATES + 1)
    assert found.oblique > 0.5
    # rows alone are a product, too
    rows = known.lines(rng, 48, 64)[None, :, :, None]
    found = field.shares(rows, ("values",), (1, 1), rng)
    assert found.rows > 0.9
    assert found.separable >= found.rows


def test_a_profile_is_told_from_local_structure() -> None:
    rng = np.random.default_rng(0)
    levels = known.autoregression(rng, (48,), 0.8)
    advice = xconv.advise(rng.standard_normal((48, 64)) + levels[:, None], "HW")
    assert advice.recommendation == "columns"
    assert {axis.axis: axis.verdict for axis in advice.evidence} == {"H": "profile", "W": "none"}
    assert any("its own level" in note for note in advice.notes)


def test_lines_that_move_together_are_channels() -> None:
    rng = np.random.default_rng(0)
    common = known.autoregression(rng, (300,), 0.6)
    x = rng.choice([-1, 1], 20)[:, None] * common + known.autoregression(rng, (300, 20), 0.6).T
    advice = xconv.advise(x, "HW")
    assert advice.recommendation == "conv1d"
    assert advice.together_p == 1 / (lines.SHIFTS + 1)
    assert any("fold H" in note for note in advice.notes)


def test_too_little_data_is_said() -> None:
    advice = xconv.advise(np.random.default_rng(0).standard_normal(30))
    assert (advice.recommendation, advice.enough_data) == ("none", False)
    assert "not enough data" in advice.reason
    assert xconv.advise(np.random.default_rng(0).standard_normal(200)).enough_data
    assert not xconv.advise(np.arange(5.0)).enough_data


def test_flat_data() -> None:
    for flat, axes in ((np.full(100, 3.0), "L"), (np.ones((50, 50)), "HW"), (np.zeros((4, 9, 9, 2), bool), "NHWC")):
        advice = xconv.advise(flat, axes)
        assert advice.recommendation == "none"
        assert advice.reason == "all values are the same"
    # a flat channel beside others changes nothing
    x = known.autoregression(np.random.default_rng(0), (300,), 0.8)
    assert xconv.advise(np.stack([x, np.ones(300)], -1), "LC").recommendation == "conv1d"


def test_scale_and_monotone_distortion_change_nothing() -> None:
    x = known.autoregression(np.random.default_rng(0), (300,), 0.4)
    p = [xconv.advise(y).evidence[0].p for y in (x, 1e-30 * x, (1e6 * x).astype("int64"))]
    assert p[0] == p[1] == p[2] <= recommend.SIGNIFICANCE_LEVEL


def test_the_same_seed_gives_the_same_advice() -> None:
    x = np.random.default_rng(0).standard_normal((30, 30))
    assert xconv.advise(x, "HW", seed=3).to_json() == xconv.advise(x, "HW", seed=3).to_json()


def test_arrays_of_frameworks(backend: Backend) -> None:
    x = known.autoregression(np.random.default_rng(0), (300,), 0.6).astype("float32")
    array = backend.from_numpy(x, "cpu")
    assert xconv.advise(array).to_json() == xconv.advise(x).to_json()
    assert xconv.advise(backend.cast(array, "bfloat16")).recommendation == "conv1d"


def test_axes_in_any_order() -> None:
    x = known.texture(np.random.default_rng(0), 40, np.eye(5))
    image = np.stack([x, x + 0.1, -x], -1)[None]
    one = xconv.advise(image, "NHWC")
    two = xconv.advise(image.transpose(0, 3, 1, 2), "NCHW")
    assert one.recommendation == two.recommendation == "conv2d"
    assert one.shape == (1, 40, 40, 3)
    assert two.shape == (1, 3, 40, 40)
    assert [option.macs for option in one.options] == [option.macs for option in two.options]


def test_costs_are_those_of_the_operations() -> None:
    advice = xconv.advise(known.separable(np.random.default_rng(0), 64, 0.7), "HW", filters=8)
    macs = {option.name: option.macs for option in advice.options}
    kernels = {option.name: option.kernel for option in advice.options}
    tall, wide = kernels["conv2d"]
    assert macs["rows"] == 64 * 64 * wide * 8
    middle = min(8, wide)
    assert macs["separable"] == 64 * 64 * middle * (wide + tall * 8)
    assert any("no less arithmetic" in note for note in advice.notes) == (macs["separable"] >= macs["conv2d"])
    assert macs["conv2d"] == 64 * 64 * tall * wide * 8
    assert advice.operation == "spatially_separable_conv2d"
    assert "->" in str(advice)
    packed = json.loads(advice.to_json())
    assert packed["recommendation"] == "separable"
    assert all(option["seconds"] is None for option in packed["options"])


@pytest.mark.parametrize(
    ("sample", "axes", "words"),
    [
        (np.zeros((100, 3)), None, 'write axes="LC"'),
        (np.zeros((5, 100, 3)), None, 'write axes="NLC"'),
        (np.zeros((5, 3, 100, 100)), None, "channels first"),
        (np.zeros((100, 3)), "LX", "'LX'"),
        (np.zeros((100, 3)), "NLC", "2 of the letters"),
        (np.zeros((100, 3)), "NC", "with L or both H and W"),
        (np.zeros((1, 2, 3, 4, 5)), None, "one to four axes"),
        (np.zeros((0, 3)), "LC", "without a value"),
        (np.array(["a", "b"]), None, "numbers"),
        (np.array([object()]), None, "numbers"),
        (np.ones(9, complex), None, "np.abs"),
        (np.array([1.0, np.nan, np.inf]), None, "2 of 3 values NaN or infinite, the first at (1,)"),
        ([[1.0], [1.0, 2.0]], None, "same number of elements"),
    ],
)
def test_what_cannot_be_used(sample: Any, axes: str | None, words: str) -> None:
    with pytest.raises(xconv.ArgumentError) as error:
        xconv.advise(sample, axes)
    assert words in str(error.value)


@pytest.mark.parametrize(("option", "value"), [("keep", 0.0), ("keep", 1.5), ("filters", 0)])
def test_options_that_cannot_be_used(option: str, value: float) -> None:
    with pytest.raises(xconv.ArgumentError, match=option):
        xconv.advise(np.zeros(9), **{option: value})  # type: ignore[arg-type]

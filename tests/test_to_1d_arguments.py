"""What to_1d refuses before a framework is reached; proofs, embeddings, kernel rows and reshapes without one."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import xconv
from xconv.core.backend import Backend
from xconv.models.conversion import AXES, Options, Report, Step, channel_map, embedded
from xconv.models.proof import prove
from xconv.models.reshaping import (
    image_to_sequence,
    sequence_to_image,
    sequence_to_spectrogram,
    spectrogram_to_sequence,
)
from xconv.models.rows import Band, met, met_transposed, one

MISTAKES: list[tuple[dict[str, Any], str]] = [
    ({"embedding": "singelton"}, r"embedding: got 'singelton', .*did you mean 'singleton'\?"),
    ({"embedding": None}, r"embedding: got None"),
    ({"axis": "hight"}, r"axis: got 'hight', .*did you mean 'height'\?"),
    ({"axis": 0}, r"axis: got 0"),
    ({"kernel_rule": "rows"}, r"kernel_rule: got 'rows', .*did you mean 'row'\?"),
    ({"channels": "repaet"}, r"channels: got 'repaet', .*did you mean 'repeat'\?"),
    ({"input_shape": 50}, r"input_shape: got 50, expected two integers"),
    ({"input_shape": (2, 3, 50)}, r"input_shape: got \(2, 3, 50\), .*without the batch"),
    ({"input_shape": (3, 0)}, r"input_shape: got \(3, 0\)"),
    ({"input_shape": (3, 5.0)}, r"input_shape: got \(3, 5\.0\)"),
    ({"input_shape": "ab"}, r"input_shape: got 'ab'"),
    ({"embedding": "constant"}, r"size: got None, .*extent of the image"),
    ({"embedding": "folded"}, r"size: got None, .*lies in the channels"),
    ({"embedding": "raster"}, r"size: got None, .*number of lines"),
    ({"embedding": "raster", "size": 7}, r"size: got 7, expected a divisor of the length"),
    ({"embedding": "folded", "size": 7}, r"size: got 7, expected a divisor of the channels"),
    ({"size": 4}, r"size: got 4, .*embedding='constant'"),
    ({"embedding": "constant", "size": 0}, r"size: got 0, expected an integer >= 1"),
    ({"embedding": "constant", "size": True}, r"size: got True"),
    ({"head": 0}, r"head: got 0"),
    ({"head": "10"}, r"head: got '10'"),
]


@pytest.mark.parametrize(("options", "says"), MISTAKES, ids=lambda value: str(value)[:40])
def test_mistakes_are_named_before_a_framework_is_reached(options: dict[str, Any], says: str) -> None:
    with pytest.raises(xconv.ArgumentError, match=says):
        xconv.to_1d(object(), **{"input_shape": (3, 50), **options})


@pytest.mark.parametrize("model", [None, print, np.zeros(3), "resnet18"])
def test_what_is_no_model_is_refused(model: Any) -> None:
    with pytest.raises(xconv.ArgumentError, match=r"to_1d: model: .*torch\.nn\.Module or a Keras model"):
        xconv.to_1d(model, input_shape=(3, 50))


def test_embedded_signals_say_where_their_elements_go() -> None:
    signal = np.arange(2 * 6 * 4).reshape(2, 6, 4)  # channels first: 6 channels, length 4
    for axis in AXES:
        for embedding, size in (("singleton", 1), ("constant", 3)):
            options = Options(embedding, axis, (6, 4), size)  # type: ignore[arg-type]
            image = embedded(signal, options, channels_last=False)
            rows = np.moveaxis(image, 2 if axis == "height" else 3, 0)
            assert len(rows) == size
            assert all(np.array_equal(row, signal) for row in rows)
        folded = embedded(signal, Options("folded", axis, (6, 4), 3), channels_last=False)
        rows = np.moveaxis(folded, 2 if axis == "height" else 3, 0)
        assert all(np.array_equal(row, signal[:, r::3]) for r, row in enumerate(rows))
        raster = embedded(signal, Options("raster", axis, (6, 4), 2), channels_last=False)
        rows = np.moveaxis(raster, 2 if axis == "height" else 3, 0)
        assert np.array_equal(np.concatenate(list(rows), -1), signal)
    last = np.arange(2 * 4 * 6).reshape(2, 4, 6)
    height = embedded(last, Options("folded", "height", (4, 6), 3), channels_last=True)
    width = embedded(last, Options("folded", "width", (4, 6), 3), channels_last=True)
    assert np.array_equal(height, width.swapaxes(1, 2))
    assert np.array_equal(width, last.reshape(2, 4, 3, 2))


def test_kernel_rows_are_those_of_a_convolution_written_out() -> None:
    rng = np.random.default_rng(0)
    for _ in range(200):
        extent, kernel, stride, dilation = rng.integers(1, (6, 5, 4, 3))
        low, high = rng.integers(0, 4, 2)
        outputs = (extent + low + high - (kernel - 1) * dilation - 1) // stride + 1
        start = int(rng.integers(0, extent))
        band = Band(int(extent), start, int(rng.integers(start + 1, extent + 1)))
        signal = np.zeros(low + extent + high)
        signal[low + band.start : low + band.stop] = 1
        weight = 2.0 ** np.arange(kernel)
        found = met(band, kernel, stride, dilation, low, max(outputs, 0))
        for i, rows in enumerate(found):
            wanted = sum(weight[j] * signal[i * stride + j * dilation] for j in range(kernel))
            assert sum(weight[j] for j in rows) == wanted
        length = (extent - 1) * stride + (kernel - 1) * dilation + 1
        spread = np.zeros(length)
        for i in range(band.start, band.stop):
            for j in range(kernel):
                spread[i * stride + j * dilation] += weight[j]
        crop = int(rng.integers(0, min(3, length)))
        found = met_transposed(band, kernel, stride, dilation, crop, length - crop)
        assert [sum(weight[j] for j in rows) for rows in found] == list(spread[crop:])
    assert one([]) is None


def test_channel_maps_keep_the_mean() -> None:
    for image, signal in ((3, 1), (3, 6), (1, 4), (4, 4)):
        assert np.allclose(channel_map("mean", image, signal).sum(1), 1)
        assert np.isclose(channel_map("repeat", image, signal).sum(), image)


def test_a_proof_needs_outputs_that_vary_and_sees_what_is_small() -> None:
    x = np.random.default_rng(0).standard_normal((3, 40))
    weight = np.random.default_rng(1).standard_normal((40, 5))
    assert prove(lambda x: [x @ weight], lambda x: [(x[:, ::-1]) @ weight[::-1]], x)
    wrong = prove(lambda x: [x @ weight], lambda x: [x @ (weight * (1 + 1e-10))], x)
    assert wrong.verdict == "differ"
    assert not wrong
    assert wrong.tolerance < wrong.error < 1e-7
    flat = prove(lambda x: [1e-14 * x + 1], lambda x: [1e-14 * x + 1], x)
    assert flat.verdict == "proves nothing"
    assert not flat
    assert prove(lambda x: [x], lambda x: [x * np.nan], x).verdict == "differ"
    assert "became" in prove(lambda x: [x], lambda x: [x[:, :3]], x).detail
    heuristic = prove(lambda x: [x], lambda x: [0.9 * x], x, heuristics=["a reason"])
    assert heuristic.verdict == "heuristic"
    assert "%" in str(heuristic)
    both = prove(lambda x: [x, x], lambda x: [x, x + 1e-6], x, conditions=["inputs are positive"])
    assert both.verdict == "differ"
    assert "exact if inputs are positive" in str(both)


def test_a_report_counts_and_says_what_its_steps_say() -> None:
    steps = [
        Step("a", "Conv2d", "Conv1d", "row 1 of 3", "exact", parameters=(90, 30)),
        Step("b", "MaxPool2d", "MaxPool1d", "window", "exact if", "it is cut", (0, 0)),
        Step("c", "Conv2d", "Conv1d", "sum", "heuristic", "borders differ", (9, 3)),
        Step("d", "BatchNorm2d", "BatchNorm1d", "copy", "exact", "rows train alone", (4, 4)),
    ]
    report = Report(Options("singleton", "height", (3, 9)), steps, ["beware"])
    assert report.counts() == {"exact": 2, "exact if": 1, "heuristic": 1, "refused": 0}
    assert report.parameters == (103, 37)
    assert report.conditions == ("it is cut",)
    assert report.heuristics == ("borders differ",)
    text = str(report)
    for words in (
        "exact if it is cut",
        "heuristic: borders differ",
        "exact; rows train alone",
        "warning: beware",
        "103",
    ):
        assert words in text
    with pytest.raises(xconv.UnsupportedError, match="no models to run"):
        report.verify()


def test_reshapes_of_a_frameworks_arrays(backend: Backend) -> None:
    images = np.random.default_rng(0).standard_normal((2, 4, 5, 3))
    given = backend.from_numpy(images, "cpu")
    for there, back, size in (
        (image_to_sequence, sequence_to_image, 4),
        (spectrogram_to_sequence, sequence_to_spectrogram, 5),
    ):
        sequence = there(given)
        assert type(sequence) is type(given)
        assert np.array_equal(backend.to_numpy(sequence), there(images))
        assert np.array_equal(backend.to_numpy(back(sequence, size)), images)


def test_reshapes_and_back() -> None:
    images = np.random.default_rng(0).standard_normal((2, 4, 5, 3))
    sequence = image_to_sequence(images)
    assert np.array_equal(sequence[:, 7], images[:, 1, 2])
    assert np.array_equal(sequence_to_image(sequence, 4), images)
    folded = spectrogram_to_sequence(images)
    assert np.array_equal(folded[:, 1, 2 * 3 + 1], images[:, 1, 2, 1])
    assert np.array_equal(sequence_to_spectrogram(folded, 5), images)


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: image_to_sequence(np.zeros((4, 5, 3))), r"4 axes, \(N, H, W, C\)"),
        (lambda: spectrogram_to_sequence([1, 2]), r"got list, expected an array \(N, T, F, C\)"),
        (lambda: sequence_to_image(np.zeros((2, 20, 3)), 3), r"height: got 3, expected a divisor of the length, 20"),
        (lambda: sequence_to_spectrogram(np.zeros((2, 20, 6)), 0), r"frequencies: got 0"),
        (lambda: sequence_to_spectrogram(np.zeros((2, 20)), 2), r"3 axes"),
    ],
)
def test_what_cannot_be_reshaped_is_said(call: Any, says: str) -> None:
    with pytest.raises(xconv.ArgumentError, match=says):
        call()

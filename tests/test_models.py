"""The layers of a model as calls, and tuned."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import xconv
from xconv.cli import main
from xconv.core.backend import Backend

pytestmark = pytest.mark.usefixtures("nothing_known")


def torch_model() -> Any:
    """A model with a layer of each kind, one of them used twice."""
    from torch import nn

    depthwise = nn.Conv1d(6, 6, 3, padding="same", groups=6, padding_mode="reflect")
    first = nn.Conv1d(1, 6, 5, stride=2)
    return nn.Sequential(
        first, nn.BatchNorm1d(6), depthwise, nn.ReLU(), depthwise, nn.ConvTranspose1d(6, 4, 4, 3, 1, 2)
    )


def keras_model() -> Any:
    """The same in Keras, but for the borders."""
    import keras
    from keras import layers

    depthwise = layers.DepthwiseConv1D(3, padding="same")
    return keras.Sequential(
        [
            layers.Conv1D(6, 5, strides=2),
            layers.BatchNormalization(),
            depthwise,
            layers.ReLU(),
            layers.SeparableConv1D(6, 3),
            layers.Conv1DTranspose(4, 4, strides=3, padding="same"),
        ]
    )


def test_torch_layers_are_seen_as_they_compute() -> None:
    import torch

    model = torch_model().train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    calls = xconv.convolutions(model, (2, 1, 101))
    assert [call.operation for call in calls] == ["conv1d", "conv1d", "conv1d", "conv1d_transpose"]
    layers = (model[0], model[2], model[4], model[5])
    for call, layer in zip(calls, layers, strict=True):
        shape = (2, call.problem.in_channels, call.problem.length)
        if call.direction == "input_gradient":
            shape = (2, call.problem.out_channels, call.problem.output_length)
        given = torch.randn(shape)
        assert tuple(layer(given).shape) == call.result_shape(shape)
    assert calls[1] == calls[2]
    assert calls[1].problem.padding_mode == "reflect"
    assert model.training
    assert model[1].training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_keras_layers_are_seen_as_they_compute() -> None:
    import numpy as np

    model = keras_model()
    calls = xconv.convolutions(model, (2, 101, 1))
    assert [call.operation for call in calls] == ["conv1d", "conv1d", "conv1d", "conv1d", "conv1d_transpose"]
    assert [call.problem.groups for call in calls] == [1, 6, 6, 1, 1]
    before = [variable.numpy() for variable in model.variables]
    assert [call.problem for call in xconv.convolutions(model, (2, 101, 1))] == [call.problem for call in calls]
    alone = ((calls[0], model.layers[0]), (calls[1], model.layers[2]), (calls[4], model.layers[5]))
    for call, layer in alone:
        channels = call.problem.in_channels if call.direction == "forward" else call.problem.out_channels
        length = call.problem.length if call.direction == "forward" else call.problem.output_length
        shape = (2, length, channels)
        assert tuple(layer(np.zeros(shape, "float32")).shape) == call.result_shape(shape)
        assert "call" not in vars(layer)
    assert all(np.array_equal(a, b.numpy()) for a, b in zip(before, model.variables, strict=True))


def test_what_is_no_model_is_refused() -> None:
    with pytest.raises(xconv.ArgumentError, match=r"convolutions: model: .*torch\.nn\.Module or a Keras model"):
        xconv.convolutions(print, (1, 2, 3))


def test_a_model_is_tuned_from_the_command_line(
    loaded: dict[str, Backend], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name = "torch" if "torch" in loaded else "tensorflow"
    shape = "2,1,101" if name == "torch" else "2,101,1"
    maker = "torch_model" if name == "torch" else "keras_model"
    file = tmp_path / "w.json"
    assert (
        main(["tune", "--model", f"tests.test_models:{maker}", "--input", shape, "--json", "--wisdom", str(file)]) == 0
    )
    rows = json.loads(capsys.readouterr().out)
    assert {row["backend"] for row in rows} == {name}
    assert len(rows) == 9  # three layers, three directions; a layer that is used twice is measured once
    assert len(json.loads(file.read_text())["entries"]) == 9


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--model", "no.such:thing", "--input", "1,2,3"], "MODULE:NAME that can be imported"),
        (["--model", "tests.test_models:nothing", "--input", "1,2,3"], "has no attribute 'nothing'"),
        (["--model", "tests.test_models:torch_model"], "the shape of the model's input"),
    ],
)
def test_a_wrong_model_is_told(arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["tune", *arguments]) == 2
    assert words in capsys.readouterr().err

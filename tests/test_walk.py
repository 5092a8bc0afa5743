"""Two models that differ: which layer departs first, and why."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.ported import LAYOUTS, X, original, port
from xconv.testing import ParityError, assert_parity, compare

HEAD = "agree up to "


@pytest.mark.parametrize(
    ("mistake", "layers", "why"),
    [
        (
            "padding",
            "the inputs; the first to depart is '0' / 'conv_a'",
            "padding (low, high) differs: (1, 1) / (2, 0)",
        ),
        ("kernel", "'2' / 'relu_a'; the first to depart is '3' / 'conv_b'", "kernel differs: its taps are in reverse"),
        ("bias", "'2' / 'relu_a'; the first to depart is '3' / 'conv_b'", "bias: only f has one"),
        ("epsilon", "'3' / 'conv_b'; the first to depart is '4' / 'norm_b'", "epsilon differs: 1e-05 / 0.001"),
        ("gelu", "'4' / 'norm_b'; the first to depart is '5' / 'gelu_b'", "activation differs: gelu by erf / by tanh"),
        ("flatten", "'5' / 'gelu_b'; the first to depart is '8' / 'head'", "flatten order: f and g flatten"),
        ("scale", "'5' / 'gelu_b'; the first to depart is '8' / 'head'", "kernel differs by up to"),
    ],
)
def test_a_wrong_port_is_found_at_its_layer(mistake: str, layers: str, why: str) -> None:
    model = original()
    with pytest.raises(ParityError) as caught:
        assert_parity(model, port(model, mistake), X, layouts=LAYOUTS)
    text = caught.value.parity.layers
    assert layers in text
    assert why in text
    assert text in str(caught.value)


def test_the_other_way_round() -> None:
    model = original()
    found = compare(port(model, "epsilon"), model, X.transpose(0, 2, 1), layouts=LAYOUTS[::-1], gradients=False)
    assert "'conv_b' / '3'; the first to depart is 'norm_b' / '4'" in found.layers
    assert "epsilon differs: 0.001 / 1e-05" in found.layers


def test_fused_activations_are_layers_of_their_own() -> None:
    import keras
    import torch
    from torch import nn

    with torch.random.fork_rng():
        torch.manual_seed(1)
        model = nn.Sequential(nn.Conv1d(5, 6, 3), nn.ReLU(), nn.Conv1d(6, 4, 3), nn.Tanh())
    layers = [keras.layers.Conv1D(6, 3, activation="relu"), keras.layers.Conv1D(4, 3, activation="sigmoid")]
    other = keras.Sequential([keras.Input((40, 5)), *layers])
    for number, layer in zip((0, 2), layers, strict=True):
        part: Any = model[number]
        layer.set_weights([part.weight.detach().numpy().transpose(2, 1, 0), part.bias.detach().numpy()])
    text = compare(model, other, X, layouts=LAYOUTS, gradients=False).layers
    assert f"the first to depart is '3' / \"{layers[1].name}'s activation\"" in text
    assert layers[1].activation is keras.activations.sigmoid


def test_what_is_no_layer_is_said_to_lie_between() -> None:
    import torch
    from torch import nn

    class Branch(nn.Module):
        def __init__(self, scale: float) -> None:
            super().__init__()
            self.first, self.second, self.scale = nn.Linear(40, 8), nn.Linear(8, 3), scale

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            second: torch.Tensor = self.second(self.first(x) * self.scale)
            return second

    with torch.random.fork_rng():
        torch.manual_seed(2)
        one, other = Branch(1.0), Branch(2.0)
    other.load_state_dict(one.state_dict())
    text = compare(one, other, X, gradients=False).layers
    assert "agree up to 'first' / 'first'; then 'second' / 'second' get different inputs" in text
    assert "it is in the code of a model" in text


def test_an_early_small_error_is_not_blamed_on_a_later_layer() -> None:
    """The second layer amplifies by 1e4 what the first does wrong by 2^-18; on the same input it is right."""
    import torch
    from torch import nn

    with torch.random.fork_rng():
        torch.manual_seed(3)
        one, other = (nn.Sequential(nn.Linear(40, 40), nn.LayerNorm(40), nn.Linear(40, 2)) for _ in range(2))
    other.load_state_dict(one.state_dict())
    for model in (one, other):
        last: Any = model[2]
        last.weight.data *= 1e4
    first: Any = other[0]
    first.weight.data *= 1 + 2.0**-18
    assert "the inputs; the first to depart is '0' / '0'" in compare(one, other, X, gradients=False).layers


def test_nothing_of_the_models_changes() -> None:
    import keras
    import torch

    model = original()
    model[4].train()
    other = port(model, "epsilon")
    modes = [module.training for module in model.modules()]
    before = [value.clone() for value in model.state_dict().values()], other.get_weights()
    hooks = sum(len(module._forward_hooks) for module in model.modules())
    compare(model, other, X, layouts=LAYOUTS, training=False)
    compare(model, other, X, layouts=LAYOUTS, training=True, gradients=False)
    assert [module.training for module in model.modules()] == modes
    assert all(torch.equal(a, b) for a, b in zip(before[0], model.state_dict().values(), strict=True))
    assert all(np.array_equal(a, b) for a, b in zip(before[1], other.get_weights(), strict=True))
    assert sum(len(module._forward_hooks) for module in model.modules()) == hooks
    assert all(parameter.grad is None for parameter in model.parameters())
    assert not any("call" in vars(layer) for layer in other._flatten_layers())
    assert keras.config.dtype_policy().name == "float32"

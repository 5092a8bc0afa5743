"""Whole torch networks to 1-D: exact, in the state they were in, and what of them is new."""

from __future__ import annotations

import pickle
import re
import runpy
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import xconv
from tests.two_dimensional_networks import NETWORKS, VGG, StochasticDepth, randomized
from xconv.core.bounds import gamma
from xconv.core.cost import receptive_field
from xconv.testing import assert_parity, on

ROUNDING = 1e-12
"""float64's unit roundoff is 1.1e-16; these networks sum some thousand terms of order one in each of their layers."""

CUT = ("densenet", "vgg")
"""Their pools refuse an axis of size one."""


def network(name: str) -> Any:
    torch.manual_seed(0)
    return randomized(NETWORKS[name]())


@pytest.mark.parametrize("axis", ["height", "width"])
@pytest.mark.parametrize("name", NETWORKS)
def test_networks_are_exact_on_images_of_size_one(name: str, axis: Any) -> None:
    model = network(name)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    made = xconv.to_1d(model, input_shape=(3, 64), axis=axis)
    report = made.report
    assert report.counts()["heuristic"] == report.counts()["refused"] == 0
    proof = report.verify()
    assert proof, str(proof)
    assert proof.tolerance < 1e-10
    signals = torch.randn(3, 3, 64)
    if name not in CUT:
        images = signals.unsqueeze(2 if axis == "height" else 3)
        wanted, got = model.double()(images.double()), made.model.double()(signals.double())
        assert (wanted.amax(0) - wanted.amin(0)).max() > 1e6 * ROUNDING
        assert (wanted - got).abs().max() <= ROUNDING * max(1, wanted.abs().max())
        model.float()
    else:
        assert any("cut to the axis of size one" in condition for condition in report.conditions)
    assert not [m for m in made.model.modules() if type(m).__name__.endswith("2d")]
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    assert report.parameters == tuple(sum(p.numel() for p in m.parameters()) for m in (model, made.model))
    assert report.parameters[1] < report.parameters[0]


def test_a_constant_image_is_exact_without_padding() -> None:
    torch.manual_seed(0)
    model = randomized(
        nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(8 * 15 * 7, 10))
    )
    made = xconv.to_1d(model, input_shape=(3, 16), embedding="constant", size=32)
    assert made.report.verify()
    # the models as users call them, in float32; weights that were summed are moved by their rounding, as inputs are
    signals = torch.randn(2, 3, 16).numpy()
    assert_parity(on("torch", lambda x: model(x.unsqueeze(2).expand(-1, -1, 32, -1))), on("torch", made.model), signals)
    assert made.model.get_submodule("4").weight.shape == (10, 8 * 7)


def test_a_folded_spectrogram_is_exact() -> None:
    model = network("mobilenet_v3")
    made = xconv.to_1d(model, input_shape=(3 * 8, 20), embedding="folded", size=8, axis="width")
    assert made.report.verify()
    assert {step.rule for step in made.report.steps} >= {"Toeplitz kernel", "reshape", "copied for each row"}


def test_states_dtypes_and_gradients_are_kept() -> None:
    model = network("resnet18")
    model.train()
    model.bn1.eval()
    model.conv1.weight.requires_grad_(False)
    model.to(torch.bfloat16)
    random = torch.random.get_rng_state()
    made = xconv.to_1d(model, input_shape=(3, 64)).model
    assert torch.equal(random, torch.random.get_rng_state())
    assert made.training
    assert made.get_submodule("layer1.0.bn1").training
    assert not made.bn1.training
    assert {p.dtype for p in made.parameters()} == {torch.bfloat16}
    assert not made.conv1.weight.requires_grad
    assert made.fc.weight.requires_grad
    assert made.fc.weight is not model.fc.weight
    assert torch.equal(made.bn1.running_var, model.bn1.running_var)
    assert type(made).__name__ == "ResNet1d"


def test_training_goes_the_same_way() -> None:
    model = network("resnet18").double().train()
    made = xconv.to_1d(model, input_shape=(3, 64)).model
    signals = torch.randn(4, 3, 64, dtype=torch.float64)
    for network_, x in ((model, signals.unsqueeze(2)), (made, signals)):
        network_(x).square().sum().backward()
    assert torch.allclose(made.fc.weight.grad, model.fc.weight.grad)
    grad = model.conv1.weight.grad[:, :, 3]
    assert torch.allclose(made.conv1.weight.grad, grad)
    assert torch.allclose(made.bn1.running_mean, model.bn1.running_mean)


def test_what_is_dropped_in_training_is_dropped_again() -> None:
    for name in ("densenet", "efficientnet"):
        made = xconv.to_1d(network(name), input_shape=(3, 64)).model
        x = torch.randn(4, 3, 64)
        assert torch.equal(made(x), made(x))
        for module in made.modules():
            module.training = not isinstance(module, nn.BatchNorm1d)
        for module in made.modules():
            if isinstance(module, nn.Dropout):
                module.eval()  # the last layers' own, so that only the inner ones are seen
        assert not torch.equal(made(x), made(x)), name


def test_a_wrong_weight_is_seen_and_a_right_one_again() -> None:
    made = xconv.to_1d(network("mobilenet_v2"), input_shape=(3, 64))
    weight = dict(made.model.named_parameters())["features.0.0.weight"]
    right = weight.detach().clone()
    with torch.no_grad():
        weight[0, 0, 0] *= 1 + 1e-3
    assert made.report.verify().verdict == "differ"
    with torch.no_grad():
        weight.copy_(right)
    assert made.report.verify().verdict == "agree"


def test_a_summed_weight_that_is_off_is_seen() -> None:
    made = xconv.to_1d(network("vgg"), input_shape=(3, 64))
    assert made.report.verify()
    with torch.no_grad():
        made.model.get_submodule("classifier.0").weight[0, 0] += 1e-5
    assert made.report.verify().verdict == "differ"


def test_outputs_that_do_not_vary_prove_nothing() -> None:
    model = network("resnet18")
    nn.init.zeros_(model.fc.weight)
    assert xconv.to_1d(model, input_shape=(3, 64)).report.verify().verdict == "proves nothing"


@pytest.mark.parametrize(("rule", "channels"), [("mean", 1), ("mean", 5), ("repeat", 1), ("repeat", 5)])
def test_channels_are_adapted(rule: str, channels: int) -> None:
    model = network("mobilenet_v2").double()
    made = xconv.to_1d(model, input_shape=(channels, 64), channels=rule)
    assert made.report.verify()
    x = torch.randn(2, channels, 64, dtype=torch.float64)
    if rule == "mean":
        image = x.mean(1, keepdim=True).expand(-1, 3, -1)
    else:
        image = torch.stack([x[:, c::3].sum(1) if c < channels else 0 * x[:, 0] for c in range(3)], 1) * (3 / channels)
    assert (made.model(x) - model(image.unsqueeze(2))).abs().max() <= ROUNDING


def test_a_new_first_layer_is_not_compared_and_what_follows_is() -> None:
    made = xconv.to_1d(network("mobilenet_v2"), input_shape=(5, 64), channels="new")
    assert made.model.get_submodule("features.0.0").weight.shape == (8, 5, 3)
    proof = made.report.verify()
    assert proof, str(proof)
    assert "new first layer" in proof.detail
    with torch.no_grad():
        made.model.get_submodule("features.2.0.block.0.0").weight[0, 0] += 0.1
    assert made.report.verify().verdict == "differ"


def test_a_new_head_is_not_compared_and_what_precedes_it_is() -> None:
    made = xconv.to_1d(network("vgg"), input_shape=(3, 64), head=10)
    assert made.model(torch.zeros(2, 3, 64)).shape == (2, 10)
    proof = made.report.verify()
    assert proof, str(proof)
    assert "up to the new head" in proof.detail
    with torch.no_grad():
        made.model.get_submodule("classifier.0").weight[0, 0] += 0.1
    assert made.report.verify().verdict == "differ"


def test_a_head_for_another_length() -> None:
    """The small pair of an image classifier and its 1-D counterpart: the old head has 8 rows, the new has one."""
    torch.manual_seed(0)
    layers = (nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(8 * 8 * 8, 10))
    model = randomized(nn.Sequential(*layers))
    with pytest.raises(xconv.ArgumentError, match=r"(?s)head= makes a new last layer.*4, Linear"):
        xconv.to_1d(model, input_shape=(3, 16))
    made = xconv.to_1d(model, input_shape=(3, 16), head=4)
    assert made.model(torch.zeros(2, 3, 16)).shape == (2, 4)
    assert made.report.verify()


def test_a_convolution_as_the_head() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 5, 1), nn.AdaptiveAvgPool2d(1))
    made = xconv.to_1d(nn.Sequential(model, nn.Flatten()).eval(), input_shape=(3, 30), head=2)
    assert made.model(torch.zeros(2, 3, 30)).shape == (2, 2)
    assert made.report.verify()


def test_vgg_on_an_image_line_by_line() -> None:
    model: Any = randomized(VGG())
    with pytest.raises(xconv.ArgumentError, match=r"(?s)5 layers.*a line apart.*kernel_rule='row'"):
        xconv.to_1d(model, input_shape=(3, 256), embedding="raster", size=16)
    made = xconv.to_1d(model, input_shape=(3, 256), embedding="raster", size=16, kernel_rule="row", head=10)
    first = made.model.get_submodule("features.0").weight
    assert torch.equal(first, model.features[0].weight[:, :, 1])
    assert torch.equal(made.model.get_submodule("classifier.0").weight, model.classifier[0].weight)
    assert made.model(torch.zeros(2, 3, 256)).shape == (2, 10)
    assert "16 apart" in made.report.warnings[0]
    proof = made.report.verify()
    assert proof.verdict == "heuristic"
    assert not proof


def test_rules_that_are_not_exact_are_heuristic() -> None:
    model = network("resnet18")
    with pytest.raises(
        xconv.ArgumentError, match=r"(?s)9 layers .*zero padding makes the border along the height differ"
    ):
        xconv.to_1d(model, input_shape=(3, 32), embedding="constant", size=24)
    weights = model.conv1.weight
    for rule, wanted in (("sum", weights.sum(2)), ("mean", weights.mean(2)), ("row", weights[:, :, 3])):
        made = xconv.to_1d(model, input_shape=(3, 32), embedding="constant", size=24, kernel_rule=rule)
        bound = gamma(weights.shape[2] + 1) * weights.abs().sum(2)  # sums of as many terms, in any order
        assert bool(((made.model.conv1.weight - wanted).abs() <= 2 * bound).all())
        assert made.report.counts()["heuristic"] == 9
        assert made.report.verify().verdict == "heuristic"
    # an exact rule is taken where there is one
    made = xconv.to_1d(model, input_shape=(3, 64), kernel_rule="mean")
    assert torch.equal(made.model.conv1.weight, weights[:, :, 3])
    # where the image itself is too small for the kernel
    small: Any = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU()).eval()
    made = xconv.to_1d(small, input_shape=(3, 32), kernel_rule="row")
    x = torch.randn(1, 3, 32)
    assert torch.equal(made.model(x), F.relu(F.conv1d(x, small[0].weight[:, :, 1], small[0].bias)))


def test_receptive_fields_of_stacks_and_of_the_longest_branch() -> None:
    layers = (nn.Conv2d(3, 4, (5, 3), padding=(2, 1)), nn.MaxPool2d((1, 2)), nn.Conv2d(4, 4, 3, 2, (2, 2), 2))
    made = xconv.to_1d(nn.Sequential(*layers, nn.Conv2d(4, 4, (3, 7), padding=(1, 3))), input_shape=(3, 64))
    field = made.report.receptive_field
    assert field is not None
    assert field.after == receptive_field([(3, 1, 1), (2, 2, 1), (3, 2, 2), (7, 1, 1)])
    assert field.before == (receptive_field([(5, 1, 1), (1, 1, 1), (3, 2, 2), (3, 1, 1)]), field.after)
    turned = xconv.to_1d(nn.Conv2d(3, 4, (5, 3), padding=(2, 1)), input_shape=(3, 64), axis="width")
    assert str(turned.report.receptive_field) == "receptive field: 5 x 3 (height x width) -> 5"

    class Branches(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.short = nn.Conv2d(3, 4, 1, 2)
            self.long = nn.Sequential(nn.Conv2d(3, 4, 3, 2, 1), nn.Conv2d(4, 4, 5, 1, 2))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.cat([self.short(x), self.long(x)], 1)

    field = xconv.to_1d(Branches(), input_shape=(3, 64)).report.receptive_field
    assert field is not None
    assert field.after == receptive_field([(3, 2, 1), (5, 1, 1)])


@torch.fx.wrap
def noisy(x: torch.Tensor, scale: float, training: bool) -> torch.Tensor:
    return x + scale * torch.randn_like(x) if training else x


class Noise(nn.Module):
    """A function that the tracer does not look into, and that is told the mode by its place."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return noisy(self.conv(x), 0.5, self.training)


def test_a_wrapped_function_goes_on_being_told_the_mode() -> None:
    made = xconv.to_1d(Noise().eval(), input_shape=(3, 20))
    assert made.report.verify()
    x = torch.randn(1, 3, 20)
    assert torch.equal(made.model(x), made.model(x))
    made.model.train()
    assert not torch.equal(made.model(x), made.model(x))
    assert not made.report.warnings


class UNet(nn.Module):
    """An encoder and a decoder that joins what the encoder had."""

    def __init__(self, up: nn.Module) -> None:
        super().__init__()
        self.down, self.deep = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 6, 3, padding=1)
        self.pool, self.up, self.joined = nn.MaxPool2d(2), up, nn.Conv2d(14, 2, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.relu(self.down(x))
        return self.joined(torch.cat([self.up(F.relu(self.deep(self.pool(x)))), x], 1))


def test_decoders_join_what_encoders_had() -> None:
    torch.manual_seed(0)
    for up in (nn.Upsample(scale_factor=2, mode="bilinear"), nn.UpsamplingNearest2d(size=(2, 32))):
        made = xconv.to_1d(UNet(up), input_shape=(3, 32), axis="height")
        assert made.report.verify()
        assert made.model(torch.zeros(1, 3, 32)).shape == (1, 2, 32)
        assert any("stays so" in condition for condition in made.report.conditions)
    assert xconv.to_1d(
        UNet(nn.Upsample(scale_factor=2)), input_shape=(12, 32), embedding="folded", size=4
    ).report.verify()
    transposed = UNet(nn.ConvTranspose2d(6, 6, 2, 2))
    with pytest.raises(xconv.ArgumentError, match="makes different rows along the height"):
        xconv.to_1d(transposed, input_shape=(3, 32))
    made = xconv.to_1d(transposed, input_shape=(3, 32), kernel_rule="row")
    proof = made.report.verify()
    assert proof.verdict == "heuristic"
    assert proof.error < ROUNDING  # the original was run with the same row
    assert "cut" in proof.detail


def test_each_device_keeps_its_models() -> None:
    for device in xconv.get_backend("torch").devices():
        model = network("mobilenet_v3").to(device)
        for options in ({"input_shape": (3, 64)}, {"input_shape": (12, 32), "embedding": "folded", "size": 4}):
            made = xconv.to_1d(model, **options)
            assert {str(p.device) for p in made.model.parameters()} == {str(next(model.parameters()).device)}
            assert made.report.verify()


def test_what_differs_in_training_is_warned_of() -> None:
    class Forked(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.aux = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 4, 1)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = self.conv(x)
            return x + self.aux(x) if self.training else x

    made = xconv.to_1d(nn.Sequential(Forked(), StochasticDepth(0.5, "row")), input_shape=(3, 20))
    assert made.report.warnings[0].startswith("0 does something else in training")
    assert isinstance(made.model.get_submodule("1"), StochasticDepth)
    assert made.report.verify()
    parametrized = nn.utils.parametrizations.weight_norm(nn.Conv2d(3, 4, 3, padding=1))
    made = xconv.to_1d(nn.Sequential(parametrized), input_shape=(3, 20))
    assert "parametrization" in made.report.warnings[0]
    assert made.report.verify()
    assert made.report.verify()
    assert parametrized.weight.shape == (4, 3, 3, 3)
    assert made.model.get_submodule("0").weight.requires_grad


def test_a_result_can_be_saved_and_takes_other_lengths() -> None:
    made = xconv.to_1d(network("regnet_y"), input_shape=(3, 64)).model
    assert made(torch.zeros(1, 3, 200)).shape == (1, 6)
    every: dict[str, dict[str, Any]] = {
        "densenet": {"input_shape": (3, 64)},
        "vgg": {"input_shape": (3 * 8, 32), "embedding": "folded", "size": 8},
    }
    for name, options in every.items():
        made, again = (xconv.to_1d(network(name), **options).model for _ in range(2))
        again.load_state_dict(made.state_dict())
        x = torch.randn(1, *options["input_shape"])
        assert torch.equal(made(x), again(x))
        assert torch.equal(pickle.loads(pickle.dumps(made))(x), made(x))
    with pytest.raises(xconv.ArgumentError, match="it is one-dimensional already"):
        xconv.to_1d(made, input_shape=(3, 64))


def test_the_page_shows_what_the_example_prints(capsys: pytest.CaptureFixture[str]) -> None:
    root = Path(__file__).parent.parent.parent
    page = (root / "docs" / "conversion.md").read_text("utf-8")
    shown = re.search(r"```console\n\$ python examples/convert_to_1d\.py\n(.*?)```", page, re.DOTALL)
    runpy.run_path(str(root / "examples" / "convert_to_1d.py"), run_name="__main__")

    def words(text: str) -> list[str]:
        # the proof's line has numbers that differ from machine to machine
        return [re.sub(r"\d\.?\d*e-\d+|\b0\.\d+\b|error 0,", "#", line.strip()) for line in text.strip().splitlines()]

    assert shown
    assert words(shown[1]) == words(capsys.readouterr().out)

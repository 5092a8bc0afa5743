"""Receptive fields against what really changes when one element of the input changes."""

from __future__ import annotations

import doctest
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import xconv
from xconv.core import cost
from xconv.models.field_report import ReceptiveField
from xconv.models.fields import Field, resized, sliding, transposed

LENGTH, HEIGHT, WIDTH = 40, 11, 13


def seen_by(outputs: np.ndarray) -> Iterator[tuple[tuple[int, ...], np.ndarray]]:
    """For each output position the inputs that change it.

    Args:
        outputs: (inputs + 1, channels, ...): the first of the model as it is, the others each with one element of its
            input made large. Weights are positive, so nothing cancels; a change is thousands of times the rounding.
    """
    base, *changed = outputs
    for position in np.ndindex(base.shape[1:]):
        at = (slice(None), *position)
        effect = np.array([np.abs(one[at] - base[at]).max() for one in changed])
        yield position, np.flatnonzero(effect > 1e-4 * np.abs(base[at]).max())


def bumped(shape: tuple[int, ...]) -> np.ndarray:
    """(inputs + 1, *shape): ones, and for each element ones with that element large."""
    size = int(np.prod(shape))
    return (1 + 1000 * np.eye(size + 1, size, -1, dtype="float32")).reshape(-1, *shape)


def assert_right(found: ReceptiveField, outputs: np.ndarray, borders: str = "exact") -> None:
    """Each output sees from the first to the last element that the field says, cut at the ends of the input.

    Where a field reaches over the border, "within" asks for no more than that nothing else is seen: a tap may be the
    last one of its view and lie in a padding of the layers between. "other" asks for nothing: borders repeat elements.
    """
    for position, seen in seen_by(outputs):
        at = position or (0,) * len(found.lengths)
        views = found.view(*at)
        views = views if len(found.lengths) > 1 else (views,)
        places = np.unravel_index(seen, found.lengths)
        for view, place, field, length, one in zip(views, places, found.fields, found.lengths, at, strict=True):
            real = (place.min(), place.max()) if place.size else None
            raw = field.at(one)
            if borders == "exact" or (raw and raw[0] >= 0 and raw[1] < length):
                assert view == real, position
            elif borders == "within":
                assert real is None or (view[0] <= real[0] and real[1] <= view[1]), position


def torch_models() -> dict[str, Callable[[], Any]]:
    import torch
    import torch.nn.functional as F
    from torch import nn

    class UNet(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.down = nn.Conv1d(1, 2, 3, padding=1), nn.Conv1d(2, 2, 4, 2, 1)
            self.up, self.out = nn.ConvTranspose1d(2, 2, 4, 2, 1), nn.Conv1d(4, 1, 3, padding=1)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            a = self.a(x).relu()
            y: torch.Tensor = self.out(torch.cat([a, self.up(F.max_pool1d(self.down(a), 3, 1, 1))], 1))
            return y

    class Written(nn.Module):
        def __init__(self, write: Callable[..., torch.Tensor], *layers: nn.Module) -> None:
            super().__init__()
            self.layers, self.write = nn.ModuleList(layers), write

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.write(x, *self.layers)

    def stack(*layers: nn.Module) -> Callable[[], Any]:
        return lambda: nn.Sequential(*layers)

    def written(write: Callable[..., torch.Tensor], *layers: nn.Module) -> Callable[[], Any]:
        return lambda: Written(write, *layers)

    def conv(inputs: int = 1, outputs: int = 2, kernel: int = 3, **options: Any) -> nn.Module:
        return nn.Conv1d(inputs, outputs, kernel, **options)

    return {
        "stack": stack(conv(), nn.ReLU(), nn.MaxPool1d(2), conv(2, kernel=4, stride=3, dilation=2, padding=2)),
        "normed": stack(conv(), nn.BatchNorm1d(2), nn.GELU(), nn.AvgPool1d(3, 2, 1), nn.Hardswish(inplace=True)),
        "depthwise": stack(conv(1, 4), conv(4, 4, groups=4, dilation=3), nn.PReLU(), conv(4, 2, 1)),
        "reflect": stack(conv(padding=2, padding_mode="reflect")),
        "circular": stack(conv(padding=1), conv(2, padding=2, padding_mode="circular")),
        "transposed": stack(nn.ConvTranspose1d(1, 2, 5, stride=3, padding=1, output_padding=1), conv(2)),
        "transposed after stride": stack(conv(stride=2), nn.ConvTranspose1d(2, 2, 3, stride=4), conv(2, stride=3)),
        "holes": stack(nn.ConvTranspose1d(1, 1, 2, stride=3)),
        "dilated transposed": stack(nn.ConvTranspose1d(1, 1, 3, stride=2, dilation=3)),
        "nearest": stack(conv(stride=2), nn.Upsample(scale_factor=2), conv(2)),
        "linear": stack(nn.Upsample(scale_factor=2, mode="linear"), conv(1)),
        "global": stack(conv(), nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(2, 3)),
        "adaptive": stack(nn.AdaptiveMaxPool1d(7)),
        "flatten": stack(conv(kernel=5, stride=7), nn.Flatten(), nn.Linear(12, 3)),
        "layer norm": stack(conv(), nn.LayerNorm(38)),
        "group norm": stack(conv(1, 4), nn.GroupNorm(2, 4)),
        "instance norm": stack(conv(), nn.InstanceNorm1d(2)),
        "unet": UNet,
        "residual": written(lambda x, c: x + c(x), conv(1, 1, 5, dilation=2, padding=4)),
        "branches": written(lambda x, a, b: a(x) * b(x), conv(kernel=3, padding=1), conv(kernel=7, padding=3)),
        "strided branches": written(
            lambda x, a, b: a(x) + F.avg_pool1d(b(x), 2), conv(1, 2, 4, stride=2, padding=1), conv(1, 2, 1)
        ),
        "squeeze and excite": written(lambda x, c: c(x) * c(x).mean(-1, keepdim=True), conv()),
        "dense on each step": written(lambda x, c, d: d(c(x).transpose(1, 2)).transpose(1, 2), conv(), nn.Linear(2, 5)),
        "einsum": written(lambda x, c: torch.einsum("ncl,co->nol", c(x), torch.ones(2, 3)), conv()),
        "last step": written(lambda x, c: c(x)[:, :, -1], conv(kernel=6)),
        "sliced": written(lambda x, c: c(F.pad(x, (3, -4)))[:, :, 2:-2:3], conv()),
        "chunks": written(lambda x, c: torch.add(*c(x).chunk(2, dim=1)), conv()),
        "halves": written(lambda x, c: torch.add(*c(x).chunk(2, dim=2)), conv()),
        "written into": written(_written_into, conv()),
        "softmax": written(lambda x, c: c(x).softmax(-1), conv(kernel=2)),
        "unfolded": written(lambda x: x.unfold(2, 3, 1).sum(-1)),
        "outer": written(lambda x, c: c(x) + c(x).transpose(1, 2), conv(1, 1)),
        "nothing": written(lambda x: x),
    }


def _written_into(x: Any, layer: Any) -> Any:
    y = layer(x).clone()
    y[:, :, :1] = y[:, :, -1:]
    return y


MIXED = ("written into", "unfolded")
"""What is not followed exactly is taken to see all."""

BORDERS = {
    **dict.fromkeys(("stack", "dilated transposed", "residual", "pools", "transposed valid"), "within"),
    **dict.fromkeys(("reflect", "circular"), "other"),
}

NORMS = ("layer norm", "group norm", "instance norm", "softmax")


def positive_torch(model: Any) -> Any:
    import torch

    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                scale = parameter[0].numel()
                parameter.copy_((torch.rand(parameter.shape, generator=generator) + 0.5) / scale)
            elif parameter.numel() > 1:
                parameter.abs_()
    return model.eval()


@pytest.mark.parametrize("name", torch_models())
def test_torch_models_see_what_changes_them(name: str) -> None:
    import torch

    model = positive_torch(torch_models()[name]())
    found = xconv.receptive_field(model, (2, 1, LENGTH))
    with torch.no_grad():
        outputs = model(torch.from_numpy(bumped((1, LENGTH)))).numpy()
    assert bool(found.notes) == (name == "unfolded")
    if name in MIXED:
        assert found.sees_everything
        return
    assert_right(found, outputs, BORDERS.get(name, "exact"))
    assert str(found)
    assert found.sees_everything == (name in ("global", "flatten", "squeeze and excite", "outer", *NORMS))


def test_a_gradient_says_the_same() -> None:
    """d output[o] / d input is not zero exactly where the field says, for a net that is smooth."""
    import torch
    from torch import nn

    model = positive_torch(nn.Sequential(nn.Conv1d(1, 3, 5, stride=2, padding=1), nn.ConvTranspose1d(3, 2, 4, 2)))
    found = xconv.receptive_field(model, (1, 1, LENGTH))
    x = torch.rand(1, 1, LENGTH, requires_grad=True)
    y = model(x).sum((0, 1))
    for position in range(len(y)):
        [gradient] = torch.autograd.grad(y[position], x, retain_graph=True)
        seen = np.flatnonzero(gradient.numpy())
        assert found.view(position) == ((seen.min(), seen.max()) if seen.size else None)


def test_torch_maps() -> None:
    import torch
    from torch import nn

    model = positive_torch(
        nn.Sequential(
            nn.Conv2d(1, 2, (1, 3), padding=(0, 1)),
            nn.ReLU(),
            nn.AvgPool2d((2, 1)),
            nn.Conv2d(2, 1, 3, dilation=(1, 2)),
        )
    )
    found = xconv.receptive_field(model, (1, 1, HEIGHT, WIDTH))
    assert (found.size, found.stride, found.start) == ((6, 7), (2, 1), (0, -1))
    with torch.no_grad():
        assert_right(found, model(torch.from_numpy(bumped((1, HEIGHT, WIDTH)))).numpy())
    assert [layer.path for layer in found.layers] == ["0", "2", "3"]
    rows = nn.Sequential(nn.Flatten(0, 1), nn.Conv1d(HEIGHT, 2, 3))
    assert xconv.receptive_field(rows, (1, 1, HEIGHT, WIDTH)).size == (HEIGHT, 3)


def test_a_torch_model_is_left_as_it_was() -> None:
    import torch
    from torch import nn

    model = nn.Sequential(nn.Conv1d(1, 2, 3), nn.BatchNorm1d(2), nn.Dropout(0.5)).train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    xconv.receptive_field(model, (1, 1, 9))
    assert model.training
    assert model[1].training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


def keras_models() -> dict[str, Callable[[], Any]]:
    import keras
    from keras import layers

    def stack(*each: Any) -> Callable[[], Any]:
        return lambda: keras.Sequential(list(each))

    def functional(write: Callable[[Any], Any]) -> Callable[[], Any]:
        def make() -> Any:
            x = keras.Input((None, 1))
            return keras.Model(x, write(x))

        return make

    class Subclassed(keras.Model):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.first, self.inner = layers.Conv1D(2, 3), keras.Sequential([layers.Conv1D(2, 4, strides=2)])

        def call(self, x: Any) -> Any:
            return self.inner(keras.ops.relu(self.first(x)) * 2.0)

    class Block(keras.layers.Layer):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.conv = layers.Conv1D(1, 5, padding="same")

        def build(self, shape: Any) -> None:
            self.conv.build(shape)

        def call(self, x: Any) -> Any:
            return x + self.conv(x)

    def unet(x: Any) -> Any:
        a = layers.Conv1D(2, 3, padding="same", activation="relu")(x)
        down = layers.Conv1D(2, 4, strides=2, padding="same")(a)
        up = layers.Conv1DTranspose(2, 4, strides=2, padding="same")(down)
        return layers.Conv1D(1, 3, padding="causal")(layers.Concatenate()([a, up]))

    def excite(x: Any) -> Any:
        y = layers.Conv1D(2, 3)(x)
        return layers.Multiply()([y, layers.Reshape((1, 2))(layers.GlobalAveragePooling1D()(y))])

    conv = layers.Conv1D
    return {
        "stack": stack(conv(2, 3), layers.MaxPooling1D(2), conv(2, 4, strides=3, padding="same")),
        "pools": stack(layers.AveragePooling1D(3, 2, padding="same"), conv(2, 3, dilation_rate=2, padding="same")),
        "depthwise": stack(conv(2, 3), layers.DepthwiseConv1D(3, padding="same"), layers.SeparableConv1D(2, 5)),
        "normed": stack(conv(2, 3), layers.BatchNormalization(), layers.ReLU(), layers.Dropout(0.5)),
        "transposed": stack(layers.Conv1DTranspose(2, 5, strides=3, padding="same"), conv(1, 3)),
        "transposed valid": stack(conv(2, 3, strides=2), layers.Conv1DTranspose(2, 5, strides=3), conv(1, 2)),
        "borders": stack(layers.ZeroPadding1D((3, 1)), conv(2, 3), layers.Cropping1D((2, 4)), layers.UpSampling1D(3)),
        "global": stack(conv(2, 3), layers.GlobalMaxPooling1D(), layers.Dense(3)),
        "flatten": stack(conv(2, 5, strides=7), layers.Flatten(), layers.Dense(3)),
        "dense on each step": stack(conv(2, 3), layers.Dense(5), layers.TimeDistributed(layers.Dense(2))),
        "layer norm": stack(
            conv(4, 3), layers.Permute((2, 1)), layers.LayerNormalization(axis=2), layers.Permute((2, 1))
        ),
        "unet": functional(unet),
        "squeeze and excite": functional(excite),
        "sliced": functional(lambda x: layers.Conv1D(2, 3)(x)[:, 2:-3:2, :] + 1.0),
        "last step": functional(lambda x: layers.Conv1D(2, 6)(x)[:, -1, :]),
        "operations": functional(lambda x: keras.ops.mean(layers.Conv1D(4, 3)(x) ** 2, axis=-1, keepdims=True)),
        "subclassed": Subclassed,
        "block": stack(conv(1, 2), Block(), Block()),
        "nested": stack(conv(1, 2), keras.Sequential([conv(2, 3), keras.Sequential([conv(2, 3)])])),
    }


def positive_keras(model: Any) -> Any:
    rng = np.random.default_rng(0)
    for variable in model.trainable_variables:
        if len(variable.shape) > 1:
            scale = np.prod(variable.shape[:-1])
            variable.assign((rng.random(variable.shape) + 0.5) / scale)
    return model


@pytest.mark.parametrize("name", keras_models())
def test_keras_models_see_what_changes_them(name: str) -> None:
    model = keras_models()[name]()
    found = xconv.receptive_field(model, (1, LENGTH, 1))
    x = bumped((LENGTH, 1))
    model(x[:1])
    outputs = np.asarray(positive_keras(model)(x, training=False))
    assert found.notes == ()
    assert_right(found, np.moveaxis(outputs, -1, 1), BORDERS.get(name, "exact"))
    assert str(found)
    assert found.sees_everything == (name in ("global", "flatten", "squeeze and excite", "layer norm"))


def test_keras_maps() -> None:
    import keras
    from keras import layers

    model = keras.Sequential(
        [layers.Conv2D(2, (1, 3), padding="same"), layers.AveragePooling2D((2, 1)), layers.Conv2D(1, 3)]
    )
    found = xconv.receptive_field(model, (1, HEIGHT, WIDTH, 1))
    assert (found.size, found.stride, found.start) == ((6, 5), (2, 1), (0, -1))
    outputs = np.asarray(positive_keras(model)(bumped((HEIGHT, WIDTH, 1))))
    assert_right(found, np.moveaxis(outputs, -1, 1))


def test_a_keras_layer_that_cannot_be_followed() -> None:
    import keras
    import tensorflow as tf
    from keras import layers

    class Own(layers.Layer):  # type: ignore[misc]
        def call(self, x: Any) -> Any:
            return tf.nn.relu(tf.convert_to_tensor(x))

        def compute_output_shape(self, shape: Any) -> Any:
            return shape

    found = xconv.receptive_field(keras.Sequential([layers.Conv1D(2, 3), Own(name="own")]), (1, LENGTH, 1))
    assert found.sees_everything
    assert found.notes == ("own cannot be looked into: it is taken to see all that reaches it.",)
    assert "own cannot be looked into" in str(found)


def test_frameworks_agree_on_the_articles_nets() -> None:
    """(100, 1) -> 64 k3, pool 2, 128 k3, pool 2, Flatten, Dense 10: 10 elements before it is flattened, then all."""
    from keras import Sequential, layers
    from torch import nn

    ours = nn.Sequential(nn.Conv1d(1, 64, 3), nn.MaxPool1d(2), nn.Conv1d(64, 128, 3), nn.MaxPool1d(2))
    theirs = Sequential([layers.Conv1D(64, 3), layers.MaxPooling1D(2), layers.Conv1D(128, 3), layers.MaxPooling1D(2)])
    a, b = xconv.receptive_field(ours, (1, 1, 100)), xconv.receptive_field(theirs, (1, 100, 1))
    assert a.fields == b.fields
    assert [layer.fields for layer in a.layers] == [layer.fields for layer in b.layers]
    assert a.size == b.size == cost.receptive_field([(3, 1, 1), (2, 2, 1), (3, 1, 1), (2, 2, 1)]) == 10
    assert (a.stride, a.start, a.view(22)) == (4, 0, (88, 97))
    head = nn.Sequential(ours, nn.Flatten(), nn.Linear(128 * 23, 10))
    whole = xconv.receptive_field(head, (1, 1, 100))
    # the last two elements are in no pool's window
    assert (whole.size, whole.stride, whole.sees_everything) == (98, 0, False)
    assert "One output sees 98 of 100, all the same, from 0" in str(whole)


def test_a_stack_is_as_the_formula_has_it() -> None:
    rng = np.random.default_rng(0)
    for _ in range(50):
        layers = [(int(k), int(s), int(d)) for k, s, d in rng.integers(1, 5, (4, 3))]
        field = Field()
        for kernel, stride, dilation in layers:
            field = field.through(sliding(kernel, stride, dilation))
        assert field.size == cost.receptive_field(layers)
        assert field.stride == np.prod([stride for _, stride, _ in layers])


def test_fields_of_fractions() -> None:
    up = Field().through(transposed(2, stride=2))
    assert (up.size, up.stride, up.start) == (1, Fraction(1, 2), 0)
    assert Field().through(transposed(1, stride=2)).at(1) is None
    assert Field().through(resized(4, 6, 1)).stride == Fraction(2, 3)
    assert up.beside(Field(), 8).shift == 0


@pytest.mark.parametrize(
    ("model", "shape", "words"),
    [
        (print, (1, 2, 3), "torch.nn.Module or a Keras model"),
        (print, (1, 2), "3 axes"),
        (print, (1, 0, 2), "the sizes"),
    ],
)
def test_wrong_use(model: Any, shape: tuple[int, ...], words: str) -> None:
    with pytest.raises(xconv.ArgumentError) as caught:
        xconv.receptive_field(model, shape)
    assert words in str(caught.value)


def test_the_examples_of_the_page() -> None:
    page = Path(__file__).parent.parent / "docs" / "explain.md"
    failed, attempted = doctest.testfile(str(page), module_relative=False)
    assert failed == 0
    assert attempted >= 8

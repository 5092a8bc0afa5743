"""A Keras layer with weights in neutral form; a separable one is two."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from xconv.core.checks import crop
from xconv.core.problem import resolve_padding
from xconv.models.flattening import Flattening, LayerShapes
from xconv.models.neutral import NeutralLayer, Numbers, in_neutral_order, in_own_order

_L = keras.layers
DEPTHWISE = (_L.DepthwiseConv1D, _L.DepthwiseConv2D)
SEPARABLE = (_L.SeparableConv1D, _L.SeparableConv2D)
KINDS: tuple[tuple[tuple[type, ...], str], ...] = (
    ((_L.Conv1DTranspose, _L.Conv2DTranspose, _L.Conv3DTranspose), "conv_transpose"),
    ((_L.Conv1D, _L.Conv2D, _L.Conv3D, *DEPTHWISE), "conv"),
    (SEPARABLE, "separable"),
    ((_L.Dense,), "dense"),
    ((_L.BatchNormalization,), "batch_norm"),
    ((_L.GroupNormalization,), "group_norm"),
    ((_L.LayerNormalization,), "layer_norm"),
    ((_L.Embedding,), "embedding"),
    ((_L.PReLU,), "prelu"),
    ((_L.LeakyReLU,), "leaky_relu"),
)
_AFFINE = {"gamma": "gamma", "beta": "beta"}
_LINEAR = {"kernel": "kernel", "bias": "bias"}
ARRAYS: dict[str, dict[str, str]] = {
    "conv": _LINEAR,
    "depthwise": {"kernel": "depthwise_kernel"},
    "pointwise": {"kernel": "pointwise_kernel", "bias": "bias"},
    "conv_transpose": _LINEAR,
    "dense": _LINEAR,
    "batch_norm": {**_AFFINE, "mean": "moving_mean", "variance": "moving_variance"},
    "group_norm": _AFFINE,
    "layer_norm": _AFFINE,
    "embedding": {"table": "embeddings"},
    "prelu": {"alpha": "alpha"},
    "leaky_relu": {},
}
"""The arrays of each kind, or of a part of a separable layer: our names, and Keras's."""


@dataclass(frozen=True)
class LayerPart:
    """A layer or one of the two parts of a separable one, under its path."""

    path: str
    layer: Any
    part: str = ""

    @property
    def names(self) -> dict[str, str]:
        """Its arrays: our names, and Keras's."""
        return ARRAYS[self.part or kind_of(self.layer)]

    def variable(self, name: str) -> Any:
        """The variable that holds an array, or None."""
        return getattr(self.layer, self.names[name], None)


def kind_of(layer: Any) -> str:
    """The neutral kind of a layer, "separable", or nothing where it is none."""
    return next((kind for types, kind in KINDS if isinstance(layer, types)), "")


def unknown(layer: Any) -> str:
    """Why the weights of a layer cannot be read, or nothing."""
    if not kind_of(layer):
        own = [*layer._trainable_variables, *layer._non_trainable_variables]
        return "no kind of layer whose weights are known" if own else ""
    if getattr(layer, "lora_enabled", False) or getattr(layer, "quantization_mode", None):
        return "its weight is computed from others"
    return "it does not subtract the mean" if getattr(layer, "rms_scaling", False) else ""


def all_layers(layer: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """A layer and all that it is made of, by path, as they are registered."""
    found: set[int] = set()

    def below(one: Any, path: str) -> Iterator[tuple[str, Any]]:
        if id(one) in found:
            return
        found.add(id(one))
        yield path, one
        for part in one._flatten_layers(include_self=False, recursive=False):
            yield from below(part, f"{path}/{part.name}" if path else part.name)

    yield from below(layer, path)


def parts(model: Any) -> list[LayerPart]:
    """Every layer with weights, or the two parts of it, as they are registered."""
    found = []
    for path, layer in all_layers(model):
        if kind_of(layer) == "separable" and not unknown(layer):
            found += [LayerPart(f"{path}.{part}", layer, part) for part in ("depthwise", "pointwise")]
        elif kind_of(layer) or unknown(layer):
            found.append(LayerPart(path, layer))
    return found


def neutral(part: LayerPart, number: int, seen: LayerShapes | None, flattening: Flattening | None) -> NeutralLayer:
    """A layer in neutral form; ``seen`` is how it ran, if it did."""
    layer, kind, reason = part.layer, kind_of(part.layer), unknown(part.layer)
    if reason:
        return NeutralLayer(part.path, type(layer).__name__, "unknown", {}, number=number, doubt=reason)
    order = None if flattening is None else flattening.order
    held = {name: variable for name in part.names if (variable := part.variable(name)) is not None}
    options = _options(part, seen)
    first = options.get("channels_first", False)
    arrays = {name: _to_neutral(part, name, _numpy(variable), order, first) for name, variable in held.items()}
    given, gave = (None, None) if seen is None else (seen.given, seen.gave)
    if part.part and seen is not None:
        middle = (*seen.gave[:-1], layer.depthwise_kernel.shape[-2] * layer.depthwise_kernel.shape[-1])
        given, gave = (seen.given, middle) if part.part == "depthwise" else (middle, seen.gave)
    shape = None if flattening is None or flattening.doubt else flattening.shape
    return NeutralLayer(
        part.path,
        type(layer).__name__,
        "conv" if part.part else kind,
        arrays,
        str(next(iter(held.values())).dtype) if held else "float32",
        options,
        _axes(part, shape, order),
        tuple(next(iter(held.values())).shape) if held else (),
        given,
        gave,
        shape,
        order,
        "" if flattening is None else flattening.doubt,
        number,
    )


def own_array(part: LayerPart, layer: NeutralLayer, name: str, array: Numbers) -> Numbers:
    """A neutral array as the layer's variable has it."""
    shape = tuple(part.variable(name).shape)
    array = in_own_order(layer.kind, name, array, layer.order)
    if layer.options.get("channels_first") and len(shape) > 1:
        array = array.reshape((*shape[1:], shape[0]))
        return np.moveaxis(array, -1, 0)
    return array.reshape(shape)


def _to_neutral(part: LayerPart, name: str, array: Numbers, order: Numbers | None, channels_first: bool) -> Numbers:
    kind = kind_of(part.layer)
    if name == "kernel" and (part.part == "depthwise" or isinstance(part.layer, DEPTHWISE)):
        # output channel c m + j is the j-th of channel c: the last two axes, read as one
        return array.reshape((*array.shape[:-2], 1, array.shape[-2] * array.shape[-1]))
    if channels_first and array.ndim > 1:
        array = np.moveaxis(array, 0, -1)
    if name == "alpha":
        while array.ndim > 1 and array.shape[0] == 1:
            array = array[0]
    return in_neutral_order(kind, name, array, order)


def _axes(part: LayerPart, shape: tuple[int, ...] | None, order: Numbers | None) -> str:
    if part.part == "depthwise" or isinstance(part.layer, DEPTHWISE):
        return "(kernel, in, multiplier)"
    if kind_of(part.layer) == "dense" and order is not None and len([n for n in shape or () if n > 1]) > 1:
        usual = np.array_equal(order, np.arange(order.size))
        return "((*spatial, C), out)" if usual else "(in, out) in another order"
    words = {"conv": "(kernel, in/groups, out)", "conv_transpose": "(kernel, out, in)", "dense": "(in, out)"}
    return words.get("conv" if part.part else kind_of(part.layer), "")


def _options(part: LayerPart, seen: LayerShapes | None) -> dict[str, Any]:
    layer, kind = part.layer, kind_of(part.layer)
    if part.part == "pointwise":
        ones = (1,) * layer.rank
        return {"stride": ones, "dilation": ones, "groups": 1, "padding": "valid", "padding_mode": "zeros"}
    if kind == "conv_transpose":
        stride, dilation = _each(layer.strides, layer.rank), _each(layer.dilation_rate, layer.rank)
        lows = tuple(_first_cropped(layer, i, seen) for i in range(layer.rank))
        return {"stride": stride, "dilation": dilation, "groups": 1, "crop": lows}
    if kind in ("conv", "separable"):
        depthwise = part.part == "depthwise" or isinstance(layer, DEPTHWISE)
        kernel = layer.depthwise_kernel if part.part else layer.kernel
        return {
            "stride": _each(layer.strides, layer.rank),
            "dilation": _each(layer.dilation_rate, layer.rank),
            "groups": kernel.shape[-2] if depthwise else layer.groups,
            "padding": layer.padding,
            "padding_mode": "zeros",
        }
    first = seen is not None and seen.channels_first
    options: dict[str, dict[str, Any]] = {
        "batch_norm": {"epsilon": "epsilon", "momentum": "momentum"},
        "group_norm": {"epsilon": "epsilon", "groups": "groups"},
        "layer_norm": {"epsilon": "epsilon"},
        "leaky_relu": {"slope": "negative_slope"},
    }
    found = {ours: getattr(layer, theirs) for ours, theirs in options.get(kind, {}).items()}
    if "momentum" in found:  # what Keras keeps is what torch renews
        found["momentum"] = round(1 - found["momentum"], 12)
    return {**found, "channels_first": first} if kind in ("layer_norm", "prelu") else found


def _first_cropped(layer: Any, axis: int, seen: LayerShapes | None) -> int:
    """Elements that a transposed convolution drops at the low end: what the convolution of its result would pad."""
    kernel, stride, dilation = layer.kernel.shape[axis], _each(layer.strides, layer.rank)[axis], 1
    dilation = _each(layer.dilation_rate, layer.rank)[axis]
    if seen is None:
        return crop("port_weights", layer.padding, kernel, stride, dilation)[0]
    window = {"kernel": kernel, "stride": stride, "dilation": dilation}
    return int(resolve_padding("port_weights", layer.padding, length=seen.gave[axis], **window)[0])


def _each(value: int | tuple[int, ...], rank: int) -> tuple[int, ...]:
    return (value,) * rank if isinstance(value, int) else tuple(value)


def _numpy(variable: Any) -> Numbers:
    array = np.array(keras.ops.convert_to_numpy(variable))
    return array if array.dtype in (np.float32, np.float64) else array.astype(np.float32)

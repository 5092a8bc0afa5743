"""Which rule is for which layer, in each form of its input."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras

from xconv.models.conversion import RefusedError
from xconv_tensorflow.models.convert import convolving, elementwise, folded, normalizing, pooling, raster, shaping
from xconv_tensorflow.models.convert.graph import is_model
from xconv_tensorflow.models.convert.state import Made, Site

L = keras.layers
Rule = Callable[[Site], Made]

_ELEMENTS = (
    *(L.ReLU, L.LeakyReLU, L.ELU, L.Dropout, L.GaussianDropout, L.GaussianNoise, L.AlphaDropout),
    *(L.ActivityRegularization, L.Identity, L.Rescaling),
)
_MERGING = (L.Add, L.Subtract, L.Multiply, L.Average, L.Maximum, L.Minimum)

EVERYWHERE: dict[Any, Rule] = {
    **dict.fromkeys(_ELEMENTS, elementwise.unary),
    **dict.fromkeys(_MERGING, elementwise.merging),
    **normalizing.RULES,
    L.Activation: elementwise.activated,
    L.Softmax: elementwise.softmax,
    L.PReLU: elementwise.prelu,
    L.SpatialDropout2D: elementwise.spatial_dropout,
    L.Concatenate: elementwise.concatenate,
    L.Flatten: shaping.flatten,
    L.Reshape: shaping.reshape,
    L.Dense: shaping.dense,
}
REFUSED = {
    L.Permute: "it exchanges axes; permute the signal before the model, or convert the parts",
    L.Lambda: "nothing is known of its function; use a layer or a function of keras.ops instead",
}

_CONVOLUTIONS = (L.Conv2D, L.DepthwiseConv2D, L.SeparableConv2D)
_POOLS = (L.MaxPooling2D, L.AveragePooling2D)
_GLOBAL_POOLS = (L.GlobalMaxPooling2D, L.GlobalAveragePooling2D)
_SHAPING: dict[Any, Rule] = {
    L.ZeroPadding2D: shaping.zero_padding,
    L.Cropping2D: shaping.cropping,
    L.UpSampling2D: shaping.upsampling,
}

SPATIAL: dict[str, dict[Any, Rule]] = {
    "image": {
        **dict.fromkeys(_CONVOLUTIONS, convolving.convolution),
        **dict.fromkeys(_POOLS, pooling.pooling),
        **dict.fromkeys(_GLOBAL_POOLS, pooling.global_pooling),
        **_SHAPING,
        L.Conv2DTranspose: convolving.transposed,
    },
    "folded": {
        **dict.fromkeys(_CONVOLUTIONS, folded.convolution),
        **dict.fromkeys(_POOLS, folded.pooling),
        **dict.fromkeys(_GLOBAL_POOLS, folded.global_pooling),
        **_SHAPING,
        L.Conv2DTranspose: folded.transposed,
    },
    "raster": {
        **dict.fromkeys(_CONVOLUTIONS, raster.convolution),
        **dict.fromkeys(_POOLS, raster.pooling),
        **dict.fromkeys(_GLOBAL_POOLS, raster.global_pooling),
        **dict.fromkeys(_SHAPING, raster.shaping),
        L.Conv2DTranspose: raster.transposed,
    },
}
"""By the form of the input, for layers that know height and width."""


def rule_for(site: Site) -> Made:
    """What a layer becomes at its place.

    Raises:
        RefusedError: it has no meaning in 1-D, or no rule is known.
    """
    kind, module = type(site.layer), type(site.layer).__module__
    rule = SPATIAL.get(site.state.form, {}).get(kind) or EVERYWHERE.get(kind)
    if rule is not None:
        return rule(site)
    if module.startswith("keras.src.ops."):
        return elementwise.operation(site)
    raise RefusedError(refused_by_name(site.layer) or "its input has no height and width here")


def refused_by_name(layer: Any) -> str:
    """Why a layer is refused wherever it stands, or nothing."""
    kind = type(layer)
    if kind in REFUSED:
        return REFUSED[kind]
    if kind in EVERYWHERE or any(kind in rules for rules in SPATIAL.values()) or is_model(layer):
        return ""
    if kind is L.InputLayer:
        return ""
    if kind.__module__.startswith("keras.src.layers.preprocessing.image_preprocessing"):
        return "it is for images; leave it out of the model and augment 1-D signals before it"
    return "no rule is known for it; build this part in 1-D, and convert the rest"

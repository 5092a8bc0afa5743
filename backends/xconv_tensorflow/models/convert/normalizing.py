"""Normalization layers: statistics over equal rows are those of one row."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from xconv.models.conversion import RefusedError
from xconv_tensorflow.models.convert.layers import remade
from xconv_tensorflow.models.convert.state import Array, Made, Site

UNFOLD = "let a convolution span the axis before"


def batch(site: Site) -> Made:
    """BatchNormalization, of the channels or of the kept axis."""
    _known(site)
    if site.state.form == "vector":
        return Made((remade(site.layer),), site.state, "copy", weights=(site.weights(),))
    axis = site.state.axis(site.layer.axis)
    made = remade(site.layer, axis=-1 if axis == 2 else axis)
    if site.state.form == "folded" and site.state.rows > 1:
        if axis != site.state.channels:
            return Made((made,), site.state, "copy", weights=(site.weights(),))
        tiled = [np.tile(weight, site.state.rows) for weight in site.weights()]
        return Made((made,), site.state, "repeat for each row", weights=(tiled,))
    return Made((made,), site.state, "copy", weights=(site.weights(),))


def by_axes(site: Site) -> Made:
    """LayerNormalization, RMSNormalization, UnitNormalization: over one or several axes."""
    _known(site)
    layer, state = site.layer, site.state
    if state.form == "vector":
        return Made((remade(layer),), state, "copy", weights=(site.weights(),))
    _unfolded(site)
    given = [axis % 4 for axis in (layer.axis if isinstance(layer.axis, (list, tuple)) else [layer.axis])]
    weights: list[Array] = site.weights()
    if state.gone in given:
        at = given.index(state.gone)
        if any(weight.shape[at] != 1 for weight in weights if weight.ndim == len(given)):
            raise RefusedError("it has weights for each row", "normalize over the channels alone")
        weights = [weight.squeeze(at) if weight.ndim == len(given) else weight for weight in weights]
    axes = [state.axis(axis) for axis in given if axis != state.gone]
    if not axes:
        raise RefusedError("it normalizes over nothing but the axis that disappears")
    for weight in weights:
        if weight.ndim == len(axes) and weight.shape != tuple(site.shapes[0][axis - 1] for axis in axes):
            raise RefusedError("it has weights for each element of another length", "normalize over the channels alone")
    return Made((remade(layer, axis=_as_given(axes)),), state, "copy", weights=(weights,))


def group(site: Site) -> Made:
    """GroupNormalization: statistics over the channels of a group, and over all rows."""
    _known(site)
    if site.state.form == "vector":
        return Made((remade(site.layer),), site.state, "copy", weights=(site.weights(),))
    _unfolded(site)
    axis = site.state.axis(site.layer.axis)
    made = remade(site.layer, axis=-1 if axis == 2 else axis)
    return Made((made,), site.state, "copy", weights=(site.weights(),))


def standardization(site: Site) -> Made:
    """Normalization by a mean and a variance that are given or were learned."""
    _known(site)
    layer, state = site.layer, site.state
    if state.form == "vector":
        return Made((remade(layer),), state, "copy", weights=(site.weights(),))
    if layer.axis:
        _unfolded(site)
    axes = tuple(state.axis(axis) for axis in layer.axis)
    return Made((remade(layer, axis=axes or None),), state, "copy", weights=(site.weights(),))


def _known(site: Site) -> None:
    site.unpadded()
    site.adapted()
    if site.state.form in ("flattened", "unfolded"):
        raise RefusedError("it normalizes a flattened image", "pool globally instead of flattening")


def _unfolded(site: Site) -> None:
    if site.state.form == "folded" and site.state.rows > 1:
        raise RefusedError("its statistics are of the channels, in which the rows are folded", UNFOLD)


def _as_given(axes: list[int]) -> Any:
    return (-1 if axes[0] == 2 else axes[0]) if len(axes) == 1 else axes


RULES = {
    keras.layers.BatchNormalization: batch,
    keras.layers.LayerNormalization: by_axes,
    keras.layers.RMSNormalization: by_axes,
    keras.layers.UnitNormalization: by_axes,
    keras.layers.GroupNormalization: group,
    keras.layers.Normalization: standardization,
}

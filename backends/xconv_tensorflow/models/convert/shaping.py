"""Layers that change shapes: padding, cropping, upsampling, flattening, and the dense layers after that."""

from __future__ import annotations

import math
from dataclasses import replace

import keras
import numpy as np

from xconv.models.conversion import RefusedError
from xconv_tensorflow.models.convert.layers import NONNEGATIVE, activation, remade
from xconv_tensorflow.models.convert.state import Array, Made, Site, State

L = keras.layers

SCRAMBLED = (-1, -1)
"""``flat`` of elements whose order is not the image's."""


def zero_padding(site: Site) -> Made:
    """ZeroPadding2D: the kept axis is padded, rows of zeros are remembered for the next convolution or pool."""
    state = site.state
    gone, kept = site.gone_first(site.layer.padding)
    after = replace(state, low=state.low + gone[0], high=state.high + gone[1])
    rule = f"pad the kept axis, {gone[0]} and {gone[1]} rows into the next layer"
    if not any(kept):
        return Made((), after, rule)
    return Made((remade(site.layer, L.ZeroPadding1D, padding=kept),), after, rule)


def cropping(site: Site) -> Made:
    """Cropping2D."""
    state = site.state
    gone, kept = site.gone_first(site.layer.cropping)
    low, high = max(state.low - gone[0], 0), max(state.high - gone[1], 0)
    rows = state.rows - max(gone[0] - state.low, 0) - max(gone[1] - state.high, 0)
    if rows < 1 or (state.form == "folded" and any(gone)):
        raise RefusedError(f"it crops {sum(gone)} of {state.rows} rows", "crop the kept axis alone")
    if not state.channels_last and any(kept):
        raise RefusedError("Keras has no Cropping1D for channels first", "use channels_last")
    after = replace(state, low=low, rows=rows, high=high)
    if not any(kept):
        return Made((), after, "leave out")
    config = {key: value for key, value in site.layer.get_config().items() if key in ("name", "trainable", "dtype")}
    return Made((L.Cropping1D.from_config({**config, "cropping": kept}),), after, "crop the kept axis")


def upsampling(site: Site) -> Made:
    """UpSampling2D that repeats."""
    state = site.state
    gone, kept = site.gone_first(site.layer.size)
    if site.layer.interpolation != "nearest" and (kept > 1 or state.padded):
        raise RefusedError("Keras has no 1-D upsampling that interpolates", "use interpolation='nearest'")
    if not state.channels_last:
        raise RefusedError("Keras has no UpSampling1D for channels first", "use channels_last")
    if state.form == "folded" and gone > 1 and state.rows > 1:
        raise RefusedError("it repeats rows that are folded into channels", "upsample the kept axis alone")
    after = state.seen((1, 1), (1 / gone, 1 / kept))
    after = replace(after, low=state.low * gone, rows=state.rows * gone, high=state.high * gone)
    if state.form == "folded" and gone > 1:
        after = replace(after, form="image")
    config = {key: value for key, value in site.layer.get_config().items() if key in ("name", "trainable", "dtype")}
    return Made((L.UpSampling1D.from_config({**config, "size": kept}),), after, "repeat along the kept axis")


def flatten(site: Site) -> Made:
    """Flatten: its Dense layer puts the elements in order."""
    state, made = site.state, remade(site.layer)
    site.unpadded()
    if state.form in ("vector", "flattened", "unfolded"):
        return Made((made,), state, "copy")
    if state.form == "raster":
        first = state.gone == state.first
        return Made((made,), replace(state, form="vector", flat=(0, 0) if first else SCRAMBLED), "copy")
    if state.rows == 1:
        return Made((made,), replace(state, form="vector"), "copy")
    if site.length is None:
        raise RefusedError("the length is not known", "give input_shape with a length")
    form = "flattened" if state.form == "image" else "unfolded"
    depth = site.depth // (1 if form == "flattened" else state.rows)
    after = replace(state, form=form, flat=(site.length, depth))  # type: ignore[arg-type]
    return Made((made,), after, "copy, the order is in the next Dense")


def reshape(site: Site) -> Made:
    """Reshape that adds or drops an axis of size one, as squeeze-and-excitation has it."""
    state, target = site.state, tuple(site.layer.target_shape)
    site.unpadded()
    if state.form not in ("vector", "image") or state.rows != 1 or state.flat == SCRAMBLED:
        raise RefusedError(f"it reshapes {state.rows} rows to {target}", "reshape after global pooling")
    if len(target) == 1:
        after, shape = replace(state, form="vector"), target
    elif len(target) == 3 and target[state.gone - 1] == 1:
        after = replace(state, form="image")
        shape = target[: state.gone - 1] + target[state.gone :]
    else:
        raise RefusedError(f"{target} has no axis of size 1 where the axis disappears", "use global pooling before")
    have = site.shapes[0]
    if -1 not in shape and None not in have and math.prod(shape) != math.prod(have):  # type: ignore[arg-type]
        raise RefusedError(f"{have} cannot become {shape}: it is for another length", "use global pooling before")
    return Made((remade(site.layer, target_shape=shape),), after, "drop the axis")


def dense(site: Site) -> Made:
    """Dense: of channels, or of a flattened image."""
    layer, state = site.layer, site.state
    after = replace(state, nonnegative=activation(layer) in NONNEGATIVE)
    if site.head is not None:
        return Made((remade(layer, units=site.head),), after, "new head", "heuristic", "new weights: train it", (None,))
    site.unpadded()
    site.adapted()
    kernel: Array = np.asarray(layer.kernel, np.float64)
    rest: list[Array] = [np.asarray(layer.bias)] if layer.use_bias else []
    if state.form == "folded" and state.rows > 1:
        kernel, rest = np.kron(np.eye(state.rows), kernel), [np.tile(bias, state.rows) for bias in rest]
        made = remade(layer, units=kernel.shape[1])
        return Made((made,), after, "the same in each row", weights=([kernel, *rest],))
    if state.form in ("image", "raster", "folded") and not state.channels_last:
        raise RefusedError("it works along the width of a channels-first tensor", "use channels_last")
    rule, after = "copy", replace(after, form="vector") if state.form in ("flattened", "unfolded") else after
    features = site.shapes[0][-1]
    expected = (features or 0) * (state.rows if state.form == "flattened" else 1)
    if kernel.shape[0] != expected or state.flat == SCRAMBLED:
        return _misfit(site, replace(after, form="vector", flat=(0, 0)), kernel.shape[0], expected)
    if state.form in ("flattened", "unfolded"):
        rule, kernel = _in_order(state, kernel)
    return Made((remade(layer),), after, rule, weights=([kernel, *rest],))


def _in_order(state: State, kernel: Array) -> tuple[str, Array]:
    gone = 0 if state.gone == state.first else 1
    length, depth = state.flat
    sizes = (state.rows, length) if gone == 0 else (length, state.rows)
    split = kernel.reshape(*sizes, depth, kernel.shape[1])
    if state.form == "flattened":
        return f"sum over {state.rows} rows", split.sum(gone).reshape(length * depth, -1)
    return "order of the folded rows", split.swapaxes(0, 1 - gone).reshape(kernel.shape)


def _misfit(site: Site, after: State, trained: int, given: int) -> Made:
    why = f"it was trained for {trained:,} features, here are {given:,}"
    if site.state.flat == SCRAMBLED:
        why = "its features are in another order"
    if site.options.head is None:
        raise RefusedError(why, "give head= for new dense layers, or a model without its top (include_top=False)")
    return Made((remade(site.layer),), after, "new weights", "heuristic", f"{why}: train it", (None,))

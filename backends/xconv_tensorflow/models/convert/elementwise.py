"""Layers that take each element alone, and layers that merge tensors of one form."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import keras

from xconv.models.conversion import RefusedError
from xconv.models.reach import Reach
from xconv_tensorflow.models.convert.layers import NONNEGATIVE, ZERO_AT_ZERO, activation, remade
from xconv_tensorflow.models.convert.state import Made, Site, State

L = keras.layers

UNARY_OPERATIONS = {
    *(
        "Relu",
        "Relu6",
        "Sigmoid",
        "Silu",
        "HardSigmoid",
        "HardSilu",
        "Elu",
        "Selu",
        "Gelu",
        "Celu",
        "LeakyRelu",
        "Tanh",
    ),
    *("Softplus", "Softsign", "Absolute", "Square", "Sqrt", "Exp", "Log", "Log1p", "Negative", "Clip", "Sign", "Cast"),
}
MERGING_OPERATIONS = {"Add", "Subtract", "Multiply", "Divide", "TrueDivide", "Maximum", "Minimum", "Power"}


def unary(site: Site) -> Made:
    """An activation, or noise that is off in inference."""
    if not _zero_at_zero(site.layer):
        site.unpadded()
    return Made((remade(site.layer),), _after(site), "copy")


def activated(site: Site) -> Made:
    """Activation: softmax is over the last axis."""
    if activation(site.layer) in ("softmax", "log_softmax", "sparsemax"):
        _over_channels(site, -1)
    return unary(site)


def softmax(site: Site) -> Made:
    """Softmax over an axis, or several."""
    site.unpadded()
    axes = site.layer.axis if isinstance(site.layer.axis, (list, tuple)) else [site.layer.axis]
    for axis in axes:
        _over_channels(site, axis)
    return Made((remade(site.layer, axis=-1),), replace(site.state, nonnegative=True), "copy")


def prelu(site: Site) -> Made:
    """PReLU: its slopes have a size of one where they are shared."""
    layer, state = site.layer, site.state
    (alpha,) = site.weights()
    shared = list(layer.shared_axes or ())
    if state.form in ("image", "raster"):
        if alpha.shape[state.gone - 1] != 1:
            raise RefusedError(f"it has {alpha.shape[state.gone - 1]} rows of slopes", "share them: shared_axes=[1, 2]")
        alpha = alpha.squeeze(state.gone - 1)
        shared = [state.axis(axis) for axis in layer.shared_axes or () if axis != state.gone]
    elif state.form != "vector":
        raise RefusedError("its slopes do not belong to channels here", "use ReLU or LeakyReLU")
    for axis, size in enumerate(alpha.shape, 1):
        if size != 1 and size != site.shapes[0][axis - 1]:
            raise RefusedError(f"its slopes are for {size} elements, here are {site.shapes[0][axis - 1]}", "share them")
        if size == 1 and axis not in shared:
            shared.append(axis)  # of size 1 in 2-D; in 1-D it may be another
    return Made((remade(layer, shared_axes=sorted(shared) or None),), state, "copy", weights=([alpha],))


def spatial_dropout(site: Site) -> Made:
    """SpatialDropout2D: whole channels are dropped."""
    state, config = site.state, site.layer.get_config()
    config = {key: config[key] for key in ("rate", "seed", "name", "dtype")}
    if state.channels_last:
        made = L.SpatialDropout1D.from_config(config)
    else:
        made = L.Dropout.from_config({**config, "noise_shape": (None, None, 1)})
    if state.form == "folded" and state.rows > 1:
        return Made((made,), state, "copy", "exact if", "inference: in training each row drops channels of its own")
    return Made((made,), state, "copy")


def merging(site: Site) -> Made:
    """Add, Subtract, Multiply, Average, Maximum, Minimum."""
    return Made((remade(site.layer),), merged_state(site, type(site.layer).__name__), "copy")


def concatenate(site: Site) -> Made:
    """Concatenate along the channels or the kept axis."""
    state, axis = site.state, site.layer.axis
    after = merged_state(site, "Concatenate")
    if any(one.rows != after.rows for one in site.states) and state.form != "vector":
        raise RefusedError("its inputs differ in rows")
    if state.form in ("flattened", "unfolded"):
        raise RefusedError("it joins flattened images", "pool globally instead of flattening")
    if state.form != "vector":
        axis = state.axis(axis)
        if state.form == "folded" and state.rows > 1 and axis == state.channels:
            raise RefusedError("folded channels would have to be interleaved", "let a convolution span the axis before")
        axis = -1 if axis == 2 else axis
    return Made((remade(site.layer, axis=axis),), after, "copy")


def operation(site: Site) -> Made:
    """A function of ``keras.ops``, or an operator, in the model's graph."""
    kind = type(site.layer).__name__
    if kind in UNARY_OPERATIONS:
        site.unpadded()
        state = replace(site.state, nonnegative=kind.lower() in NONNEGATIVE)
    elif kind in MERGING_OPERATIONS:
        site.unpadded()
        state = merged_state(site, kind)
        if len(site.states) == 1:  # the other operand is a constant
            state = replace(state, nonnegative=False)
    elif kind in ("Mean", "Max", "Amax"):
        return _reduction(site)
    else:
        raise RefusedError(f"keras.ops.{kind.lower()} is known to no rule", "use a layer instead")
    return Made((remade(site.layer),), state, "copy")


def merged_state(site: Site, kind: str) -> State:
    """The state of a merge of tensors whose forms fit."""
    first = site.state
    for other in site.states[1:]:
        same = (other.form, other.low, other.high, other.flat) == (first.form, first.low, first.high, first.flat)
        rows = {other.rows, first.rows}
        if not same or (len(rows) == 2 and (1 not in rows or other.padded or other.form != "image")):
            raise RefusedError(f"it merges {_say(first)} with {_say(other)}", "make both branches of one shape")
        if other.lacking != first.lacking:
            site.adapted()
            raise RefusedError("one branch has other channels than the model's image", "give channels as the model has")
    nonnegative = [state.nonnegative for state in site.states]
    sign = any(nonnegative) if kind == "Maximum" else all(nonnegative) and kind not in ("Subtract", "Dot")
    most = max(state.rows for state in site.states)
    return replace(first, rows=most, nonnegative=sign, reach=Reach.largest(state.reach for state in site.states))


def _reduction(site: Site) -> Made:
    op, state = site.layer, site.state
    site.unpadded()
    spatial = {1, 2} if state.channels_last else {2, 3}
    axes = {axis % 4 for axis in (op.axis if isinstance(op.axis, (list, tuple)) else [op.axis])}
    if state.form not in ("image", "raster") or axes != spatial:
        raise RefusedError("it reduces other axes than height and width", "use a global pooling layer")
    made = remade(op, axis=(1 if state.channels_last else 2))
    return Made((made,), replace(state, form="image" if op.keepdims else "vector", rows=1), "reduce the kept axis")


def _say(state: State) -> str:
    zeros = f" and {state.low + state.high} of zeros" if state.padded else ""
    return "a vector" if state.form == "vector" else f"a {state.form} tensor of {state.rows} rows{zeros}"


def _over_channels(site: Site, axis: int) -> None:
    state = site.state
    if state.form == "vector":
        return
    channels = 3 if state.channels_last else 1
    if state.form not in ("image", "raster") or axis % 4 != channels or not state.channels_last:
        raise RefusedError("it normalizes over another axis than the channels", "put it after the head")


def _zero_at_zero(layer: Any) -> bool:
    if isinstance(layer, L.Activation):
        return activation(layer) in ZERO_AT_ZERO
    if isinstance(layer, L.ReLU):
        return not (layer.threshold and layer.negative_slope)
    return not isinstance(layer, L.Rescaling)


def _after(site: Site) -> State:
    layer, state = site.layer, site.state
    if isinstance(layer, L.Activation):
        known = activation(layer)
        return state if known == "linear" else replace(state, nonnegative=known in NONNEGATIVE)
    if isinstance(layer, L.ReLU):
        return replace(state, nonnegative=not layer.negative_slope or state.nonnegative)
    if isinstance(layer, L.Rescaling):
        return replace(state, nonnegative=False)
    return state

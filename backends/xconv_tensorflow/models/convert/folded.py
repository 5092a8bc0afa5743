"""Layers on images whose rows lie side by side in the channels: every convolution along them is a matrix."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import keras
import numpy as np

from xconv.models.conversion import RefusedError
from xconv_tensorflow.models.convert.convolving import spatial_kernel, transposed_extent
from xconv_tensorflow.models.convert.kernels import dense, depthwise_as_grouped, toeplitz, window
from xconv_tensorflow.models.convert.layers import NONNEGATIVE, activation, conv1d, remade
from xconv_tensorflow.models.convert.pooling import global_1d, pooled_1d, pooled_state
from xconv_tensorflow.models.convert.state import Array, Made, Site, State

L = keras.layers


def convolution(site: Site) -> Made:
    """Conv2D, DepthwiseConv2D, SeparableConv2D: one ``Conv1D`` over all rows."""
    layer, state = site.layer, site.state
    site.adapted()
    kernel, stride, dilation = (site.gone_first(p) for p in (layer.kernel_size, layer.strides, layer.dilation_rate))
    extent = state.band.extent
    pad, count = window(state, kernel[0], stride[0], dilation[0], layer.padding)
    low = state.low + pad
    inputs = [[out * stride[0] + tap * dilation[0] - low for tap in range(kernel[0])] for out in range(count)]
    if not count:
        raise RefusedError(f"its kernel of {kernel[0]} rows is larger than {extent}", "use padding='same'")
    matrix = toeplitz(_full(site), inputs, state.rows)
    made = conv1d(
        layer,
        filters=matrix.shape[-1],
        kernel_size=kernel[1],
        strides=stride[1],
        padding=layer.padding,
        dilation_rate=dilation[1],
        kernel_initializer="glorot_uniform",
    )
    spans = count == 1 and kernel[0] == extent == state.rows
    return Made(
        (made,),
        _unfolded(site, state.seen(kernel, stride, dilation), count),
        "reshape" if spans else "Toeplitz kernel",
        weights=([matrix, *_bias(site, count)],),
    )


def transposed(site: Site) -> Made:
    """Conv2DTranspose: one ``Conv1DTranspose`` over all rows."""
    layer, state = site.layer, site.state
    site.adapted()
    kernel, stride, dilation = (site.gone_first(p) for p in (layer.kernel_size, layer.strides, layer.dilation_rate))
    count, low = transposed_extent(site)
    inputs = [
        [
            (out + low - tap * dilation[0]) // stride[0] - state.low
            if (out + low - tap * dilation[0]) % stride[0] == 0
            else -1
            for tap in range(kernel[0])
        ]
        for out in range(count)
    ]
    # Keras holds a transposed kernel as (..., out, in)
    matrix = toeplitz(site.kernel(layer.kernel).swapaxes(-1, -2), inputs, state.rows).swapaxes(-1, -2)
    made = remade(
        layer,
        L.Conv1DTranspose,
        filters=matrix.shape[-2],
        kernel_size=kernel[1],
        strides=stride[1],
        dilation_rate=dilation[1],
        output_padding=None if layer.output_padding is None else site.gone_first(layer.output_padding)[1],
        kernel_constraint=None,
    )
    return Made((made,), _unfolded(site, state, count), "Toeplitz kernel", weights=([matrix, *_bias(site, count)],))


def pooling(site: Site) -> Made:
    """MaxPooling2D, AveragePooling2D: the kept axis alone, or rows that are pooled whole."""
    layer, state = site.layer, site.state
    pool, stride = site.gone_first(layer.pool_size), site.gone_first(layer.strides)
    site.unpadded()
    along = pooled_1d(site)
    after = state.seen(pool, stride)
    if pool[0] == stride[0] == 1:
        return Made((along,), after, "pool the kept axis")
    if pool[0] != stride[0] or state.rows % pool[0]:
        raise RefusedError(
            f"its windows of {pool[0]} rows with stride {stride[0]} do not part the {state.rows} folded rows",
            "pool the kept axis alone, or let a convolution span the axis before",
        )
    # rows lie one after another for each position: as a longer signal they are pooled by a layer of their own
    depth, count = site.depth // state.rows, state.rows // pool[0]
    common = {"dtype": layer.dtype_policy}
    layers = (
        L.Reshape((-1, depth), name=f"{layer.name}_rows", **common),
        type(along)(pool[0], strides=pool[0], name=f"{layer.name}_over_rows", **common),
        L.Reshape((-1, count * depth), name=f"{layer.name}_folded", **common),
        along,
    )
    after = replace(after, rows=count, form="image" if count == 1 else "folded")
    return Made(layers, after, "pool the rows, then the kept axis")


def global_pooling(site: Site) -> Made:
    """GlobalMaxPooling2D, GlobalAveragePooling2D: first the kept axis, then the rows."""
    layer, state = site.layer, site.state
    site.unpadded()
    first = remade(global_1d(site), keepdims=False)
    common = {"dtype": layer.dtype_policy}
    rows = L.Reshape((state.rows, site.depth // state.rows), name=f"{layer.name}_rows", **common)
    last = type(first)(keepdims=layer.keepdims, name=f"{layer.name}_over_rows", **common)
    return Made((first, rows, last), pooled_state(site), "pool the kept axis, then the rows")


def _full(site: Site) -> Array:
    layer, kernel = site.layer, spatial_kernel(site)
    if isinstance(layer, L.DepthwiseConv2D):
        return dense(depthwise_as_grouped(kernel), kernel.shape[2])
    if isinstance(layer, L.SeparableConv2D):
        depthwise = dense(depthwise_as_grouped(kernel), kernel.shape[2])
        both: Array = depthwise @ np.asarray(layer.pointwise_kernel, np.float64)[0, 0]
        return both
    return dense(kernel, layer.groups)


def _bias(site: Site, rows: int) -> list[Any]:
    return [np.tile(np.asarray(site.layer.bias), rows)] if site.layer.use_bias else []


def _unfolded(site: Site, after: State, rows: int) -> State:
    name = activation(site.layer)
    if name in ("softmax", "log_softmax") and rows > 1:
        raise RefusedError("its softmax is over the channels of each row", "let it span all rows")
    form = "image" if rows == 1 else "folded"
    return replace(after, form=form, rows=rows, low=0, high=0, nonnegative=name in NONNEGATIVE)  # type: ignore[arg-type]

"""Layers on images that are read line by line: what is right is right where nothing wraps into the next line."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from xconv.models.conversion import RefusedError, Verdict
from xconv_tensorflow.models.convert.convolving import for_channels, one_dimensional, reduced_weights, spatial_kernel
from xconv_tensorflow.models.convert.kernels import by_rule
from xconv_tensorflow.models.convert.layers import NONNEGATIVE, activation
from xconv_tensorflow.models.convert.pooling import global_1d, pooled_1d, pooled_state
from xconv_tensorflow.models.convert.state import Made, Site

WRAPS = "vertical neighbours lie a line apart, and windows wrap from line to line"


def convolution(site: Site) -> Made:
    """Conv2D, DepthwiseConv2D, SeparableConv2D: the kernel without its rows."""
    layer, state = site.layer, site.state
    kernel, stride, dilation = (site.gone_first(p) for p in (layer.kernel_size, layer.strides, layer.dilation_rate))
    window, rule = spatial_kernel(site), site.options.kernel_rule
    changes: dict[str, Any] = {"strides": stride[1], "dilation_rate": dilation[1]}
    verdict: Verdict = "heuristic"
    condition = WRAPS
    if kernel == (1, 1) and stride == (1, 1):
        verdict, condition, name, reduced = "exact", "", "squeeze", window[0]
    elif rule == "exact":
        raise RefusedError(f"{WRAPS}: no 1-D kernel is exact", "choose kernel_rule='row', 'sum' or 'mean'")
    else:
        reduced, name = by_rule(window, rule), f"{rule} of {kernel[0]} rows"
    adapted, note = for_channels(site, reduced)
    if note:
        verdict, condition = "heuristic", "; ".join(filter(None, (note, condition)))
    after = replace(
        state.seen(kernel, stride, dilation),
        pitch=max(state.pitch // stride[1], 1),
        lacking=0,
        nonnegative=activation(layer) in NONNEGATIVE,
    )
    weights = None if adapted is None else reduced_weights(site, adapted)
    return Made((one_dimensional(site, kernel[1], changes),), after, name, verdict, condition, (weights,))


def transposed(site: Site) -> Made:
    """Conv2DTranspose has no rule here."""
    del site
    raise RefusedError("it would interleave lines", "use embedding='singleton' or 'folded'")


def pooling(site: Site) -> Made:
    """MaxPooling2D, AveragePooling2D: along the line."""
    pool, stride = site.gone_first(site.layer.pool_size), site.gone_first(site.layer.strides)
    if site.options.kernel_rule == "exact":
        raise RefusedError(WRAPS, "kernel_rule='row', 'sum' or 'mean' pools along the signal")
    after = replace(site.state.seen(pool, stride), pitch=max(site.state.pitch // stride[1], 1))
    return Made((pooled_1d(site),), after, "pool along the signal", "heuristic", WRAPS)


def global_pooling(site: Site) -> Made:
    """GlobalMaxPooling2D, GlobalAveragePooling2D: over all elements, in whatever order."""
    return Made((global_1d(site),), pooled_state(site), "pool all lines")


def shaping(site: Site) -> Made:
    """Padding, cropping and upsampling have no rule here."""
    del site
    raise RefusedError("it would move each line apart", "leave it out, or pad by padding='same'")

"""Convolution layers on images whose rows are equal: the taps that meet the signal are summed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import keras
import numpy as np

from xconv.core.problem import dilated_extent, resolve_padding
from xconv.models import rows
from xconv.models.conversion import RefusedError, Verdict, channel_map
from xconv.models.rows import Rows
from xconv_tensorflow.models.convert.kernels import agreed, by_rule, window
from xconv_tensorflow.models.convert.layers import NONNEGATIVE, ZERO_AT_ZERO, activation, remade
from xconv_tensorflow.models.convert.state import Array, Made, Site, State

TO_1D = {
    keras.layers.Conv2D: keras.layers.Conv1D,
    keras.layers.DepthwiseConv2D: keras.layers.DepthwiseConv1D,
    keras.layers.SeparableConv2D: keras.layers.SeparableConv1D,
    keras.layers.Conv2DTranspose: keras.layers.Conv1DTranspose,
}


PADDED = "it is padded as an axis of odd size is: a row more before it; proven against it with that"


def convolution(site: Site) -> Made:
    """Conv2D, DepthwiseConv2D, SeparableConv2D."""
    layer, state = site.layer, site.state
    kernel, stride, dilation = _geometry(site)
    met, condition = _met(state, kernel[0], stride[0], dilation[0], layer.padding), ""
    if not met and state.rows == 1 and state.high - state.low == 1 and (kernel[0] - 1) * dilation[0] == 2 * state.high:
        # keras.applications pads a row less before an axis of even size, and every row before one of odd size
        met, condition = _met(replace(state, low=state.high), kernel[0], stride[0], dilation[0], "valid"), PADDED
    after = state.seen(kernel, stride, dilation)
    return _made(site, met, kernel[0], after, {"strides": stride[1], "dilation_rate": dilation[1]}, condition)


def transposed(site: Site) -> Made:
    """Conv2DTranspose."""
    layer, state = site.layer, site.state
    kernel, stride, dilation = _geometry(site)
    count, low = transposed_extent(site)
    met = rows.met_transposed(state.band, kernel[0], stride[0], dilation[0], low, count)
    extra = None if layer.output_padding is None else site.gone_first(layer.output_padding)[1]
    changes = {"strides": stride[1], "dilation_rate": dilation[1], "output_padding": extra}
    reach = [-(-dilated_extent(k, d) // s) for k, s, d in zip(kernel, stride, dilation, strict=True)]
    after = state.seen((reach[0], reach[1]), (1 / stride[0], 1 / stride[1]))
    return _made(site, met, kernel[0], after, changes)


def transposed_extent(site: Site) -> tuple[int, int]:
    """The rows that a transposed convolution makes, and how many it crops before them."""
    layer, state = site.layer, site.state
    kernel, stride, dilation = _geometry(site)
    shape = [1, 64, 64, 64]
    shape[state.gone] = state.band.extent
    shape[3 if state.channels_last else 1] = int(layer.kernel.shape[-1])
    count = int(layer.compute_output_shape(tuple(shape))[state.gone])
    # it crops what the convolution of its result would pad
    given = {"length": count, "kernel": kernel[0], "stride": stride[0], "dilation": dilation[0]}
    return count, int(resolve_padding("to_1d", layer.padding, **given)[0])


def spatial_kernel(site: Site) -> Array:
    """The kernel with the window, its axes (gone, kept, ...)."""
    layer = site.layer
    return site.kernel(layer.depthwise_kernel if isinstance(layer, keras.layers.SeparableConv2D) else layer.kernel)


def reduced_weights(site: Site, kernel: Array) -> list[Array]:
    """The weights of the 1-D layer of a kernel (kept, ...)."""
    layer = site.layer
    weights = [kernel]
    if isinstance(layer, keras.layers.SeparableConv2D):
        weights.append(np.asarray(layer.pointwise_kernel)[0])
    return [*weights, np.asarray(layer.bias)] if layer.use_bias else weights


def one_dimensional(site: Site, width: int, changes: dict[str, Any]) -> Any:
    """The 1-D layer of the same kind."""
    gone = 0 if site.gone_first((0, 1))[0] == 0 else 1
    return remade(site.layer, TO_1D[type(site.layer)], gone, kernel_size=width, **changes)


def for_channels(site: Site, kernel: Array) -> tuple[Array | None, str]:
    """A kernel (kept, in, out) for the signal's number of channels, and what to say; None is a new one."""
    if not site.state.lacking:
        return kernel, ""
    layer, rule = site.layer, site.options.channels
    if (
        not isinstance(layer, keras.layers.Conv2D)
        or isinstance(layer, keras.layers.Conv2DTranspose)
        or layer.groups > 1
    ):
        site.adapted()
    if rule == "new":
        return None, f"new weights for {site.depth} channels instead of {site.state.lacking}: train it"
    return np.einsum("kio,ic->kco", kernel, channel_map(rule, site.state.lacking, site.depth)), ""


def _made(
    site: Site, met: Sequence[Rows], extent: int, after: State, changes: dict[str, Any], condition: str = ""
) -> Made:
    layer, kernel = site.layer, spatial_kernel(site)
    zeros_stay = not layer.use_bias and activation(layer) in ZERO_AT_ZERO
    found = agreed(list(met), zeros_stay)
    verdict: Verdict = "exact if" if condition else "exact"
    if found is not None:
        taps, low, count, high = found
        rule, reduced = rows.named(taps, extent), kernel.take(taps, axis=0).sum(0)
    elif site.options.kernel_rule == "exact":
        raise RefusedError(
            _why(met, site.state), "choose kernel_rule='sum', 'row' or 'mean' to go on without exactness"
        )
    else:
        low, count, high = 0, max(len(met), 1), 0
        rule, reduced = f"{site.options.kernel_rule} of {extent} rows", by_rule(kernel, site.options.kernel_rule)
        verdict, condition = "heuristic", _why(met, site.state)
    state = replace(
        after, low=low, rows=count, high=high, lacking=0, nonnegative=activation(layer) in NONNEGATIVE, form="image"
    )
    made = one_dimensional(site, reduced.shape[0], changes)
    adapted, note = for_channels(site, reduced)
    weights = None if adapted is None else reduced_weights(site, adapted)
    if note:
        verdict, condition = "heuristic", "; ".join(filter(None, (note, condition)))
    elif site.state.lacking:
        rule += f", channels by {site.options.channels!r}"
    return Made((made,), state, rule, verdict, condition, (weights,))


def _why(met: Sequence[Rows], state: State) -> str:
    if not met:
        return f"its kernel is larger than the {state.band.extent} rows, so that the 2-D layer itself has no output"
    if not any(met):
        return "no tap of its kernel meets the signal: the 2-D layer's output is its bias alone"
    inner = max(met, key=len)
    right = sum(taps == inner for taps in met)
    return f"{right} of {len(met)} output rows see {len(inner)} rows of the signal, the others see less and zeros"


def _met(state: State, kernel: int, stride: int, dilation: int, padding: str) -> list[Rows]:
    return rows.met(state.band, kernel, stride, dilation, *window(state, kernel, stride, dilation, padding))


def _geometry(site: Site) -> tuple[tuple[int, int], tuple[int, int], tuple[int, int]]:
    layer = site.layer
    return site.gone_first(layer.kernel_size), site.gone_first(layer.strides), site.gone_first(layer.dilation_rate)

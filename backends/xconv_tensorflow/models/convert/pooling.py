"""Pooling layers on images whose rows are equal."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import keras

from xconv.models import rows
from xconv.models.conversion import RefusedError, Verdict
from xconv_tensorflow.models.convert.kernels import agreed, window
from xconv_tensorflow.models.convert.layers import remade
from xconv_tensorflow.models.convert.state import Made, Site

TO_1D = {
    keras.layers.MaxPooling2D: keras.layers.MaxPooling1D,
    keras.layers.AveragePooling2D: keras.layers.AveragePooling1D,
    keras.layers.GlobalMaxPooling2D: keras.layers.GlobalMaxPooling1D,
    keras.layers.GlobalAveragePooling2D: keras.layers.GlobalAveragePooling1D,
}

LEFT_OUT = "left out along the axis of size 1, where the 2-D layer gives nothing: proven against it without that"


def pooling(site: Site) -> Made:
    """MaxPooling2D, AveragePooling2D: equal rows pool to themselves."""
    layer, state = site.layer, site.state
    pool, stride = site.gone_first(layer.pool_size), site.gone_first(layer.strides)
    geometry = (state.band, pool[0], stride[0], 1, *window(state, pool[0], stride[0], 1, layer.padding))
    met = rows.met(*geometry)
    rule, condition = "pool the kept axis", ""
    verdict: Verdict = "exact"
    layers = [pooled_1d(site)]
    after = state.seen(pool, stride)
    if not met and state.rows == 1 and not state.padded:
        verdict, condition = "exact if", LEFT_OUT
        low, count, high = 0, 1, 0
    else:
        # any tap will do: each meets the same row
        found = agreed([taps[:1] and (0,) for taps in met], zeros_stay=True)
        if found is None:
            raise RefusedError(f"its window is larger than the {state.rows} rows", "use padding='same'")
        _, low, count, high = found
        mixed = _with_zeros(site, {(signal, zeros) for signal, zeros in rows.windows(*geometry) if signal})
        if mixed is not None:
            layers.append(mixed)
            rule += ", and the rows of zeros"
    after = replace(after, low=low, rows=count, high=high)
    return Made(tuple(layers), after, rule, verdict, condition)


def pooled_1d(site: Site) -> Any:
    """The layer along the kept axis alone."""
    layer = site.layer
    pool, stride = site.gone_first(layer.pool_size), site.gone_first(layer.strides)
    return remade(layer, TO_1D[type(layer)], pool_size=pool[1], strides=stride[1])


def global_pooling(site: Site) -> Made:
    """GlobalMaxPooling2D, GlobalAveragePooling2D."""
    site.unpadded()
    return Made((global_1d(site),), pooled_state(site), "pool the kept axis")


def global_1d(site: Site) -> Any:
    """The layer along the kept axis."""
    return remade(site.layer, TO_1D[type(site.layer)])


def pooled_state(site: Site) -> Any:
    """After global pooling: one row of one element, or no rows at all."""
    return replace(site.state, form="image" if site.layer.keepdims else "vector", rows=1, low=0, high=0)


def _with_zeros(site: Site, windows: set[tuple[int, int]]) -> Any:
    """A layer for windows with rows of zeros, given how many rows of the signal and of zeros each has."""
    layer = site.layer
    common = {"name": f"{layer.name}_zeros", "dtype": layer.dtype_policy}
    if not any(zeros for _, zeros in windows):
        return None
    if isinstance(layer, keras.layers.MaxPooling2D):
        if site.state.nonnegative:
            return None
        if all(zeros for _, zeros in windows):
            return keras.layers.ReLU(**common)  # the largest of them and zero
    elif len({signal / (signal + zeros) for signal, zeros in windows}) == 1:
        signal, zeros = next(iter(windows))
        return keras.layers.Rescaling(signal / (signal + zeros), **common)
    raise RefusedError("some of its windows meet rows of zeros and others do not", "pad by padding='same' instead")

"""A model run in float64, and the 1-D one compared with the 2-D one on random signals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from xconv.models.conversion import Options
from xconv_tensorflow.convert.embedding import as_given, as_image
from xconv_tensorflow.convert.graph import graph_of, is_model, replay
from xconv_tensorflow.convert.state import Array, State

BETWEEN = 2.0**-38
"""An error, relative to the largest output, that is too large for float64 rounding and too small for float32.

Half way, in digits, between their unit roundoffs 2^-53 and 2^-24: what a weight in float32 that is off by its last bit
does is above it, what summing in another order in float64 does is below it.
"""

VARYING = 2.0**10
"""How many times the tolerance outputs must vary over the batch, so that what does not depend on the input proves
nothing: a part of 1 in 1,000 that were wrong would still be seen."""


@dataclass(frozen=True)
class Proof:
    """How far the 1-D model is from the 2-D one, in float64.

    ``verdict`` is "exact", "differs", "proves nothing" (the outputs do not vary over the batch), or "heuristic" (some
    step before is not exact, and the models differ as it says). ``compared`` says what was compared.
    """

    error: float
    tolerance: float
    spread: float
    verdict: str
    compared: str

    @property
    def ok(self) -> bool:
        """Whether they agree, and this proves something."""
        return self.verdict == "exact"


class _Reached(Exception):
    def __init__(self, value: Any) -> None:
        super().__init__()
        self.value = value


def run(model: Any, x: Array, weights: Mapping[int, Sequence[Array]] | None = None, until: Any = None) -> Any:
    """A functional or Sequential model's outputs in float64, in inference; the model is left as it was.

    Args:
        model: of any dtype policy; its layers are made again in float64, with the same weights. Its input may have
            another size than the model was built for. A pool without padding that is larger than an axis of size one
            would give nothing there, and is left out along it.
        x: the input with the batch.
        weights: other weights for some layers, by their ``id``.
        until: a layer whose input is given back instead of the output.
    """
    clones: dict[int, Any] = {}

    def apply(operation: Any, arguments: Sequence[Any], options: dict[str, Any]) -> Any:
        if operation is until:
            raise _Reached(arguments[0])
        if is_model(operation):
            return replay(graph_of(operation), keras.tree.flatten(arguments[0]), apply)
        if not isinstance(operation, keras.Layer):
            return operation(*arguments, **options)
        tensors = keras.tree.flatten((arguments, options))
        clone = clones.get(id(operation))
        if clone is None:
            clone = clones[id(operation)] = _in_float64(operation, tensors[0], (weights or {}).get(id(operation)))
        if operation._call_has_training_arg:
            options = {**options, "training": False}
        if _needs_last(operation):
            result = clone(tf.transpose(arguments[0], _to_last(arguments[0])), **options)
            return tf.transpose(result, _to_first(result))
        return clone(*arguments, **options)

    given = tf.constant(np.asarray(x, np.float64))
    try:
        found = replay(graph_of(model), [given], apply)
    except _Reached as reached:
        found = reached.value
    results = [np.asarray(one) for one in keras.tree.flatten(found)]
    return results[0] if len(results) == 1 else results


def prove(
    original: Any,
    model: Any,
    options: Options,
    states: tuple[State, Sequence[State]],
    weights: Mapping[int, Sequence[Array]],
    stop: tuple[Any, Any, str] | None,
    claimed: bool,
    seed: int = 0,
) -> Proof:
    """Compare a model with what it was made of, on a batch of random signals.

    Args:
        original: the 2-D model.
        model: the 1-D model.
        options: those of the conversion.
        states: of the input and of the outputs.
        weights: of 1-D layers in float64, where rounding them to the model's dtype changed them.
        stop: the layers of both models whose inputs are compared, and their name; the rest has new weights.
        claimed: whether the steps before are said to be exact.
        seed: of the signals.
    """
    first, last = states
    signal = np.random.default_rng(seed).standard_normal((4, *options.input_shape))
    if first.lacking:
        return Proof(np.nan, 0.0, 0.0, "heuristic", "nothing: the image has other channels than the signal")
    old_stop, new_stop, name = stop or (None, None, "")
    wanted = run(original, as_image(signal, options, first), until=old_stop)
    found = run(model, signal, weights, until=new_stop)
    pairs = [(wanted, found)] if isinstance(wanted, np.ndarray) else list(zip(wanted, found, strict=True))
    error = tolerance = 0.0
    spread, verdict = np.inf, "exact"
    for (one, other), state in zip(pairs, last, strict=True):
        given = as_given(other, state, one)
        if given.shape != one.shape:
            return Proof(np.inf, 0.0, 0.0, "differs", f"shapes {one.shape} and {given.shape}")
        scale = float(np.abs(one).max())
        here, varies = float(np.abs(one - given).max()), float(np.ptp(one, axis=0).max())
        if not here <= BETWEEN * scale:
            verdict = "differs" if claimed else "heuristic"
        elif not varies > VARYING * BETWEEN * scale and verdict == "exact":
            verdict = "proves nothing"
        if not here <= error:
            error, tolerance = here, BETWEEN * scale
        elif not tolerance:
            tolerance = BETWEEN * scale
        spread = min(spread, varies)
    return Proof(error, tolerance, spread, verdict, f"the inputs of {name!r}" if stop else "the outputs")


def _in_float64(layer: Any, like: Any, weights: Sequence[Array] | None) -> Any:
    config = {**layer.get_config(), "dtype": "float64"}
    if _needs_last(layer):
        config["data_format"] = "channels_last"
    if isinstance(layer, (keras.layers.MaxPooling2D, keras.layers.AveragePooling2D)) and layer.padding == "valid":
        axes = (1, 2) if layer.data_format == "channels_last" else (2, 3)
        left = [like.shape[axis] == 1 for axis in axes]
        for key in ("pool_size", "strides"):
            config[key] = tuple(1 if out else size for out, size in zip(left, config[key], strict=True))
    clone = type(layer).from_config(config)
    given = [np.asarray(weight) for weight in layer.weights] if weights is None else weights
    if given:
        shape = tuple(like.shape)
        clone.build(tuple(shape[i] for i in _to_last(like)) if _needs_last(layer) else shape)
        clone.set_weights(given)
        finalized(clone)
    return clone


def finalized(layer: Any) -> None:
    """Let a layer compute what it keeps beside its weights."""
    if isinstance(layer, keras.layers.Normalization):
        layer.finalize_state()


def _needs_last(layer: Any) -> bool:
    # TensorFlow has no channels-first convolutions on a CPU without oneDNN
    kinds = (keras.layers.Conv1D, keras.layers.Conv2D, keras.layers.Conv1DTranspose, keras.layers.Conv2DTranspose)
    return isinstance(layer, kinds) and layer.data_format == "channels_first"


def _to_last(x: Any) -> tuple[int, ...]:
    return (0, *range(2, len(x.shape)), 1)


def _to_first(x: Any) -> tuple[int, ...]:
    return (0, len(x.shape) - 1, *range(1, len(x.shape) - 1))

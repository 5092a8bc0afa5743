"""The numeric proof: the original on embedded signals against the new model, in float64."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from xconv.models.conversion import Options, Report, Step
from xconv.models.proof import Proof
from xconv_tensorflow.models.convert.embedding import as_given, as_image
from xconv_tensorflow.models.convert.graph import graph_of, is_model, replay
from xconv_tensorflow.models.convert.state import Array, State


class _ReachedError(Exception):
    def __init__(self, value: Any) -> None:
        super().__init__()
        self.value = value


class Float64Model:
    """A functional or Sequential model that computes in float64, in inference; the model is left as it was.

    Its layers are made again in float64, with the weights that they have when they first run. An image may have another
    size than the model was built for. What would give nothing on an axis of size one is fitted to it: a pool without
    padding that is larger is left out along it, and a convolution whose input lacks one row gets a row of zeros before.

    Args:
        model: of any dtype policy.
        weights: by the ``id`` of a layer, its weights before they were rounded to the model's dtype; they are taken if
            the layer still has them.
        until: a layer whose input is given back instead of the output.
    """

    def __init__(self, model: Any, weights: Mapping[int, Sequence[Array]] | None = None, until: Any = None) -> None:
        self.model = model
        self.weights = weights or {}
        self.until = until
        self._clones: dict[Any, Any] = {}

    def __call__(self, x: Array) -> list[Array]:
        """All outputs on an input with the batch."""
        given = tf.constant(np.asarray(x, np.float64))
        try:
            found = replay(graph_of(self.model), [given], self._apply)
        except _ReachedError as reached:
            found = reached.value
        return [np.asarray(one) for one in keras.tree.flatten(found)]

    def _apply(self, operation: Any, arguments: Sequence[Any], options: dict[str, Any]) -> Any:
        if operation is self.until:
            raise _ReachedError(arguments[0])
        if is_model(operation):
            return replay(graph_of(operation), keras.tree.flatten(arguments[0]), self._apply)
        if not isinstance(operation, keras.Layer):
            return operation(*arguments, **options)
        if operation._call_has_training_arg:
            options = {**options, "training": False}
        x = keras.tree.flatten((arguments, options))[0]
        if isinstance(operation, keras.layers.Rescaling):  # Keras would round its numbers to float32
            return x * np.asarray(operation.scale, np.float64) + np.asarray(operation.offset, np.float64)
        fitted = _fitted(operation, x)
        if fitted is not x:
            arguments = [fitted]
        key = (id(operation), _one_high(operation, x))
        clone = self._clones.get(key)
        if clone is None:
            clone = _in_float64(operation, fitted, self.weights.get(id(operation)))
            if getattr(operation, "groups", 1) > 1 and hasattr(operation, "kernel"):
                clone = tf.function(clone)  # else Keras compiles it again in each run
            self._clones[key] = clone
        if _needs_last(operation):
            result = clone(tf.transpose(fitted, _to_last(fitted)), **options)
            return tf.transpose(result, _to_first(result))
        return clone(*arguments, **options)


def run(model: Any, x: Array) -> Array | list[Array]:
    """What a model computes in float64 and in inference, see :class:`Float64Model`: an output or a list."""
    found = Float64Model(model)(x)
    return found[0] if len(found) == 1 else found


@dataclass(frozen=True)
class Programs:
    """Both models as functions from signals to lists of arrays of the same shapes."""

    original: Callable[[Array], list[Array]]
    converted: Callable[[Array], list[Array]]

    @classmethod
    def of(
        cls,
        models: tuple[Any, Any],
        options: Options,
        states: tuple[State, Sequence[State]],
        weights: Mapping[int, Sequence[Array]],
        stop: tuple[Any, Any] = (None, None),
    ) -> Programs:
        """Of the 2-D model and the 1-D one.

        Args:
            models: both.
            options: those of the conversion.
            states: of the input, and of the outputs or of the input of ``stop``.
            weights: as :class:`Float64Model`'s, of the 1-D model.
            stop: layers in both whose inputs are compared, because what comes behind has new weights.
        """
        first, last = states
        old, new = Float64Model(models[0], until=stop[0]), Float64Model(models[1], weights, stop[1])

        def converted(signals: Array) -> list[Array]:
            return [as_given(array, state) for array, state in zip(new(signals), last, strict=True)]

        return cls(lambda signals: old(as_image(signals, options, first)), converted)


def proven(programs: Programs | None, report: Report, steps: Sequence[Step]) -> Proof:
    """Compare both programs on a batch of random signals.

    Args:
        programs: None if no signal is one for both.
        report: of the conversion.
        steps: those whose results are compared; what comes behind has new weights.
    """
    heuristics = [step.condition for step in steps if step.verdict == "heuristic"]
    if programs is None:
        return Proof("heuristic", np.inf, 0.0, 0.0, report.conditions, "nothing is compared: the first layer is new")
    detail = "up to the first layer with new weights" if len(steps) < len(report.steps) else ""
    return report.compared(programs.original, programs.converted, heuristics, detail)


def _one_high(layer: Any, x: Any) -> tuple[bool, bool]:
    """Whether a pool without padding is larger than an axis of size one, for height and width."""
    if not isinstance(layer, (keras.layers.MaxPooling2D, keras.layers.AveragePooling2D)) or layer.padding != "valid":
        return False, False
    axes = (1, 2) if layer.data_format == "channels_last" else (2, 3)
    height, width = (x.shape[axis] == 1 < size for axis, size in zip(axes, layer.pool_size, strict=True))
    return height, width


def _fitted(layer: Any, x: Any) -> Any:
    """The input of a convolution that lacks one row or column, with zeros before."""
    if not isinstance(layer, (keras.layers.Conv2D, keras.layers.DepthwiseConv2D, keras.layers.SeparableConv2D)):
        return x
    if isinstance(layer, keras.layers.Conv2DTranspose) or layer.padding != "valid":
        return x
    first = 1 if layer.data_format == "channels_last" else 2
    pads = [[0, 0] for _ in range(4)]
    for axis, (size, dilation) in enumerate(zip(layer.kernel_size, layer.dilation_rate, strict=True), first):
        pads[axis][0] = int(x.shape[axis] == (size - 1) * dilation > 1)
    return tf.pad(x, pads) if np.any(pads) else x


def _in_float64(layer: Any, like: Any, weights: Sequence[Array] | None) -> Any:
    config = {**layer.get_config(), "dtype": "float64"}
    if _needs_last(layer):
        config["data_format"] = "channels_last"
    left = _one_high(layer, like)
    if any(left):
        for key in ("pool_size", "strides"):
            config[key] = tuple(1 if out else size for out, size in zip(left, config[key], strict=True))
    clone = type(layer).from_config(config)
    given: Sequence[Array] = [np.asarray(weight) for weight in layer.weights]
    if weights is not None and all(np.array_equal(w.astype(g.dtype), g) for w, g in zip(weights, given, strict=True)):
        given = weights
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

"""A Keras model that is run on zeros while its layers are watched."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Any

import keras
import numpy as np

from xconv.models.flattening import LayerShapes
from xconv.models.neutral import Numbers
from xconv.models.reading import channels_last, sent
from xconv_tensorflow.models.running import watched
from xconv_tensorflow.models.weight_layers import all_layers, kind_of

_ELEMENTWISE = ("keras.src.layers.activations", "keras.src.layers.regularization")
_SEES = Callable[[Any, Any, Any], Any]


class RunOnZeros:
    """A model and the zeros that it is run on, for inference; it is left as it was."""

    def __init__(self, model: Any, shapes: Sequence[tuple[int, ...]], integers: bool) -> None:
        self._model = model
        self._inputs = [np.zeros((1, *shape), "int32" if integers else "float32") for shape in shapes]
        self._events: list[tuple[Any, LayerShapes]] = []

    def watched(self) -> list[tuple[Any, LayerShapes]]:
        """The layers without parts in the order in which they run."""
        last: tuple[int, ...] = ()

        def watch(layer: Any, given: Any, gave: Any) -> None:
            nonlocal last
            knows = _knows_channels(layer)
            follows = kind_of(layer) in ("layer_norm", "prelu") and tuple(given.shape) == last
            first = getattr(layer, "data_format", "") == "channels_first" if knows else follows
            shapes = [channels_last(tuple(one.shape[1:]), first) for one in (given, gave)]
            dtype = keras.backend.standardize_dtype(gave.dtype)
            self._events.append((layer, LayerShapes(_passing(layer), shapes[0], shapes[1], dtype, knows, first)))
            if knows:
                last = tuple(gave.shape) if first else ()

        self._run(watch)
        return self._events

    def sent(self, sender: int, values: Numbers) -> dict[int, Numbers]:
        """What each later layer gets in place of its features if the result of the sender is this."""
        own = np.array(np.moveaxis(values, -1, 0) if self._events[sender][1].channels_first else values)[None]

        def replaced(gave: Any) -> Any:
            return keras.ops.convert_to_tensor(own, dtype=gave.dtype)

        def features(given: Any) -> Numbers:
            first: Numbers = keras.ops.convert_to_numpy(given)[0].astype(np.float64)
            return first

        return sent(self._run, sender, replaced, features, _passing)

    def _run(self, watch: _SEES) -> None:
        with ExitStack() as scopes:
            for _, layer in all_layers(self._model):
                bare = not layer._flatten_layers(include_self=False, recursive=False)
                if bare and not isinstance(layer, keras.layers.InputLayer):
                    scopes.enter_context(watched(layer, watch))
            several = len(self._inputs) > 1 and len(getattr(self._model, "inputs", None) or ()) == len(self._inputs)
            given = [list(self._inputs)] if several else self._inputs
            options = {"training": False} if self._model._call_has_training_arg else {}
            self._model(*given, **options)


def _knows_channels(layer: Any) -> bool:
    """Whether it says which axis is the channels'; a flattened result has none left."""
    return bool(getattr(layer, "data_format", "")) and not isinstance(layer, keras.layers.Flatten)


def _passing(layer: Any) -> str:
    """The kind of a layer; what it does to each number alone is "elementwise"."""
    kind = kind_of(layer)
    return kind or ("elementwise" if type(layer).__module__.startswith(_ELEMENTWISE) else "")

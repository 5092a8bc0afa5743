"""A Keras model that is run on zeros while its layers are watched."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import keras
import numpy as np

from xconv.models.flattening import THROUGH, Seen
from xconv.models.neutral import Numbers
from xconv_tensorflow.models.weight_layers import all_layers, kind_of

_ELEMENTWISE = ("keras.src.layers.activations", "keras.src.layers.regularization")
_SEES = Callable[[Any, Any, Any], Any]


class Run:
    """A model and the zeros that it is run on, for inference; it is left as it was."""

    def __init__(self, model: Any, shapes: Sequence[tuple[int, ...]], integers: bool) -> None:
        self._model = model
        self._inputs = [np.zeros((1, *shape), "int32" if integers else "float32") for shape in shapes]
        self._events: list[tuple[Any, Seen]] = []

    def watched(self) -> list[tuple[Any, Seen]]:
        """The layers without parts in the order in which they run."""
        last: tuple[int, ...] = ()

        def watch(layer: Any, given: Any, gave: Any) -> None:
            nonlocal last
            knows = _knows_channels(layer)
            follows = kind_of(layer) in ("layer_norm", "prelu") and tuple(given.shape) == last
            first = getattr(layer, "data_format", "") == "channels_first" if knows else follows
            shapes = [_channels_last(tuple(one.shape[1:]), first) for one in (given, gave)]
            dtype = keras.backend.standardize_dtype(gave.dtype)
            self._events.append((layer, Seen(_passing(layer), shapes[0], shapes[1], dtype, knows, first)))
            if knows:
                last = tuple(gave.shape) if first else ()

        self._run(watch)
        return self._events

    def sent(self, sender: int, values: Numbers) -> dict[int, Numbers]:
        """What each later layer gets in place of its features if the result of the sender is this."""
        found: dict[int, Numbers] = {}
        count = -1

        def send(layer: Any, given: Any, gave: Any) -> Any:
            nonlocal count
            count += 1
            if count == sender:
                own = np.moveaxis(values, -1, 0) if self._events[sender][1].channels_first else values
                return keras.ops.convert_to_tensor(np.array(own)[None], dtype=gave.dtype)
            if count < sender:
                return None
            if len(given.shape) == 2:
                found[count] = keras.ops.convert_to_numpy(given)[0].astype(np.float64)
            return given if _passing(layer) in THROUGH and given.shape == gave.shape else None

        self._run(send)
        return found

    def _run(self, watch: _SEES) -> None:
        with ExitStack() as scopes:
            for _, layer in all_layers(self._model):
                bare = not layer._flatten_layers(include_self=False, recursive=False)
                if bare and not isinstance(layer, keras.layers.InputLayer):
                    scopes.enter_context(_watched(layer, watch))
            several = len(self._inputs) > 1 and len(getattr(self._model, "inputs", None) or ()) == len(self._inputs)
            given = [list(self._inputs)] if several else self._inputs
            options = {"training": False} if self._model._call_has_training_arg else {}
            self._model(*given, **options)


@contextmanager
def _watched(layer: Any, watch: _SEES) -> Iterator[None]:
    call = layer.call

    def watched(*inputs: Any, **options: Any) -> Any:
        output = call(*inputs, **options)
        if inputs and hasattr(inputs[0], "shape") and hasattr(output, "shape"):
            other = watch(layer, inputs[0], output)
            return output if other is None else other
        return output

    # past Keras's own bookkeeping of attributes
    object.__setattr__(layer, "call", watched)
    try:
        yield
    finally:
        object.__delattr__(layer, "call")


def _knows_channels(layer: Any) -> bool:
    """Whether it says which axis is the channels'; a flattened result has none left."""
    return bool(getattr(layer, "data_format", "")) and not isinstance(layer, keras.layers.Flatten)


def _channels_last(shape: tuple[int, ...], first: bool) -> tuple[int, ...]:
    return (*shape[1:], shape[0]) if first and shape else shape


def _passing(layer: Any) -> str:
    """The kind of a layer; what it does to each number alone is "elementwise"."""
    kind = kind_of(layer)
    return kind or ("elementwise" if type(layer).__module__.startswith(_ELEMENTWISE) else "")

"""The layers of a model in the order in which they ran, with what they got and gave."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from xconv.testing.callables import PLAIN, FrameworkCallable, On, Variant, changes
from xconv.testing.frameworks import Array, UnsupportedCallableError

KINDS = (
    ("transpose", "conv", "conv_transpose"),
    ("conv", "", "conv"),
    ("batchnorm", "", "batchnorm"),
    ("norm", "", "norm"),
    ("max", "pool", "maxpool"),
    ("pool", "", "avgpool"),
    ("linear", "", "dense"),
    ("dense", "", "dense"),
    ("embedding", "", "embedding"),
    ("dropout", "", "none"),
    ("identity", "", "none"),
    ("inputlayer", "", "none"),
    ("flatten", "", "shape"),
    ("reshape", "", "shape"),
    ("permute", "", "shape"),
    ("padding", "", "pad"),
    ("constantpad", "", "pad"),
)
"""What the name of a layer's class must contain, both words, for each kind; the first that fits."""

ACTIVATIONS = (
    "relu",
    "elu",
    "sigmoid",
    "tanh",
    "softmax",
    "silu",
    "swish",
    "mish",
    "softplus",
    "softsign",
    "activation",
)


@dataclass(frozen=True)
class Record:
    """A layer that ran: its name and kind, what computes it, the layer itself, its first input and its result."""

    name: str
    kind: str
    runs: Any
    layer: Any
    given: Array
    result: Array
    has_one_input: bool
    """Whether its one input is all that it got, so that it can be run by itself."""


def kind_of(layer: Any) -> str:
    """The kind of a layer by the name of its class.

    >>> kind_of(type("Conv1DTranspose", (), {})()), kind_of(type("GELU", (), {})())
    ('conv_transpose', 'activation')
    """
    name = type(layer).__name__.lower().replace("normalization", "norm")
    for one, other, kind in KINDS:
        if one in name and other in name:
            return kind
    return "activation" if any(word in name for word in ACTIVATIONS) else name


def is_model(subject: FrameworkCallable) -> bool:
    """Whether it is a torch module or a Keras model with layers that can be watched."""
    if subject.framework.name == "torch":
        import torch

        return isinstance(subject.function, torch.nn.Module) and any(True for _ in subject.function.children())
    if subject.framework.name == "tensorflow":
        import keras

        return isinstance(subject.function, keras.Layer) and len(list(subject.function._flatten_layers())) > 1
    return False


class Watch:
    """A model whose leaf layers are seen."""

    def __init__(self, subject: FrameworkCallable) -> None:
        self._subject = subject
        self._by_torch = subject.framework.name == "torch"

    def run(self, inputs: Sequence[Array], variant: Variant = PLAIN) -> list[Record]:
        """Every leaf layer that ran, in order; on a copy of the model, if it can be copied."""
        found: list[Record] = []
        change = changes(variant)
        model = self._subject.function
        with suppress(UnsupportedCallableError):
            model = self._subject.framework.converted(model, change, wide=False)
        with (_torch_watched if self._by_torch else _keras_watched)(model, found):
            self._subject.framework.run(model, [change(array) for array in inputs], self._subject.training)
        return found


@contextmanager
def _torch_watched(model: Any, found: list[Record]) -> Iterator[None]:
    import torch

    def seen(name: str) -> Callable[..., None]:
        def hook(layer: Any, inputs: tuple[Any, ...], output: Any) -> None:
            if inputs and all(isinstance(value, torch.Tensor) for value in (inputs[0], output)):
                given, result = (value.detach().cpu().numpy().copy() for value in (inputs[0], output))
                found.append(Record(name, kind_of(layer), layer, layer, given, result, len(inputs) == 1))

        return hook

    hooks = [
        layer.register_forward_hook(seen(name))
        for name, layer in model.named_modules()
        if not any(True for _ in layer.children())
    ]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


@contextmanager
def _keras_watched(model: Any, found: list[Record]) -> Iterator[None]:
    """By the ``call`` of each layer. A fused activation is a layer of its own here."""
    import keras
    import numpy as np

    watched: list[Any] = []

    def watch(layer: Any) -> None:
        call, activation = layer.call, getattr(layer, "activation", None)
        splits = kind_of(layer) in ("conv", "conv_transpose", "dense")
        fused = activation if splits and activation not in (None, keras.activations.linear) else None

        def seen(*inputs: Any, **options: Any) -> Any:
            if fused is None:
                before = output = call(*inputs, **options)
            else:
                with _linear(layer):
                    before = call(*inputs, **options)
                output = fused(before)
            if not inputs or not all(hasattr(value, "shape") for value in (inputs[0], before)):
                return output
            given, result, has_one_input = np.array(inputs[0]), np.array(before), len(inputs) == 1
            runs = layer if fused is None else On("tensorflow", functools.partial(before_activation, layer))
            found.append(Record(layer.name, kind_of(layer), runs, layer, given, result, has_one_input))
            if fused is not None:
                name, runs = f"{layer.name}'s activation", On("tensorflow", fused)
                found.append(Record(name, "activation", runs, fused, result, np.array(output), has_one_input))
            return output

        # past Keras's own bookkeeping of attributes
        object.__setattr__(layer, "call", seen)
        watched.append(layer)

    try:
        for layer in model._flatten_layers():
            if len(list(layer._flatten_layers())) == 1 and type(layer).__name__ != "InputLayer":
                watch(layer)
        yield
    finally:
        for layer in watched:
            object.__delattr__(layer, "call")


def before_activation(layer: Any, x: Any) -> Any:
    """A Keras layer without the activation that is fused into it."""
    with _linear(layer):
        return layer(x)


@contextmanager
def _linear(layer: Any) -> Iterator[None]:
    import keras

    activation, layer.activation = layer.activation, keras.activations.linear
    try:
        yield
    finally:
        layer.activation = activation


def record_pairs(one: list[Record], other: list[Record], to_f: Callable[[Array], Array]) -> list[tuple[int, int]]:
    """Which layers of two models belong together: the alignment with the highest score, in order.

    Of the same kind, and best of the same shape. What computes nothing is in no pair.
    """
    a = [i for i, record in enumerate(one) if record.kind not in ("none", "shape", "pad")]
    b = [i for i, record in enumerate(other) if record.kind not in ("none", "shape", "pad")]

    def score(i: int, j: int) -> int:
        x, y = one[a[i]], other[b[j]]
        if x.kind != y.kind:
            return -100
        return 4 if x.result.shape == to_f(y.result).shape else 2 if x.result.size == y.result.size else 1

    best = [[0] * (len(b) + 1) for _ in range(len(a) + 1)]
    for i in reversed(range(len(a))):
        for j in reversed(range(len(b))):
            best[i][j] = max(best[i + 1][j], best[i][j + 1], best[i + 1][j + 1] + score(i, j))
    pairs, i, j = [], 0, 0
    while i < len(a) and j < len(b):
        if best[i][j] == best[i + 1][j + 1] + score(i, j):
            pairs.append((a[i], b[j]))
            i, j = i + 1, j + 1
        elif best[i][j] == best[i + 1][j]:
            i += 1
        else:
            j += 1
    return pairs

"""Networks without a framework: layers as values, and the shapes, kernels and counts that follow from them.

Shapes are channels last and without the batch: (W, C) or (H, W, C). A network is a chain; each backend's module
``networks`` builds it with the framework's own layers, from the same NumPy weights.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import ClassVar, TypeAlias

from xconv.core.call import resolve
from xconv.core.checks import int_pair
from xconv.core.cost import cost, receptive_field
from xconv.core.problem import positive, step
from xconv.system.errors import ArgumentError, nearest

ACTIVATIONS = ("linear", "relu", "sigmoid", "softmax", "tanh")
"""What a layer may apply to its result; softmax is over the channels."""

Shape: TypeAlias = tuple[int, ...]
Pads: TypeAlias = tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Conv1D:
    """A convolution along W of (W, in); the kernel has shape (kernel, in, filters).

    Args:
        filters: channels that come out.
        kernel: taps.
        activation: "linear", "relu", "sigmoid", "softmax" or "tanh".
        stride: elements between neighbouring outputs.
        padding: "valid", "same" or "causal".
        dilation: elements between neighbouring taps, from 1.
        bias: whether there is one.

    >>> Network("one", (100, 3), (Conv1D(8, 5, stride=2, padding="same"),)).output_shape
    (50, 8)
    """

    filters: int
    kernel: int
    activation: str = "linear"
    stride: int = 1
    padding: str = "valid"
    dilation: int = 1
    bias: bool = True
    kind: ClassVar[str] = "conv1d"


@dataclass(frozen=True)
class Conv2D:
    """A convolution along H and W of (H, W, in); the kernel has shape (kh, kw, in, filters).

    Args:
        filters: channels that come out.
        kernel: taps; an integer counts for both axes, here and in stride and dilation.
        activation: as for :class:`Conv1D`.
        stride: elements between neighbouring outputs.
        padding: "valid" or "same".
        dilation: elements between neighbouring taps, from 1.
        bias: whether there is one.

    >>> Network("one", (32, 32, 3), (Conv2D(8, (3, 5)),)).output_shape
    (30, 28, 8)
    """

    filters: int
    kernel: int | tuple[int, int]
    activation: str = "linear"
    stride: int | tuple[int, int] = 1
    padding: str = "valid"
    dilation: int | tuple[int, int] = 1
    bias: bool = True
    kind: ClassVar[str] = "conv2d"


@dataclass(frozen=True)
class MaxPool:
    """The largest of each window, along W or along H and W as the input is.

    Args:
        window: elements along each axis.
        stride: elements between neighbouring windows; None: the window.

    >>> Network("one", (32, 32, 3), (MaxPool(2),)).output_shape
    (16, 16, 3)
    """

    window: int | tuple[int, int] = 2
    stride: int | tuple[int, int] | None = None
    kind: ClassVar[str] = "max_pool"


@dataclass(frozen=True)
class AveragePool:
    """The mean of each window, as :class:`MaxPool`.

    Args:
        window: elements along each axis.
        stride: elements between neighbouring windows; None: the window.

    >>> Network("one", (100, 3), (AveragePool(3, stride=1),)).output_shape
    (98, 3)
    """

    window: int | tuple[int, int] = 2
    stride: int | tuple[int, int] | None = None
    kind: ClassVar[str] = "average_pool"


@dataclass(frozen=True)
class Fold:
    """W into the channels: (H, W, C) becomes (H, W * C), so that a 1-D convolution along H sees all of W.

    Receptive fields are along H from there on.

    >>> Network("one", (100, 64, 1), (Fold(), Conv1D(8, 3))).output_shape
    (98, 8)
    """

    kind: ClassVar[str] = "fold"


@dataclass(frozen=True)
class Flatten:
    """All elements in one row, channels last.

    >>> Network("one", (100, 3), (Flatten(),)).output_shape
    (300,)
    """

    kind: ClassVar[str] = "flatten"


@dataclass(frozen=True)
class Dense:
    """A matrix (in, units) and a bias.

    Args:
        units: numbers that come out.
        activation: as for :class:`Conv1D`.
        bias: whether there is one.

    >>> Network("one", (100, 3), (Flatten(), Dense(10))).parameters
    3010
    """

    units: int
    activation: str = "linear"
    bias: bool = True
    kind: ClassVar[str] = "dense"


@dataclass(frozen=True)
class BatchNorm:
    """Batch normalisation of the channels.

    The running variance is of the biased one, as in Keras (torch's own layer takes the unbiased one).

    Args:
        epsilon: added to the variance.
        momentum: the share of the old statistics that is kept.

    >>> Network("one", (100, 3), (BatchNorm(),)).parameters
    6
    """

    epsilon: float = 1e-3
    momentum: float = 0.99
    kind: ClassVar[str] = "batch_norm"


@dataclass(frozen=True)
class Dropout:
    """Elements set to zero at random while training, and the others divided by ``1 - rate``.

    Args:
        rate: the probability with which an element is set to zero.

    >>> Network("one", (100, 3), (Dropout(0.5),)).output_shape
    (100, 3)
    """

    rate: float
    kind: ClassVar[str] = "dropout"


Layer: TypeAlias = Conv1D | Conv2D | MaxPool | AveragePool | Fold | Flatten | Dense | BatchNorm | Dropout


@dataclass(frozen=True)
class Resolved:
    """A layer at its place in a network.

    ``weights`` are the shapes by name, ``fixed`` those among them that no gradient moves; ``pads`` the zeros (low,
    high) of each axis; ``receptive_field`` the input elements along each axis that one output element sees, before
    the borders cut them off. ``parameters`` are those that are trained; ``macs`` are for one example.
    """

    name: str
    layer: Layer
    input_shape: Shape
    output_shape: Shape
    weights: Mapping[str, Shape]
    receptive_field: Shape
    parameters: int = 0
    macs: int = 0
    pads: Pads = ()
    fixed: tuple[str, ...] = ()

    @property
    def kernel_shape(self) -> Shape | None:
        """The kernel's shape, channels last."""
        return self.weights.get("kernel")


@dataclass(frozen=True)
class Network:
    """A chain of layers on inputs of one shape, (W, C) or (H, W, C).

    Args:
        name: of the network.
        input_shape: (W, C) or (H, W, C), without the batch.
        layers: in the order in which they run.
        source: where it is from.

    Raises:
        ArgumentError: the layers do not fit each other; the text names the layer.

    >>> network = Network("a", (100, 1), (Conv1D(64, 3, "relu"), MaxPool(2), Flatten(), Dense(10, "softmax")))
    >>> [one.output_shape for one in network.resolved], network.parameters
    ([(98, 64), (49, 64), (3136,), (10,)], 31626)
    """

    name: str
    input_shape: Shape
    layers: tuple[Layer, ...]
    source: str = field(default="", compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "input_shape", tuple(self.input_shape))
        object.__setattr__(self, "layers", tuple(self.layers))
        if len(self.input_shape) not in (2, 3) or not all(isinstance(n, int) and n > 0 for n in self.input_shape):
            raise ArgumentError("Network", "input_shape", str(self.input_shape), "(W, C) or (H, W, C), all at least 1")
        if not self.layers:
            raise ArgumentError("Network", "layers", "none", "at least one layer")
        _ = self.resolved  # every mistake is found now

    @cached_property
    def resolved(self) -> tuple[Resolved, ...]:
        """Each layer with its name, shapes and counts."""
        numbers: Counter[str] = Counter()
        found: list[Resolved] = []
        state = _State(self.input_shape, tuple([(1, 1, 1)] for _ in self.input_shape[:-1]))
        for layer in self.layers:
            kind = layer.kind
            if isinstance(layer, (MaxPool, AveragePool)):
                kind += f"{len(state.shape) - 1}d"
            numbers[kind] += 1
            one, state = _resolve(f"{kind}_{numbers[kind]}", layer, state)
            found.append(one)
        return tuple(found)

    @property
    def output_shape(self) -> Shape:
        """The shape of the result, without the batch."""
        return self.resolved[-1].output_shape

    @property
    def parameters(self) -> int:
        """All that is trained."""
        return sum(one.parameters for one in self.resolved)

    @property
    def macs(self) -> int:
        """Multiply-accumulates of one example."""
        return sum(one.macs for one in self.resolved)

    @property
    def weight_shapes(self) -> dict[str, Shape]:
        """All weights as "layer.name", in order."""
        return {f"{one.name}.{name}": shape for one in self.resolved for name, shape in one.weights.items()}

    @property
    def trained_weights(self) -> tuple[str, ...]:
        """The names of the weights that have a gradient."""
        return tuple(f"{one.name}.{name}" for one in self.resolved for name in one.weights if name not in one.fixed)

    @property
    def activation(self) -> str:
        """The last layer's."""
        return getattr(self.layers[-1], "activation", "linear")


@dataclass(frozen=True)
class _State:
    """What a layer is given: a shape, and for each axis the (kernel, stride, dilation) of all before."""

    shape: Shape
    windows: tuple[list[tuple[int, int, int]], ...]

    @property
    def field(self) -> Shape:
        return tuple(receptive_field(axis) for axis in self.windows)

    def slid(self, shape: Shape, *windows: tuple[int, int, int]) -> _State:
        return _State(shape, tuple([*axis, one] for axis, one in zip(self.windows, windows, strict=True)))


def _resolve(name: str, layer: Layer, before: _State) -> tuple[Resolved, _State]:
    shape = before.shape
    if isinstance(layer, (Conv1D, Conv2D)):
        return _convolution(name, layer, before)
    if isinstance(layer, (MaxPool, AveragePool)):
        return _pool(name, layer, before)
    if isinstance(layer, Dense):
        return _dense(name, layer, before)
    if isinstance(layer, BatchNorm):
        if not (layer.epsilon > 0 and 0 <= layer.momentum < 1):
            got = f"epsilon={layer.epsilon!r}, momentum={layer.momentum!r}"
            raise ArgumentError("Network", f"layer {name}", got, "epsilon > 0 and 0 <= momentum < 1")
        statistics = ("moving_mean", "moving_variance")
        weights = dict.fromkeys(("gamma", "beta", *statistics), shape[-1:])
        one = Resolved(name, layer, shape, shape, weights, before.field, 2 * shape[-1], fixed=statistics)
        return one, before
    if isinstance(layer, Flatten):
        after = _State((math.prod(shape),), before.windows)
    elif isinstance(layer, Fold):
        if len(shape) != 3:
            raise ArgumentError("Network", f"layer {name}", f"an input of shape {shape}", "(H, W, C)")
        after = _State((shape[0], shape[1] * shape[2]), before.windows[:1])
    else:
        if not 0 <= layer.rate < 1:
            raise ArgumentError("Network", f"layer {name}", f"rate={layer.rate!r}", "0 <= rate < 1")
        after = before
    return Resolved(name, layer, shape, after.shape, {}, after.field), after


def _convolution(name: str, layer: Conv1D | Conv2D, before: _State) -> tuple[Resolved, _State]:
    axes = 1 if isinstance(layer, Conv1D) else 2
    shape = before.shape
    if len(shape) != axes + 1:
        wanted = "(W, C)" if axes == 1 else "(H, W, C)"
        hint = "Fold() folds W into the channels" if axes == 1 and len(shape) == 3 else ""
        raise ArgumentError("Network", f"layer {name}", f"an input of shape {shape}", wanted, hint)
    _one_of(name, "padding", layer.padding, ("valid", "same", "causal") if axes == 1 else ("valid", "same"))
    _one_of(name, "activation", layer.activation, ACTIVATIONS)
    filters = positive("Network", f"layer {name}: filters", layer.filters)
    kernel, stride, dilation = (_sizes(name, layer, one, axes) for one in ("kernel", "stride", "dilation"))
    if max(stride) > 1 and max(dilation) > 1:
        got = f"stride={layer.stride!r} and dilation={layer.dilation!r}"
        raise ArgumentError("Network", f"layer {name}", got, "one of them 1", "Keras has no such layer")
    weights: dict[str, Shape] = {"kernel": (*kernel, shape[-1], filters)}
    weights.update({"bias": (filters,)} if layer.bias else {})
    options = {"stride": stride[0], "dilation": dilation[0]} if axes == 1 else {"stride": stride, "dilation": dilation}
    try:
        call = resolve(layer.kind, (1, *shape), weights["kernel"], padding=layer.padding, **options)
    except ArgumentError as error:
        raise error.renamed("Network", {error.argument: f"layer {name}: {error.argument}"}) from None
    counted = cost(call, bias=layer.bias)
    after = before.slid(call.result_shape((1, *shape))[1:], *zip(kernel, stride, dilation, strict=True))
    problems = [call.problem] if call.vertical is None else [call.vertical, call.problem]
    pads = tuple(problem.padding for problem in problems)
    return Resolved(
        name, layer, shape, after.shape, weights, after.field, counted.parameters, counted.macs, pads
    ), after


def _pool(name: str, layer: MaxPool | AveragePool, before: _State) -> tuple[Resolved, _State]:
    shape = before.shape
    if len(shape) not in (2, 3):
        raise ArgumentError("Network", f"layer {name}", f"an input of shape {shape}", "(W, C) or (H, W, C)")
    axes = len(shape) - 1
    window = _sizes(name, layer, "window", axes)
    stride = window if layer.stride is None else _sizes(name, layer, "stride", axes)
    if any(k > n for k, n in zip(window, shape[:-1], strict=True)):
        raise ArgumentError("Network", f"layer {name}", f"a window of {window} on an input of {shape}", "one that fits")
    sizes = ((n - k) // s + 1 for n, k, s in zip(shape[:-1], window, stride, strict=True))
    after = before.slid((*sizes, shape[-1]), *((k, s, 1) for k, s in zip(window, stride, strict=True)))
    return Resolved(name, layer, shape, after.shape, {}, after.field), after


def _dense(name: str, layer: Dense, before: _State) -> tuple[Resolved, _State]:
    shape = before.shape
    if len(shape) != 1:
        raise ArgumentError("Network", f"layer {name}", f"an input of shape {shape}", "one axis", "Flatten() before it")
    _one_of(name, "activation", layer.activation, ACTIVATIONS)
    units = positive("Network", f"layer {name}: units", layer.units)
    weights: dict[str, Shape] = {"kernel": (shape[0], units)}
    weights.update({"bias": (units,)} if layer.bias else {})
    # a matrix is a convolution with a kernel of one tap, of a signal of one element
    counted = cost(resolve("conv1d", (1, 1, shape[0]), (1, shape[0], units)), bias=layer.bias)
    after = _State((units,), before.windows)
    return Resolved(name, layer, shape, (units,), weights, (), counted.parameters, counted.macs), after


def _sizes(name: str, layer: Layer, argument: str, axes: int) -> tuple[int, ...]:
    value = getattr(layer, argument)
    where = f"layer {name}: {argument}"
    return (step("Network", where, value),) if axes == 1 else int_pair("Network", where, value)


def _one_of(name: str, argument: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        expected = "one of " + ", ".join(map(repr, known))
        raise ArgumentError("Network", f"layer {name}: {argument}", repr(value), expected, nearest(value, known))

"""What a convolution layer is, before any framework: its options, checked, and the shapes that follow from them.

The layers are in the rooms ``layers`` of the backends. Each makes its :class:`LayerOptions` before a tensor is made, so
that they refuse the same things in the same words, and hold the same kernels.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from xconv.call import SEPARABLE, Call, resolve_all
from xconv.checks import int_pair, one_of
from xconv.errors import ArgumentError
from xconv.integers import only, plain
from xconv.layouts import LAYOUTS
from xconv.problem import positive, step

LAYERS = {
    "Conv1D": "conv1d",
    "Conv2DAs1D": "conv2d_as_1d",
    "Conv1DRows": "conv1d_rows",
    "Conv1DColumns": "conv1d_columns",
    "SpatiallySeparableConv2D": SEPARABLE,
    "Conv1DTranspose": "conv1d_transpose",
}
"""The layers, and the operation of each."""

ANY_LENGTH = 2**62
"""A length that nothing is too long for, where a length is not known: what is wrong with it is wrong with any."""

SIGNALS = ("conv1d", "conv2d_as_1d", "conv1d_transpose")
"""The operations on signals; the others are on feature maps."""


@dataclass(frozen=True)
class LayerOptions:
    """The options of a layer in xconv's words, checked.

    ``in_channels`` is None where a framework learns them from the first input. ``kernel_size``, ``stride`` and
    ``dilation`` are integers (a tuple of one is its element, as it is for the frameworks), ``padding`` is a name, an
    integer or (low, high). Of the separable layer each is one for both axes or a pair (height, width), and
    ``middle_channels`` come out of the rows (None: ``out_channels``).

    Raises:
        ArgumentError: an option does not fit; its operation is the name of the layer.

    >>> options = LayerOptions("Conv1DRows", 6, 8, 5, stride=2, padding="same", groups=2, layout="NCHW")
    >>> options.weight_shapes(channels_last=False), options.weight_shapes(channels_last=True)
    ({'weight': (8, 3, 1, 5)}, {'weight': (1, 5, 3, 8)})
    >>> options.output_shape((None, 6, 32, 101))
    (None, 8, 32, 51)
    >>> LayerOptions("Conv1D", 6, 8, 5, stride=0, layout="NCW")
    Traceback (most recent call last):
    xconv.errors.ArgumentError: Conv1D: stride: got 0, expected an integer >= 1.
    """

    layer: str
    in_channels: int | None
    out_channels: int
    kernel_size: int | tuple[int, int]
    layout: str
    middle_channels: int | None = None
    stride: int | tuple[int, int] = 1
    padding: Any = "valid"
    dilation: int | tuple[int, int] = 1
    groups: int = 1
    bias: bool = True
    padding_mode: str = "zeros"
    output_padding: int = 0
    formulation: str = "auto"

    def __post_init__(self) -> None:
        for name in ("in_channels", "out_channels", "middle_channels", "groups", "kernel_size", "stride", "dilation"):
            object.__setattr__(self, name, self._checked(name, getattr(self, name)))
        object.__setattr__(self, "padding", plain(self.padding if self.separable else only(self.padding)))
        object.__setattr__(self, "output_padding", plain(only(self.output_padding)))
        if not isinstance(self.bias, bool):
            raise ArgumentError(self.layer, "bias", repr(self.bias), "True or False", "a layer makes its own bias")
        if self.operation == "conv2d_as_1d" and self.formulation != "auto":
            hint = "it is one itself: for others take Conv1D"
            raise ArgumentError(self.layer, "formulation", repr(self.formulation), "'auto'", hint)
        widths = {"output": self.out_channels, "middle": self.middle_channels, "input": self.in_channels}
        for what, width in widths.items():
            if width is not None and width % self.groups:
                raise ArgumentError(self.layer, "groups", str(self.groups), f"a divisor of the {width} {what} channels")
        layouts = [name for name in LAYOUTS if len(name) == (3 if self.operation in SIGNALS else 4)]
        one_of(self.layer, "layout", self.layout, layouts)
        known = self.in_channels or self.groups
        sizes = {"N": 1, "C": known}
        try:
            self._resolved(tuple(sizes.get(axis, ANY_LENGTH) for axis in self.layout), known)
        except ArgumentError as error:
            raise error.renamed(self.layer, {}) from None

    def _checked(self, name: str, value: Any) -> Any:
        if value is None and name in ("in_channels", "middle_channels"):
            return self.out_channels if name == "middle_channels" and self.separable else None
        if name in ("kernel_size", "stride", "dilation"):
            return int_pair(self.layer, name, value) if self.separable else step(self.layer, name, value)
        return positive(self.layer, name, value)

    @property
    def operation(self) -> str:
        """The operation that the layer computes, a function of :mod:`xconv.ops`."""
        return LAYERS[self.layer]

    @property
    def separable(self) -> bool:
        """Whether it is two convolutions, rows and columns."""
        return self.operation == SEPARABLE

    @property
    def channels_last(self) -> bool:
        """Whether the channels of its input and result are the last axis."""
        return LAYOUTS[self.layout].channels_last

    @property
    def arguments(self) -> dict[str, Any]:
        """The keywords of the operation."""
        given = {
            "stride": self.stride,
            "padding": self.padding,
            "padding_mode": self.padding_mode,
            "dilation": self.dilation,
            "groups": self.groups,
            "layout": self.layout,
        }
        if self.operation == "conv1d_transpose":
            given["output_padding"] = self.output_padding
        return given

    @property
    def how(self) -> dict[str, str]:
        """The keyword that says how the operation is computed; ``conv2d_as_1d`` has none, it says so itself."""
        return {} if self.operation == "conv2d_as_1d" else {"formulation": self.formulation}

    def kernels(self, in_channels: int | None = None) -> dict[str, tuple[int, int, int]]:
        """The shapes of the operation's kernels, channels last: (kernel, in/groups, out), transposed (.., out/.., in).

        >>> LayerOptions("SpatiallySeparableConv2D", 6, 8, (3, 5), "NHWC", middle_channels=4).kernels()
        {'weight_rows': (5, 6, 4), 'weight_columns': (3, 4, 8)}
        """
        inputs, outputs, groups, size = (
            in_channels or self.in_channels,
            self.out_channels,
            self.groups,
            self.kernel_size,
        )
        assert inputs is not None
        if isinstance(size, tuple):
            middle = self.middle_channels or outputs
            rows, columns = (size[1], inputs // groups, middle), (size[0], middle // groups, outputs)
            return {"weight_rows": rows, "weight_columns": columns}
        if self.operation == "conv1d_transpose":
            return {"weight": (size, outputs // groups, inputs)}
        return {"weight": (size, inputs // groups, outputs)}

    def weight_shapes(self, channels_last: bool) -> dict[str, tuple[int, ...]]:
        """The shapes in which a layer keeps its kernels: Keras' (channels last) or torch's (channels first).

        On signals they are those of a ``Conv1D``, on feature maps those of a ``Conv2D`` with one row or one column.
        """
        shapes: dict[str, tuple[int, ...]] = {}
        for name, (size, inner, outer) in self.kernels().items():
            window = self._window(name, size)
            shapes[name] = (*window, inner, outer) if channels_last else (outer, inner, *window)
        return shapes

    def _window(self, name: str, size: int) -> tuple[int, ...]:
        if self.operation in SIGNALS:
            return (size,)
        return (size, 1) if name == "weight_columns" or self.operation == "conv1d_columns" else (1, size)

    @property
    def fan_in(self) -> int:
        """Of the kernel that the bias is added after, as torch counts it: all axes of its weight but the first."""
        return math.prod(list(self.weight_shapes(channels_last=False).values())[-1][1:])

    def calls(self, x_shape: Sequence[int], dtype: str = "float32") -> list[Call]:
        """What the layer computes on an input of a shape, with its batch: one call, or rows and columns.

        Raises:
            ArgumentError: the input does not fit.
        """
        where = LAYOUTS[self.layout]
        known = self.in_channels
        if known is None:
            known = x_shape[where.to_channels_last[-1]] if len(x_shape) == len(self.layout) else self.groups
        return self._resolved(tuple(x_shape), known, dtype)

    def _resolved(self, x_shape: tuple[int, ...], in_channels: int, dtype: str = "float32") -> list[Call]:
        last, bias = self.channels_last, (self.out_channels,) if self.bias else None
        kernels = [shape if last else shape[::-1] for shape in self.kernels(in_channels).values()]
        return resolve_all(self.operation, x_shape, kernels, bias, dtype=dtype, **self.arguments)

    def output_shape(self, x_shape: Sequence[int | None]) -> tuple[int | None, ...]:
        """The shape of the result for an input of a shape, with its batch; None is a size that is not known.

        Raises:
            ArgumentError: the input does not fit.
        """
        channel = LAYOUTS[self.layout].to_channels_last[-1]
        unknown = [self.in_channels or self.groups if axis == channel else ANY_LENGTH for axis in range(len(x_shape))]
        shape = tuple(other if size is None else size for size, other in zip(x_shape, unknown, strict=True))
        try:
            for call in self.calls(shape):
                shape = call.result_shape(shape)
        except ArgumentError as error:
            raise ArgumentError(*(str(part).replace(str(ANY_LENGTH), "?") for part in error.args)) from None
        open_ends = [given is None and axis != channel for axis, given in enumerate(x_shape)]
        return tuple(None if is_open else size for is_open, size in zip(open_ends, shape, strict=True))

    def check_formulation(self, known: Collection[str]) -> None:
        """Refuse a formulation that a backend does not have.

        Raises:
            ArgumentError: it is neither "auto" nor "local" nor one of these.
        """
        one_of(self.layer, "formulation", self.formulation, ["auto", "local", *known])

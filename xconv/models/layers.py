"""What a convolution layer is, before any framework: its options, checked, and the shapes that follow from them.

The layers are in ``layers`` of the backends. Each makes its :class:`LayerOptions` before a tensor is made, so
that they refuse the same things in the same words, and hold the same kernels.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Any

from xconv.core.call import Call, resolve_all
from xconv.core.checks import int_pair, one_of
from xconv.core.integers import only, plain
from xconv.core.layouts import LAYOUTS
from xconv.core.operations import Operation, along, layers
from xconv.core.problem import positive, step
from xconv.system.errors import ArgumentError

ANY_LENGTH = 2**62
"""A length that nothing is too long for, where a length is not known: what is wrong with it is wrong with any."""


@dataclass(frozen=True)
class LayerOptions:
    """The options of a layer in xconv's words, checked.

    Of the separable layer, ``kernel_size``, ``stride``, ``dilation`` and ``padding`` are each one for both axes or
    a pair (height, width). A tuple of one integer is that integer, as it is for the frameworks.

    Args:
        layer: the name of its class: "Conv1DRows".
        in_channels: channels of the input; None where a framework learns them from the first input.
        out_channels: channels of the result.
        kernel_size: taps.
        layout: "NWC", "NCW", "NHWC" or "NCHW".
        middle_channels: of the separable layer: channels that come out of the rows; None: ``out_channels``.
        stride: elements between neighbouring outputs.
        padding: a name, an integer, or (low, high) in elements.
        dilation: elements between neighbouring taps, from 1.
        groups: channel groups.
        bias: whether there is one.
        padding_mode: "zeros", "reflect", "replicate" or "circular".
        output_padding: of the transposed layer: elements added on the high side.
        formulation: how it is computed: "auto", "local", or a name.

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
    row: Operation = field(init=False, repr=False, compare=False)
    """The row of the layer's operation in the table."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "row", layers()[self.layer])
        for name in ("in_channels", "out_channels", "middle_channels", "groups", "kernel_size", "stride", "dilation"):
            object.__setattr__(self, name, self._checked(name, getattr(self, name)))
        object.__setattr__(self, "padding", plain(self.padding if self.separable else only(self.padding)))
        object.__setattr__(self, "output_padding", plain(only(self.output_padding)))
        if not isinstance(self.bias, bool):
            raise ArgumentError(self.layer, "bias", repr(self.bias), "True or False", "a layer makes its own bias")
        if not self.row.takes_formulation and self.formulation != "auto":
            hint = f"it is one itself: for others take {along(self.row.rank, self.row.axes)[0].layer}"
            raise ArgumentError(self.layer, "formulation", repr(self.formulation), "'auto'", hint)
        widths = {"output": self.out_channels, "middle": self.middle_channels, "input": self.in_channels}
        for what, width in widths.items():
            if width is not None and width % self.groups:
                raise ArgumentError(self.layer, "groups", str(self.groups), f"a divisor of the {width} {what} channels")
        one_of(self.layer, "layout", self.layout, self.row.layouts)
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
        return self.row.name

    @property
    def separable(self) -> bool:
        """Whether it is two convolutions, rows and columns."""
        return self.row.is_separable

    @property
    def channels_last(self) -> bool:
        """Whether the channels of its input and result are the last axis."""
        return LAYOUTS[self.layout].channels_last

    @property
    def arguments(self) -> dict[str, Any]:
        """The keywords of the operation."""
        return {name: getattr(self, name) for name in self.row.options}

    @property
    def how(self) -> dict[str, str]:
        """The keyword that says how the operation is computed; none where it is always computed in one way."""
        return {"formulation": self.formulation} if self.row.takes_formulation else {}

    def kernels(self, in_channels: int | None = None) -> dict[str, tuple[int, int, int]]:
        """The shapes of the operation's kernels, channels last: (kernel, in/groups, out), transposed (.., out/.., in).

        Args:
            in_channels: channels of the input, where the options do not say them.

        Returns:
            A shape for each weight of the operation, by its name.

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
            taps = [size[self.row.axes.index(step.axes)] for step in self.row.parts]
            shapes = (taps[0], inputs // groups, middle), (taps[1], middle // groups, outputs)
            return dict(zip(self.row.weights, shapes, strict=True))
        [weight] = self.row.weights
        if self.row.is_transposed:
            return {weight: (size, outputs // groups, inputs)}
        return {weight: (size, inputs // groups, outputs)}

    def weight_shapes(self, channels_last: bool) -> dict[str, tuple[int, ...]]:
        """The shapes in which a layer keeps its kernels: Keras' (channels last) or torch's (channels first).

        On signals they are those of a ``Conv1D``, on feature maps those of a ``Conv2D`` with one row or one column.

        Args:
            channels_last: True for Keras' shapes, False for torch's.

        Returns:
            A shape for each kernel, by its name.
        """
        shapes: dict[str, tuple[int, ...]] = {}
        for part, (name, (size, inner, outer)) in zip(self.row.parts, self.kernels().items(), strict=True):
            window = part.spatial(size, 1)
            shapes[name] = (*window, inner, outer) if channels_last else (outer, inner, *window)
        return shapes

    @property
    def flat(self) -> tuple[int | None, ...]:
        """The axis of size 1 of each kernel as torch keeps it, which the operation's has not; None where there is none.

        >>> LayerOptions("SpatiallySeparableConv2D", 6, 8, 3, "NCHW").flat
        (2, 3)
        """
        windows = [part.spatial(2, 1) for part in self.row.parts]
        return tuple(2 + window.index(1) if 1 in window else None for window in windows)

    @property
    def fan_in(self) -> int:
        """Of the kernel that the bias is added after, as torch counts it: all axes of its weight but the first."""
        return math.prod(list(self.weight_shapes(channels_last=False).values())[-1][1:])

    def calls(self, x_shape: Sequence[int], dtype: str = "float32") -> list[Call]:
        """What the layer computes on an input of a shape, with its batch: one call, or rows and columns.

        Args:
            x_shape: of the input with the batch, in the layout.
            dtype: of the input and the weights.

        Returns:
            The resolved calls, in the order in which they run.

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

        Args:
            x_shape: of the input with the batch, in the layout.

        Returns:
            A size for each axis, None where it follows from one that is not known.

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

        Args:
            known: the names of the backend's formulations.

        Raises:
            ArgumentError: it is neither "auto" nor "local" nor one of these.
        """
        one_of(self.layer, "formulation", self.formulation, ["auto", "local", *known])

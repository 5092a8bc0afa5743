"""xconv's operations as ``torch.nn`` modules.

Constructors, attributes, first numbers, ``repr`` and state are those of ``nn.Conv1d`` (on signals), ``nn.Conv2d`` with
one row or column (on feature maps) and ``nn.ConvTranspose1d``: state dicts go from one to the other. What these refuse
is computed: "same" with a stride, "causal", unequal pads, channels-last signals.

Input and result are as for the operation, in ``layout``; a batch axis may be missing. ``reset_parameters`` draws from
torch's generator. All constructors raise :class:`~xconv.errors.ArgumentError` before a tensor is made.

>>> import torch
>>> from xconv_torch.layers import Conv1D
>>> layer = Conv1D(3, 8, 5, stride=2, padding="same")
>>> layer
Conv1D(3, 8, kernel_size=(5,), stride=(2,), padding=same)
>>> layer(torch.ones(2, 3, 101)).shape
torch.Size([2, 8, 51])
>>> ported = layer.load_state_dict(torch.nn.Conv1d(3, 8, 5).state_dict())
"""

from __future__ import annotations

from collections.abc import Callable
from inspect import signature
from typing import Any

import torch
from torch import Tensor, nn

from xconv.models.layers import LayerOptions
from xconv_torch.layer import Convolution, Device

__all__ = [
    "Conv1D",
    "Conv1DColumns",
    "Conv1DRows",
    "Conv1DTranspose",
    "Conv2DAs1D",
    "SpatiallySeparableConv2D",
    "from_options",
]


class _OnSignals(Convolution):
    """Along the one axis of a signal."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | tuple[int],
        stride: int | tuple[int] = 1,
        padding: str | int | tuple[int, ...] = 0,
        dilation: int | tuple[int] = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        device: Device = None,
        dtype: torch.dtype | None = None,
        *,
        layout: str = "NCW",
        formulation: str = "auto",
    ) -> None:
        super().__init__(
            device,
            dtype,
            in_channels=in_channels,
            out_channels=out_channels,
            kernel_size=kernel_size,
            stride=stride,
            padding=padding,
            dilation=dilation,
            groups=groups,
            bias=bias,
            padding_mode=padding_mode,
            layout=layout,
            formulation=formulation,
        )


class Conv1D(_OnSignals):
    """:func:`xconv.conv1d` as a module: ``nn.Conv1d`` with every padding, layout and formulation.

    ``weight`` is (out_channels, in_channels/groups, kernel_size), ``bias`` (out_channels,), in any layout.

    Args:
        in_channels: channels of the input.
        out_channels: channels of the result.
        kernel_size: taps.
        stride: elements between neighbouring outputs.
        padding: "valid", "same", "same_lower", "causal", "full", an integer, or (low, high).
        dilation: elements between neighbouring taps, from 1.
        groups: channel groups.
        bias: whether there is one.
        padding_mode: "zeros", "reflect", "replicate" or "circular".
        device: of the parameters.
        dtype: of the parameters: float32, float64, float16 or bfloat16.
        layout: "NCW" or "NWC".
        formulation: how it is computed: "auto" takes what is expected to be fastest, "local" the same without Fourier
            transforms, whose errors spread over a block of the signal.

    Raises:
        ArgumentError: an option does not fit.

    >>> layer = Conv1D(2, 4, 3, padding="causal", dilation=2, layout="NWC")
    >>> layer(torch.ones(1, 9, 2)).shape
    torch.Size([1, 9, 4])
    """

    layer = "Conv1D"


class Conv2DAs1D(_OnSignals):
    """:func:`xconv.conv2d_as_1d` as a module: :class:`Conv1D` by the 2-D convolution of a height-one image.

    Args and parameters as for :class:`Conv1D`; it has one formulation.

    >>> as_image, as_signal = Conv2DAs1D(2, 4, 3), Conv1D(2, 4, 3)
    >>> loaded = as_image.load_state_dict(as_signal.state_dict())
    >>> x = torch.arange(12.0).reshape(1, 2, 6)
    >>> bool(torch.allclose(as_image(x), as_signal(x)))
    True
    """

    layer = "Conv2DAs1D"


class _OnMaps(Convolution):
    """Along one axis of a feature map."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | tuple[int],
        stride: int | tuple[int] = 1,
        padding: str | int | tuple[int, ...] = 0,
        dilation: int | tuple[int] = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        device: Device = None,
        dtype: torch.dtype | None = None,
        *,
        layout: str = "NCHW",
        formulation: str = "auto",
    ) -> None:
        super().__init__(
            device,
            dtype,
            in_channels=in_channels,
            out_channels=out_channels,
            kernel_size=kernel_size,
            stride=stride,
            padding=padding,
            dilation=dilation,
            groups=groups,
            bias=bias,
            padding_mode=padding_mode,
            layout=layout,
            formulation=formulation,
        )


class Conv1DRows(_OnMaps):
    """:func:`xconv.conv1d_rows` as a module: one kernel along W, in each row alone.

    Args as for :class:`Conv1D`, with ``layout`` "NCHW" or "NHWC". ``weight`` is (out_channels, in_channels/groups, 1,
    kernel_size), that of ``nn.Conv2d(..., (1, kernel_size))``.

    >>> Conv1DRows(3, 8, 5, padding="same", stride=2)(torch.ones(1, 3, 4, 9)).shape
    torch.Size([1, 8, 4, 5])
    """

    layer = "Conv1DRows"


class Conv1DColumns(_OnMaps):
    """:func:`xconv.conv1d_columns` as a module: one kernel along H, in each column alone.

    Args as for :class:`Conv1D`, with ``layout`` "NCHW" or "NHWC". ``weight`` is (out_channels, in_channels/groups,
    kernel_size, 1), that of ``nn.Conv2d(..., (kernel_size, 1))``.

    >>> Conv1DColumns(3, 8, 5, padding="causal")(torch.ones(1, 3, 9, 4)).shape
    torch.Size([1, 8, 9, 4])
    """

    layer = "Conv1DColumns"


class SpatiallySeparableConv2D(Convolution):
    """:func:`xconv.spatially_separable_conv2d` as a module: along W to a middle width, then along H, one bias.

    It stands in for a k x k convolution, and is not the depthwise-separable one. ``weight_rows`` is (middle,
    in/groups, 1, kw) and ``weight_columns`` (out, middle/groups, kh, 1): the weights of two ``nn.Conv2d``.

    Args:
        in_channels: channels of the input.
        out_channels: channels of the result.
        kernel_size: taps, one number for both axes or (height, width).
        stride: one number or (height, width); so is dilation.
        padding: a name, an integer, or a pair (height, width) of names, integers and (low, high) pairs.
        dilation: elements between neighbouring taps, from 1.
        groups: channel groups of both steps.
        bias: whether there is one, after the columns.
        padding_mode: "zeros", "reflect", "replicate" or "circular".
        device: of the parameters.
        dtype: of the parameters.
        middle_channels: channels between rows and columns; by default ``out_channels``.
        layout: "NCHW" or "NHWC".
        formulation: how both are computed.

    Raises:
        ArgumentError: an option does not fit.

    >>> layer = SpatiallySeparableConv2D(3, 8, (3, 5), padding="same", middle_channels=4)
    >>> layer(torch.ones(1, 3, 9, 9)).shape, layer.weight_rows.shape, layer.weight_columns.shape
    (torch.Size([1, 8, 9, 9]), torch.Size([4, 3, 1, 5]), torch.Size([8, 4, 3, 1]))
    """

    layer = "SpatiallySeparableConv2D"
    weight_rows: Tensor
    weight_columns: Tensor

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | tuple[int, int],
        stride: int | tuple[int, int] = 1,
        padding: Any = 0,
        dilation: int | tuple[int, int] = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        device: Device = None,
        dtype: torch.dtype | None = None,
        *,
        middle_channels: int | None = None,
        layout: str = "NCHW",
        formulation: str = "auto",
    ) -> None:
        super().__init__(
            device,
            dtype,
            in_channels=in_channels,
            out_channels=out_channels,
            kernel_size=kernel_size,
            stride=stride,
            padding=padding,
            dilation=dilation,
            groups=groups,
            bias=bias,
            padding_mode=padding_mode,
            middle_channels=middle_channels,
            layout=layout,
            formulation=formulation,
        )


class Conv1DTranspose(Convolution):
    """:func:`xconv.conv1d_transpose` as a module: ``nn.ConvTranspose1d`` with every crop, layout and formulation.

    ``weight`` is (in_channels, out_channels/groups, kernel_size).

    Args:
        in_channels: channels of the input.
        out_channels: channels of the result.
        kernel_size: taps.
        stride: outputs per input.
        padding: what is cropped: an integer or (low, high) of the full result; "same", "same_lower" and "causal" leave
            stride times the length.
        output_padding: elements added on the high side; below ``stride``.
        groups: channel groups.
        bias: whether there is one.
        dilation: elements between neighbouring taps, from 1.
        padding_mode: only "zeros".
        device: of the parameters.
        dtype: of the parameters.
        layout: "NCW" or "NWC".
        formulation: how it is computed.

    Raises:
        ArgumentError: an option does not fit.

    >>> Conv1DTranspose(8, 3, 4, stride=2, padding="causal")(torch.ones(1, 8, 9)).shape
    torch.Size([1, 3, 18])
    """

    layer = "Conv1DTranspose"

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | tuple[int],
        stride: int | tuple[int] = 1,
        padding: str | int | tuple[int, ...] = 0,
        output_padding: int | tuple[int] = 0,
        groups: int = 1,
        bias: bool = True,
        dilation: int | tuple[int] = 1,
        padding_mode: str = "zeros",
        device: Device = None,
        dtype: torch.dtype | None = None,
        *,
        layout: str = "NCW",
        formulation: str = "auto",
    ) -> None:
        super().__init__(
            device,
            dtype,
            in_channels=in_channels,
            out_channels=out_channels,
            kernel_size=kernel_size,
            stride=stride,
            padding=padding,
            output_padding=output_padding,
            groups=groups,
            bias=bias,
            dilation=dilation,
            padding_mode=padding_mode,
            layout=layout,
            formulation=formulation,
        )


KINDS = (Conv1D, Conv2DAs1D, Conv1DRows, Conv1DColumns, SpatiallySeparableConv2D, Conv1DTranspose)


def from_options(options: LayerOptions, **own: Any) -> nn.Module:
    """The layer of some options, which say nothing of a framework; ``own`` is what else its constructor takes.

    Raises:
        ArgumentError: the options are of a layer that learns its input channels later.

    >>> from xconv.models.layers import LayerOptions
    >>> from_options(LayerOptions("Conv1D", 3, 8, 5, layout="NWC", padding=2), dtype=torch.float64)
    Conv1D(3, 8, kernel_size=(5,), stride=(1,), padding=(2,), layout=NWC)
    """
    kind: Callable[..., nn.Module] = next(kind for kind in KINDS if kind.layer == options.layer)
    taken = signature(kind).parameters
    return kind(**{name: value for name, value in vars(options).items() if name in taken}, **own)

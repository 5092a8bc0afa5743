"""Layers that slide along one axis of a feature map, or along both."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from xconv_torch.layers.convolution import Convolution, Device


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

    ``weight`` is (out_channels, in_channels/groups, 1, kernel_size), that of ``nn.Conv2d(..., (1, kernel_size))``, and
    ``bias`` (out_channels,), in any layout.

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
        layout: "NCHW" or "NHWC".
        formulation: how it is computed: "auto", "local", or a name, as for :class:`Conv1D`.

    Raises:
        ArgumentError: an option does not fit.

    >>> Conv1DRows(3, 8, 5, padding="same", stride=2)(torch.ones(1, 3, 4, 9)).shape
    torch.Size([1, 8, 4, 5])
    """

    layer = "Conv1DRows"


class Conv1DColumns(_OnMaps):
    """:func:`xconv.conv1d_columns` as a module: one kernel along H, in each column alone.

    ``weight`` is (out_channels, in_channels/groups, kernel_size, 1), that of ``nn.Conv2d(..., (kernel_size, 1))``, and
    ``bias`` (out_channels,), in any layout.

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
        layout: "NCHW" or "NHWC".
        formulation: how it is computed: "auto", "local", or a name, as for :class:`Conv1D`.

    Raises:
        ArgumentError: an option does not fit.

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

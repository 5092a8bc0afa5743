"""Layers that slide along the one axis of a signal."""

from __future__ import annotations

import torch

from xconv_torch.layers.convolution import Convolution, Device


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

    Its parameters are those of :class:`Conv1D`.

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
        formulation: "auto"; it has no other.

    Raises:
        ArgumentError: an option does not fit.

    >>> as_image, as_signal = Conv2DAs1D(2, 4, 3), Conv1D(2, 4, 3)
    >>> loaded = as_image.load_state_dict(as_signal.state_dict())
    >>> x = torch.arange(12.0).reshape(1, 2, 6)
    >>> bool(torch.allclose(as_image(x), as_signal(x)))
    True
    """

    layer = "Conv2DAs1D"


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

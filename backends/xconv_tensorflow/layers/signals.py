"""Layers that slide along the one axis of a signal."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import keras

from xconv_tensorflow.layers.convolution import Convolution, OneAxis, least_output_padding


@keras.saving.register_keras_serializable(package="xconv")
class Conv1D(OneAxis):
    """:func:`xconv.conv1d` as a layer: ``keras.layers.Conv1D`` with every padding, border and formulation.

    ``kernel`` is (kernel_size, in/groups, filters), ``bias`` (filters,), with either data format.

    Args beside those that mean what they do in Keras:
        strides: elements between neighbouring outputs.
        padding: "valid", "same", "same_lower", "causal", "full", an integer, or (low, high).
        dilation_rate: elements between neighbouring taps, from 1.
        groups: channel groups.
        padding_mode: "zeros", "reflect", "replicate" or "circular".
        formulation: how it is computed: "auto" takes what is expected to be fastest, "local" the same without Fourier
            transforms, whose errors spread over a block of the signal.

    Raises:
        ArgumentError: an option does not fit.

    >>> Conv1D(4, 3, strides=2, padding="same").compute_output_shape((None, 9, 2))
    (None, 5, 4)
    """

    layer = "Conv1D"


@keras.saving.register_keras_serializable(package="xconv")
class Conv2DAs1D(OneAxis):
    """:func:`xconv.conv2d_as_1d` as a layer: :class:`Conv1D` by the 2-D convolution of a height-one image.

    Its weights are those of :class:`Conv1D`.

    Args beside those that mean what they do in Keras:
        kernel_size: taps.
        strides: elements between neighbouring outputs.
        padding: "valid", "same", "same_lower", "causal", "full", an integer, or (low, high).
        dilation_rate: elements between neighbouring taps, from 1.
        groups: channel groups.
        padding_mode: "zeros", "reflect", "replicate" or "circular".
        formulation: "auto"; it has no other.

    Raises:
        ArgumentError: an option does not fit.

    >>> Conv2DAs1D(4, 3).compute_output_shape((2, 9, 2))
    (2, 7, 4)
    """

    layer = "Conv2DAs1D"


@keras.saving.register_keras_serializable(package="xconv")
class Conv1DTranspose(Convolution):
    """:func:`xconv.conv1d_transpose` as a layer: ``keras.layers.Conv1DTranspose`` with every crop, and with groups.

    ``kernel`` is (kernel_size, filters/groups, in).

    Args beside those that mean what they do in Keras:
        strides: outputs per input.
        padding: what is cropped: "valid" nothing, an integer or (low, high) of the full result; "same", "same_lower"
            and "causal" leave ``strides`` times the length.
        output_padding: elements added on the high side, below ``strides``. None is Keras' rule: none, but for "valid"
            as many as a kernel is shorter than the stride.
        dilation_rate: elements between neighbouring taps, from 1.
        groups: channel groups.
        padding_mode: only "zeros".
        formulation: how it is computed.

    Raises:
        ArgumentError: an option does not fit.

    >>> Conv1DTranspose(3, 4, strides=2, padding="causal").compute_output_shape((None, 9, 8))
    (None, 18, 3)

    """

    layer = "Conv1DTranspose"

    def __init__(
        self,
        filters: int,
        kernel_size: int | tuple[int],
        strides: int | tuple[int] = 1,
        padding: str | int | tuple[int, ...] = "valid",
        output_padding: int | tuple[int] | None = None,
        data_format: str | None = None,
        dilation_rate: int | tuple[int] = 1,
        activation: Any = None,
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        bias_regularizer: Any = None,
        activity_regularizer: Any = None,
        kernel_constraint: Any = None,
        bias_constraint: Any = None,
        *,
        groups: int = 1,
        padding_mode: str = "zeros",
        formulation: str = "auto",
        **kwargs: Any,
    ) -> None:
        options: dict[str, Any] = {
            "out_channels": filters,
            "kernel_size": kernel_size,
            "stride": strides,
            "padding": padding,
            "dilation": dilation_rate,
            "groups": groups,
            "bias": use_bias,
            "padding_mode": padding_mode,
            "formulation": formulation,
            "output_padding": 0 if output_padding is None else output_padding,
        }
        of_weights = {
            "kernel_initializer": kernel_initializer,
            "bias_initializer": bias_initializer,
            "kernel_regularizer": kernel_regularizer,
            "bias_regularizer": bias_regularizer,
            "kernel_constraint": kernel_constraint,
            "bias_constraint": bias_constraint,
        }
        kwargs["activity_regularizer"] = activity_regularizer
        super().__init__(options, data_format, activation, of_weights, **kwargs)
        self.output_padding = output_padding
        if output_padding is None and self.padding == "valid":
            least = least_output_padding(self.kernel_size[0], self.strides[0], self.dilation_rate[0])
            self.options = replace(self.options, output_padding=least)

    def get_config(self) -> dict[str, Any]:
        """All that the constructor takes.

        Returns:
            Arguments by their names, in plain types.
        """
        return {**super().get_config(), "output_padding": self.output_padding}

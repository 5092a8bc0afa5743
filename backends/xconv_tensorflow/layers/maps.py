"""Layers that slide along one axis of a feature map, or along both."""

from __future__ import annotations

from typing import Any

import keras

from xconv_tensorflow.layers.convolution import Convolution, OneAxis


@keras.saving.register_keras_serializable(package="xconv")
class Conv1DRows(OneAxis):
    """:func:`xconv.conv1d_rows` as a layer: one kernel along W, in each row alone.

    ``kernel`` is (1, kernel_size, in/groups, filters), that of ``keras.layers.Conv2D(..., (1, kernel_size))``, and
    ``bias`` (filters,), with either data format.

    Args beside those that mean what they do in Keras:
        kernel_size: taps.
        strides: elements between neighbouring outputs.
        padding: "valid", "same", "same_lower", "causal", "full", an integer, or (low, high).
        dilation_rate: elements between neighbouring taps, from 1.
        groups: channel groups.
        padding_mode: "zeros", "reflect", "replicate" or "circular".
        formulation: how it is computed: "auto", "local", or a name, as for :class:`Conv1D`.

    Raises:
        ArgumentError: an option does not fit.

    >>> Conv1DRows(8, 5, padding="same", strides=2).compute_output_shape((None, None, 9, 3))
    (None, None, 5, 8)
    """

    layer = "Conv1DRows"


@keras.saving.register_keras_serializable(package="xconv")
class Conv1DColumns(OneAxis):
    """:func:`xconv.conv1d_columns` as a layer: one kernel along H, in each column alone.

    ``kernel`` is (kernel_size, 1, in/groups, filters), that of ``keras.layers.Conv2D(..., (kernel_size, 1))``, and
    ``bias`` (filters,), with either data format.

    Args beside those that mean what they do in Keras:
        kernel_size: taps.
        strides: elements between neighbouring outputs.
        padding: "valid", "same", "same_lower", "causal", "full", an integer, or (low, high).
        dilation_rate: elements between neighbouring taps, from 1.
        groups: channel groups.
        padding_mode: "zeros", "reflect", "replicate" or "circular".
        formulation: how it is computed: "auto", "local", or a name, as for :class:`Conv1D`.

    Raises:
        ArgumentError: an option does not fit.

    >>> Conv1DColumns(8, 5).compute_output_shape((None, 9, None, 3))
    (None, 5, None, 8)
    """

    layer = "Conv1DColumns"


@keras.saving.register_keras_serializable(package="xconv")
class SpatiallySeparableConv2D(Convolution):
    """:func:`xconv.spatially_separable_conv2d` as a layer: along W to a middle width, then along H, one bias.

    It stands in for a k x k convolution, and is not Keras' depthwise-separable ``SeparableConv2D``. ``rows_kernel`` is
    (1, kw, in/groups, middle) and ``columns_kernel`` (kh, 1, middle/groups, filters): the kernels of two ``Conv2D``.
    ``rows_`` and ``columns_`` stand in place of ``kernel_`` in the names of initializers, regularizers and constraints.

    Args beside those that mean what they do in Keras:
        kernel_size: taps, one number for both axes or (height, width).
        strides: one number or (height, width); so is dilation_rate.
        padding: a name, an integer, or a pair (height, width) of names, integers and (low, high) pairs.
        dilation_rate: elements between neighbouring taps, from 1.
        groups: channel groups of both steps.
        middle_filters: channels between rows and columns; by default ``filters``.
        padding_mode: "zeros", "reflect", "replicate" or "circular".
        formulation: how both are computed.

    Raises:
        ArgumentError: an option does not fit.

    >>> layer = SpatiallySeparableConv2D(8, (3, 5), padding="same", middle_filters=4)
    >>> layer.build((None, None, None, 3))
    >>> [tuple(weight.shape) for weight in layer.weights]
    [(1, 5, 3, 4), (3, 1, 4, 8), (8,)]

    """

    layer = "SpatiallySeparableConv2D"
    weight_names = ("rows_kernel", "columns_kernel")

    def __init__(
        self,
        filters: int,
        kernel_size: int | tuple[int, int],
        strides: int | tuple[int, int] = 1,
        padding: Any = "valid",
        data_format: str | None = None,
        dilation_rate: int | tuple[int, int] = 1,
        groups: int = 1,
        activation: Any = None,
        use_bias: bool = True,
        rows_initializer: Any = "glorot_uniform",
        columns_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        rows_regularizer: Any = None,
        columns_regularizer: Any = None,
        bias_regularizer: Any = None,
        activity_regularizer: Any = None,
        rows_constraint: Any = None,
        columns_constraint: Any = None,
        bias_constraint: Any = None,
        *,
        middle_filters: int | None = None,
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
            "middle_channels": middle_filters,
            "formulation": formulation,
        }
        if columns_initializer is rows_initializer and isinstance(rows_initializer, keras.initializers.Initializer):
            columns_initializer = rows_initializer.clone()  # one without a seed gives the same numbers each time
        of_weights = {
            "rows_initializer": rows_initializer,
            "columns_initializer": columns_initializer,
            "bias_initializer": bias_initializer,
            "rows_regularizer": rows_regularizer,
            "columns_regularizer": columns_regularizer,
            "bias_regularizer": bias_regularizer,
            "rows_constraint": rows_constraint,
            "columns_constraint": columns_constraint,
            "bias_constraint": bias_constraint,
        }
        kwargs["activity_regularizer"] = activity_regularizer
        super().__init__(options, data_format, activation, of_weights, **kwargs)

    def get_config(self) -> dict[str, Any]:
        """All that the constructor takes.

        Returns:
            Arguments by their names, in plain types.
        """
        return {**super().get_config(), "middle_filters": self.options.middle_channels}

"""xconv's operations as Keras layers.

Constructors, weights, first numbers and configuration are those of ``keras.layers.Conv1D`` (on signals),
``keras.layers.Conv2D`` with one row or column (on feature maps) and ``keras.layers.Conv1DTranspose``: what one's
``get_weights`` gives the other's ``set_weights`` takes. What these refuse is computed: a stride with a dilation,
"causal" with channels first, pads of any size, other borders, groups in every mode.

They are registered as "xconv>Conv1D" and so on: a process that loads a saved model imports this module first. All
constructors raise :class:`~xconv.errors.ArgumentError`, in Keras' words.

>>> import keras
>>> from xconv_tensorflow.layers import Conv1D
>>> inputs = keras.Input((None, 3))
>>> model = keras.Model(inputs, Conv1D(8, 5, strides=2, padding="causal", activation="relu")(inputs))
>>> model.output_shape
(None, None, 8)
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from inspect import signature
from typing import Any

import keras

from xconv.models.layers import LayerOptions
from xconv_tensorflow.layer import WORDS, Convolution, least_output_padding

__all__ = [
    "Conv1D",
    "Conv1DColumns",
    "Conv1DRows",
    "Conv1DTranspose",
    "Conv2DAs1D",
    "SpatiallySeparableConv2D",
    "from_options",
]


class _OneAxis(Convolution):
    """Along one axis of a signal or of a feature map."""

    def __init__(
        self,
        filters: int,
        kernel_size: int | tuple[int],
        strides: int | tuple[int] = 1,
        padding: str | int | tuple[int, ...] = "valid",
        data_format: str | None = None,
        dilation_rate: int | tuple[int] = 1,
        groups: int = 1,
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


@keras.saving.register_keras_serializable(package="xconv")
class Conv1D(_OneAxis):
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
class Conv2DAs1D(_OneAxis):
    """:func:`xconv.conv2d_as_1d` as a layer: :class:`Conv1D` by the 2-D convolution of a height-one image.

    Args and weights as for :class:`Conv1D`; it has one formulation.

    >>> Conv2DAs1D(4, 3).compute_output_shape((2, 9, 2))
    (2, 7, 4)
    """

    layer = "Conv2DAs1D"


@keras.saving.register_keras_serializable(package="xconv")
class Conv1DRows(_OneAxis):
    """:func:`xconv.conv1d_rows` as a layer: one kernel along W, in each row alone.

    Args as for :class:`Conv1D`. ``kernel`` is (1, kernel_size, in/groups, filters), that of ``keras.layers.Conv2D(...,
    (1, kernel_size))``.

    >>> Conv1DRows(8, 5, padding="same", strides=2).compute_output_shape((None, None, 9, 3))
    (None, None, 5, 8)
    """

    layer = "Conv1DRows"


@keras.saving.register_keras_serializable(package="xconv")
class Conv1DColumns(_OneAxis):
    """:func:`xconv.conv1d_columns` as a layer: one kernel along H, in each column alone.

    Args as for :class:`Conv1D`. ``kernel`` is (kernel_size, 1, in/groups, filters), that of ``keras.layers.Conv2D(...,
    (kernel_size, 1))``.

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
        """All that the constructor takes."""
        return {**super().get_config(), "middle_filters": self.options.middle_channels}


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
        """All that the constructor takes."""
        return {**super().get_config(), "output_padding": self.output_padding}


KINDS = (Conv1D, Conv2DAs1D, Conv1DRows, Conv1DColumns, SpatiallySeparableConv2D, Conv1DTranspose)


def from_options(options: LayerOptions, **own: Any) -> keras.layers.Layer:
    """The layer of some options, which say nothing of a framework; ``own`` is what else its constructor takes.

    It is built if they say the input channels.

    >>> from xconv.models.layers import LayerOptions
    >>> layer = from_options(LayerOptions("Conv1D", 3, 8, 5, layout="NWC"), name="first")
    >>> layer.built, layer.name, layer.count_params()
    (True, 'first', 128)
    """
    kind: Callable[..., keras.layers.Layer] = next(kind for kind in KINDS if kind.layer == options.layer)
    given = {WORDS.get(name, name): value for name, value in vars(options).items()}
    given["data_format"] = "channels_last" if options.channels_last else "channels_first"
    taken = signature(kind).parameters
    layer = kind(**{name: value for name, value in given.items() if name in taken}, **own)
    if options.in_channels is not None:
        layer.build(tuple(options.in_channels if axis == "C" else None for axis in options.layout))
    return layer

"""What the convolution layers have in common: weights, configuration and shapes as Keras' own have them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, ClassVar

import keras
from keras import ops

import xconv
from xconv.core.call import Call
from xconv.core.checks import one_of
from xconv.core.layouts import LAYOUTS
from xconv.core.operations import layers
from xconv.core.problem import DTYPES, dilated_extent
from xconv.core.registry import get_backend
from xconv.models.layers import LayerOptions
from xconv.system.errors import ArgumentError

DATA_FORMATS = ("channels_last", "channels_first")
"""What Keras calls the two layouts of an operation, in the same order."""

WORDS = {
    "out_channels": "filters",
    "middle_channels": "middle_filters",
    "stride": "strides",
    "dilation": "dilation_rate",
    "bias": "use_bias",
}
"""What Keras calls xconv's options."""


class Convolution(keras.layers.Layer):  # type: ignore[misc] # Keras has no types
    """A layer of some options, and of what Keras does with its weights and its result."""

    layer: ClassVar[str]
    weight_names: ClassVar[tuple[str, ...]] = ("kernel",)

    def __init__(
        self,
        options: dict[str, Any],
        data_format: str | None,
        activation: Any,
        of_weights: dict[str, Any],
        **kwargs: Any,
    ) -> None:
        checked, data_format = self._checked(data_format, **options)
        super().__init__(**kwargs)
        if self.compute_dtype not in DTYPES:
            raise ArgumentError(self.layer, "dtype", repr(self.compute_dtype), f"one of {', '.join(DTYPES)}")
        self.options = checked
        self.data_format = data_format
        self.activation = keras.activations.get(activation)
        self.input_spec = keras.layers.InputSpec(ndim=len(checked.layout))
        self._of_weights = tuple(of_weights)
        for name, value in of_weights.items():
            setattr(self, name, _module_of(name).get(value))

    def _checked(self, data_format: str | None, **given: Any) -> tuple[LayerOptions, str]:
        data_format = keras.config.image_data_format() if data_format is None else data_format
        one_of(self.layer, "data_format", data_format, DATA_FORMATS)
        layout = layers()[self.layer].layouts[DATA_FORMATS.index(data_format)]
        if isinstance(given["padding"], str):
            given["padding"] = given["padding"].lower()  # Keras reads names in any case
        try:
            options = LayerOptions(self.layer, None, layout=layout, **given)
            options.check_formulation([form.name for form in get_backend(keras.backend.backend()).formulations])
        except ArgumentError as error:
            raise error.renamed(self.layer, WORDS) from None
        return options, data_format

    def build(self, input_shape: Sequence[int | None]) -> None:
        """Make the weights.

        Raises:
            ArgumentError: an input of this shape does not fit.
        """
        rank, axis = len(self.options.layout), LAYOUTS[self.options.layout].to_channels_last[-1]
        if len(input_shape) != rank or input_shape[axis] is None:
            raise ArgumentError(
                self.layer, "input_shape", repr(tuple(input_shape)), f"{rank} axes, with known channels on axis {axis}"
            )
        self.options = replace(self.options, in_channels=input_shape[axis])
        self.options.output_shape(input_shape)
        self.input_spec = keras.layers.InputSpec(ndim=rank, axes={axis: input_shape[axis]})
        shapes = self.options.weight_shapes(channels_last=True).values()
        for name, shape in zip(self.weight_names, shapes, strict=True):
            setattr(self, name, self._weight(name, name.removesuffix("_kernel"), shape))
        self.bias = self._weight("bias", "bias", (self.options.out_channels,)) if self.options.bias else None

    def _weight(self, name: str, whose: str, shape: tuple[int, ...]) -> Any:
        return self.add_weight(
            name=name,
            shape=shape,
            initializer=getattr(self, f"{whose}_initializer"),
            regularizer=getattr(self, f"{whose}_regularizer"),
            constraint=getattr(self, f"{whose}_constraint"),
        )

    def call(self, inputs: Any) -> Any:
        """The operation of the inputs, and the activation of its result."""
        # as tensors the variables are cast to the dtype of the policy
        kernels = [self._kernel(ops.convert_to_tensor(getattr(self, name))) for name in self.weight_names]
        bias = None if self.bias is None else ops.convert_to_tensor(self.bias)
        function: Callable[..., Any] = getattr(xconv, self.options.operation)
        with _as_it_is():
            y = function(inputs, *kernels, bias, **self.options.arguments, **self.options.how)
        return y if self.activation is None else self.activation(y)

    def _kernel(self, weight: Any) -> Any:
        """A weight as the operation takes it: without its axis of size 1, and in the order of the layout."""
        if len(weight.shape) == 4:
            weight = ops.squeeze(weight, 0 if weight.shape[0] == 1 else 1)
        return weight if self.options.channels_last else ops.transpose(weight, (2, 1, 0))

    def compute_output_shape(self, input_shape: Sequence[int | None]) -> tuple[int | None, ...]:
        """The shape of the result; None is a size that is not known.

        Raises:
            ArgumentError: an input of this shape does not fit.
        """
        with _as_it_is():
            return self.options.output_shape(input_shape)

    def calls(self, x_shape: Sequence[int]) -> list[Call]:
        """What it computes on an input of a shape, with the batch: for ``xconv.plan``, ``xconv.cost`` and the like.

        Args:
            x_shape: of the input with the batch, in the layer's layout.

        Returns:
            One call, or of the separable layer the rows' and the columns'.

        Raises:
            ArgumentError: the input does not fit.
        """
        return self.options.calls(x_shape, self.compute_dtype)

    def get_config(self) -> dict[str, Any]:
        """All that the constructor takes."""
        own = {
            "filters": self.filters,
            "kernel_size": self.kernel_size,
            "strides": self.strides,
            "padding": self.padding,
            "data_format": self.data_format,
            "dilation_rate": self.dilation_rate,
            "groups": self.groups,
            "activation": keras.activations.serialize(self.activation),
            "use_bias": self.use_bias,
            "padding_mode": self.padding_mode,
            "activity_regularizer": keras.regularizers.serialize(self.activity_regularizer),
            **{name: _module_of(name).serialize(getattr(self, name)) for name in self._of_weights},
            **self.options.how,
        }
        return {**super().get_config(), **own}

    @property
    def filters(self) -> int:
        """Channels of the result."""
        return self.options.out_channels

    @property
    def kernel_size(self) -> tuple[int, ...]:
        """Taps, as a tuple."""
        return _tuple(self.options.kernel_size)

    @property
    def strides(self) -> tuple[int, ...]:
        """Elements between outputs, as a tuple."""
        return _tuple(self.options.stride)

    @property
    def dilation_rate(self) -> tuple[int, ...]:
        """Elements between taps, as a tuple."""
        return _tuple(self.options.dilation)

    @property
    def padding(self) -> Any:
        """A name, an integer, or a pair, as it was given."""
        return self.options.padding

    @property
    def padding_mode(self) -> str:
        """What the pads hold."""
        return self.options.padding_mode

    @property
    def groups(self) -> int:
        """Channel groups."""
        return self.options.groups

    @property
    def use_bias(self) -> bool:
        """Whether there is a bias."""
        return self.options.bias


class OneAxis(Convolution):
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


def least_output_padding(kernel: int, stride: int, dilation: int) -> int:
    """What Keras adds to an uncropped transposed convolution: its result has no fewer than length * stride elements.

    >>> least_output_padding(2, 4, 1), least_output_padding(5, 3, 1)
    (2, 0)
    """
    return max(stride - dilated_extent(kernel, dilation), 0)


@contextmanager
def _as_it_is() -> Iterator[None]:
    """A scope whose errors Keras raises as they are: it would make new ones of the first of their parts."""
    try:
        yield
    except ArgumentError as error:
        error._keras_call_info_injected = True  # Keras' own mark of errors that it leaves
        raise


def _module_of(name: str) -> Any:
    """Keras' module for initializers, regularizers or constraints, from the name of an argument."""
    return getattr(keras, f"{name.rpartition('_')[2]}s")


def _tuple(value: Any) -> tuple[Any, ...]:
    return value if isinstance(value, tuple) else (value,)

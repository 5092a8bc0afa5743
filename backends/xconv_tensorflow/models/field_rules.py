"""What the result of each Keras layer and operation sees, from what its operands see."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from xconv.core.problem import dilated_extent, resolve_padding
from xconv.models.fields import WindowTaps, pair, resized, sliding, transposed
from xconv.models.tensor_field import TensorField, concatenated, everything, together

Rule = Callable[[tuple[int, ...]], TensorField]
"""From the shape of the result to what it sees."""

POINTWISE = {
    *("InputLayer", "Identity", "Activation", "ReLU", "LeakyReLU", "PReLU", "ELU", "Dropout", "SpatialDropout1D"),
    *("SpatialDropout2D", "GaussianNoise", "GaussianDropout", "AlphaDropout", "ActivityRegularization", "Masking"),
    *("Rescaling", "BatchNormalization", "Add", "Subtract", "Multiply", "Average", "Maximum", "Minimum", "Divide"),
    *("TrueDivide", "Power", "Negative", "Absolute", "Exp", "Log", "Log1p", "Sqrt", "Rsqrt", "Square", "Tanh", "Clip"),
    *("Relu", "Relu6", "Sigmoid", "Silu", "Swish", "Gelu", "Elu", "Selu", "Softplus", "Softsign", "LeakyRelu", "Celu"),
    *(
        "HardSigmoid",
        "HardSilu",
        "HardSwish",
        "HardTanh",
        "Mish",
        "Cast",
        "Where",
        "LogSigmoid",
        "SquareError",
        "Sin",
        "Cos",
    ),
}
ALL = {
    "LSTM",
    "GRU",
    "SimpleRNN",
    "Bidirectional",
    "RNN",
    "MultiHeadAttention",
    "Attention",
    "GroupNormalization",
    "Dot",
}
"""What sees every position by its nature."""


def after(operation: Any, args: Sequence[Any], parts: Sequence[TensorField]) -> Rule | None:
    """What the result of an operation sees, or None if that is not known."""
    names = [kind.__name__ for kind in type(operation).__mro__]
    if any(name in ALL for name in names):
        return lambda shape: everything(parts, shape)
    if any(name in POINTWISE for name in names):
        return lambda shape: together(parts, shape)
    if "Concatenate" in names:
        return lambda shape: concatenated(parts, operation.axis % len(shape), shape)
    rule = next((_RULES[name] for name in names if name in _RULES), None)
    if rule is None or len(parts) != 1:
        return None
    return lambda shape: rule(operation, parts[0], shape, args)


def _spatial(layer: Any, rank: int) -> range:
    return range(2, rank) if getattr(layer, "data_format", None) == "channels_first" else range(1, rank - 1)


def _convolution(layer: Any, x: TensorField, shape: tuple[int, ...], args: Sequence[Any]) -> TensorField:
    del args
    dims = _spatial(layer, len(shape))
    dilations, strides = pair(layer.dilation_rate, len(dims)), pair(layer.strides, len(dims))
    kernels = pair(layer.kernel_size, len(dims))
    taps = {
        dim: _window(x.shape[dim], layer.padding, kernels[i], strides[i], dilations[i]) for i, dim in enumerate(dims)
    }
    return x.joined(dim for dim in range(1, len(shape)) if dim not in dims).slid(taps, shape)


def _pool(layer: Any, x: TensorField, shape: tuple[int, ...], args: Sequence[Any]) -> TensorField:
    del args
    dims = _spatial(layer, len(shape))
    sizes = pair(layer.pool_size, len(dims))
    strides = pair(layer.strides or layer.pool_size, len(dims))
    taps = {dim: _window(x.shape[dim], layer.padding, sizes[i], strides[i], 1) for i, dim in enumerate(dims)}
    return x.slid(taps, shape)


def _window(length: int, padding: str, kernel: int, stride: int, dilation: int) -> WindowTaps:
    low, _ = resolve_padding("receptive_field", padding, length=length, kernel=kernel, stride=stride, dilation=dilation)
    return sliding(kernel, stride, dilation, low)


def _transposed(layer: Any, x: TensorField, shape: tuple[int, ...], args: Sequence[Any]) -> TensorField:
    del args
    dims = _spatial(layer, len(shape))
    strides, dilations = pair(layer.strides, len(dims)), pair(layer.dilation_rate, len(dims))
    taps = {}
    for i, dim in enumerate(dims):
        kernel, stride, dilation = pair(layer.kernel_size, len(dims))[i], strides[i], dilations[i]
        # "same" crops what the forward convolution of the result would pad
        total = (x.shape[dim] - 1) * stride + dilated_extent(kernel, dilation) - shape[dim]
        low = max(total, 0) // 2 if layer.padding == "same" else 0
        taps[dim] = transposed(kernel, stride, dilation, low)
    return x.joined(dim for dim in range(1, len(shape)) if dim not in dims).slid(taps, shape)


def _upsampled(layer: Any, x: TensorField, shape: tuple[int, ...], args: Sequence[Any]) -> TensorField:
    del args
    count = {"nearest": 1, "bilinear": 2, "bicubic": 4}.get(getattr(layer, "interpolation", "nearest"))
    if count is None:
        return x.joined().sized(shape)
    return x.slid({dim: resized(x.shape[dim], shape[dim], count) for dim in _spatial(layer, len(shape))}, shape)


def _padded(layer: Any, x: TensorField, shape: tuple[int, ...], args: Sequence[Any]) -> TensorField:
    del args
    return _moved(layer, x, shape, layer.padding, 1)


def _cropped(layer: Any, x: TensorField, shape: tuple[int, ...], args: Sequence[Any]) -> TensorField:
    del args
    return _moved(layer, x, shape, layer.cropping, -1)


def _moved(layer: Any, x: TensorField, shape: tuple[int, ...], widths: Any, sign: int) -> TensorField:
    dims = _spatial(layer, len(shape))
    lows = [widths[0]] if len(dims) == 1 else [low for low, _ in widths]
    return x.slid({dim: sliding(1, low=sign * low) for dim, low in zip(dims, lows, strict=True)}, shape)


def _global(layer: Any, x: TensorField, shape: tuple[int, ...], args: Sequence[Any]) -> TensorField:
    del args
    return x.reduced(_spatial(layer, len(x.dims)), len(shape))


def _reduced(operation: Any, x: TensorField, shape: tuple[int, ...], args: Sequence[Any]) -> TensorField:
    del args
    axis = operation.axis
    return x.reduced([axis] if isinstance(axis, int) else axis, len(shape))


def _along(layer: Any, x: TensorField, shape: tuple[int, ...], args: Sequence[Any]) -> TensorField:
    del args
    axes = getattr(layer, "axis", -1)
    over = None if axes is None else [axis % len(x.dims) for axis in pair(axes, 1)]
    return x.joined(over).sized(shape)


def _dense(layer: Any, x: TensorField, shape: tuple[int, ...], args: Sequence[Any]) -> TensorField:
    del layer, args
    return x.joined([len(x.dims) - 1]).arranged([*range(len(x.dims) - 1), None]).sized(shape)


def _reshaped(layer: Any, x: TensorField, shape: tuple[int, ...], args: Sequence[Any]) -> TensorField:
    del layer, args
    return x.reshaped(shape)


def _permuted(layer: Any, x: TensorField, shape: tuple[int, ...], args: Sequence[Any]) -> TensorField:
    del shape, args
    return x.arranged([0, *layer.dims])


def _transposed_axes(operation: Any, x: TensorField, shape: tuple[int, ...], args: Sequence[Any]) -> TensorField:
    del shape, args
    axes = operation.axes or range(len(x.dims))[::-1]
    return x.arranged([axis % len(x.dims) for axis in axes])


def _each_step(layer: Any, x: TensorField, shape: tuple[int, ...], args: Sequence[Any]) -> TensorField:
    """One layer on each step: the steps stay apart, and of one of them it may see all."""
    del layer, args
    rest = range(2, len(x.dims))
    return x.joined(rest).arranged([0, 1, *([None] * (len(shape) - 2))]).sized(shape)


def _item(operation: Any, x: TensorField, shape: tuple[int, ...], args: Sequence[Any]) -> TensorField:
    del operation
    keys = args[1] if isinstance(args[1], tuple) else (args[1],)
    if Ellipsis in keys:
        at = keys.index(Ellipsis)
        keys = (*keys[:at], *([slice(None)] * (len(x.dims) - len(keys) + 1)), *keys[at + 1 :])
    if any(not isinstance(key, (int, slice)) for key in keys):
        return everything([x], shape)
    sizes = x.shape
    for dim in reversed(range(len(keys))):
        key = keys[dim]
        if isinstance(key, int):
            x = x.taken(dim, key)
            continue
        start, stop, step = key.indices(sizes[dim])
        changed = list(x.shape)
        changed[dim] = len(range(start, stop, step))
        x = x.slid({dim: sliding(1, step, low=-start)}, changed) if step > 0 else x.joined([dim]).sized(changed)
    return x


_RULES: dict[str, Callable[[Any, TensorField, tuple[int, ...], Sequence[Any]], TensorField]] = {
    **dict.fromkeys(("Conv1D", "Conv2D", "DepthwiseConv1D", "DepthwiseConv2D"), _convolution),
    **dict.fromkeys(("SeparableConv1D", "SeparableConv2D"), _convolution),
    **dict.fromkeys(("Conv1DTranspose", "Conv2DTranspose"), _transposed),
    **dict.fromkeys(("MaxPooling1D", "MaxPooling2D", "AveragePooling1D", "AveragePooling2D"), _pool),
    **dict.fromkeys(("GlobalMaxPooling1D", "GlobalMaxPooling2D"), _global),
    **dict.fromkeys(("GlobalAveragePooling1D", "GlobalAveragePooling2D"), _global),
    **dict.fromkeys(("UpSampling1D", "UpSampling2D"), _upsampled),
    **dict.fromkeys(("ZeroPadding1D", "ZeroPadding2D"), _padded),
    **dict.fromkeys(("Cropping1D", "Cropping2D"), _cropped),
    **dict.fromkeys(("Mean", "Sum", "Max", "Min", "Amax", "Amin", "Std", "Var", "Prod"), _reduced),
    **dict.fromkeys(("Softmax", "LogSoftmax", "LayerNormalization", "RMSNormalization", "UnitNormalization"), _along),
    **dict.fromkeys(("Flip", "Sort", "Cumsum"), _along),
    **dict.fromkeys(("Flatten", "Reshape", "ExpandDims", "Squeeze"), _reshaped),
    "Dense": _dense,
    "Permute": _permuted,
    "Transpose": _transposed_axes,
    "TimeDistributed": _each_step,
    "GetItem": _item,
}

"""What was probably meant: hints for shapes that do not fit, from shapes alone, and so the same on every backend."""

from __future__ import annotations

from collections.abc import Sequence

from xconv.core.layouts import Layout
from xconv.core.operations import Operation, along, transposed
from xconv.core.problem import ConvProblem, Size, dilated_extent


def of_rank(shape: Sequence[Size], where: Layout) -> str:
    """A hint for an ``x`` with the wrong number of axes.

    >>> from xconv.core.layouts import LAYOUTS
    >>> of_rank((2, 1, 100, 3), LAYOUTS["NWC"])
    'an axis of size 1 makes it a signal: x[:, 0] has 3 axes'
    """
    return _signals_rank(shape, where) if len(where.name) == 3 else _maps_rank(shape, where)


def _signals_rank(shape: Sequence[Size], where: Layout) -> str:
    last = where.channels_last
    if len(shape) == 1:
        return f"one signal of one channel is {'x[None, :, None]' if last else 'x[None, None]'}"
    if len(shape) == 2:
        one = "x[..., None]" if last else "x[:, None]"
        return f"add the batch axis: x[None]; a batch of signals without channels is {one}"
    if len(shape) != 4:
        return ""
    for axis in (1, 2) if last else (2, 3):
        if shape[axis] == 1:
            return f"an axis of size 1 makes it a signal: x[{', '.join([':'] * axis + ['0'])}] has 3 axes"
    return (
        "a feature map (N, H, W, C) is for conv1d_rows (along W, each row alone), conv1d_columns (along H, each column "
        "alone) or conv2d (along both): say which axis the kernel slides along"
    )


def _maps_rank(shape: Sequence[Size], where: Layout) -> str:
    last = where.channels_last
    if len(shape) == 2:
        return f"one image of one channel is {'x[None, ..., None]' if last else 'x[None, None]'}"
    if len(shape) != 3:
        return ""
    one, signal = ("x[..., None]", "(N, W, C)") if last else ("x[:, None]", "(N, C, W)")
    return f"add the batch axis: x[None]; maps without channels are {one}; for {signal} data use conv1d"


def of_weight_rank(shape: Sequence[Size], rank: int, where: Layout) -> str:
    """A hint for a weight with the wrong number of axes; it should have ``rank``."""
    last, found = where.channels_last, len(shape)
    hint = ""
    if (rank, found) == (3, 4):
        hint = "a kernel with two spatial axes is for conv2d"
        if 1 in (shape[:2] if last else shape[2:]):
            hint += "; drop the axis of size 1 to use it here"
    elif (rank, found) == (3, 2):
        tap = (
            "(in, out) is a kernel of one tap: weight[None]"
            if last
            else "(out, in) is one of one tap: weight[..., None]"
        )
        hint = f"a dense layer's matrix {tap}"
    elif (rank, found) == (3, 1):
        hint = f"a filter of one channel is {'weight[:, None, None]' if last else 'weight[None, None]'}"
    elif (rank, found) == (4, 3):
        hint = "a kernel with one spatial axis is for conv1d_rows or conv1d_columns: say which axis it slides along"
    elif (rank, found) == (4, 2):
        hint = f"a filter of one channel is {'weight[:, :, None, None]' if last else 'weight[None, None]'}"
    return hint


def of_channels(row: Operation, channels: Size, weight_shape: Sequence[int], groups: int, where: Layout) -> str:
    """A hint for a weight whose input channels are not those of ``x``, but which holds them on another axis."""
    last = where.channels_last
    if row.is_2d:
        mine, other = row.kernel(channels_last=True), row.kernel(channels_last=False)
        if weight_shape[1 if last else 2] * groups != channels:
            return ""
        if last:
            return f"is the weight {other}, as nn.Conv2d has it? Here it is {mine}"
        return f"is the weight {mine}, as Keras has it? Here it is {other}"
    if last and groups > 1 and weight_shape[1] == channels == groups:
        return (
            "the kernel of a DepthwiseConv1D, (kernel, channels, multiplier), is here (kernel, 1, channels * "
            "multiplier): reshape it"
        )
    if not row.is_transposed and weight_shape[2 if last else 0] == channels and groups == 1:
        layer = "a Conv1DTranspose" if last else "an nn.ConvTranspose1d"
        return f"is it the weight of {layer}? That is for {transposed(row.layouts).name}"
    return ""


def of_window(
    row: Operation, problem: ConvProblem, axis: str, x_shape: Sequence[Size], weight_shape: Sequence[int], where: Layout
) -> str:
    """A hint for a kernel that is longer than the axis it slides along."""
    length, last = problem.length, where.channels_last
    if row.is_2d and length == 1:
        signals = along(3)[0]
        return (
            f"axis {axis} of size 1 makes x a signal: use {signals.name}, without that axis and with a kernel "
            f"{signals.kernel(last)}"
        )
    hints = ["pad the input (padding='same' keeps its length), or choose a kernel or an axis that fits"]
    if row.is_2d:
        return hints[0]
    batch = x_shape[0]
    long = isinstance(batch, int) and batch + sum(problem.padding) >= problem.extent
    if row.rank == 3 and last and long:
        hints.append("or is x (L, N, C), as an nn.RNN has it? Bring the batch to the front")
    other_end = weight_shape[-1] if last else weight_shape[0]
    if dilated_extent(other_end, problem.dilation) <= problem.padded_length and problem.kernel != other_end:
        owner, mine = "nn.Conv1d" if last else "Keras", row.kernel(last)
        hints.append(
            f"or is the weight {row.kernel(not last)}, as {owner} has it? In layout {where.name!r} it is {mine}"
        )
    return "; ".join(hints)


def of_dtype(dtype: str) -> str:
    """A hint for elements that are no floating-point numbers.

    >>> of_dtype("int16")
    "convert it, for example to float32; samples of 16 bits are x.astype('float32') / 32768"
    """
    known = {
        "int16": "; samples of 16 bits are x.astype('float32') / 32768",
        "uint8": "; pixels are x.astype('float32') / 255",
        "int64": "; what are numbers of words or classes goes through an embedding first",
    }
    if dtype.startswith(("int", "uint", "bool")):
        return f"convert it, for example to float32{known.get(dtype, '')}"
    if dtype.startswith("complex"):
        return "convolve its real and its imaginary part, each alone"
    if dtype.startswith("float"):
        return "convert it, for example to float32"
    if dtype == "object":
        return "its elements are Python objects: x.astype('float32') makes numbers of them"
    if dtype.startswith(("void", "record")):
        return "take one of its fields: x['name']"
    return ""

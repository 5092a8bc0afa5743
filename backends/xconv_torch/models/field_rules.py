"""What the result of each of torch's operations sees, from what its operands see."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch

from xconv.models.fields import WindowTaps, adaptive, pair, resized, sliding, transposed
from xconv.models.tensor_field import TensorField, concatenated, everything, together

Find = Callable[[object], "TensorField | None"]

POINTWISE = {
    "hardswish",
    "_prelu_kernel",
    "_to_copy",
    "alias",
    "detach",
    "native_dropout",
    "lift_fresh",
    "copy",
    "fill",
}
"""Operations on each element alone that torch does not mark so."""

SAME = {"view", "_unsafe_view", "reshape", "_reshape_alias", "squeeze", "unsqueeze", "expand"}
REDUCING = {
    *("mean", "sum", "amax", "amin", "max", "min", "std", "var", "prod", "logsumexp", "norm", "argmax", "argmin"),
    *("linalg_vector_norm", "any", "all", "std_mean", "var_mean", "median", "nanmedian"),
}
ALONG = {"_softmax", "_log_softmax", "cumsum", "cumprod", "sort", "topk", "flip", "cummax", "cummin", "logcumsumexp"}
BATCH_NORMS = {
    **dict.fromkeys(("native_batch_norm", "_native_batch_norm_legit", "cudnn_batch_norm", "miopen_batch_norm"), True),
    "_native_batch_norm_legit_no_training": False,
}
"""Whether they may be told to normalise by what they see, as in training."""


def after(
    func: Any, args: Sequence[Any], kwargs: dict[str, Any], find: Find, outputs: Sequence[torch.Tensor]
) -> tuple[list[TensorField], bool]:
    """What each output sees, and whether the operation could be looked into."""
    name = func.overloadpacket.__name__
    base = name.removesuffix("_")
    marked = torch.Tag.pointwise in func.tags
    parts = [seen for each in _tensors(args, kwargs) if (seen := find(each)) is not None]
    if marked or base in POINTWISE:
        return [together(parts, each.shape) for each in outputs], True
    x = find(args[0]) if args else None
    rule = _RULES.get(base)
    if x is not None and len(parts) == 1:
        if base in SAME:
            return [_reshaped(base, x, each) for each in outputs], True
        if rule is not None:
            return rule(x, args, kwargs, outputs), True
    if base in ("cat", "stack"):
        return [_concatenated(base, args, kwargs, parts, outputs[0])], True
    if base in ("mm", "bmm", "addmm", "baddbmm", "mv") and len(parts) == 1:
        return [_product(base, args, find, outputs[0])], True
    return [everything(parts, each.shape) for each in outputs], base in KNOWN_TO_MIX


KNOWN_TO_MIX = {"mm", "bmm", "addmm", "baddbmm", "mkldnn_rnn_layer", "lstm", "gru", "_fft_r2c", "_fft_c2r", "_fft_c2c"}
"""Operations that do see everything, so that nothing is left to be said of them."""


def padded(x: TensorField, widths: Sequence[int], shape: Sequence[int]) -> TensorField:
    """With pads (low, high) from the last dimension on; below 0 they crop."""
    taps = {len(x.dims) - 1 - i: sliding(1, low=widths[2 * i]) for i in range(len(widths) // 2)}
    return x.slid(taps, shape)


def _tensors(args: Sequence[Any], kwargs: dict[str, Any]) -> list[torch.Tensor]:
    return [each for each in torch.utils._pytree.tree_leaves([args, kwargs]) if isinstance(each, torch.Tensor)]


def _reshaped(name: str, x: TensorField, output: torch.Tensor) -> TensorField:
    return together([x], output.shape) if name == "expand" else x.reshaped(tuple(output.shape))


def _concatenated(
    name: str, args: Sequence[Any], kwargs: dict[str, Any], parts: list[TensorField], output: Any
) -> TensorField:
    dim = (args[1] if len(args) > 1 else kwargs.get("dim", 0)) % output.ndim
    if name == "stack":
        rank = output.ndim - 1
        parts = [part.arranged([*range(dim), None, *range(dim, rank)]) for part in parts]
    return concatenated(parts, dim, output.shape)


def _product(name: str, args: Sequence[Any], find: Find, output: torch.Tensor) -> TensorField:
    left, right = args[1:3] if name in ("addmm", "baddbmm") else args[:2]
    a, b = find(left), find(right)
    batch = list(range(output.ndim - 2)) if name != "mv" else []
    if a is not None:
        mixed = a.joined([len(a.dims) - 1])
        new: list[int | None] = [*range(len(a.dims) - 1)] + ([] if name == "mv" else [None])
        return mixed.arranged(new).sized(output.shape)
    if b is not None:
        return b.joined([len(b.dims) - 2]).arranged([*batch, None, len(b.dims) - 1]).sized(output.shape)
    [bias] = [seen for each in args if (seen := find(each)) is not None]
    return together([bias], output.shape)


def _convolution(
    x: TensorField, args: Sequence[Any], kwargs: dict[str, Any], outputs: Sequence[Any]
) -> list[TensorField]:
    del kwargs
    _, weight, _, stride, padding, dilation, is_transposed, *_ = args
    taps: dict[int, WindowTaps] = {}
    for i, kernel in enumerate(weight.shape[2:]):
        steps = pair(stride, weight.ndim - 2)[i], pair(dilation, weight.ndim - 2)[i], pair(padding, weight.ndim - 2)[i]
        taps[2 + i] = (transposed if is_transposed else sliding)(kernel, *steps)
    return [x.joined([1]).slid(taps, outputs[0].shape)]


def _pool(x: TensorField, args: Sequence[Any], kwargs: dict[str, Any], outputs: Sequence[Any]) -> list[TensorField]:
    return _pooled(x, args, outputs, kwargs.get("dilation", 1))


def _max_pool(x: TensorField, args: Sequence[Any], kwargs: dict[str, Any], outputs: Sequence[Any]) -> list[TensorField]:
    return _pooled(x, args, outputs, args[4] if len(args) > 4 else kwargs.get("dilation", 1))


def _pooled(x: TensorField, args: Sequence[Any], outputs: Sequence[Any], dilation: Any) -> list[TensorField]:
    count = len(args[1]) if isinstance(args[1], (list, tuple)) and len(args[1]) > 1 else len(x.dims) - 2
    kernels = pair(args[1], count)
    strides = pair(args[2], count) if len(args) > 2 and args[2] not in ([], ()) else kernels
    pads = pair(args[3], count) if len(args) > 3 else (0,) * count
    dilations = pair(dilation, count)
    first = len(x.dims) - count
    taps = {first + i: sliding(kernels[i], strides[i], dilations[i], pads[i]) for i in range(count)}
    return [x.slid(taps, each.shape) for each in outputs]


def _adaptive(x: TensorField, args: Sequence[Any], kwargs: dict[str, Any], outputs: Sequence[Any]) -> list[TensorField]:
    del args, kwargs
    shape, first = outputs[0].shape, 2 if len(x.dims) == outputs[0].ndim and len(x.dims) > 3 else len(x.dims) - 1
    taps = {dim: adaptive(x.shape[dim], shape[dim]) for dim in range(first, len(x.dims))}
    return [x.slid(taps, shape) for _ in outputs]


def _upsampled(taps: int) -> Callable[..., list[TensorField]]:
    def rule(x: TensorField, args: Sequence[Any], kwargs: dict[str, Any], outputs: Sequence[Any]) -> list[TensorField]:
        corners = taps > 1 and bool(args[2] if len(args) > 2 else kwargs.get("align_corners", False))
        shape = outputs[0].shape
        each = {dim: resized(x.shape[dim], shape[dim], taps, corners) for dim in range(2, len(shape))}
        return [x.slid(each, shape)]

    return rule


def _padded(x: TensorField, args: Sequence[Any], kwargs: dict[str, Any], outputs: Sequence[Any]) -> list[TensorField]:
    del kwargs
    return [padded(x, args[1], outputs[0].shape)]


def _reduced(x: TensorField, args: Sequence[Any], kwargs: dict[str, Any], outputs: Sequence[Any]) -> list[TensorField]:
    dims: Any = kwargs.get("dim", next((arg for arg in args[1:] if _is_dims(arg)), None))
    # norm's first number is its order
    if isinstance(dims, (int, float)) and len(args) > 2 and isinstance(args[2], (list, tuple)):
        dims = args[2]
    over = None if dims is None or dims == [] else [dims] if isinstance(dims, int) else dims
    return [x.reduced(over, each.ndim) for each in outputs]


def _is_dims(value: Any) -> bool:
    return (isinstance(value, int) and not isinstance(value, bool)) or isinstance(value, (list, tuple))


def _along(x: TensorField, args: Sequence[Any], kwargs: dict[str, Any], outputs: Sequence[Any]) -> list[TensorField]:
    # a sort, a flip or a sum from one end on: any position may see any
    dims = kwargs.get("dim", args[1] if len(args) > 1 else -1)
    over = [dim % len(x.dims) for dim in pair(dims, 1)]
    return [x.joined(over).sized(each.shape) for each in outputs]


def _batch_norm(name: str) -> Callable[..., list[TensorField]]:
    def rule(x: TensorField, args: Sequence[Any], kwargs: dict[str, Any], outputs: Sequence[Any]) -> list[TensorField]:
        trains = next((arg for arg in (*args, *kwargs.values()) if isinstance(arg, bool)), False)
        seen = x.joined() if trains and BATCH_NORMS[name] else x
        return [seen, *(everything([x], each.shape) for each in outputs[1:])]

    return rule


def _layer_norm(
    x: TensorField, args: Sequence[Any], kwargs: dict[str, Any], outputs: Sequence[Any]
) -> list[TensorField]:
    del kwargs
    over = range(len(x.dims) - len(args[1]), len(x.dims))
    return [x.joined(over), *(x.reduced(over, each.ndim) for each in outputs[1:])]


def _group_norm(
    x: TensorField, args: Sequence[Any], kwargs: dict[str, Any], outputs: Sequence[Any]
) -> list[TensorField]:
    del args, kwargs
    return [x.joined(), *(everything([x], each.shape) for each in outputs[1:])]


def _permuted(x: TensorField, args: Sequence[Any], kwargs: dict[str, Any], outputs: Sequence[Any]) -> list[TensorField]:
    del kwargs, outputs
    return [x.arranged([dim % len(x.dims) for dim in args[1]])]


def _swapped(x: TensorField, args: Sequence[Any], kwargs: dict[str, Any], outputs: Sequence[Any]) -> list[TensorField]:
    del kwargs, outputs
    first, second = (dim % len(x.dims) for dim in (args[1:3] if len(args) > 2 else (0, -1)))
    order: list[int | None] = [*range(len(x.dims))]
    order[first], order[second] = second, first
    return [x.arranged(order)]


def _selected(x: TensorField, args: Sequence[Any], kwargs: dict[str, Any], outputs: Sequence[Any]) -> list[TensorField]:
    del kwargs, outputs
    return [x.taken(args[1], args[2])]


def _unbound(x: TensorField, args: Sequence[Any], kwargs: dict[str, Any], outputs: Sequence[Any]) -> list[TensorField]:
    dim = args[1] if len(args) > 1 else kwargs.get("dim", 0)
    return [x.taken(dim, position) for position in range(len(outputs))]


def _sliced(x: TensorField, args: Sequence[Any], kwargs: dict[str, Any], outputs: Sequence[Any]) -> list[TensorField]:
    del kwargs
    given: Any = [*args[1:], *(0, None, None, 1)[len(args) - 1 :]]
    dim, start, _, step = given
    size = x.shape[dim]
    first = 0 if start is None else max(0, start + size if start < 0 else min(start, size))
    return [x.slid({dim % len(x.dims): sliding(1, step, low=-first)}, outputs[0].shape)]


def _split(x: TensorField, args: Sequence[Any], kwargs: dict[str, Any], outputs: Sequence[Any]) -> list[TensorField]:
    dim = (args[2] if len(args) > 2 else kwargs.get("dim", 0)) % len(x.dims)
    found, first = [], 0
    for each in outputs:
        found.append(x.slid({dim: sliding(1, low=-first)}, each.shape))
        first += each.shape[dim]
    return found


def _halved(x: TensorField, args: Sequence[Any], kwargs: dict[str, Any], outputs: Sequence[Any]) -> list[TensorField]:
    dim = (args[1] if len(args) > 1 else kwargs.get("dim", -1)) % len(x.dims)
    return [x.joined([dim]).sized(outputs[0].shape)]


_RULES: dict[str, Callable[..., list[TensorField]]] = {
    "convolution": _convolution,
    **dict.fromkeys(("max_pool2d_with_indices", "max_pool3d_with_indices", "max_pool1d", "max_pool2d"), _max_pool),
    **dict.fromkeys(("avg_pool1d", "avg_pool2d", "avg_pool3d"), _pool),
    **dict.fromkeys(("_adaptive_avg_pool2d", "adaptive_max_pool2d", "adaptive_avg_pool1d"), _adaptive),
    **dict.fromkeys(("upsample_nearest1d", "upsample_nearest2d"), _upsampled(1)),
    **dict.fromkeys(("upsample_linear1d", "upsample_bilinear2d"), _upsampled(2)),
    "upsample_bicubic2d": _upsampled(4),
    "constant_pad_nd": _padded,
    **dict.fromkeys(("reflection_pad1d", "reflection_pad2d", "replication_pad1d", "replication_pad2d"), _padded),
    **dict.fromkeys(REDUCING, _reduced),
    **dict.fromkeys(ALONG, _along),
    **{name: _batch_norm(name) for name in BATCH_NORMS},
    "native_layer_norm": _layer_norm,
    "native_group_norm": _group_norm,
    "permute": _permuted,
    "transpose": _swapped,
    "t": _swapped,
    "select": _selected,
    "unbind": _unbound,
    "slice": _sliced,
    "split": _split,
    "split_with_sizes": _split,
    "glu": _halved,
}

"""Which rule is for which layer, function and method."""

from __future__ import annotations

from torch import nn

from xconv_torch.models.convert import axes, convolving, elementwise, layers, pooling, resampling, shaping
from xconv_torch.models.convert.walk import NodeCall, Rule, RunningConversion

MODULES: list[tuple[tuple[type[nn.Module], ...], Rule]] = [
    ((nn.Conv2d, nn.ConvTranspose2d), convolving.conv_layer),
    ((nn.MaxPool2d, nn.AvgPool2d), pooling.pool),
    ((nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d), pooling.adaptive),
    ((nn.BatchNorm2d, nn.InstanceNorm2d), layers.batch_norm),
    ((nn.SyncBatchNorm, nn.GroupNorm), layers.group_norm),
    ((nn.LayerNorm, nn.RMSNorm), layers.layer_norm),
    ((nn.Dropout2d,), layers.dropout),
    ((nn.Linear,), layers.dense),
    ((nn.Flatten,), shaping.reshape),
    ((nn.ConstantPad2d, nn.ReflectionPad2d, nn.ReplicationPad2d, nn.CircularPad2d), resampling.pad),
    ((nn.Upsample,), resampling.resample),
    (
        (nn.PixelShuffle, nn.PixelUnshuffle, nn.FractionalMaxPool2d, nn.MaxUnpool2d, nn.LPPool2d, nn.Unfold, nn.Fold),
        resampling.no_counterpart,
    ),
    (
        (
            nn.Identity, nn.Dropout, nn.AlphaDropout, nn.ReLU, nn.RReLU, nn.Hardtanh, nn.Sigmoid, nn.Hardsigmoid,
            nn.Tanh, nn.SiLU, nn.Mish, nn.Hardswish, nn.ELU, nn.CELU, nn.SELU, nn.GELU, nn.Hardshrink, nn.LeakyReLU,
            nn.LogSigmoid, nn.Softplus, nn.Softshrink, nn.PReLU, nn.Softsign, nn.Tanhshrink, nn.Threshold, nn.Softmax,
            nn.LogSoftmax, nn.Softmin, nn.GLU, nn.Softmax2d, nn.LocalResponseNorm,
        ),
        layers.kept,
    ),
]  # fmt: skip

NAMES: dict[str, Rule] = {
    **dict.fromkeys(("conv2d", "conv_transpose2d"), convolving.conv_function),
    **dict.fromkeys(("max_pool2d", "avg_pool2d"), pooling.pool),
    **dict.fromkeys(("adaptive_avg_pool2d", "adaptive_max_pool2d"), pooling.adaptive),
    "pad": resampling.pad,
    **dict.fromkeys(("interpolate", "upsample"), resampling.resample),
    **dict.fromkeys(
        ("pixel_shuffle", "pixel_unshuffle", "unfold", "fold", "grid_sample", "affine_grid"), resampling.no_counterpart
    ),
    "dropout2d": layers.dropout_function,
    "size": shaping.sizes,
    "getattr": shaping.attribute,
    "getitem": shaping.getitem,
    **dict.fromkeys(("flatten", "view", "reshape"), shaping.reshape),
    **dict.fromkeys(("permute", "transpose", "swapaxes", "swapdims"), axes.permute),
    **dict.fromkeys(("squeeze", "unsqueeze"), axes.squeeze),
    **dict.fromkeys(("cat", "concat", "concatenate", "stack"), axes.join),
    **dict.fromkeys(("chunk", "split"), axes.split),
    **dict.fromkeys(("mean", "sum", "amax", "amin", "std", "var", "logsumexp"), axes.reduce),
    **dict.fromkeys(("expand", "expand_as"), elementwise.expand),
    **dict.fromkeys(elementwise.UNARY, elementwise.unary),
    **dict.fromkeys(elementwise.BINARY, elementwise.broadcast),
}


def rule_of(walk: RunningConversion, call: NodeCall) -> Rule:
    """The rule for a node; what is unknown is tried."""
    if call.is_module:
        if call.node is walk.head and isinstance(call.module, nn.Conv2d):
            return layers.head_convolution
        return next((rule for kinds, rule in MODULES if isinstance(call.module, kinds)), layers.tried)
    name = call.name.lstrip("_")
    if not call.tensors() and name not in ("getitem", "getattr"):
        return shaping.numbers
    if _is_users(call):
        return layers.tried
    return NAMES.get(name) or NAMES.get(name.rstrip("_"), layers.tried)


def _is_users(call: NodeCall) -> bool:
    """Whether a function is the user's, and has a name of torch's by chance."""
    module = getattr(call.target, "__module__", None) or "torch"
    known = ("torch", "_operator", "operator", "builtins")
    return not isinstance(call.target, str) and module.partition(".")[0] not in known

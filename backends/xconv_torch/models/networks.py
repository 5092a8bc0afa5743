"""Networks of torch's own layers, and their training.

A module is an ordinary ``nn.Sequential`` in torch's own layout, NCW or NCHW, so that it goes through everything that
takes a torch model. Weights and data come and go channels last: kernels are transposed, and the rows of the dense
layer after a ``Flatten`` are permuted, for torch flattens channels first.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from xconv.models.initial import Weights, check_weights
from xconv.models.spec import (
    AveragePool,
    BatchNorm,
    Conv1D,
    Conv2D,
    Dense,
    Dropout,
    Flatten,
    Fold,
    MaxPool,
    Network,
    Resolved,
    Shape,
)
from xconv.models.training import SGD, SMALLEST_PROBABILITY, Adam, Optimizer, Training

LAYOUTS = {3: "NCW", 4: "NCHW"}
"""What a module takes, by the rank with the batch."""

ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "relu": nn.ReLU,
    "sigmoid": nn.Sigmoid,
    "softmax": lambda: nn.Softmax(dim=1),
    "tanh": nn.Tanh,
}

TORCH_NAMES = {
    "kernel": "weight",
    "bias": "bias",
    "gamma": "weight",
    "beta": "bias",
    "moving_mean": "running_mean",
    "moving_variance": "running_var",
}


class FoldWidth(nn.Module):
    """(N, C, H, W) to (N, W * C, H): as channels last would be flattened."""

    def forward(self, x: Tensor) -> Tensor:
        """The folded array."""
        return x.permute(0, 3, 1, 2).flatten(1, 2)


class BiasedBatchNorm(nn.Module):
    """Batch normalisation whose running variance is of the biased one, as Keras's is."""

    running_mean: Tensor
    running_var: Tensor

    def __init__(self, channels: int, eps: float, momentum: float) -> None:
        super().__init__()
        self.eps, self.momentum = eps, momentum
        self.weight, self.bias = nn.Parameter(torch.ones(channels)), nn.Parameter(torch.zeros(channels))
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels))

    def forward(self, x: Tensor) -> Tensor:
        """The normalised array; in training by the batch's own statistics, which are remembered."""
        if not self.training:
            return F.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, False, 0.0, self.eps)
        axes = [axis for axis in range(x.ndim) if axis != 1]
        with torch.no_grad():
            variance, mean = torch.var_mean(x, axes, correction=0)
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(variance, self.momentum)
        return F.batch_norm(x, None, None, self.weight, self.bias, True, 0.0, self.eps)


def build(network: Network, weights: Mapping[str, Any], dtype: str = "float32") -> nn.Sequential:
    """The network as a module with these weights. Its input is NCW or NCHW."""
    check_weights("build", network, weights)
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    for one in network.resolved:
        if _border(one) is None:
            layers[f"{one.name}_padding"] = _padding(one)
        layers[one.name] = _layer(one)
        activation = getattr(one.layer, "activation", "linear")
        if activation != "linear":
            layers[f"{one.name}_{activation}"] = ACTIVATIONS[activation]()
    module = nn.Sequential(layers).to(getattr(torch, dtype))
    load(network, module, weights)
    return module


def load(network: Network, module: nn.Sequential, weights: Mapping[str, Any]) -> None:
    """Write weights into a module that :func:`build` made."""
    for name, tensor in _tensors(network, module).items():
        tensor.data.copy_(torch.from_numpy(np.array(_to_torch(network, name, weights[name]), order="C")))


def weights_of(network: Network, module: nn.Sequential) -> Weights:
    """The weights of a module that :func:`build` made, channels last."""
    return {name: _from_torch(network, name, tensor) for name, tensor in _tensors(network, module).items()}


def predict(network: Network, module: nn.Sequential, x: Any) -> Any:
    """The result of a module for inputs that are channels last, in inference."""
    del network
    was = module.training
    try:
        module.eval()
        with torch.no_grad():
            return _channels_last(module(_channels_first(x)).numpy())
    finally:
        module.train(was)


class Trainer:
    """A network with a loss and an optimiser, to be trained from given weights, again and again."""

    def __init__(self, network: Network, loss: str, optimizer: Optimizer, dtype: str, form: str = "logits") -> None:
        self.network, self.loss, self.optimizer, self.form = network, loss, optimizer, form
        self.module = build(network, {k: np.zeros(v) for k, v in network.weight_shapes.items()}, dtype)

    def train(self, weights: Mapping[str, Any], x: Any, y: Any, batches: Sequence[Any]) -> Training:
        """One step for each batch of places in x and y."""
        network, module = self.network, self.module
        load(network, module, weights)
        optimizer = made(self.optimizer, module)
        module.train()
        images, targets = _channels_first(x), torch.from_numpy(np.ascontiguousarray(y))
        losses: list[Tensor] = []
        gradients: Weights = {}
        for step, places in enumerate(batches):
            chosen = torch.from_numpy(places)
            optimizer.zero_grad()
            loss = self.loss_of(images[chosen], targets[chosen])
            loss.backward()
            losses.append(loss.detach())
            if step == 0:
                tensors = _tensors(network, module)
                gradients = {
                    name: _from_torch(network, name, _gradient(tensors[name])) for name in network.trained_weights
                }
            optimizer.step()
        values = torch.stack(losses).numpy() if losses else np.zeros(0, x.dtype)
        return Training(values, gradients, weights_of(network, module))

    def loss_of(self, x: Tensor, y: Tensor) -> Tensor:
        """The loss of a batch in torch's layout."""
        if self.loss == "mean_squared_error":
            return F.mse_loss(self.module(x), y)
        binary = self.loss == "binary_crossentropy"
        if self.form == "logits":
            logits = (self.module if self.network.activation == "linear" else self.module[:-1])(x)
            return F.binary_cross_entropy_with_logits(logits, y) if binary else F.cross_entropy(logits, y)
        p = self.module(x).clamp(SMALLEST_PROBABILITY, 1 - SMALLEST_PROBABILITY)
        if binary:
            return -(y * p.log() + (1 - y) * (1 - p).log()).mean()
        return -(y * p.log()).sum(-1).mean()


def made(optimizer: Optimizer, module: nn.Module) -> torch.optim.Optimizer:
    """The optimiser in torch; both formulas are torch's own."""
    if isinstance(optimizer, SGD):
        return torch.optim.SGD(module.parameters(), optimizer.learning_rate, optimizer.momentum)
    assert isinstance(optimizer, Adam)
    betas = optimizer.beta_1, optimizer.beta_2
    return torch.optim.Adam(module.parameters(), optimizer.learning_rate, betas, optimizer.epsilon)


def _layer(one: Resolved) -> nn.Module:  # noqa: PLR0911 - one for a kind
    layer, channels = one.layer, one.input_shape[-1]
    if isinstance(layer, Conv1D):
        sizes = channels, layer.filters, layer.kernel, layer.stride
        return nn.Conv1d(*sizes, _border(one) or 0, layer.dilation, bias=layer.bias)
    if isinstance(layer, Conv2D):
        window = channels, layer.filters, layer.kernel, layer.stride
        return nn.Conv2d(*window, _border(one) or 0, layer.dilation, bias=layer.bias)
    if isinstance(layer, (MaxPool, AveragePool)):
        kinds: Any = (nn.MaxPool1d, nn.MaxPool2d) if isinstance(layer, MaxPool) else (nn.AvgPool1d, nn.AvgPool2d)
        return kinds[len(one.input_shape) - 2](layer.window, layer.stride)
    if isinstance(layer, Dense):
        return nn.Linear(channels, layer.units, bias=layer.bias)
    if isinstance(layer, BatchNorm):
        return BiasedBatchNorm(channels, layer.epsilon, round(1 - layer.momentum, 12))
    if isinstance(layer, Dropout):
        return nn.Dropout(layer.rate)
    return FoldWidth() if isinstance(layer, Fold) else nn.Flatten()


def _border(one: Resolved) -> Any:
    """The padding of a layer as torch takes it, or None where both sides differ: then a layer of its own pads."""
    return tuple(low for low, _ in one.pads) if all(low == high for low, high in one.pads) else None


def _padding(one: Resolved) -> nn.Module:
    if len(one.pads) == 1:
        return nn.ZeroPad1d(one.pads[0])
    (top, bottom), (left, right) = one.pads
    return nn.ZeroPad2d((left, right, top, bottom))


def _tensors(network: Network, module: nn.Sequential) -> dict[str, Tensor]:
    """The module's tensors by the network's names."""
    found = {}
    for name in network.weight_shapes:
        layer, _, what = name.rpartition(".")
        found[name] = getattr(module.get_submodule(layer), TORCH_NAMES[what])
    return found


def _to_torch(network: Network, name: str, array: Any) -> Any:
    """A weight in torch's order of axes."""
    if not name.endswith(".kernel"):
        return array
    order = rows(network, name)
    array = array if order is None else array[order]
    return np.transpose(array, (array.ndim - 1, array.ndim - 2, *range(array.ndim - 2)))


def _from_torch(network: Network, name: str, tensor: Tensor) -> Any:
    """A weight, or its gradient, channels last; always a copy."""
    array = tensor.detach().numpy()
    if not name.endswith(".kernel"):
        return array.copy()
    array = np.transpose(array, (*range(2, array.ndim), 1, 0))
    order = rows(network, name)
    return np.array(array if order is None else array[np.argsort(order)], order="C")


def rows(network: Network, name: str) -> Any:
    """For each row of a dense kernel in torch, the one channels last; None where both flatten alike."""
    shape: Shape | None = None
    for one in network.resolved:
        if isinstance(one.layer, Flatten) and len(one.input_shape) > 1:
            shape = one.input_shape
        elif isinstance(one.layer, Dense):
            if f"{one.name}.kernel" == name and shape is not None:
                return np.moveaxis(np.arange(np.prod(shape)).reshape(shape), -1, 0).ravel()
            shape = None
    return None


def _gradient(tensor: Tensor) -> Tensor:
    return torch.zeros_like(tensor) if tensor.grad is None else tensor.grad


def _channels_first(x: Any) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(np.moveaxis(x, -1, 1)))


def _channels_last(y: Any) -> Any:
    return np.ascontiguousarray(np.moveaxis(y, 1, -1))

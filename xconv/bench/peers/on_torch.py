"""What a torch user writes by hand, channels last in and out.

Frozen weights are (out, in/groups, k), as an ``nn.Conv1d`` has them. Forward, no array needs gradients, so that nothing
is recorded, as under ``torch.no_grad``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from xconv.bench.peers.task import Built, PeerConvolution, PeerTask, UnsupportedByPeerError


def set_threads(count: int) -> None:
    """Compute with that many threads."""
    torch.set_num_threads(count)


def version() -> str:
    """torch's version."""
    return str(torch.__version__)


def _own(task: PeerTask) -> Built:
    """The op on a channels-first view of x, its result seen channels last."""
    first, last = _views(task.rank)
    return _built(task, lambda x, weights: _steps(task, x.permute(first), weights).permute(last))


def _recipe(task: PeerTask) -> Built:
    """Transpose to channels first, the op, transpose back: copies on both sides, as most code does."""
    first, last = _views(task.rank)
    return _built(
        task,
        lambda x, weights: _steps(task, x.permute(first).contiguous(), weights).permute(last).contiguous(),
    )


WAYS: dict[str, Callable[[PeerTask], Built]] = {"own": _own, "recipe": _recipe}


def _views(rank: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    return (0, rank + 1, *range(1, rank + 1)), (0, *range(2, rank + 2), 1)


def _steps(task: PeerTask, x: Tensor, weights: list[Tensor]) -> Tensor:
    for step, weight in zip(task.steps, weights, strict=True):
        x = _transposed(step, x, weight) if step.transposed else _forward(step, x, weight)
    return x


def _forward(step: PeerConvolution, x: Tensor, weight: Tensor) -> Tensor:
    pads = [low for low, _ in step.pads]
    if not step.is_even:
        x = F.pad(x, [amount for pair in reversed(step.pads) for amount in pair])
        pads = [0] * step.rank
    op: Callable[..., Tensor] = F.conv1d if step.rank == 1 else F.conv2d
    return op(x, weight, None, step.strides, pads, step.dilations, step.groups)


def _transposed(step: PeerConvolution, x: Tensor, weight: Tensor) -> Tensor:
    [(low, high)], extra = step.pads, step.output_padding(x.shape[-1])
    if low == high and 0 <= extra < max(step.strides[0], step.dilations[0]):
        return F.conv_transpose1d(x, weight, None, step.strides, low, extra, step.groups, step.dilations)
    if extra > 0:
        raise UnsupportedByPeerError("an uneven crop with output padding")
    whole = F.conv_transpose1d(x, weight, None, step.strides, 0, 0, step.groups, step.dilations)
    return whole.narrow(-1, low, step.lengths[0])


def _built(task: PeerTask, function: Callable[[Tensor, list[Tensor]], Tensor]) -> Built:
    x = torch.from_numpy(task.x).to(task.device)
    kernels = [np.ascontiguousarray(np.moveaxis(k, (-1, -2), (0, 1))) for k in task.kernels()]
    weights = [torch.from_numpy(k).to(task.device) for k in kernels]
    if task.above is None:
        return Built(lambda: function(x, weights), lambda y: [_numpy(y)])
    above = torch.from_numpy(np.ascontiguousarray(task.above, "float32")).to(task.device)
    leaves = [array.requires_grad_() for array in (x, *weights)]

    def gradients() -> tuple[Tensor, ...]:
        y = function(x, weights)
        return y, *torch.autograd.grad(y, leaves, above)

    def read(found: Any) -> list[np.ndarray]:
        y, dx, *dweights = map(_numpy, found)
        shapes = [w.shape for w in task.weights]
        return [y, dx, *(np.moveaxis(d, (0, 1), (-1, -2)).reshape(s) for d, s in zip(dweights, shapes, strict=True))]

    return Built(gradients, read)


def _numpy(array: Tensor) -> np.ndarray:
    result: np.ndarray = array.detach().cpu().numpy()
    return result

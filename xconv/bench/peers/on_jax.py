"""What a JAX user writes by hand: ``lax.conv_general_dilated`` under ``jit``, channels last."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from xconv.bench.peers.task import Built, PeerConvolution, PeerTask, UnsupportedByPeerError

_NAMES = {1: ("NWC", "WIO", "NWC"), 2: ("NHWC", "HWIO", "NHWC")}


def set_threads(count: int) -> None:
    """Nothing: XLA's threads are set by the environment, before JAX is imported."""
    del count


def version() -> str:
    """JAX' version."""
    return str(jax.__version__)


def _jit(task: PeerTask) -> Built:
    task.on_cpu()
    x, *weights = (jnp.asarray(array) for array in (task.x, *task.kernels()))

    def forward(x: Any, *weights: Any) -> Any:
        for step, weight in zip(task.steps, weights, strict=True):
            x = _convolution(step, x, weight)
        return x

    def backward(above: Any, *leaves: Any) -> Any:
        y, pull_back = jax.vjp(forward, *leaves)
        return y, pull_back(above)

    shapes = [task.x.shape, *(w.shape for w in task.weights)]
    if task.above is None:
        compiled = jax.jit(forward)
        return Built(lambda: compiled(x, *weights).block_until_ready(), lambda y: [np.asarray(y)])
    above, compiled = jnp.asarray(task.above, "float32"), jax.jit(backward)
    return Built(
        lambda: jax.block_until_ready(compiled(above, x, *weights)),
        lambda found: [
            np.asarray(found[0]),
            *(np.asarray(g).reshape(s) for g, s in zip(found[1], shapes, strict=True)),
        ],
    )


WAYS: dict[str, Callable[[PeerTask], Built]] = {"jit": _jit}


def _convolution(step: PeerConvolution, x: Any, kernel: Any) -> Any:
    names = _NAMES[step.rank]
    if not step.transposed:
        return lax.conv_general_dilated(
            x,
            kernel,
            step.strides,
            step.pads,
            rhs_dilation=step.dilations,
            dimension_numbers=names,
            feature_group_count=step.groups,
        )
    if step.groups > 1:
        raise UnsupportedByPeerError("lax.conv_transpose has no groups")
    reach = (step.kernel[0] - 1) * step.dilations[0]
    low, high = step.pads[0]
    pads = (reach - low, reach - high + step.output_padding(x.shape[1]))
    return lax.conv_transpose(
        x,
        kernel,
        step.strides,
        [pads],
        rhs_dilation=step.dilations,
        dimension_numbers=names,
        transpose_kernel=True,
    )

"""What a peer is asked for: a layer as the window operations of any framework, and its arrays."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from xconv.bench.catalogue import Layer
from xconv.core.call import Call


class UnsupportedByPeerError(Exception):
    """A peer cannot compute this layer; the message says why."""


@dataclass(frozen=True)
class PeerConvolution:
    """One convolution over all the spatial axes that the array has, in frameworks' words; padding is resolved.

    A kernel along rows is (1, k), one along columns (k, 1). ``lengths`` are the spatial sizes of the result, 0 along an
    axis that the kernel does not slide along. With ``transposed``, ``pads`` crop the result.
    """

    kernel: tuple[int, ...]
    strides: tuple[int, ...]
    dilations: tuple[int, ...]
    pads: tuple[tuple[int, int], ...]
    groups: int
    lengths: tuple[int, ...]
    transposed: bool = False

    @property
    def rank(self) -> int:
        """Spatial axes."""
        return len(self.kernel)

    @property
    def is_even(self) -> bool:
        """Whether both ends of each axis are padded alike: the only padding that many an op knows."""
        return all(low == high for low, high in self.pads)

    def is_same(self, inputs: Sequence[int]) -> bool:
        """Whether the pads are what the name "same" would give for an input of these sizes."""
        for size, k, s, d, pad in zip(inputs, self.kernel, self.strides, self.dilations, self.pads, strict=True):
            if self.transposed:
                total = max((k - 1) * d + 1 - s, 0)
            else:
                total = max((-(-size // s) - 1) * s + (k - 1) * d + 1 - size, 0)
            if pad != (total // 2, total - total // 2):
                return False
        return not self.transposed or list(self.lengths) == [n * s for n, s in zip(inputs, self.strides, strict=True)]

    def full_length(self, inputs: int) -> int:
        """The length of a transposed 1-D result before the crop."""
        return (inputs - 1) * self.strides[0] + (self.kernel[0] - 1) * self.dilations[0] + 1

    def output_padding(self, inputs: int) -> int:
        """What a transposed 1-D result is longer than the cropped one."""
        return self.lengths[0] + sum(self.pads[0]) - self.full_length(inputs)


@dataclass(frozen=True)
class PeerTask:
    """A layer to compute: forward if ``above`` is None, else also the gradients of the result times ``above``.

    Arrays are NumPy float32, channels last, kernels (k, in/groups, out), or (kh, kw, in/groups, out) for conv2d.
    """

    layer: Layer
    steps: tuple[PeerConvolution, ...]
    x: np.ndarray
    weights: tuple[np.ndarray, ...]
    above: np.ndarray | None
    device: str
    threads: int

    @property
    def rank(self) -> int:
        """Spatial axes of x."""
        return self.x.ndim - 2

    def kernels(self) -> list[np.ndarray]:
        """The weights with a kernel axis for each spatial axis: (k, in/groups, out) or (kh, kw, in/groups, out)."""
        return [w.reshape(*step.kernel, *w.shape[-2:]) for step, w in zip(self.steps, self.weights, strict=True)]

    def on_cpu(self) -> None:
        """Refuse any other device, for a peer that has been given only this one."""
        if self.device != "cpu":
            raise UnsupportedByPeerError("it computes on the CPU only")


@dataclass(frozen=True)
class Built:
    """A task made ready: ``run`` is what is timed, and done when it returns; ``read`` turns its result into NumPy.

    The arrays are y and, if asked for, the gradients for x and each weight in the shapes of the task's own arrays. The
    result always holds y: a compiler leaves out the forward pass of a program that returns gradients alone, which is no
    training step.
    """

    run: Callable[[], Any]
    read: Callable[[Any], list[np.ndarray]]


def task(
    layer: Layer, arrays: Sequence[np.ndarray], above: np.ndarray | None, *, device: str = "cpu", threads: int = 1
) -> PeerTask:
    """The task of a layer on x and its weights.

    >>> layer = Layer("", "", "", "conv1d_columns", (1, 9, 8, 2), ((3, 2, 4),), {"padding": "causal"}, "smoke")
    >>> arrays = [np.zeros(shape, "float32") for shape in (layer.x_shape, *layer.weight_shapes)]
    >>> task(layer, arrays, None).steps[0].pads
    ((2, 0), (0, 0))
    """
    if layer.options.get("padding_mode", "zeros") != "zeros":
        raise UnsupportedByPeerError("peers pad with zeros only")
    x, *weights = (np.ascontiguousarray(array, "float32") for array in arrays)
    return PeerTask(layer, tuple(map(_step, layer.calls)), x, tuple(weights), above, device, threads)


def _step(call: Call) -> PeerConvolution:
    problem, other = call.problem, call.vertical
    along: tuple[Any, ...] = (
        problem.kernel,
        problem.stride,
        problem.dilation,
        problem.padding,
        problem.output_length if call.direction == "forward" else problem.length,
    )
    still = (1, 1, 1, (0, 0), 0)
    if other is not None:
        vertical = (other.kernel, other.stride, other.dilation, other.padding, other.output_length)
        axes: tuple[tuple[Any, ...], ...] = (vertical, along)
    elif len(call.layout.name) == 3:
        axes = (along,)
    else:
        axes = (along, still) if call.axis == 1 else (still, along)
    kernel, strides, dilations, pads, lengths = (tuple(values) for values in zip(*axes, strict=True))
    return PeerConvolution(kernel, strides, dilations, pads, problem.groups, lengths, call.direction != "forward")

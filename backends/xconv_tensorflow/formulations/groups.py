"""Groups of channels, each as a convolution of its own: TensorFlow has gradients of those."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import tensorflow as tf

from xconv.core.formulation import Formulation
from xconv.core.problem import ConvProblem
from xconv.planning.estimate import native_work
from xconv_tensorflow.formulations.native import Conv2d
from xconv_tensorflow.formulations.shapes import Tensor

MOST_GROUPS = 64
"""More would be more ops than are worth their dispatch."""

_CONV2D = Conv2d()


class Split(Formulation):
    """One native convolution for each group."""

    name = "split"

    def unsupported(self, direction: str, problem: ConvProblem) -> str | None:
        if not 1 < problem.groups <= MOST_GROUPS:
            return f"{problem.groups} groups; it is for 2 to {MOST_GROUPS}"
        return _CONV2D.unsupported(direction, _one_group(problem))

    def work(self, direction: str, problem: ConvProblem) -> list[float]:
        return native_work(problem)

    def forward(self, problem: ConvProblem, axis: int, x: Tensor, weight: Tensor) -> Tensor:
        def one(problem: ConvProblem, axis: int, x: Tensor, weight: Tensor) -> Tensor:
            return _CONV2D.forward(problem, axis, x, weight)

        return _each(one, problem, axis, x, weight)

    def input_gradient(self, problem: ConvProblem, axis: int, dy: Tensor, weight: Tensor) -> Tensor:
        return _each(_CONV2D.input_gradient, problem, axis, dy, weight)

    def weight_gradient(self, problem: ConvProblem, axis: int, x: Tensor, dy: Tensor) -> Tensor:
        return _each(_CONV2D.weight_gradient, problem, axis, x, dy)


def _each(compute: Callable[..., Tensor], problem: ConvProblem, axis: int, a: Tensor, b: Tensor) -> Tensor:
    one, groups = _one_group(problem), problem.groups
    pairs = zip(tf.split(a, groups, -1), tf.split(b, groups, -1), strict=True)
    return tf.concat([compute(one, axis, *pair) for pair in pairs], -1)


def _one_group(problem: ConvProblem) -> ConvProblem:
    return replace(problem, groups=1, in_channels=problem.group_in, out_channels=problem.group_out)

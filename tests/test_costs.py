"""Shapes and counts of explanations against what the frameworks themselves count."""

from __future__ import annotations

from typing import Any

import pytest

import xconv
from xconv.bench import catalogue
from xconv.explanation.explained import Explanation
from xconv.parity.cases import Case, cases

CASES = [case for case in cases() if case.layout[-1] == "W" and case.options.get("padding_mode", "zeros") == "zeros"]


def explained(case: Case) -> Explanation:
    x_shape, *weights = case.passed_shapes()
    return xconv.explain(case.operation, x_shape, *weights, bias=case.bias, **case.options, layout=case.layout)


def torch_flops(found: Explanation) -> tuple[int, tuple[int, ...]]:
    """What torch's own counter counts for torch's own layers, and the shape of their result; nothing is computed."""
    import torch
    import torch.nn.functional as F
    from torch.utils.flop_counter import FlopCounterMode

    x = torch.empty(found.input_shape, device="meta")
    with FlopCounterMode(display=False) as counter:
        for call, shape in zip(found.calls, found.weight_shapes, strict=True):
            problem, weight = call.problem, torch.empty(shape, device="meta")
            steps: dict[str, Any] = {"groups": problem.groups}
            if call.direction == "input_gradient":
                x = F.conv_transpose1d(x, weight, stride=problem.stride, dilation=problem.dilation, **steps)
                # a pad below 0 crops; what output_padding adds is padded
                low = problem.padding[0]
                x = F.pad(x, (-low, problem.length + low - x.shape[-1]))
            elif x.ndim == 3:
                x = F.conv1d(
                    F.pad(x, problem.padding), weight, stride=problem.stride, dilation=problem.dilation, **steps
                )
            else:
                one = call.vertical or xconv.ConvProblem(1, 1, 1, 1, 1, 1)
                axes = (problem, one) if call.operation == "conv1d_columns" else (one, problem)
                weight = weight if weight.ndim == 4 else weight.unsqueeze(3 if axes[0] is problem else 2)
                x = F.conv2d(
                    F.pad(x, (*axes[1].padding, *axes[0].padding)),
                    weight,
                    stride=(axes[0].stride, axes[1].stride),
                    dilation=(axes[0].dilation, axes[1].dilation),
                    **steps,
                )
    return counter.get_total_flops(), tuple(x.shape)


@pytest.mark.parametrize("operation", sorted({case.operation for case in CASES}))
def test_torchs_counter_agrees(operation: str) -> None:
    counted = 0
    for case in (case for case in CASES if case.operation == operation):
        found = explained(case)
        if 0 in found.output_shape or 0 in found.input_shape:
            continue
        assert torch_flops(found) == (found.flops, found.output_shape), case.name
        counted += 1
    assert counted >= 4


def test_torchs_counter_agrees_on_real_layers() -> None:
    for layer in catalogue("full"):
        layout = "NCW" if len(layer.x_shape) == 3 else "NCHW"
        found = explained(
            Case(layer.name, layer.operation, layer.x_shape, layer.weight_shapes, layer.options, True, layout)
        )
        assert torch_flops(found) == (found.flops, found.output_shape), layer.name


def keras_layer(found: Explanation) -> Any:
    from keras import layers

    problem = found.calls[0].problem
    options: dict[str, Any] = {"padding": "valid", "use_bias": found.bias}
    if found.operation == "conv1d_transpose":
        return layers.Conv1DTranspose(problem.in_channels, problem.kernel, strides=problem.stride, **options)
    size: Any = found.weight_shapes[0][:2]
    if problem.depthwise and problem.group_out > 1:
        if found.operation == "conv2d":
            return layers.DepthwiseConv2D(size, depth_multiplier=problem.group_out, **options)
        return layers.DepthwiseConv1D(problem.kernel, depth_multiplier=problem.group_out, **options)
    if found.operation == "conv2d":
        return layers.Conv2D(problem.out_channels, size, groups=problem.groups, **options)
    return layers.Conv1D(problem.out_channels, problem.kernel, groups=problem.groups, **options)


def test_keras_counts_the_same_parameters() -> None:
    counted = 0
    for case in cases("smoke"):
        if case.layout[-1] != "C" or case.operation in ("spatially_separable_conv2d", "conv1d_rows", "conv1d_columns"):
            continue
        found = explained(case)
        if found.operation == "conv1d_transpose" and found.calls[0].problem.groups > 1:
            continue  # Keras has no such layer
        layer = keras_layer(found)
        layer.build((None, *found.input_shape[1:]))
        assert layer.count_params() == found.parameters, case.name
        counted += 1
    assert counted > 15

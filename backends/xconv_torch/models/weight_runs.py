"""A torch model that is run on zeros while its layers are watched."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from xconv.models.flattening import LayerShapes
from xconv.models.neutral import Numbers
from xconv.models.reading import channels_last, sent
from xconv_torch.models.running import inference
from xconv_torch.models.weight_layers import is_channels_first, kind_of, part_of_torch


class RunOnZeros:
    """A model and the zeros that it is run on, for inference; it is left as it was."""

    def __init__(self, model: nn.Module, shapes: Sequence[tuple[int, ...]], integers: bool) -> None:
        self._model = model
        like = next((value for value in model.parameters() if value.is_floating_point()), torch.zeros(()))
        dtype = torch.int64 if integers else like.dtype
        self._inputs = [torch.zeros((1, *shape), device=like.device, dtype=dtype) for shape in shapes]

    def watched(self) -> list[tuple[nn.Module, LayerShapes]]:
        """The leaf modules in the order in which they run."""
        events: list[tuple[nn.Module, LayerShapes]] = []
        last: tuple[int, ...] = ()

        def watch(module: nn.Module, given: Tensor, gave: Tensor) -> None:
            nonlocal last
            first = is_channels_first(module) or (kind_of(module) == "layer_norm" and tuple(given.shape) == last)
            knows = is_channels_first(module) and part_of_torch(module) not in ("batchnorm", "instancenorm")
            shapes = [channels_last(tuple(one.shape[1:]), first) for one in (given, gave)]
            dtype = str(gave.dtype).removeprefix("torch.")
            events.append((module, LayerShapes(_passing(module), shapes[0], shapes[1], dtype, knows, first)))
            last = tuple(gave.shape) if first else last

        self._run(watch)
        return events

    def sent(self, sender: int, values: Numbers) -> dict[int, Numbers]:
        """What each later layer gets in place of its features if the result of the sender is this."""
        own = torch.from_numpy(np.ascontiguousarray(np.moveaxis(values, -1, 0)))

        def features(given: Tensor) -> Numbers:
            first: Numbers = given[0].detach().cpu().double().numpy()
            return first

        return sent(self._run, sender, lambda gave: own.to(gave)[None], features, _passing)

    def _run(self, watch: Callable[[nn.Module, Tensor, Tensor], Tensor | None]) -> None:
        def hook(module: nn.Module, inputs: tuple[Any, ...], output: Any) -> Tensor | None:
            if inputs and isinstance(inputs[0], Tensor) and isinstance(output, Tensor):
                return watch(module, inputs[0], output)
            return None

        leaves = [module for module in self._model.modules() if not any(True for _ in module.children())]
        hooks = [module.register_forward_hook(hook) for module in leaves]
        try:
            with inference(self._model):
                self._model(*self._inputs)
        finally:
            for one in hooks:
                one.remove()


def _passing(module: nn.Module) -> str:
    """The kind of a module; what it does to each number alone is "elementwise"."""
    return kind_of(module) or ("elementwise" if part_of_torch(module) in ("activation", "dropout") else "")

"""What a torch model sees of its input, followed through the operations that it runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from xconv.models.field_report import LayerField, ReceptiveField
from xconv.models.follower import Follower
from xconv.models.tensor_field import TensorField
from xconv_torch.models.field_rules import after, padded
from xconv_torch.models.running import inference, zeros


def receptive_field(model: nn.Module, input_shape: tuple[int, ...]) -> ReceptiveField:
    """The fields of a model's layers and of its output. It is run once on zeros, for inference, and left as it was."""
    x = zeros(model, input_shape)
    follower = _DispatchFollower(x, TensorField.of_input(input_shape, range(2, len(input_shape))))
    with inference(model), _named(model, follower), follower, _Circular(follower):
        result = model(x)
    return follower.report(tree_leaves(result), input_shape[2:])


class _DispatchFollower(Follower, TorchDispatchMode):
    """Follows a model through the operations that it runs; what is written into part of a tensor is mixed."""

    def __init__(self, x: torch.Tensor, seen: TensorField) -> None:
        TorchDispatchMode.__init__(self)
        self.mixed: dict[int, TensorField] = {}
        self.path: list[tuple[str, str]] = []
        Follower.__init__(self, x, seen)

    def find(self, value: object) -> TensorField | None:
        """What a tensor sees."""
        if not isinstance(value, torch.Tensor):
            return None
        mixed = self.mixed.get(value.untyped_storage()._cdata)
        if mixed is not None:
            return TensorField(tuple(((None, size),) for size in value.shape), mixed.fields)
        return super().find(value)

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        del types
        given = {id(each): seen for each in tree_leaves([args, kwargs]) if (seen := self.find(each)) is not None}
        result = func(*args, **(kwargs or {}))
        name = func.overloadpacket.__name__
        if not given or name.startswith("new_") or name.endswith("_like"):
            return result
        outputs = [each for each in tree_leaves(result) if isinstance(each, torch.Tensor)]
        found, looked_into = after(func, args, kwargs or {}, lambda each: given.get(id(each)), outputs)
        if not looked_into:
            self.note_unknown(str(func))
        for output, seen in zip(outputs, found, strict=True):
            self.put(output, seen)
        if (
            func._schema.is_mutable
            and outputs
            and outputs[0].numel() < outputs[0].untyped_storage().nbytes() // max(outputs[0].element_size(), 1)
        ):
            self.mixed[outputs[0].untyped_storage()._cdata] = found[0].joined()
        if found:
            self.note_layer(name, outputs[0], found[0], list(given.values()))
        return result

    def note_layer(self, name: str, output: torch.Tensor, seen: TensorField, before: list[TensorField]) -> None:
        if all(seen.fields == each.fields for each in before):
            return
        path, kind = self.path[-1] if self.path else ("", name)
        if self.layers and path and self.layers[-1].path == path:
            self.layers.pop()  # of several operations of a layer the last one tells
        self.layers.append(LayerField(path, kind, tuple(output.shape), seen.fields))

    def leave(self, output: object) -> None:
        """A module is done: its row has the shape that it returns."""
        path, _ = self.path.pop()
        if self.layers and self.layers[-1].path == path and isinstance(output, torch.Tensor):
            self.layers[-1] = replace(self.layers[-1], output_shape=tuple(output.shape))


class _Circular(TorchFunctionMode):
    """Circular padding, which torch writes as copies into an empty tensor."""

    def __init__(self, follower: _DispatchFollower) -> None:
        super().__init__()
        self.follower = follower

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Sequence[Any] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        del types
        result = func(*args, **(kwargs or {}))
        if getattr(func, "__name__", "") == "pad" and "circular" in (*args, *(kwargs or {}).values()):
            seen = self.follower.find(args[0])
            if seen is not None:
                widths = args[1] if len(args) > 1 else (kwargs or {})["pad"]
                self.follower.mixed.pop(result.untyped_storage()._cdata, None)
                self.follower.put(result, padded(seen, widths, result.shape))
        return result


@contextmanager
def _named(model: nn.Module, follower: _DispatchFollower) -> Iterator[None]:
    """While it runs, the follower knows the path and the kind of the module that runs."""
    hooks = []
    for path, module in model.named_modules():
        if any(True for _ in module.children()):
            continue
        named = path or type(module).__name__, type(module).__name__

        def enter(module: nn.Module, inputs: Any, named: tuple[str, str] = named) -> None:
            del module, inputs
            follower.path.append(named)

        def leave(module: nn.Module, inputs: Any, output: Any) -> None:
            del module, inputs
            follower.leave(output)

        hooks += [module.register_forward_pre_hook(enter), module.register_forward_hook(leave)]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()

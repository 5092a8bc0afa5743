"""The numeric proof: the original on embedded signals against the new model, in float64."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy.typing as npt
import torch
from torch import fx, nn

from xconv.models.conversion import Report
from xconv.models.proof import Proof
from xconv.testing.frameworks import leaves
from xconv_torch.models.convert.program import NodeValue, Value, expanded
from xconv_torch.models.convert.walk import RunningConversion


@dataclass
class Proving:
    """What a proof needs of a conversion that was made."""

    model: nn.Module
    made: fx.GraphModule
    walk: RunningConversion
    output: Any
    report: Report
    convert: Callable[[nn.Module], nn.Module]

    def run(self) -> Proof:
        """Compare the two as they are now; neither is changed."""
        details = []
        if self.walk.cuts:
            details.append("the original was run with the windows cut that it refuses")
        if self.walk.head is not None:
            details.append("up to the new head")
        if self.walk.fresh:
            details.append("from behind the new first layer")
        original = self._original()
        new = self._unrounded()
        both = (lambda x: original(x, new), lambda x: self._new(x, new))
        return self.report.compared(*both, self.report.heuristics, "; ".join(details))

    def _unrounded(self) -> nn.Module:
        """The new model in float64, with what a conversion in float64 gives for weights that are that, rounded once."""
        new = _double(copy.deepcopy(self.made)).eval()
        exact = self.convert(_in_float64(self.model)).state_dict()
        dtypes = {name: tensor.dtype for name, tensor in self.made.state_dict().items()}
        for name, tensor in new.state_dict().items():
            wanted = exact.get(name)
            if wanted is None or wanted.shape != tensor.shape or not tensor.is_floating_point():
                continue
            # eps is twice the unit roundoff: a number is within half of it
            kind = torch.finfo(dtypes[name])
            once = kind.eps / 2 * wanted.abs() + kind.tiny
            if bool(((tensor - wanted).abs() <= once).all()):
                tensor.copy_(wanted)
        return new

    def _original(self) -> Callable[[npt.NDArray[Any], nn.Module], list[npt.NDArray[Any]]]:
        walk = self.walk
        whole = not walk.cuts and walk.head is None and not walk.fresh
        module = _in_float64(self.model)

        def direct(signals: npt.NDArray[Any], new: nn.Module) -> list[npt.NDArray[Any]]:
            del new
            with torch.no_grad():
                return _arrays(module(self._image(signals, module)))

        def by_node(signals: npt.NDArray[Any], new: nn.Module) -> list[npt.NDArray[Any]]:
            seen = _NodeResults(new, self.made)
            runner = _Cut(module, walk)
            if walk.fresh:
                seen.run(self._signal(signals, new))
                for node in walk.fresh:
                    value = walk.values[node]
                    runner.given[node] = expanded(seen.at(value.cell), value.form)
            try:
                with torch.no_grad():
                    return _arrays(runner.run(self._image(signals, module)))
            except _AtHead as reached:
                return _arrays(reached.features)

        return direct if whole else by_node

    def _new(self, signals: npt.NDArray[Any], new: nn.Module) -> list[npt.NDArray[Any]]:
        walk = self.walk
        seen = _NodeResults(new, self.made)
        with torch.no_grad():
            result = seen.run(self._signal(signals, new))
        if walk.head is not None:
            value = walk.values[walk.head.args[0]]  # type: ignore[index]
            head = walk.values[walk.head].cell.node
            return _arrays(expanded(seen.results[head.args[0].name], value.form))
        forms = [value.form for _, value in leaves(self.output) if isinstance(value, Value)]
        tensors = [tensor for _, tensor in leaves(result)]
        return _arrays([expanded(tensor, form) for tensor, form in zip(tensors, forms, strict=True)])

    def _signal(self, signals: npt.NDArray[Any], module: nn.Module) -> torch.Tensor:
        tensor = next((p for p in (*module.parameters(), *module.buffers())), torch.zeros(()))
        return torch.from_numpy(signals).to(tensor.device)

    def _image(self, signals: npt.NDArray[Any], module: nn.Module) -> torch.Tensor:
        return self._signal(self.walk.images(signals), module)


def _in_float64(model: nn.Module) -> nn.Module:
    """A copy for inference. Weights that are computed from others (parametrizations) are those of the model's dtype."""
    module = copy.deepcopy(model).eval()
    for layer in list(module.modules()):
        if nn.utils.parametrize.is_parametrized(layer):
            names = dict(layer.parametrizations.named_children())  # type: ignore[union-attr]
            computed = {name: nn.Parameter(getattr(layer, name).detach()) for name in names}
            # remove_parametrizations would take the attribute from the class, which the model itself shares
            layer.__class__ = type(layer).__bases__[0]
            del layer.parametrizations
            for name, weight in computed.items():
                layer.register_parameter(name, weight)
    return _double(module)


def _double(module: nn.Module) -> nn.Module:
    # the one kind of device that has no float64
    mps = any(tensor.device.type == "mps" for tensor in (*module.parameters(), *module.buffers()))
    return (module.cpu() if mps else module).double()


def _arrays(result: Any) -> list[npt.NDArray[Any]]:
    return [leaf.detach().cpu().numpy() for _, leaf in leaves(result) if isinstance(leaf, torch.Tensor)]


class _NodeResults(fx.Interpreter):
    """A run of the new model that remembers its values."""

    def __init__(self, module: nn.Module, made: fx.GraphModule) -> None:
        super().__init__(module, garbage_collect_values=False, graph=made.graph)
        self.results: dict[str, Any] = {}

    def run_node(self, n: fx.Node) -> Any:
        """Remember it."""
        result = super().run_node(n)
        self.results[n.name] = result
        return result

    def at(self, cell: NodeValue) -> Any:
        """The value of a cell."""
        return self.results[cell.node.name]


class _AtHead(Exception):  # noqa: N818 - no error
    """The original has come to what is new in the other."""

    def __init__(self, features: torch.Tensor) -> None:
        super().__init__()
        self.features = features


class _Cut(fx.Interpreter):
    """A run of the original with cut windows, given layers, and an end before the head."""

    def __init__(self, module: nn.Module, walk: RunningConversion) -> None:
        super().__init__(module, graph=walk.traced.graph)
        self.walk = walk
        self.given: dict[fx.Node, Any] = {}

    def run_node(self, n: fx.Node) -> Any:
        """What stands in for a node, or the node."""
        if n in self.given:
            return self.given[n]
        if n in self.walk.cuts:
            args, _ = self.fetch_args_kwargs_from_env(n)
            return self.walk.cuts[n](args[0])
        if n is self.walk.head:
            args, _ = self.fetch_args_kwargs_from_env(n)
            raise _AtHead(args[0])
        return super().run_node(n)

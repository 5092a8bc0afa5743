"""A model as a graph, and what of it depends on whether it trains."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from typing import Any

from torch import fx, nn

from xconv.errors import ArgumentError

EXPECTED = "a model that torch.fx can trace: what it computes may depend on shapes and settings, not on values"


@dataclass
class Traced:
    """The graph of a model in inference, on a copy of the model.

    ``by_mode`` holds for nodes that are told whether the model trains the place of that argument. Of ``forks`` (paths
    of modules) only what they do in inference is in the graph.
    """

    module: nn.Module
    graph: fx.Graph
    by_mode: dict[fx.Node, int | str] = field(default_factory=dict)
    forks: list[str] = field(default_factory=list)
    leaves: set[str] = field(default_factory=set)


class _Tracer(fx.Tracer):
    """torch.fx's own, with more leaves, that knows where it is."""

    def __init__(self, leaves: set[str]) -> None:
        super().__init__()
        self.leaves = leaves
        self.at: list[str] = []

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        """Whether a module is kept whole."""
        return module_qualified_name in self.leaves or super().is_leaf_module(m, module_qualified_name)

    def call_module(self, m: nn.Module, forward: Any, args: Any, kwargs: Any) -> Any:
        """Called for each module; what remains on the stack says where tracing failed."""
        self.at.append(self.path_of_module(m))
        result = super().call_module(m, forward, args, kwargs)
        self.at.pop()
        return result


def traced(model: nn.Module) -> Traced:
    """Trace a copy of a model, which is left as it was.

    A module that cannot be traced, or does something else in training, is kept whole if it has no weights.

    Raises:
        ArgumentError: the model cannot be copied or traced.
    """
    try:
        module = copy.deepcopy(model)
    except Exception as error:
        raise ArgumentError("to_1d", "model", f"one that cannot be copied: {error}", "a model") from error
    leaves: set[str] = set()
    while True:
        serving, training = (_graph(module, leaves, mode) for mode in (False, True))
        grown = len(leaves)
        for graph in (serving, training):
            if isinstance(graph, str):
                leaves.add(graph)
        if isinstance(serving, str) or isinstance(training, str):
            continue
        found = Traced(module.eval(), serving, leaves=leaves)
        for one, other in zip(serving.nodes, training.nodes, strict=False):
            place = _mode_argument(one, other)
            if place is not None:
                found.by_mode[one] = place
            elif _text(one) != _text(other):
                path = _owner(one, other)
                if _is_bare(module, path):
                    leaves.add(path)
                else:
                    found.forks.append(path)
                break
        if len(leaves) == grown:
            return found


def _graph(module: nn.Module, leaves: set[str], training: bool) -> fx.Graph | str:
    """The graph, or the path of a module without weights that should be a leaf."""
    tracer = _Tracer(leaves)
    module.train(training)
    try:
        return tracer.trace(module)
    except Exception as error:
        path = tracer.at[-1] if tracer.at else ""
        if _is_bare(module, path) and path not in leaves:
            return path
        said = str(error).splitlines()[0] if str(error) else type(error).__name__
        where = f"{type(module.get_submodule(path)).__name__} at {path!r}" if path else type(module).__name__
        raise ArgumentError(
            "to_1d",
            "model",
            f"{where}, which torch.fx cannot trace: {said}",
            EXPECTED,
            "move what depends on values into a module of its own without weights: it is then kept whole",
        ) from error


def _is_bare(module: nn.Module, path: str) -> bool:
    if not path:
        return False
    inner = module.get_submodule(path)
    return not any(inner.children()) and not any(inner.parameters()) and not any(inner.buffers())


def _text(node: fx.Node) -> str:
    return f"{node.op} {node.target} {node.args} {node.kwargs}"


def _owner(*nodes: fx.Node) -> str:
    """The innermost module in which one of the nodes arose."""
    stacks = [list(node.meta.get("nn_module_stack", {}).values()) for node in nodes]
    paths = [stack[-1][0] for stack in stacks if stack]
    return max(paths, key=len, default="")


def _mode_argument(one: fx.Node, other: fx.Node) -> int | str | None:
    """The one argument that is False in inference and True in training."""
    if (
        one.op != "call_function"
        or (one.op, one.target) != (other.op, other.target)
        or len(one.args) != len(other.args)
    ):
        return None
    given: dict[int | str, Any] = dict(enumerate(one.args))
    wanted: dict[int | str, Any] = dict(enumerate(other.args))
    given.update(one.kwargs)
    wanted.update(other.kwargs)
    differ = [key for key in given if str(given[key]) != str(wanted.get(key))]
    if len(differ) == 1 and given[differ[0]] is False and wanted[differ[0]] is True:
        return differ[0]
    return None


class ByMode(nn.Module):
    """A function that is told whether the model trains."""

    def __init__(self, function: Any, place: int | str) -> None:
        super().__init__()
        self.function = function
        self.place = place

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Call it with this module's own mode."""
        if isinstance(self.place, int):
            return self.function(*args[: self.place], self.training, *args[self.place + 1 :], **kwargs)
        return self.function(*args, **{**kwargs, self.place: self.training})

    def extra_repr(self) -> str:
        """The function's name."""
        return str(getattr(self.function, "__name__", self.function))

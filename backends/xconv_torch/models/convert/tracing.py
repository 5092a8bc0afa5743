"""A model as a graph, and what of it depends on whether it trains."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from typing import Any

from torch import fx, nn

from xconv.system.errors import ArgumentError

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
        found = Traced(module.eval(), serving)
        one, other = _by_owner(serving), _by_owner(training)
        for path in dict.fromkeys((*one, *other)):
            nodes = one.get(path, []), other.get(path, [])
            places = [_mode_argument(*pair) for pair in zip(*nodes, strict=False)]
            texts = [[_text(node) for node in side] for side in nodes]
            if texts[0] == texts[1]:
                continue
            if _is_bare(module, path):
                leaves.add(path)
            elif len(nodes[0]) == len(nodes[1]) and all(
                place is not None or text == same for place, text, same in zip(places, *texts, strict=True)
            ):
                found.by_mode |= {
                    node: place for node, place in zip(nodes[0], places, strict=True) if place is not None
                }
            else:
                found.forks.append(path)
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
    return not any(True for things in (inner.children(), inner.parameters(), inner.buffers()) for _ in things)


def _by_owner(graph: fx.Graph) -> dict[str, list[fx.Node]]:
    """The nodes of each module's own forward, in order."""
    owners: dict[str, list[fx.Node]] = {}
    for node in graph.nodes:
        paths = [path for path, _ in node.meta.get("nn_module_stack", {}).values()]
        if node.op == "call_module" and paths and paths[-1] == node.target:
            paths.pop()
        owners.setdefault(paths[-1] if paths else "", []).append(node)
    return owners


def _text(node: fx.Node) -> str:
    """A node without the names of others, which are numbered throughout the graph."""
    args, kwargs = (fx.node.map_arg(given, lambda _: "node") for given in (node.args, node.kwargs))
    return f"{node.op} {node.target} {args} {kwargs}"


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
    differ = [key for key, value in given.items() if not isinstance(value, fx.Node) and value != wanted.get(key)]
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

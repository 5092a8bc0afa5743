"""Keras models as graphs: their nodes in the order in which they run, on values of any kind."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras

from xconv.system.errors import ArgumentError

PASSING = (
    *(keras.layers.Activation, keras.layers.Softmax, keras.layers.ReLU, keras.layers.LeakyReLU),
    *(keras.layers.Dropout, keras.layers.ActivityRegularization, keras.layers.Identity),
)
"""What may stand between the last dense layer and the output."""

Apply = Callable[[Any, Sequence[Any], dict[str, Any]], Any]


def is_model(operation: Any) -> bool:
    """Whether an operation of a graph is a graph itself."""
    return isinstance(operation, keras.Model)


def graph_of(model: Any, path: str = "") -> Any:
    """The functional graph of a model.

    Raises:
        ArgumentError: it has none, for it is a subclass with a ``call`` of its own, or it was not built.
    """
    where = f" at {path!r}" if path else ""
    if isinstance(model, keras.Sequential):
        if model._functional is None:
            raise ArgumentError(
                "to_1d",
                "model",
                f"a Sequential model{where} without weights",
                "a built one",
                "add keras.Input as its first layer",
            )
        return model._functional
    if not hasattr(model, "_nodes_by_depth") or type(model).call is not type(keras_functional()).call:
        raise ArgumentError(
            "to_1d",
            "model",
            f"a {type(model).__name__}{where}, which computes by a call method of its own",
            "a functional or Sequential model",
            "build it as keras.Model(inputs, outputs)",
        )
    return model


def keras_functional() -> Any:
    """Some functional model; Keras has no public name for their class."""
    one = keras.KerasTensor((None, 1))
    given = keras.Input(tensor=one)
    return keras.Model(given, given)


def replay(graph: Any, inputs: Sequence[Any], apply: Apply) -> Any:
    """Run a graph on values: ``apply`` gets each operation with its arguments, tensors replaced by their values."""
    values = {id(tensor): value for tensor, value in zip(graph.inputs, inputs, strict=True)}
    for depth in sorted(graph._nodes_by_depth, reverse=True):
        for node in graph._nodes_by_depth[depth]:
            if node.is_input or any(id(tensor) not in values for tensor in node.input_tensors):
                continue
            arguments, options = node.arguments.fill_in(values)
            results = keras.tree.flatten(apply(node.operation, arguments, options))
            values.update((id(tensor), result) for tensor, result in zip(node.outputs, results, strict=True))
    return keras.tree.pack_sequence_as(graph._outputs_struct, [values[id(tensor)] for tensor in graph.outputs])


def last_dense(model: Any) -> Any:
    """The dense layer that makes a model's output, or None."""
    graph = graph_of(model)
    if len(graph.outputs) != 1:
        return None
    tensor = graph.outputs[0]
    while True:
        history = tensor._keras_history
        operation = history.operation
        if operation is None or isinstance(operation, keras.layers.InputLayer):
            return None
        if is_model(operation):
            return last_dense(operation)
        if isinstance(operation, keras.layers.Dense):
            return operation
        if not isinstance(operation, PASSING):
            return None
        tensor = operation._inbound_nodes[history.node_index].input_tensors[0]

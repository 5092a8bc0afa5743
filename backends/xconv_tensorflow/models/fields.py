"""What a Keras model sees of its input, followed through the graph of its layers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras
from keras import tree

from xconv.models.field_report import LayerField, ReceptiveField
from xconv.models.follower import Follower
from xconv.models.tensor_field import TensorField, everything
from xconv_tensorflow.models.field_rules import after


def receptive_field(model: keras.Model, input_shape: tuple[int, ...]) -> ReceptiveField:
    """The fields of a model's layers and of its output. Nothing is run; what is not built yet is built."""
    first = next((layer for layer in model._flatten_layers() if hasattr(layer, "data_format")), None)
    channels_first = getattr(first, "data_format", keras.config.image_data_format()) == "channels_first"
    spatial = range(2, len(input_shape)) if channels_first else range(1, len(input_shape) - 1)
    x = keras.KerasTensor(input_shape)
    follower = _GraphFollower(x, TensorField.of_input(input_shape, spatial))
    result = follower.model(model, "", [x])
    return follower.report(tree.flatten(result), tuple(input_shape[dim] for dim in spatial))


class _GraphFollower(Follower):
    """Follows a model through the graph of its layers."""

    def model(self, model: Any, path: str, inputs: list[Any]) -> Any:
        """The outputs of a model on symbolic tensors."""
        return self.graph(_graph_of(model, inputs), path, inputs)

    def graph(self, graph: Any, path: str, inputs: list[Any]) -> Any:
        def ready(operation: Any) -> Callable[..., Any]:
            return lambda *args, **kwargs: self.operation(operation, path, args, kwargs)

        return graph._run_through_graph(tree.pack_sequence_as(graph._inputs_struct, inputs), operation_fn=ready)

    def operation(self, operation: Any, path: str, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
        """The outputs of a layer or an operation, whose fields are known then."""
        inputs = [each for each in tree.flatten([args, kwargs]) if isinstance(each, keras.KerasTensor)]
        parts = [seen for each in inputs if (seen := self.find(each)) is not None]
        name = f"{path}/{operation.name}" if path else operation.name
        if isinstance(operation, keras.Model):
            return self.model(operation, name, inputs)
        if not parts:
            return operation.compute_output_spec(*args, **kwargs)
        rule = after(operation, args, parts)
        if rule is None and isinstance(operation, keras.Layer):
            inner = _written(operation, args, kwargs)
            if inner is not None:
                return self.graph(inner, name, inputs)
        outputs = operation.compute_output_spec(*args, **kwargs)
        if rule is None:
            self.note_unknown(name)
        for output in tree.flatten(outputs):
            seen = everything(parts, output.shape) if rule is None else rule(tuple(output.shape))
            self.put(output, seen)
            if any(seen.fields != part.fields for part in parts):
                self.layers.append(LayerField(name, type(operation).__name__, tuple(output.shape), seen.fields))
        return outputs


def _graph_of(model: Any, inputs: list[Any]) -> Any:
    """A model's own graph, or what its ``call`` writes on symbolic tensors."""
    if isinstance(model, keras.Sequential):
        if model._functional is None:
            model.build(tuple(inputs[0].shape))
        return model._functional
    if hasattr(model, "_run_through_graph"):
        return model
    written = _written(model, inputs, {})
    if written is None:
        raise TypeError(f"{type(model).__name__}.call cannot be followed: it takes no symbolic tensor")
    return written


def _written(layer: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
    """The graph that the ``call`` of a layer of one's own writes, or None if it takes no symbolic tensors."""
    if type(layer).__module__.partition(".")[0] == "keras":
        return None
    fresh = tree.map_structure(
        lambda each: (
            keras.Input(batch_shape=each.shape, dtype=each.dtype) if isinstance(each, keras.KerasTensor) else each
        ),
        [list(args), kwargs],
    )
    try:
        result = layer.call(*fresh[0], **fresh[1])
        return keras.Function([each for each in tree.flatten(fresh) if isinstance(each, keras.KerasTensor)], result)
    except Exception:  # noqa: BLE001 - whatever a stranger's layer raises, it cannot be followed
        return None

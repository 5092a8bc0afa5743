"""The weights of Keras models in neutral form, read and written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import keras

from xconv.models import reading
from xconv.models.flattening import Flattening, LayerShapes
from xconv.models.neutral import NeutralLayer, Reading
from xconv_tensorflow.models.weight_layers import LayerPart, all_layers, kind_of, neutral, own_array, parts
from xconv_tensorflow.models.weight_runs import RunOnZeros


def read(model: Any, shapes: Sequence[tuple[int, ...]] | None) -> Reading:
    """The layers with weights, in the order in which they run on inputs of these shapes (without the batch).

    The model is run on zeros, for inference; it is left as it was. Without shapes it is not run.
    """
    found = parts(model)
    table = found[0].layer if found else None
    vocabulary = table.input_dim if isinstance(table, keras.layers.Embedding) else None
    wide = any(str(variable.dtype) == "float64" for variable in model.weights)
    dtype = "float64" if wide else "float32"

    def make(number: int, seen: LayerShapes | None, flattening: Flattening | None) -> NeutralLayer:
        return neutral(found[number], number, seen, flattening)

    owners = [part.layer for part in found]
    run = partial(RunOnZeros, model, integers=vocabulary is not None)
    return reading.read(owners, shapes, run, make, vocabulary, dtype)


def write(model: Any, layers: Sequence[NeutralLayer]) -> None:
    """Give the layers of these paths these arrays and settings; nothing is written before all of it fits."""
    by_path: dict[str, LayerPart] = {part.path: part for part in parts(model)}
    ready = []
    for layer in layers:
        part = by_path[layer.path]
        for name, array in layer.arrays.items():
            ready.append((part.variable(name), own_array(part, layer, name, array)))
    for variable, array in ready:
        variable.assign(array)
    changed = False
    for layer in layers:
        for ours, theirs in (("epsilon", "epsilon"), ("slope", "negative_slope")):
            if ours in layer.options and getattr(by_path[layer.path].layer, theirs) != layer.options[ours]:
                setattr(by_path[layer.path].layer, theirs, layer.options[ours])
                changed = True
    if changed and isinstance(model, keras.Model):
        # what fit, evaluate and predict have traced holds the settings of then
        model.train_function = model.test_function = model.predict_function = None


def input_shapes(model: Any) -> list[tuple[int, ...]] | None:
    """The shapes of a model's inputs without the batch, if it says all sizes."""
    shapes = [tuple(one.shape[1:]) for one in getattr(model, "inputs", None) or ()]
    return shapes if shapes and all(size is not None for shape in shapes for size in shape) else None


def unbuilt(model: Any) -> str:
    """The name of a layer whose weights are not there yet, or nothing."""
    return next(
        (layer.name for _, layer in all_layers(model) if not layer.built and (kind_of(layer) or layer is model)), ""
    )


def in_precision(model: Any, dtype: str) -> Any:
    """The model if it computes in a dtype, else a copy that does."""
    if all(one.compute_dtype == one.variable_dtype == dtype for _, one in all_layers(model)):
        return model
    kinds = {type(one).__name__: type(one) for _, one in all_layers(model)}
    with keras.saving.custom_object_scope(kinds):
        copy = type(model).from_config(_with_dtype(model.get_config(), dtype))
        if not copy.built:
            copy.build_from_config(model.get_build_config() or {})
    for old, new in zip(model.variables, copy.variables, strict=True):
        new.assign(keras.ops.cast(old.value, new.dtype))
    return copy


def _with_dtype(config: Any, dtype: str, key: str = "") -> Any:
    """A configuration whose dtypes and dtype policies are another one."""
    if isinstance(config, Mapping):
        if config.get("class_name") == "DTypePolicy":
            return {**config, "config": {**config["config"], "name": dtype}}
        return {name: _with_dtype(value, dtype, name) for name, value in config.items()}
    if isinstance(config, (list, tuple)):
        return type(config)(_with_dtype(value, dtype, key) for value in config)
    return dtype if key == "dtype" and config in ("float64", "float32", "float16", "bfloat16") else config

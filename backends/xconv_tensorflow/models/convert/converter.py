"""A model's graph, walked layer by layer: each becomes what its rule says, where it stands."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import keras
import numpy as np

from xconv.models.conversion import Conversion, LargestReceptiveField, Options, RefusedError, Report, Step
from xconv.models.reach import Reach
from xconv.system.errors import ArgumentError
from xconv_tensorflow.models.convert.embedding import embedding
from xconv_tensorflow.models.convert.graph import graph_of, is_model, last_dense, replay
from xconv_tensorflow.models.convert.layers import summary
from xconv_tensorflow.models.convert.pooling import LEFT_OUT
from xconv_tensorflow.models.convert.proof import Programs, finalized, proven
from xconv_tensorflow.models.convert.rules import refused_by_name, rule_for
from xconv_tensorflow.models.convert.state import Array, Made, Site, State


def to_1d(model: Any, options: Options) -> Conversion:
    """A new 1-D model with the weights of a 2-D one, and what was done; the 2-D one is left as it was.

    Raises:
        ArgumentError: the model has no graph, the options do not fit it, or layers have no meaning in 1-D: which, why,
            and what to do.
    """
    options, state = embedding(graph_of(model), options)
    walk = _Walk(model, options)
    given = keras.Input(options.input_shape, dtype=graph_of(model).inputs[0].dtype, name=_input_name(model))
    made, results = walk.model(model, [_Signal(given, state)], "")
    if walk.refused:
        raise walk.refusal()
    report = Report(options, walk.steps, walk.warnings(), receptive_field=walk.receptive_field())
    states = walk.stop_states or [signal.state for signal in results]
    programs = None
    if not state.lacking or options.channels != "new":
        programs = Programs.of((model, made), options, (state, states), walk.rounded, walk.stop or (None, None))
    report.prove = partial(proven, programs, report, walk.compared_steps())
    return Conversion(made, report)


@dataclass(frozen=True)
class _Signal:
    tensor: Any
    state: State


class _Walk:
    def __init__(self, model: Any, options: Options) -> None:
        self.options = options
        self.steps: list[Step] = []
        self.rounded: dict[int, Sequence[Array]] = {}
        self.refused: list[str] = []
        self.stop: tuple[Any, Any] | None = None
        self.stop_states: list[State] = []
        self._stop_at = 0
        self._visited: set[int] = set()
        self._reach = [Reach()]
        self._top = model
        self._head = None if options.head is None else last_dense(model)
        self._made: dict[Any, Any] = {}
        self._kinds: dict[int, list[Made]] = {}
        self._models: dict[int, list[Any]] = {}

    def model(self, model: Any, inputs: list[_Signal], prefix: str) -> tuple[Any, list[_Signal]]:
        """A model of its kind in 1-D, and what it gives for its inputs."""
        graph, line = graph_of(model, prefix), []

        def apply(operation: Any, arguments: Sequence[Any], options: dict[str, Any]) -> Any:
            new, results = self._operation(operation, arguments, options, prefix)
            line.extend(new)
            return results

        found = replay(graph, inputs, apply)
        results = [one for one in keras.tree.flatten(found) if isinstance(one, _Signal)]
        if model is self._top:
            for result in results:
                if result.state.padded:
                    self.refused.append("the output: rows of zeros are left along the axis that disappears")
            if self.options.head is not None and self._head is None:
                new, results = self._new_head(results)
                line.extend(new)
                found = results[0]
        tensors = keras.tree.map_structure(lambda signal: signal.tensor, found)
        starts = [signal.tensor for signal in inputs]
        made = keras.Model(starts if len(starts) > 1 else starts[0], tensors, name=model.name)
        if isinstance(model, keras.Sequential) and line:
            made = keras.Sequential([starts[0], *line], name=model.name)
        return made, results

    def compared_steps(self) -> list[Step]:
        """Those whose results are compared."""
        return self.steps if self.stop is None else self.steps[: self._stop_at]

    def receptive_field(self) -> LargestReceptiveField:
        """The largest of all tensors."""
        return Reach.largest(self._reach).receptive_field(self.options.axis)

    def warnings(self) -> list[str]:
        """What a reader must not miss."""
        said = []
        left_out = [step.path for step in self.steps if step.condition == LEFT_OUT]
        if left_out:
            said.append(
                f"{len(left_out)} pools without padding have nothing to pool along the axis of size 1 "
                f"({', '.join(left_out)}); the 2-D model gives no output on such an image, and is compared without that"
            )
        if self.options.embedding == "raster":
            said.append("an image that is read line by line is no 1-D signal: neighbours across lines lie apart")
        new = [step.path for step in self.steps if "new weights" in step.condition]
        if new:
            said.append(f"new weights, to be trained: {', '.join(new)}")
        return said

    # --- one operation ---

    def _operation(
        self, operation: Any, arguments: Sequence[Any], options: dict[str, Any], prefix: str
    ) -> tuple[list[Any], Any]:
        self._visited.add(id(operation))
        signals = [one for one in keras.tree.flatten((arguments, options)) if isinstance(one, _Signal)]
        path = f"{prefix}{operation.name}"
        if is_model(operation):
            return self._nested(operation, signals, path)
        states = tuple(signal.state for signal in signals)
        shapes = tuple(tuple(signal.tensor.shape)[1:] for signal in signals)
        key = (id(operation), states, shapes)
        again = key in self._made
        if not again:
            head = self.options.head if operation is self._head else None
            made = self._ruled(Site(operation, states, shapes, self.options, head), path)
            before = next((old for old in self._kinds.setdefault(id(operation), []) if _alike(old, made)), None)
            if before is not None:
                made, again = replace(made, layers=before.layers), True
            else:
                made = self._named(operation, made)
                self._kinds[id(operation)].append(made)
            self._made[key] = made
        made = self._made[key]
        result = self._called(made, arguments, options)
        if not again:
            self._weighted(operation, made, states[0])
        self._report(path, operation, made, again)
        self._reach.append(made.state.reach)
        return list(made.layers), _Signal(result, made.state)

    def _ruled(self, site: Site, path: str) -> Made:
        try:
            return rule_for(site)
        except RefusedError as error:
            self.refused.append(f"{path!r} ({type(site.layer).__name__}): {error}")
        # To find all that is refused: on by a rule that is not exact, else as far as names alone tell.
        try:
            return rule_for(replace(site, options=replace(self.options, kernel_rule="row")))
        except RefusedError:
            self._visited.add(id(site.layer))
            for layer in graph_of(self._top)._flatten_layers():
                if id(layer) not in self._visited and (why := refused_by_name(layer)):
                    self.refused.append(f"{layer.name!r} ({type(layer).__name__}): {why}")
            raise self.refusal() from None

    def refusal(self) -> ArgumentError:
        """What was refused, in an error."""
        listed = "; ".join(self.refused)
        expected = "layers that a rule is known for"
        error: ArgumentError = ArgumentError("to_1d", "model", f"layers without a 1-D form: {listed}", expected)
        return error

    def _nested(self, model: Any, signals: list[_Signal], path: str) -> tuple[list[Any], Any]:
        key = (id(model), tuple(signal.state for signal in signals), tuple(s.tensor.shape for s in signals))
        if key not in self._made:
            inside = [_Signal(keras.Input(tuple(s.tensor.shape)[1:], dtype=s.tensor.dtype), s.state) for s in signals]
            steps = len(self.steps)
            made, results = self.model(model, inside, f"{path}/")
            for old in self._models.setdefault(id(model), []):
                if _same_model(old, made):
                    made = old
                    del self.steps[steps:]
                    break
            else:
                self._models[id(model)].append(made)
            self._made[key] = made, results
        made, results = self._made[key]
        tensors = [signal.tensor for signal in signals]
        found = keras.tree.flatten(made(tensors if len(tensors) > 1 else tensors[0]))
        after = [_Signal(tensor, result.state) for tensor, result in zip(found, results, strict=True)]
        return [made], after[0] if len(after) == 1 else after

    def _named(self, operation: Any, made: Made) -> Made:
        # A layer that is called in two states becomes two, which must not have one name.
        times = len(self._kinds[id(operation)]) + 1
        if times > 1:
            layers = [type(one).from_config({**one.get_config(), "name": f"{one.name}_{times}"}) for one in made.layers]
            made = replace(made, layers=tuple(layers))
        return made

    def _called(self, made: Made, arguments: Sequence[Any], options: dict[str, Any]) -> Any:
        arguments, options = keras.tree.map_structure(
            lambda one: one.tensor if isinstance(one, _Signal) else one, (tuple(arguments), options)
        )
        if len(made.layers) == 1:
            return made.layers[0](*arguments, **options)
        result = arguments[0]
        for layer in made.layers:
            result = layer(result)
        return result

    def _weighted(self, operation: Any, made: Made, state: State) -> None:
        for layer, weights in zip(made.layers, made.weights, strict=False):
            if weights is None:
                if not state.lacking and self.stop is None:
                    self.stop, self.stop_states = (operation, layer), [state]
                    self._stop_at = len(self.steps)
                continue
            layer.set_weights([np.asarray(weight) for weight in weights])
            finalized(layer)
            kept = layer.get_weights()
            if any(not np.array_equal(new, old) for new, old in zip(kept, weights, strict=True)):
                self.rounded[id(layer)] = weights

    def _report(self, path: str, operation: Any, made: Made, again: bool) -> None:
        became = " + ".join(summary(layer) for layer in made.layers) or "nothing"
        if again:
            self.steps.append(Step(path, summary(operation), became, "the same layer again", made.verdict))
            return
        before = operation.count_params() if isinstance(operation, keras.Layer) and operation.built else 0
        after = sum(layer.count_params() for layer in made.layers if isinstance(layer, keras.Layer))
        self.steps.append(
            Step(path, summary(operation), became, made.rule, made.verdict, made.condition, (before, after))
        )

    def _new_head(self, results: list[_Signal]) -> tuple[list[Any], list[_Signal]]:
        (signal,) = results
        state, tensor, layers = signal.state, signal.tensor, []
        self._stop_at, self.stop_states = len(self.steps), [state]
        if state.form in ("image", "folded", "raster"):
            layout = "channels_last" if state.channels_last else "channels_first"
            layers.append(keras.layers.GlobalAveragePooling1D(data_format=layout, name="head_pool"))
        layers.append(keras.layers.Dense(self.options.head, name="head"))
        for layer in layers:
            tensor = layer(tensor)
        if self.stop is None:
            self.stop = (None, layers[0])
        became = " + ".join(summary(layer) for layer in layers)
        parameters = (0, layers[-1].count_params())
        self.steps.append(
            Step("head", "-", became, "new head", "heuristic", "new weights: train it; logits", parameters)
        )
        return layers, [_Signal(tensor, replace(state, form="vector"))]


def _alike(one: Made, other: Made) -> bool:
    """Whether two conversions of a layer give the same layers, so that they stay one with shared weights."""
    configs = [[(type(layer), layer.get_config()) for layer in made.layers] for made in (one, other)]
    weights = [[array for list_ in made.weights if list_ is not None for array in list_] for made in (one, other)]
    return (
        configs[0] == configs[1]
        and len(weights[0]) == len(weights[1])
        and all(np.array_equal(a, b) for a, b in zip(*weights, strict=True))
    )


def _same_model(one: Any, other: Any) -> bool:
    """Whether all layers of two nested models are the same ones."""
    layers = [
        [
            layer
            for layer in model._flatten_layers()
            if layer is not model and not isinstance(layer, keras.layers.InputLayer)
        ]
        for model in (one, other)
    ]
    return len(layers[0]) == len(layers[1]) and all(a is b for a, b in zip(*layers, strict=True))


def _input_name(model: Any) -> str:
    return str(graph_of(model).inputs[0]._keras_history.operation.name)

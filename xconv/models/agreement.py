"""Do two frameworks train a network alike? Results, gradients and some optimiser steps, from the same start.

The training is taken as one function of the inputs and the starting weights, and handed to
:func:`xconv.testing.compare`: whatever rounding errors grow to within the steps, pairs of runs with inputs and weights
moved by 2^-35 (in float32: 2^-21) show it, and the tolerance is Student's quantile of their deviation
(:mod:`xconv.testing.tolerance`). In float64 both frameworks must agree within that, and each float32 training with its
own float64 one (:mod:`xconv.models.ties` says what of that pairs of runs do not show).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from tabulate import tabulate

from xconv.core.bounds import UNIT_ROUNDOFF
from xconv.core.registry import get_backend
from xconv.models.initial import Weights, initial_weights
from xconv.models.networks import names
from xconv.models.networks import network as named
from xconv.models.spec import Dropout, Flatten, Network
from xconv.models.steps import first_steps
from xconv.models.ties import judge_ties_again
from xconv.models.training import SGD, Adam, Optimizer, batches, check_training
from xconv.system.errors import ArgumentError
from xconv.testing import ComparedArray, Parity, compare, on

RUNS = 9
"""Pairs of runs; half of those that are usual, for each is a training. The quantile grows with fewer."""

OPTIMIZERS: tuple[Optimizer, ...] = (SGD(0.005), SGD(0.005, 0.9), Adam(0.001))
"""What :func:`training_agreement` trains with."""

PARTS = ("output", "gradient", "loss", "change", "output after")


@dataclass(frozen=True)
class Agreement:
    """What :func:`agree` found. Prints as the comparison's own table.

    ``parity`` holds a row for each array; ``losses`` are the first backend's, in float32.
    """

    network: Network
    optimizer: Optimizer
    backends: tuple[str, str]
    steps: int
    losses: npt.NDArray[Any]
    parity: Parity

    @property
    def ok(self) -> bool:
        """Whether all agrees, and that proves something."""
        return self.parity.ok

    def worst(self, part: str, float32: bool = False) -> ComparedArray:
        """The row nearest to its bound, or furthest above: of "output", "gradient", "loss", "change" or "output after".

        Between the frameworks in float64; or, with ``float32``, of each framework's float32 from its own float64.
        """
        rows = [row for row in self.parity.rows if _part(row) == part and row.array.endswith("in float32") == float32]
        return max(rows, key=lambda row: row.ratio) if rows else ComparedArray(part, "error", np.inf, 0.0, np.inf)

    def __str__(self) -> str:
        title = f"{self.network.name}, {label(self.optimizer)}, {self.steps} steps: "
        title += f"the loss goes from {self.losses[0]:.4g} to {self.losses[-1]:.4g}" if len(self.losses) else ""
        return f"{title}\n{self.parity}"


def agree(
    network: Network,
    optimizer: Optimizer | None = None,
    *,
    loss: str | None = None,
    form: str = "logits",
    examples: int = 8,
    steps: int = 20,
    backends: tuple[str, str] = ("torch", "tensorflow"),
    runs: int = RUNS,
    seed: int = 0,
) -> Agreement:
    """Compare the result, the loss, all gradients and the change of all weights after some steps, in two frameworks.

    Args:
        network: without Dropout: frameworks draw other numbers.
        optimizer: Adam by default.
        loss: by default the one that belongs to the last activation.
        form: of a cross-entropy, see :mod:`xconv.models.training`.
        examples: random ones, with random labels; each step sees all.
        steps: of the optimiser.
        backends: which two.
        runs: pairs of runs on moved numbers, at least 3.
        seed: of inputs, labels, weights and moves.

    Returns:
        The losses, and a row for each array.

    A difference is a "MISMATCH". Agreement is "mistrusted" where it proves nothing: a loss that does not fall, a weight
    that does not move or has no gradient, a result that is the same for all examples.

    Raises:
        ArgumentError: the network, the loss or the counts do not fit.
        UnsupportedError: a backend builds no networks.
    """
    optimizer = optimizer or Adam()
    _check(network, examples, steps, backends)
    loss = loss or _loss(network)
    x, y = data(network, loss, examples, seed)
    check_training("agree", network, x, y, loss, form)
    weights = initial_weights(network, seed)
    sides = [_Side(name, network, loss, optimizer, form, y, steps) for name in backends]
    given = [x, *weights.values()]
    parity = compare(*(on("numpy", side) for side in sides), *given, gradients=False, seed=seed, runs=runs, walk=False)
    parity.rows = judge_ties_again([_renamed(row) for row in parity.rows], sides, given, seed)
    parity.notes += [f"{row.array}: {row.detail}" for row in parity.rows if row.ok and row.detail]
    parity.f, parity.g = backends
    found = Agreement(network, optimizer, backends, steps, sides[0].losses, parity)
    parity.rows += _proves_nothing(found, sides[0].output)
    if any(row.verdict == "MISMATCH" for row in parity.rows):
        parity.layers = _explained(found, x, y, weights, loss, form)
    return found


def training_agreement(
    networks: Iterable[str | Network] = names, optimizers: Sequence[Optimizer] = OPTIMIZERS, **options: Any
) -> list[Agreement]:
    """Each network with each optimiser; the options are those of :func:`agree`.

    Args:
        networks: networks, or names of :data:`xconv.models.names`; by default all of these.
        optimizers: each of them trains each network.
        options: those of :func:`agree`.

    Returns:
        For each network what came out with each optimiser.
    """
    chosen = [named(one) if isinstance(one, str) else one for one in networks]
    return [agree(network, optimizer, **options) for network in chosen for optimizer in optimizers]


def table(agreements: Iterable[Agreement]) -> str:
    """A row for each: the largest difference, its tolerance and their ratio, for the worst array of each part.

    Gradients are of the first step; "weights" is their change after all. Float64 is one framework against the other,
    float32 each against its own float64. "But for a tie": see :mod:`xconv.models.ties`.
    """
    rows = []
    for one in agreements:
        row: list[Any] = [one.network.name, label(one.optimizer), f"{one.losses[0]:.3g} to {abs(one.losses[-1]):.2g}"]
        row += [f"{one.worst(part).ratio:.2g}" for part in ("output", "gradient")]
        for float32 in (False, True):
            worst = one.worst("change", float32)
            row += [f"{worst.error:.1e}", f"{worst.bound:.1e}", f"{worst.ratio:.2g}"]
        verdicts = {row.verdict for row in one.parity.rows if not row.ok}
        ties = sum(bool(row.detail) for row in one.parity.rows)
        rows.append([*row, ", ".join(sorted(verdicts)) or ("agree, but for a tie" if ties else "agree")])
    headers = ["network", "optimiser", "loss", "output", "gradients"]
    headers += ["weights, float64", "tolerance", "ratio", "float32", "tolerance", "ratio", "verdict"]
    return tabulate(rows, headers, disable_numparse=True)


def label(optimizer: Optimizer) -> str:
    """An optimiser in a word or two.

    >>> label(SGD(0.01)), label(SGD(0.01, 0.9)), label(Adam())
    ('SGD', 'SGD, momentum 0.9', 'Adam')
    """
    momentum = f", momentum {optimizer.momentum:.3g}" if isinstance(optimizer, SGD) and optimizer.momentum else ""
    return type(optimizer).__name__ + momentum


def data(network: Network, loss: str, examples: int, seed: int) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """Random inputs, and random labels of a loss: what is learnt is these examples by heart."""
    rng = np.random.default_rng([seed, 1])
    x = rng.standard_normal((examples, *network.input_shape)).astype("float32")
    shape = (examples, *network.output_shape)
    if loss == "mean_squared_error":
        return x, rng.standard_normal(shape).astype("float32")
    if loss == "binary_crossentropy":
        # both labels are there, whatever is drawn
        return x, rng.permuted(np.arange(np.prod(shape)) % 2).reshape(shape).astype("float32")
    return x, np.eye(shape[1], dtype="float32")[rng.permuted(np.arange(examples) % shape[1])]


class _Side:
    """The training in one framework as a function of NumPy arrays: the inputs, and the weights in order."""

    def __init__(
        self, backend: str, network: Network, loss: str, optimizer: Optimizer, form: str, y: Any, steps: int
    ) -> None:
        self.name, self.network, self.y, self.steps = backend, network, y, steps
        self._arguments = network, loss, optimizer
        self._form = form
        self._module = get_backend(backend).module("models.networks")
        self._made: dict[str, Any] = {}
        self.losses: npt.NDArray[Any] = np.zeros(0)
        self.output: npt.NDArray[Any] = np.zeros(0)

    def __call__(self, x: npt.NDArray[Any], *arrays: npt.NDArray[Any]) -> dict[str, Any]:
        """One run.

        Args:
            x: ``(examples, *network.input_shape)``; all is computed in its dtype.
            arrays: the weights, in the order and the shapes of ``network.weight_shapes``.

        Returns:
            The output before and after, (examples, *network.output_shape); the loss (steps,); and the first gradient
            and the change of each weight, of its shape.
        """
        dtype = x.dtype.name
        if dtype not in self._made:
            model = self._module.build(self.network, self._weights(arrays), dtype)
            self._made[dtype] = self._module.Trainer(*self._arguments, dtype, self._form), model
        trainer, model = self._made[dtype]
        weights = self._weights(arrays)
        self._module.load(self.network, model, weights)
        before = self._module.predict(self.network, model, x)
        done = trainer.train(weights, x, self.y.astype(dtype), batches(len(x), None, self.steps))
        self._module.load(self.network, model, done.weights)
        if not self.losses.size:  # the first run is the plain one
            self.losses, self.output = done.losses, before
        return {
            "output": before,
            **{f"gradient of {name}": done.gradients[name] for name in self.network.trained_weights},
            "loss": done.losses,
            **{f"change of {name}": done.weights[name] - weights[name] for name in weights},
            "output after": self._module.predict(self.network, model, x),
        }

    def _weights(self, arrays: Sequence[npt.NDArray[Any]]) -> Weights:
        return dict(zip(self.network.weight_shapes, arrays, strict=True))


def _proves_nothing(found: Agreement, output: npt.NDArray[Any]) -> list[ComparedArray]:
    """What agreement on the arrays does not see: that a training was no training.

    Args:
        found: the comparison.
        output: ``(examples, *network.output_shape)``, before the first step.

    Returns:
        A row for each reason for which nothing is proven.
    """
    rows, losses = [], np.asarray(found.losses, np.float64)
    if losses.size and np.isfinite(losses).all():
        bound = found.worst("loss", float32=True).bound
        if not losses[-1] < losses[0] - bound:
            detail = f"the loss does not fall: {losses[0]:.6g} before the first step, {losses[-1]:.6g} before the last"
            rows.append(ComparedArray("loss falls", "mistrusted", detail=detail))
    else:
        rows.append(ComparedArray("loss falls", "mistrusted", detail="the loss is not finite"))
    bound = found.worst("output", float32=True).bound
    varies = float(np.ptp(np.asarray(output, np.float64), axis=0).max(initial=0.0))
    if len(output) > 1 and not varies > bound:
        detail = f"the result is the same for all examples: they are {varies:.3g} apart at most"
        rows.append(ComparedArray("output varies", "mistrusted", detail=detail))
    return rows


def _explained(
    found: Agreement, x: npt.NDArray[Any], y: npt.NDArray[Any], weights: Weights, loss: str, form: str
) -> str:
    """Where the models depart, or which step an optimiser took.

    Args:
        found: the comparison.
        x: ``(examples, *network.input_shape)``.
        y: ``(examples, *network.output_shape)``.
        weights: by the names and in the shapes of ``network.weight_shapes``.
        loss: its name.
        form: of the loss.

    Returns:
        A text, or "".
    """
    bad = {_part(row) for row in found.parity.rows if row.verdict == "MISMATCH"}
    modules = [get_backend(name).module("models.networks") for name in found.backends]
    if bad & {"output", "gradient"}:
        models = [module.build(found.network, weights) for module in modules]
        layouts = [module.LAYOUTS[x.ndim] for module in modules]
        axes = [layouts[1].index(letter) for letter in layouts[0]]
        given = np.ascontiguousarray(np.transpose(x, axes) if layouts[0] != layouts[1] else x)
        walked = compare(*models, given, layouts=tuple(layouts), gradients=False, runs=3).layers
        # a layer that pads for torch is in the walk's way
        return "\n".join(filter(None, (walked, _first_to_depart(found.network, modules, weights, x))))
    if bad:
        wide = {name: array.astype("float64") for name, array in weights.items()}
        arguments = found.network, loss, found.optimizer, "float64", form
        done = [
            module.Trainer(*arguments).train(wide, x.astype("float64"), y.astype("float64"), batches(len(x), None, 1))
            for module in modules
        ]
        return first_steps(found.optimizer, wide, dict(zip(found.backends, done, strict=True)))
    return ""


def _first_to_depart(network: Network, modules: Sequence[Any], weights: Weights, x: npt.NDArray[Any]) -> str:
    """The first layer after which float64 results are further apart than roundings of float32 would be."""
    wide = x.astype("float64")
    for count in range(1, len(network.layers) + 1):
        if isinstance(network.layers[count - 1], Flatten):
            continue  # each framework in its own order
        part = Network(network.name, network.input_shape, network.layers[:count])
        own = {name: weights[name].astype("float64") for name in part.weight_shapes}
        one, other = (module.predict(part, module.build(part, own, "float64"), wide) for module in modules)
        if np.abs(one - other).max() > UNIT_ROUNDOFF["float32"] * np.abs(one).max():
            return f"the first layer to depart is {part.resolved[-1].name!r}: {network.layers[count - 1]}"
    return ""


def _part(row: ComparedArray) -> str:
    name = row.array.partition(",")[0]
    return name if name in PARTS else name.partition(" of ")[0]


def _renamed(row: ComparedArray) -> ComparedArray:
    name = row.array.removeprefix("result['").replace("']", "", 1)
    return ComparedArray(name, row.verdict, row.error, row.bound, row.ratio, row.place, row.detail)


def _loss(network: Network) -> str:
    by_activation = {"sigmoid": "binary_crossentropy", "softmax": "categorical_crossentropy"}
    return by_activation.get(network.activation, "mean_squared_error")


def _check(network: Network, examples: int, steps: int, backends: tuple[str, str]) -> None:
    if any(isinstance(layer, Dropout) and layer.rate for layer in network.layers):
        raise ArgumentError("agree", "network", "one with Dropout", "one without", "frameworks draw other numbers")
    if len(network.output_shape) != 1:
        got = f"results of shape {network.output_shape}"
        raise ArgumentError("agree", "network", got, "one axis", "end in Flatten() or Dense()")
    if len(backends) != 2:
        raise ArgumentError("agree", "backends", repr(backends), "the names of two")
    for name, value, least in (("examples", examples, 2), ("steps", steps, 1)):
        if not isinstance(value, int) or value < least:
            raise ArgumentError("agree", name, repr(value), f"an integer >= {least}")

"""Which formula an optimiser's first step follows, by what each would have done with the same gradient."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

import numpy as np

from xconv.core.bounds import UNIT_ROUNDOFF
from xconv.core.reference import Floats
from xconv.models.initial import Weights
from xconv.models.training import SGD, Optimizer, Training

ROUNDINGS = 16
"""More than any of the formulas takes, with the sum of the weight and the step."""


def first_steps(optimizer: Optimizer, weights: Weights, done: Mapping[str, Training]) -> str:
    """What can be said of one step in float64, taken by each framework from its own gradients."""
    lines = []
    for name, training in done.items():
        fits = [words for words, step in _formulas(optimizer) if _follows(step, weights, training)]
        said = " or ".join(fits) if fits else "no formula that is known here"
        lines.append(f"the first step of {name} is that of {said}")
    return "\n".join(lines)


class _Step:
    """``rate g / (|g| scale + epsilon)``, or ``rate g`` where there is no scale."""

    def __init__(self, rate: float, scale: float = 0.0, epsilon: float = 1.0) -> None:
        self.rate, self.scale, self.epsilon = rate, scale, epsilon

    def __call__(self, gradient: Floats) -> Floats:
        found: Floats = self.rate * gradient / (np.abs(gradient) * self.scale + self.epsilon)
        return found


def _formulas(optimizer: Optimizer) -> Iterator[tuple[str, _Step]]:
    rate = optimizer.learning_rate
    yield f"SGD, rate {rate:.6g}", _Step(rate)
    if isinstance(optimizer, SGD):
        if optimizer.momentum:
            yield (
                f"SGD with a momentum that damps the gradient, rate {rate:.6g}",
                _Step(rate * (1 - optimizer.momentum)),
            )
        return
    # after one step the moments are (1 - b1) g and (1 - b2) g^2, so that bias correction gives g and g^2 again
    root = math.sqrt(1 - optimizer.beta_2)
    epsilons = {value: one for one in (1e-7, 1e-8) for value in (one, float(np.float32(one)))}
    epsilons[optimizer.epsilon] = float(f"{optimizer.epsilon:.6g}")
    for value, words in epsilons.items():
        yield f"Adam with epsilon {words:g} added to sqrt(v / (1 - b2^t)), as in torch", _Step(rate, 1.0, value)
        yield f"Adam with epsilon {words:g} added to sqrt(v), as in Keras", _Step(rate, 1.0, value / root)
        yield f"Adam with epsilon {words:g} and no bias correction", _Step(rate * (1 - optimizer.beta_1), root, value)


def _follows(step: _Step, weights: Weights, training: Training) -> bool:
    """Whether each weight moved by what the formula says, within the roundings of a step."""
    for name, gradient in training.gradients.items():
        wanted = step(np.asarray(gradient, np.float64))
        moved = weights[name] - training.weights[name]
        bound = ROUNDINGS * UNIT_ROUNDOFF["float64"] * (np.abs(weights[name]) + np.abs(wanted))
        if not (np.abs(moved - wanted) <= bound).all():
            return False
    return True

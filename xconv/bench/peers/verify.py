"""A peer is right before it is timed: bit for bit where it sums products, within a bound where it transforms.

A Fourier method of length n in float32 with unit roundoff u: each of its three transforms has a relative error in the
2-norm of at most ``log2(n) eta``, with ``eta = u + gamma(4) (sqrt(2) + u)`` for twiddle factors that are correctly
rounded (Higham 2002, "Accuracy and Stability of Numerical Algorithms", 2nd ed., theorem 24.2), and the product adds
``sqrt(2) gamma(2)``. To first order, an element of one convolution is then off by at most
``(3 log2(n) eta + sqrt(2) gamma(2)) ||x|| ||w||``, with the norms over the signal that is transformed. A second
convolution multiplies the error that it is given by at most ``sum |w|``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import lru_cache

import numpy as np

from xconv.bench.catalogue import Layer
from xconv.bench.peers.task import Built, PeerTask, task
from xconv.bench.verify import WrongResultError, check_full_size, short_case, shortened
from xconv.core.bounds import UNIT_ROUNDOFF, Enclosure, gamma
from xconv.core.reference import Floats
from xconv.parity import Case
from xconv.parity.comparison import compare
from xconv.parity.expected import expected

Build = Callable[[PeerTask], Built]


def verify_peer(
    build: Build,
    layer: Layer,
    *,
    method: str = "direct",
    device: str = "cpu",
    threads: int = 1,
    gradients: bool = False,
) -> None:
    """Check a way on a short version of the layer, with its gradients if asked, and its result of the full size.

    Raises:
        WrongResultError: an element is not what it should be.
    """
    short, case, direct = shortened(layer), short_case(layer), method == "direct"
    inputs, wanted = _wanted(case, gradients)

    def made(of: Layer, arrays: Sequence[np.ndarray], above: np.ndarray | None = None) -> PeerTask:
        return task(of, arrays, above, device=device, threads=threads)

    *arrays, above = (array.astype("float32") for array in inputs)
    names = ["y", *(f"d{name}" for name in ("x", *case.weight_names))] if gradients else ["y"]
    found = dict(zip(names, _computed(build, made(short, arrays, above if gradients else None)), strict=True))
    if not direct:
        allowed = fourier_error(made(short, arrays))
        wanted = {"y": Enclosure(wanted["y"].value, np.full_like(wanted["y"].error, allowed))}
    for name, enclosure in wanted.items():
        finding = compare(name, found[name], enclosure, "float32", exactly=direct)
        if not finding.ok:
            raise WrongResultError(f"{layer.name}, shortened to {short.x_shape}: {finding}")
    check_full_size(
        layer,
        lambda *arrays: _computed(build, made(layer, arrays))[0],
        lambda *arrays: 0.0 if direct else fourier_error(made(layer, arrays)),
    )


def fourier_error(given: PeerTask) -> float:
    """How far a result may be off that was computed by Fourier transforms of one channel."""
    unit = UNIT_ROUNDOFF["float32"]
    eta = unit + gamma(4) * (math.sqrt(2) + unit)
    error, gain = 0.0, 1.0
    for step, weight in zip(given.steps, given.weights, strict=True):
        axis = 1 + int(np.argmax(step.lengths))
        points = math.log2(2 * (given.x.shape[axis] + weight.size))
        # the norm of a line of the intermediate result is at most that of x times the earlier sums
        line = gain * float(np.sqrt(np.square(given.x, dtype=np.float64).sum(axis).max()))
        own = (3 * points * eta + math.sqrt(2) * gamma(2)) * line * float(np.linalg.norm(weight.astype(np.float64)))
        total = float(np.abs(weight).sum())
        error, gain = own + error * total, gain * total
    return error


@lru_cache(maxsize=4)
def _wanted(case: Case, gradients: bool) -> tuple[list[Floats], dict[str, Enclosure]]:
    # kept, because the ways of one framework are checked on a layer one after the other
    inputs = case.inputs("integers", "float32")
    return inputs, expected(case, inputs, "float32", gradients, "integers")


def _computed(build: Build, given: PeerTask) -> list[np.ndarray]:
    built = build(given)
    return [np.asarray(array, np.float64) for array in built.read(built.run())]

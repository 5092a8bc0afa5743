"""What a conversion to 1-D did, layer by layer, and the numeric proof of it.

An *embedding* says how a 1-D signal lies in the 2-D world; what is exact follows from it. "singleton": an image whose
axis has size one. "constant": an image that is constant along it. "folded": the axis lies in the channels of the 1-D
signal. "raster": the image read line by line.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from tabulate import tabulate

Embedding = Literal["singleton", "constant", "folded", "raster"]
Axis = Literal["height", "width"]
Verdict = Literal["exact", "exact if", "heuristic", "refused"]

EMBEDDINGS: tuple[Embedding, ...] = ("singleton", "constant", "folded", "raster")
AXES: tuple[Axis, ...] = ("height", "width")
KERNEL_RULES = ("exact", "row", "sum", "mean")
CHANNEL_RULES = ("same", "mean", "repeat", "new")


@dataclass(frozen=True)
class Options:
    """What was asked for, resolved. Shapes are without the batch, in the framework's own layout.

    ``axis`` is the one that disappears and ``size`` its extent in the 2-D world (1 for "singleton"). ``kernel_rule``
    is taken where "exact" knows none; ``channels`` says what becomes of the first layer's kernel if the signal has
    other channels than the image; ``head`` is the number of outputs of a new last layer, None keeps the old one.
    """

    embedding: Embedding
    axis: Axis
    input_shape: tuple[int, int]
    size: int = 1
    kernel_rule: str = "exact"
    channels: str = "same"
    head: int | None = None


@dataclass(frozen=True)
class Step:
    """One layer or function: what it was, what it became, by which rule, and how exact that is.

    ``condition`` is what "exact if" asks, why a rule is heuristic, or why it is refused and what to do.
    """

    path: str
    layer: str
    became: str
    rule: str
    verdict: Verdict
    condition: str = ""
    parameters: tuple[int, int] = (0, 0)


@dataclass
class Report:
    """All steps of a conversion, in the order in which the layers run. Prints as a table."""

    options: Options
    steps: list[Step]
    warnings: list[str] = field(default_factory=list)
    prove: Callable[[], Any] | None = field(default=None, repr=False)

    def counts(self) -> dict[Verdict, int]:
        """How many steps of each verdict."""
        verdicts: tuple[Verdict, ...] = ("exact", "exact if", "heuristic", "refused")
        return {verdict: sum(step.verdict == verdict for step in self.steps) for verdict in verdicts}

    @property
    def parameters(self) -> tuple[int, int]:
        """All parameters before and after."""
        return sum(s.parameters[0] for s in self.steps), sum(s.parameters[1] for s in self.steps)

    def __str__(self) -> str:
        rows = [
            (s.path, s.layer, s.became, s.rule, f"{s.verdict} {s.condition}".strip(), *s.parameters) for s in self.steps
        ]
        headers = ["layer", "was", "became", "rule", "exact?", "parameters", "after"]
        return tabulate(rows, headers, intfmt=",", maxcolwidths=[30, 34, 34, 24, 40, None, None])


@dataclass(frozen=True)
class Conversion:
    """The 1-D model, and the report on how it came about."""

    model: Any
    report: Report


def embedded(signal: npt.NDArray[Any], options: Options, channels_last: bool) -> npt.NDArray[Any]:
    """A batch of 1-D signals as the images that it stands for.

    >>> options = Options("singleton", "height", (9, 3))
    >>> embedded(np.zeros((2, 9, 3)), options, channels_last=True).shape
    (2, 1, 9, 3)
    >>> embedded(np.zeros((2, 3, 9)), Options("constant", "width", (3, 9), size=5), channels_last=False).shape
    (2, 3, 9, 5)
    """
    at = {"height": 1, "width": 2}[options.axis] + (0 if channels_last else 1)
    if options.embedding in ("singleton", "constant"):
        return np.repeat(np.expand_dims(signal, at), options.size, axis=at)
    raise NotImplementedError(options.embedding)

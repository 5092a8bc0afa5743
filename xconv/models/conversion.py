"""What a conversion to 1-D did, layer by layer, and the numeric proof of it.

An *embedding* says how a 1-D signal lies in the 2-D world; what is exact follows from it. "singleton": an image whose
axis has size one. "constant": an image that is constant along it. "folded": the axis lies in the channels of the 1-D
signal. "raster": the image read line by line.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from tabulate import tabulate

from xconv.models.proof import Arrays, Proof, prove
from xconv.system.errors import UnsupportedError

Embedding = Literal["singleton", "constant", "folded", "raster"]
Axis = Literal["height", "width"]
Verdict = Literal["exact", "exact if", "heuristic", "refused"]

EMBEDDINGS: tuple[Embedding, ...] = ("singleton", "constant", "folded", "raster")
AXES: tuple[Axis, ...] = ("height", "width")
KERNEL_RULES = ("exact", "row", "sum", "mean")
PROOF_SIGNALS = 3
"""Signals of a proof: enough to see whether outputs vary."""
CHANNEL_RULES = ("same", "mean", "repeat", "new")


@dataclass(frozen=True)
class Options:
    """What was asked for, resolved. Shapes are without the batch, in the framework's own layout.

    ``axis`` is the one that disappears and ``size`` its extent in the 2-D world (1 for "singleton"). ``kernel_rule``
    is taken where no rule is exact ("exact" refuses there); ``channels`` says what becomes of the first layer's kernel
    if the signal has other channels than the image; ``head`` is the number of outputs of a new last layer, None keeps
    the old one.
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
    """One layer or function: what it was, what it became, by which rule, and how exact that is in inference.

    ``condition`` is what "exact if" asks, why a rule is heuristic, or why it is refused and what to do.
    """

    path: str
    layer: str
    became: str
    rule: str
    verdict: Verdict
    condition: str = ""
    parameters: tuple[int, int] = (0, 0)


class RefusedError(Exception):
    """A layer without a 1-D counterpart: why, and what to do."""

    def __init__(self, why: str, hint: str = "") -> None:
        super().__init__(f"{why}; {hint}" if hint else why)


@dataclass(frozen=True)
class LargestReceptiveField:
    """Input elements that one output of the convolutions and local pools sees; the largest path where they branch.

    ``before`` is (height, width) in the 2-D network, ``after`` is along the signal. Global pools and dense layers,
    which see everything, are left out.
    """

    before: tuple[int, int]
    after: int

    def __str__(self) -> str:
        return f"receptive field: {self.before[0]} x {self.before[1]} (height x width) -> {self.after}"


@dataclass
class Report:
    """All steps of a conversion, in the order in which the layers run. Prints as a table.

    Attributes:
        options: that were asked for.
        steps: one a layer or function.
        warnings: what else is to be known.
        prove: runs both models, or None.
        receptive_field: of the 1-D model, if it was looked into.
    """

    options: Options
    steps: list[Step]
    warnings: list[str] = field(default_factory=list)
    prove: Callable[[], Any] | None = field(default=None, repr=False)
    receptive_field: LargestReceptiveField | None = None

    def counts(self) -> dict[Verdict, int]:
        """How many steps of each verdict.

        Returns:
            A number for each of "exact", "exact if", "heuristic" and "refused".
        """
        verdicts: tuple[Verdict, ...] = ("exact", "exact if", "heuristic", "refused")
        return {verdict: sum(step.verdict == verdict for step in self.steps) for verdict in verdicts}

    @property
    def parameters(self) -> tuple[int, int]:
        """All parameters before and after."""
        return sum(s.parameters[0] for s in self.steps), sum(s.parameters[1] for s in self.steps)

    @property
    def conditions(self) -> tuple[str, ...]:
        """What the steps that are exact only under a condition ask; each once."""
        return tuple(dict.fromkeys(step.condition for step in self.steps if step.verdict == "exact if"))

    @property
    def heuristics(self) -> tuple[str, ...]:
        """Why steps are not exact; each reason once."""
        return tuple(dict.fromkeys(step.condition for step in self.steps if step.verdict == "heuristic"))

    def verify(self) -> Proof:
        """Run the original on embedded random signals against the new model, both in inference and in float64.

        Copies of both are run, of the weights that they have now. See :class:`xconv.models.proof.Proof`.

        Returns:
            The proof; it is true if both agree.

        Raises:
            UnsupportedError: the report is not of a conversion that was made here.
        """
        if self.prove is None:
            raise UnsupportedError("this report holds no models to run; to_1d returns one that does")
        found: Proof = self.prove()
        return found

    def compared(
        self,
        original: Callable[[npt.NDArray[Any]], Arrays],
        converted: Callable[[npt.NDArray[Any]], Arrays],
        heuristics: Sequence[str],
        detail: str,
    ) -> Proof:
        """The proof of two programs on random signals that the conversion is for; what it takes is as for ``prove``.

        Args:
            original: takes float64 signals of shape ``(signals, *input_shape)``, and returns the outputs, batch first.
            converted: the same, with outputs of the same shapes.
            heuristics: reasons for which a difference is expected.
            detail: what else to say.

        Returns:
            The proof; it is true if both agree.
        """
        signals = np.random.default_rng(0).standard_normal((PROOF_SIGNALS, *self.options.input_shape))
        return prove(original, converted, signals, self.conditions, heuristics, detail)

    def __str__(self) -> str:
        rows = [(s.path, s.layer, s.became, s.rule, _said(s), *s.parameters) for s in self.steps]
        headers = ["layer", "was", "became", "rule", "exact?", "parameters", "after"]
        table = tabulate(rows, headers, intfmt=",", maxcolwidths=[30, 34, 34, 24, 40, None, None])
        before, after = self.parameters
        counted = ", ".join(f"{count} {verdict}" for verdict, count in self.counts().items() if count)
        lines = [table, "", f"{counted}; parameters: {before:,} -> {after:,}"]
        lines += [] if self.receptive_field is None else [str(self.receptive_field)]
        lines += [f"warning: {warning}" for warning in self.warnings]
        return "\n".join(lines)


def _said(step: Step) -> str:
    joint = {"exact": "; ", "exact if": " ", "heuristic": ": ", "refused": ": "}[step.verdict]
    return f"{step.verdict}{joint}{step.condition}" if step.condition else step.verdict


@dataclass(frozen=True)
class Conversion:
    """The 1-D model, and the report on how it came about.

    Attributes:
        model: of the same framework as the original.
        report: each step, and the means to prove it.
    """

    model: Any
    report: Report


def embedded(
    signal: npt.NDArray[Any], options: Options, channels_last: bool, matrix: npt.NDArray[Any] | None = None
) -> npt.NDArray[Any]:
    """A batch of 1-D signals as the images that it stands for.

    A ``matrix`` (image channels, signal channels) makes the image's channels of the signal's, see :func:`channel_map`.

    "folded": channels first (N, C * size, L) is (N, C, size, L), channels last (N, L, size * C) is (N, L, size, C);
    that is for the axis next to the channels, the other one is transposed. "raster": lines of length / size elements
    along the axis that stays.

    >>> options = Options("singleton", "height", (9, 3))
    >>> embedded(np.zeros((2, 9, 3)), options, channels_last=True).shape
    (2, 1, 9, 3)
    >>> embedded(np.zeros((2, 3, 9)), Options("constant", "width", (3, 9), size=5), channels_last=False).shape
    (2, 3, 9, 5)
    >>> embedded(np.zeros((2, 6, 9)), Options("folded", "height", (6, 9), size=3), channels_last=False).shape
    (2, 2, 3, 9)
    >>> embedded(np.zeros((2, 12, 4)), Options("raster", "width", (12, 4), size=3), channels_last=True).shape
    (2, 4, 3, 4)
    """
    if matrix is not None:
        image, channels = embedded(signal, options, channels_last), 3 if channels_last else 1
        return np.moveaxis(np.moveaxis(image, channels, -1) @ matrix.T, -1, channels)
    height = options.axis == "height"
    at = (1 if height else 2) + (0 if channels_last else 1)
    if options.embedding in ("singleton", "constant"):
        return np.repeat(np.expand_dims(signal, at), options.size, axis=at)
    if options.embedding == "folded":
        if channels_last:
            count, length, folded = signal.shape
            image = signal.reshape(count, length, options.size, folded // options.size)
            return image.swapaxes(1, 2) if height else image
        count, folded, length = signal.shape
        image = signal.reshape(count, folded // options.size, options.size, length)
        return image if height else image.swapaxes(2, 3)
    first = 1 if channels_last else 2
    lines = signal.shape[first] // options.size
    image = signal.reshape(*signal.shape[:first], options.size, lines, *signal.shape[first + 1 :])
    return image if height else image.swapaxes(first, first + 1)


def channel_map(rule: str, image: int, signal: int) -> npt.NDArray[Any]:
    """The matrix (image channels, signal channels) that a rule of CHANNEL_RULES feeds the 2-D network with.

    The first kernel of the 1-D network is the old one times it, so that the new network on a signal is the old one on
    ``matrix @ signal``. "mean": every channel of the image is the mean of the signal's. "repeat": the signal's channels
    are dealt out to the image's in turn, scaled by image / signal (as timm does for pre-trained networks).

    >>> channel_map("mean", 3, 2)
    array([[0.5, 0.5],
           [0.5, 0.5],
           [0.5, 0.5]])
    >>> channel_map("repeat", 2, 3).round(2)
    array([[0.67, 0.  , 0.67],
           [0.  , 0.67, 0.  ]])
    """
    if rule == "mean":
        return np.full((image, signal), 1 / signal)
    if rule == "repeat":
        dealt: npt.NDArray[Any] = np.arange(signal)[None, :] % image == np.arange(image)[:, None]
        return dealt * (image / signal)
    return np.eye(image, signal)

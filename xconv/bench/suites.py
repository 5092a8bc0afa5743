"""The questions that are asked of every machine, as groups of contenders; benchmarks/ has a file for each.

Groups whose names begin alike belong to one suite. Contenders of a group are measured against each other.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from xconv.bench.catalogue import Layer, catalogue
from xconv.bench.contender import DIRECTIONS, Contender
from xconv.bench.peers import Peer

TRIALS, SMOKE_BYTES = 3, 200e6
ARTICLE, CATALOGUE, SEPARABLE, SIGNALS = "Conv2D against Conv1D", "catalogue", "separable against 2-D", "signals"
COMPARED = ("conv1d", "conv2d_as_1d")
"""The operations that the article compares: Conv1D, and Conv2D on an image of height one."""

OWN = "yours"
"""The suite, and the tier, of a layer of the user's own."""


@dataclass(frozen=True)
class Question:
    """A group before it is measured."""

    name: str
    suite: str
    contenders: tuple[Contender, ...]

    def of(self, direction: str) -> Question:
        """The same in one direction; "both" leaves all."""
        if direction == "both":
            return self
        return replace(self, contenders=tuple(c for c in self.contenders if c.direction == direction))

    @property
    def twin(self) -> int | None:
        """The contender that is measured twice: xconv's first."""
        return next((at for at, contender in enumerate(self.contenders) if not contender.way), None)


def everyone(
    layers: Sequence[tuple[str, Layer]], backends: Sequence[str], *, activation: str = "", signal: str = ""
) -> tuple[Contender, ...]:
    """Each (word, layer) on each backend in each direction; the word tells the layers of one group apart."""
    return tuple(
        Contender(" ".join(filter(None, (backend, word, direction))), backend, layer, direction, activation, signal)
        for direction in DIRECTIONS
        for word, layer in layers
        for backend in backends
    )


def catalogue_layers(tier: str, backends: Sequence[str], peers: Sequence[Peer]) -> list[Question]:
    """Every real layer: xconv on each backend, at its defaults, against all that users would otherwise run.

    Compiled modes and channels first take part from the default tier on; in the smoke tier, what moves more than
    :data:`SMOKE_BYTES` is timed forward alone.
    """
    return [
        Question(f"{layer.name} ({layer.operation}), {direction}", CATALOGUE, tuple(contenders))
        for layer in catalogue(tier)
        for direction in DIRECTIONS
        if (contenders := [*ours(layer, direction, backends, tier), *theirs(layer, direction, peers)])
        and (tier != "smoke" or direction == "forward" or contenders[0].cost().bytes <= SMOKE_BYTES)
    ]


def ours(layer: Layer, direction: str, backends: Sequence[str], tier: str) -> list[Contender]:
    """xconv as it comes; compiled, with channels first, and with what a user must ask for."""
    found = []
    for backend in backends:
        plain = Contender(f"xconv on {backend}", backend, layer, direction)
        found.append(plain)
        if tier == "smoke":
            continue
        found.append(replace(plain, label=f"xconv on {backend}, compiled", mode="compiled"))
        found.append(replace(plain, label=f"xconv on {backend}, channels first", channels="first"))
        found.append(replace(plain, label=f"xconv on {backend}, opt-ins", opt_ins=True))
    return found


def theirs(layer: Layer, direction: str, peers: Sequence[Peer]) -> list[Contender]:
    """The peers that are made for such a layer."""
    return [
        Contender(peer.name, peer.framework, layer, direction, way=peer.way)
        for peer in peers
        if peer.takes(layer, direction)
    ]


def article(tier: str, backends: Sequence[str], peers: Sequence[Peer]) -> list[Question]:
    """Does Conv2D cost more on 1-D data? Both settings of the article, with its relu, in three trials.

    ``conv1d`` is pinned to the framework's own conv1d: left to itself, it may well be computed by conv2d.
    """
    del peers
    made = []
    for layer in catalogue("smoke"):
        if layer.domain != "articles":
            continue
        both = [(name, replace(layer, operation=name)) for name in COMPARED]
        contenders = tuple(
            replace(c, formulation="conv1d" if c.layer.row.takes_formulation else "auto")
            for c in everyone(both, backends, activation="relu")
        )
        for trial in range(TRIALS):
            asked = Question(f"{ARTICLE}, {layer.x_shape}, trial {trial + 1}", ARTICLE, contenders)
            made.append(asked.of("forward" if tier == "smoke" else "both"))  # the article times forward passes
    return made


SIZES = {
    # name: batch, height, width, in, middle, out, kernel, tier
    "32 channels, 5 x 5": ((4, 56, 56), 32, 32, 32, 5, "smoke"),
    "one channel in, 3 x 3": ((4, 64, 64), 1, 64, 64, 3, "default"),
    "128 channels, 7 x 7": ((1, 28, 28), 128, 128, 128, 7, "default"),
}


def separable(tier: str, backends: Sequence[str], peers: Sequence[Peer]) -> list[Question]:
    """Rows, columns, and both one after the other, against the true 2-D convolution that they stand in for."""
    del peers
    made = []
    for name, (size, inputs, middle, outputs, k, wanted) in SIZES.items():
        if tier == "smoke" and wanted != "smoke":
            continue
        x, padding = (*size, inputs), {"padding": "same"}

        def layer(
            operation: str, *weights: tuple[int, ...], x: tuple[int, ...] = x, padding: dict[str, str] = padding
        ) -> Layer:
            return Layer(operation, "vision", "separable against true 2-D", operation, x, weights, padding, "smoke")

        questions = {
            "separable against 2-D": [
                ("conv2d", layer("conv2d", (k, k, inputs, outputs))),
                ("rows, then columns", layer("spatially_separable_conv2d", (k, inputs, middle), (k, middle, outputs))),
            ],
            "rows against columns": [
                ("rows", layer("conv1d_rows", (k, inputs, outputs))),
                ("columns", layer("conv1d_columns", (k, inputs, outputs))),
            ],
        }
        made += [Question(f"{q}, {name}", SEPARABLE, everyone(layers, backends)) for q, layers in questions.items()]
    return made


def signals(tier: str, backends: Sequence[str], peers: Sequence[Peer]) -> list[Question]:
    """Real signals: an electrocardiogram through a filter bank, and a photograph blurred by rows and columns."""
    del tier, peers
    same, photograph = {"padding": "same"}, (1, 427, 640, 3)
    ecg = "PyWavelets' electrocardiogram"
    bank = Layer("filter_bank", "ECG", ecg, "conv1d", (1, 1024, 1), ((41, 1, 16),), same, "smoke")
    each = {**same, "groups": 3}
    source = "scikit-learn's photograph china.jpg"
    blurs = [
        ("conv2d", Layer("blur", "vision", source, "conv2d", photograph, ((9, 9, 1, 3),), each, "smoke")),
        (
            "rows, then columns",
            Layer("blur", "vision", source, "spatially_separable_conv2d", photograph, ((9, 1, 3),) * 2, each, "smoke"),
        ),
    ]
    blur = Question("photograph, 9 x 9 blur of each channel", SIGNALS, everyone(blurs, backends, signal="photograph"))
    return [
        Question("ECG through 16 filters of 41 taps", SIGNALS, everyone([("", bank)], backends, signal="ecg")),
        blur.of("forward"),
    ]


SUITES: dict[str, Callable[[str, Sequence[str], Sequence[Peer]], list[Question]]] = {
    ARTICLE: article,
    CATALOGUE: catalogue_layers,
    SEPARABLE: separable,
    SIGNALS: signals,
}

"""What is said of Conv1D against Conv2D, tried here: each claim is a function, and its verdict what it finds.

>>> from xconv.claims import CLAIMS, Asked, check
>>> check(CLAIMS["separable-cost"], Asked()).verdict
'depends'
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module

from xconv.claims.result import SOURCE, Asked, Claim, ClaimOutcome, Trial, Verdict, differing, judged

__all__ = ["CLAIMS", "SOURCE", "Asked", "Claim", "ClaimOutcome", "Trial", "Verdict", "check", "differing", "judged"]


def _by_name(module: str, name: str) -> Callable[[Asked], ClaimOutcome]:
    def tried(asked: Asked) -> ClaimOutcome:
        found: ClaimOutcome = getattr(import_module(f"xconv.claims.{module}"), name)(asked)
        return found

    return tried


_IN_CONVERSION = "an article on turning a 2-D network into a 1-D one in Keras"
_ON_MAPS = "an article on row-wise and column-wise 1-D convolutions"
_STEP_BY_STEP = "an article on Conv1D step by step in Keras"
_WHICH = "an article on when to take Conv1D and when Conv2D in Keras"

_ALL = (
    Claim(
        "height-one",
        "On 1-D data a Conv2D with a kernel of height one does more arithmetic than a Conv1D, has more parameters and "
        "keeps its data in another way.",
        _by_name("height_one", "height_one"),
    ),
    Claim(
        "faster",
        "On 1-D data Conv1D is faster than Conv2D.",
        _by_name("speed", "faster"),
        measured=True,
    ),
    Claim(
        "three-by-three",
        "A Conv2D of 3 x 3 on inputs of shape (100, 1, 1) runs, only slowly.",
        _by_name("height_one", "three_by_three"),
        _WHICH,
    ),
    Claim(
        "rows",
        "A 1-D convolution of each row takes the same kernel for every row, and rows exchange nothing.",
        _by_name("maps", "rows"),
        _ON_MAPS,
    ),
    Claim(
        "separable-cost",
        "Two 1-D convolutions, along rows and along columns, cost 2 * k * Cin * Cout in place of k * k * Cin * Cout.",
        _by_name("separable", "cost"),
        _ON_MAPS,
    ),
    Claim(
        "separable-approximates",
        "Rows and then columns only approximate a 2-D convolution.",
        _by_name("separable", "approximates"),
        _ON_MAPS,
    ),
    Claim(
        "flattening",
        "Flattening height and width into one axis and swapping the layers gives an equivalent 1-D network.",
        _by_name("flattening", "flattening"),
        _IN_CONVERSION,
    ),
    Claim(
        "vgg16",
        "Swapping the layers of VGG16 in a loop adapts its pre-trained weights to 1-D data.",
        _by_name("flattening", "vgg16"),
        _IN_CONVERSION,
    ),
    Claim(
        "folding",
        "A spectrogram with its frequencies as channels can go through a Conv1D over time, which sees all frequencies.",
        _by_name("maps", "folding"),
        _IN_CONVERSION,
    ),
    Claim(
        "receptive-field",
        "The receptive field grows with kernel and stride, but stacking layers alone does not make it large.",
        _by_name("fields", "growing"),
        _STEP_BY_STEP,
    ),
    Claim(
        "fewer-parameters",
        "A network with Conv1D has fewer parameters than an MLP.",
        _by_name("fields", "fewer_parameters"),
        _STEP_BY_STEP,
    ),
    Claim(
        "translation",
        "A convolution answers to a pattern in the same way wherever it lies.",
        _by_name("fields", "translation"),
        _STEP_BY_STEP,
    ),
)

CLAIMS = {claim.id: claim for claim in _ALL}
"""All claims by their id."""


def check(claim: Claim, asked: Asked) -> ClaimOutcome:
    """Try a claim; what raises is a finding too, with the verdict "failed".

    Args:
        claim: one of ``CLAIMS``, or one of your own.
        asked: on which backends, and whether to measure.

    Returns:
        The trials and the verdict.
    """
    try:
        return claim.check(asked)
    except Exception as error:  # noqa: BLE001 - one claim that cannot be tried must not hide the others
        return ClaimOutcome((), "it could not be tried", f"{type(error).__name__}: {error}")

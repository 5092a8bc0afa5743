"""What is known of each tensor on the way: how the 1-D one stands for the 2-D one; rules say what follows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from xconv.models.conversion import Options, RefusedError, Verdict
from xconv.models.reach import Reach
from xconv.models.rows import Band

Form = Literal["image", "folded", "raster", "flattened", "unfolded", "vector"]
Array = npt.NDArray[Any]
Shape = tuple[int | None, ...]


@dataclass(frozen=True)
class State:
    """How a 1-D tensor stands for a 2-D one.

    "image": the rows of the 2-D tensor (along the axis that disappears) are ``low`` rows of zeros, ``rows`` that all
    equal the 1-D tensor, ``high`` rows of zeros. "folded": ``rows`` are side by side in the channels. "raster": they
    lie one after another, ``pitch`` elements apart. "flattened", "unfolded": an image or a folded one in one axis, of
    ``flat`` = (length, channels) in 1-D. "vector": both are the same.

    ``gone`` is the disappearing axis of a rank-4 tensor. ``nonnegative``: whether no element can be negative.
    ``lacking``: the image's channels, as long as no layer has taken the signal's other number of them.
    ``reach``: its receptive field.
    """

    form: Form
    channels_last: bool
    gone: int
    rows: int = 1
    low: int = 0
    high: int = 0
    pitch: int = 0
    flat: tuple[int, int] = (0, 0)
    nonnegative: bool = False
    lacking: int = 0
    reach: Reach = field(default_factory=Reach)

    @property
    def padded(self) -> bool:
        """Whether rows of zeros wait for a layer that takes them in."""
        return bool(self.low or self.high)

    @property
    def channels(self) -> int:
        """The axis of the channels of a rank-3 tensor."""
        return 2 if self.channels_last else 1

    @property
    def first(self) -> int:
        """The axis of the height of a rank-4 tensor."""
        return 1 if self.channels_last else 2

    def axis(self, axis: int) -> int:
        """An axis of a rank-4 tensor in the rank-3 one."""
        axis %= 4
        if axis == self.gone:
            raise RefusedError("it works along the axis that disappears", "convert along the other axis")
        return axis - (axis > self.gone)

    @property
    def band(self) -> Band:
        """Where the signal lies along the axis that disappears."""
        return Band(self.low + self.rows + self.high, self.low, self.low + self.rows)

    def seen(self, kernel: tuple[int, int], stride: tuple[float, float], dilation: tuple[int, int] = (1, 1)) -> State:
        """The state with the receptive field of one more layer; pairs are (gone, kept), an upsampling's stride < 1."""
        return replace(self, reach=self.reach.behind(kernel, dilation, stride))


@dataclass(frozen=True)
class Site:
    """A layer where it is called: its inputs in 1-D, without the batch, and what they stand for."""

    layer: Any
    states: tuple[State, ...]
    shapes: tuple[Shape, ...]
    options: Options
    head: int | None = None
    """The number of outputs, if this is the layer to be replaced by a new one."""

    @property
    def state(self) -> State:
        """Of the first input."""
        return self.states[0]

    @property
    def length(self) -> int | None:
        """The length of the first input."""
        return self.shapes[0][0 if self.state.channels_last else 1]

    @property
    def depth(self) -> int:
        """The channels of the first input."""
        return int(self.shapes[0][-1 if self.state.channels_last else 0] or 0)

    def gone_first(self, pair: Any) -> tuple[Any, Any]:
        """(height, width) as (gone, kept)."""
        pair = tuple(pair) if isinstance(pair, (tuple, list)) else (pair, pair)
        height_goes = self.state.gone == self.state.first
        return (pair[0], pair[1]) if height_goes else (pair[1], pair[0])

    def kernel(self, variable: Any) -> Array:
        """A kernel in float64, its axes (gone, kept, ...)."""
        values = np.asarray(variable, np.float64)
        return values if self.gone_first((0, 1))[0] == 0 else values.swapaxes(0, 1)

    def weights(self) -> list[Array]:
        """The layer's own weights."""
        return [np.asarray(weight) for weight in self.layer.get_weights()]

    def unpadded(self) -> None:
        """Refuse rows of zeros, which this layer would turn into others."""
        if any(state.padded for state in self.states):
            raise RefusedError(
                "rows of zeros along the axis that disappears reach it", "pad right before a convolution"
            )

    def adapted(self) -> None:
        """Refuse the signal's other number of channels, where weights go by channel."""
        if self.state.lacking:
            raise RefusedError(
                f"its weights are for {self.state.lacking} channels and come before the first convolution",
                "leave it out of the model, or give a signal of as many channels",
            )


@dataclass(frozen=True)
class Made:
    """What a layer became: layers that are called one after another, and their weights in float64 or as they were.

    ``weights`` has a list for each layer; None is a layer whose weights are new.
    """

    layers: tuple[Any, ...]
    state: State
    rule: str
    verdict: Verdict = "exact"
    condition: str = ""
    weights: tuple[Sequence[Array] | None, ...] = ()

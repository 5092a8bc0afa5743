"""What is tried: every operation of xconv, and the kinds of convolution at which frameworks differ.

All are small cases of :mod:`xconv.parity` on integers, so that a right result is right in every bit.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from xconv.parity.cases import CHANNELS_FIRST, Case, cases


@dataclass(frozen=True)
class Feature:
    """A kind of convolution, channels last.

    ``layout`` is the one that it is about, or empty where a framework's own is meant. ``own_process``: in a process of
    its own, because it may write where it should not, and spoil what comes after it.
    """

    name: str
    case: Case
    dtype: str = "float32"
    layout: str = ""
    own_process: bool = False


@dataclass(frozen=True)
class OwnCase(Case):
    """A case that is computed by a framework's own op: ``own(case, x, weight)``."""

    own: Callable[..., Any] = field(default=lambda *_: None, hash=False)

    def run(self, *arrays: Any, **how: Any) -> Any:
        """Call the framework's own op."""
        del how
        return self.own(self, *arrays)


def operation_case(operation: str) -> Case:
    """The case that stands for an operation: the first of the parity cases with a stride, a dilation and groups.

    >>> operation_case("conv1d").name
    'conv1d-k3s2d3g3-valid-zeros'
    """
    return next(
        case
        for case in cases()
        if case.operation == operation
        and case.options.get("groups", 1) > 1
        and case.options["stride"] not in (1, (1, 1))
        and case.options["dilation"] not in (1, (1, 1))
    )


def _signal(
    name: str, channels: tuple[int, int], kernel: int = 3, groups: int = 1, x: tuple[int, int] = (2, 17), **options: Any
) -> Case:
    inputs, outputs = channels
    return Case(name, "conv1d", (*x, inputs), ((kernel, inputs // groups, outputs),), {"groups": groups, **options})


def _map(name: str, x: tuple[int, ...], weight: tuple[int, ...], **options: Any) -> Case:
    return Case(name, "conv2d", x, (weight,), options, layout="NHWC")


def _transposed(name: str, **options: Any) -> Case:
    groups = options.get("groups", 1)
    return Case(name, "conv1d_transpose", (2, 11, 4), ((3, 6 // groups, 4),), options)


_CASES = (
    _signal("dense", (3, 5), 4),
    _signal('padding "same"', (3, 5), 4, padding="same"),
    _signal("uneven padding", (3, 5), padding=(3, 0)),
    _signal("strided", (3, 5), stride=2),
    _signal('strided, padding "same"', (3, 5), stride=2, padding="same"),
    _signal("dilated", (3, 5), dilation=2),
    _signal("strided and dilated", (3, 5), stride=2, dilation=3),
    _signal("grouped", (6, 4), groups=2),
    _signal("grouped, strided and dilated", (6, 9), groups=3, stride=2, dilation=3),
    _signal("depthwise", (6, 12), groups=6),
    _signal("depthwise, strided", (6, 6), groups=6, stride=2),
    _signal("depthwise, dilated", (6, 6), groups=6, dilation=2),
    _signal("depthwise, strided and dilated", (6, 6), groups=6, stride=2, dilation=2),
    _map("depthwise 2-D, unequal strides", (2, 13, 14, 6), (3, 3, 1, 6), groups=6, stride=(1, 2)),
    _signal("one output channel", (3, 1)),
    _signal("empty batch", (3, 5), x=(0, 17)),
    _signal("empty signal", (3, 5), x=(2, 0), padding="same"),
    _map("2-D, one channel, one place", (2, 8, 7, 1), (2, 3, 1, 2), stride=(2, 8)),
    _transposed("transposed", stride=2),
    _transposed("transposed, dilated", stride=2, dilation=2),
    _transposed("transposed, grouped", stride=2, groups=2),
)


def _features() -> list[Feature]:
    found = [Feature(case.name, replace(case, bias=False)) for case in _CASES]
    dense = found[0].case
    found += [Feature(dtype, replace(dense, name=dtype), dtype) for dtype in ("float64", "float16", "bfloat16")]
    for layout in ("NWC", "NCW"):
        name = "channels last" if layout[-1] == "C" else "channels first"
        one = _signal(f"{name}, one output channel", (3, 1))
        found.append(Feature(name, replace(dense, name=name), layout=layout))
        found.append(Feature(one.name, replace(one, bias=False), layout=layout))
    long = _signal("long kernel, strided, many outputs", (1, 512), 64, x=(2, 200), stride=8)
    return [*found, Feature(long.name, replace(long, bias=False), own_process=True)]


FEATURES = {feature.name: feature for feature in _features()}


def laid_out(feature: Feature, channels_last: bool) -> Case:
    """The case of a feature in its own layout, or in a framework's."""
    first = CHANNELS_FIRST[feature.case.layout]
    layout = feature.layout or (feature.case.layout if channels_last else first)
    return replace(feature.case, layout=layout)

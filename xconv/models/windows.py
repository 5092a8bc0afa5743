"""Whether two convolutions see the same elements: steps, borders and pads, at the lengths at which they ran."""

from __future__ import annotations

from typing import Any

from xconv.core.problem import resolve_padding
from xconv.models.matching import OPERATION
from xconv.models.neutral import NeutralLayer
from xconv.system.errors import ArgumentError

_ANY_LENGTH = 2**20
"""A length, where it does not matter."""

_STEPS = ("stride", "dilation", "groups", "padding_mode")


def check(source: NeutralLayer, target: NeutralLayer) -> str:
    """A remark on what holds at this length only, or nothing.

    Raises:
        ArgumentError: the settings of the two differ in a way that changes the result.
    """
    for name in _STEPS:
        if source.options.get(name) != target.options.get(name):
            got = f"{target} with {name} {_short(target.options.get(name))}"
            expected = f"{_short(source.options.get(name))}, as source {source} has it"
            hint = "layers are matched in the order in which they run: are the two a pair? If so, build it again"
            raise ArgumentError(OPERATION, "target", got, expected, hint)
    if source.kind == "conv":
        return _conv(source, target)
    return _transposed(source, target) if source.kind == "conv_transpose" else ""


def pads(layer: NeutralLayer, axis: int, length: int) -> tuple[int, int]:
    """What a convolution pads an axis of some length with, as (low, high)."""
    padding = layer.options["padding"]
    low, high = resolve_padding(
        OPERATION,
        padding if isinstance(padding, str) else padding[axis],
        length=length,
        kernel=layer.arrays["kernel"].shape[axis],
        stride=layer.options["stride"][axis],
        dilation=layer.options["dilation"][axis],
    )
    return low, high


def _conv(source: NeutralLayer, target: NeutralLayer) -> str:
    remarks = []
    for axis, stride in enumerate(source.options["stride"]):
        if source.given is None or target.given is None:
            if pads(source, axis, _ANY_LENGTH) != pads(target, axis, _ANY_LENGTH) or (
                stride > 1 and "same" in _written(source, target)
            ):
                remarks.append("its pads were not compared: that takes input_shape")
            continue
        length, there = source.given[axis], target.given[axis]
        needed, has = pads(source, axis, length), pads(target, axis, there)
        places = source.gave[axis] if source.gave else None, target.gave[axis] if target.gave else None
        # another length: one side pads in a layer or a line of its own, and parity shows whether it is right
        same = places[0] == places[1] and (length != there or needed[0] == has[0])
        if not same:
            raise ArgumentError(
                OPERATION,
                "target",
                f"{target} with pads {has} at length {there}, {places[1]} places",
                f"pads {needed} at length {length}, {places[0]} places, as source {source} has them"
                f" with padding {_short(source.options['padding'])}",
                _how_to_pad(source, needed, stride),
            )
        if length != there:
            remarks.append(f"padded outside of the layer: it gets {there} elements instead of {length}")
        remarks += _only_here(source, target, axis, length, stride)
    return "; ".join(dict.fromkeys(remarks))


def _only_here(source: NeutralLayer, target: NeutralLayer, axis: int, length: int, stride: int) -> list[str]:
    """Pads that are the same now and would differ at the next lengths."""
    wrong = [n for n in range(length, length + stride) if pads(source, axis, n)[0] != pads(target, axis, n)[0]]
    if source.given != target.given or not wrong:
        return []
    here, there = pads(source, axis, length), pads(source, axis, wrong[0])
    if source.options["padding"] != "same":
        here, there = pads(target, axis, length), pads(target, axis, wrong[0])
    return [f"right at length {length}; at {wrong[0]} 'same' would pad {there}, not {here}"]


def _transposed(source: NeutralLayer, target: NeutralLayer) -> str:
    if source.given is None or target.given is None or source.gave is None or target.gave is None:
        return "what it crops was not compared: that takes input_shape"
    remarks = []
    for axis, (needed, has) in enumerate(zip(source.options["crop"], target.options["crop"], strict=True)):
        lengths = source.gave[axis], target.gave[axis]
        # a longer result may be cut by what comes after it
        if lengths[0] == lengths[1] and needed != has:
            raise ArgumentError(
                OPERATION,
                "target",
                f"{target} without its first {has} of {lengths[1]} elements",
                f"without its first {needed}, as source {source} is",
                "torch crops both ends alike: where they differ, take padding=0 and slice the result",
            )
        if lengths[0] != lengths[1]:
            remarks.append(f"gives {lengths[1]} elements instead of {lengths[0]}; the rest must be sliced off")
    return "; ".join(remarks)


def _how_to_pad(source: NeutralLayer, needed: tuple[int, int], stride: int) -> str:
    padding, rank = source.options["padding"], len(source.options["stride"])
    why = "with a stride the pads of 'same' depend on the length; " if stride > 1 and padding == "same" else ""
    how = f" (F.pad(x, {needed}), ZeroPadding1D({needed}))" if rank == 1 else f" by {needed} along this axis"
    by = f", or compute it by xconv.conv{rank}d(..., padding={_short(padding)})" if rank < 3 else ""
    return f"{why}pad the input of a layer without padding{how}{by}"


def _written(*layers: NeutralLayer) -> list[Any]:
    return [layer.options["padding"] for layer in layers]


def _short(value: Any) -> str:
    return str(value[0]) if isinstance(value, tuple) and len(value) == 1 else repr(value)

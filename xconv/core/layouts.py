"""The layouts: which axis holds the channels, and what a kernel looks like beside it."""

from __future__ import annotations

from dataclasses import dataclass

Axes = tuple[int, ...]


@dataclass(frozen=True)
class Layout:
    """Where the channels are, and what a kernel looks like beside it."""

    name: str
    channels_last: bool
    to_channels_last: Axes
    from_channels_last: Axes
    kernel_to_channels_last: Axes


LAYOUTS = {
    "NWC": Layout("NWC", True, (0, 1, 2), (0, 1, 2), (0, 1, 2)),
    "NCW": Layout("NCW", False, (0, 2, 1), (0, 2, 1), (2, 1, 0)),
    "NHWC": Layout("NHWC", True, (0, 1, 2, 3), (0, 1, 2, 3), (0, 1, 2)),
    "NCHW": Layout("NCHW", False, (0, 2, 3, 1), (0, 3, 1, 2), (2, 1, 0)),
}
KERNEL_2D_TO_CHANNELS_LAST = {True: (0, 1, 2, 3), False: (2, 3, 1, 0)}

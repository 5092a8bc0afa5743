"""How shapes and options of a convolution are written on the command line, the same for every command."""

from __future__ import annotations

import argparse
from typing import Any


def sizes(text: str) -> tuple[int, ...]:
    """A shape: sizes with commas between.

    Args:
        text: integers with commas between.

    Returns:
        The sizes.

    Raises:
        ArgumentTypeError: a part is no integer.

    >>> sizes("8,1000,3")
    (8, 1000, 3)
    """
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no list of sizes: write 8,1000,3") from None


def step(text: str) -> int | tuple[int, ...]:
    """A stride or a dilation: a number, or HEIGHT,WIDTH.

    Args:
        text: one integer, or several with commas between.

    Returns:
        An integer, or a tuple.

    Raises:
        ArgumentTypeError: a part is no integer.

    >>> step("2"), step("1,2")
    (2, (1, 2))
    """
    found = sizes(text)
    return found[0] if len(found) == 1 else found


def padding(text: str) -> Any:
    """A name, a number, or a pair of either.

    Args:
        text: one part, or several with commas between.

    Returns:
        An integer or a name, or a tuple of these.

    >>> padding("same"), padding("3"), padding("2,0"), padding("same,valid")
    ('same', 3, (2, 0), ('same', 'valid'))
    """
    parts = [int(part) if part.lstrip("-").isdigit() else part for part in text.split(",")]
    return parts[0] if len(parts) == 1 else tuple(parts)

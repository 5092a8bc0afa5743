"""What happens to the sums of a result before it is the caller's: the bias is added."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Epilogue:
    """One step that follows the sums.

    Attributes:
        name: "bias".
        fused: whether the formulation does it where it stores a sum; else it is another pass over the result.
    """

    name: str
    fused: bool

    def __str__(self) -> str:
        return f"{self.name} {'where the sum is stored' if self.fused else 'after the sums'}"


def add_bias(y: Any, bias: Any | None) -> Any:
    """A channels-last result with its bias (out channels,) added, or as it is: the only addition of a bias.

    >>> import numpy as np
    >>> add_bias(np.zeros((1, 2, 3)), np.array([1, 2, 3]))[0, 1]
    array([1., 2., 3.])
    >>> add_bias(5, None)
    5
    """
    return y if bias is None else y + bias

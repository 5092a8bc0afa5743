"""What a problem costs on any machine: parameters, multiply-accumulates, bytes, receptive field."""

from xconv.core.cost import (
    ITEM_SIZE,
    Cost,
    cost,
    receptive_field,
)

__all__ = [
    "ITEM_SIZE",
    "Cost",
    "cost",
    "receptive_field",
]

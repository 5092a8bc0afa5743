"""Models: what xconv sees of them, and what it makes of them.

What needs the framework is in ``models`` and ``layers`` of its backend, under the same names in each
(:meth:`xconv.core.backend.Backend.module`).
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from xconv.models.calls import convolutions

if TYPE_CHECKING:
    from xconv.models.agreement import agree, training_agreement
    from xconv.models.initial import initial_weights
    from xconv.models.networks import names, network
    from xconv.models.spec import (
        AveragePool,
        BatchNorm,
        Conv1D,
        Conv2D,
        Dense,
        Dropout,
        Flatten,
        Fold,
        MaxPool,
        Network,
    )
    from xconv.models.summaries import summary
    from xconv.models.training import SGD, Adam, predict, train

__all__ = [
    "SGD",
    "Adam",
    "AveragePool",
    "BatchNorm",
    "Conv1D",
    "Conv2D",
    "Dense",
    "Dropout",
    "Flatten",
    "Fold",
    "MaxPool",
    "Network",
    "agree",
    "convolutions",
    "initial_weights",
    "names",
    "network",
    "predict",
    "summary",
    "train",
    "training_agreement",
]

_SPEC = ("AveragePool", "BatchNorm", "Conv1D", "Conv2D", "Dense", "Dropout", "Flatten", "Fold", "MaxPool", "Network")
_MODULES = {
    **dict.fromkeys(_SPEC, "spec"),
    **dict.fromkeys(("names", "network"), "networks"),
    **dict.fromkeys(("SGD", "Adam", "predict", "train"), "training"),
    **dict.fromkeys(("agree", "training_agreement"), "agreement"),
    "initial_weights": "initial",
    "summary": "summaries",
}
"""Where each name is; most programs need none, so they are imported when they are named."""

if not TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        if name in _MODULES:
            return getattr(importlib.import_module(f"xconv.models.{_MODULES[name]}"), name)
        raise AttributeError(f"module 'xconv.models' has no attribute {name!r}")

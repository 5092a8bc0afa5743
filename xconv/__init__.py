"""1-D convolutions, one interface, every framework: the public names.

>>> import numpy as np, xconv
>>> xconv.conv1d(np.ones((1, 5, 1), "float32"), np.ones((3, 1, 2), "float32")).shape
(1, 3, 2)
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from xconv.core.call import Call, resolve
from xconv.core.plan import Plan
from xconv.core.problem import ConvProblem
from xconv.core.registry import backends, get_backend
from xconv.models import convolutions
from xconv.ops import (
    conv1d,
    conv1d_columns,
    conv1d_rows,
    conv1d_transpose,
    conv2d,
    conv2d_as_1d,
    spatially_separable_conv2d,
)
from xconv.planning.planner import plan
from xconv.system.allocator import keep_freed_memory
from xconv.system.errors import ArgumentError, BackendError, UnsupportedError, WisdomError, XconvError
from xconv.system.version import __version__ as __version__

if TYPE_CHECKING:
    from xconv import bench, bounds, claims, cost, errors, parity, reference, testing, wisdom
    from xconv.advice import advise
    from xconv.explanation.explained import explain
    from xconv.explanation.separable import separable_cost
    from xconv.explanation.variants import side_by_side
    from xconv.models.factorize import factorize
    from xconv.models.field_report import receptive_field
    from xconv.models.to_1d import to_1d
    from xconv.models.weights import port_weights
    from xconv.planning.tuning import tune

__all__ = [
    "ArgumentError",
    "BackendError",
    "Call",
    "ConvProblem",
    "Plan",
    "UnsupportedError",
    "WisdomError",
    "XconvError",
    "advise",
    "backends",
    "bench",
    "bounds",
    "claims",
    "conv1d",
    "conv1d_columns",
    "conv1d_rows",
    "conv1d_transpose",
    "conv2d",
    "conv2d_as_1d",
    "convolutions",
    "cost",
    "errors",
    "explain",
    "factorize",
    "get_backend",
    "keep_freed_memory",
    "parity",
    "plan",
    "port_weights",
    "receptive_field",
    "reference",
    "resolve",
    "separable_cost",
    "side_by_side",
    "spatially_separable_conv2d",
    "testing",
    "to_1d",
    "tune",
    "wisdom",
]

_MODULES = ("bench", "bounds", "claims", "cost", "errors", "parity", "reference", "testing", "wisdom")

_FUNCTIONS = {
    "advise": "xconv.advice",
    "explain": "xconv.explanation.explained",
    "factorize": "xconv.models.factorize",
    "port_weights": "xconv.models.weights",
    "receptive_field": "xconv.models.field_report",
    "separable_cost": "xconv.explanation.separable",
    "side_by_side": "xconv.explanation.variants",
    "to_1d": "xconv.models.to_1d",
    "tune": "xconv.planning.tuning",
}

if not TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        # What most programs never use is imported when it is named, so that `import xconv` stays cheap.
        if name in _FUNCTIONS:
            return getattr(importlib.import_module(_FUNCTIONS[name]), name)
        if name in _MODULES:
            return importlib.import_module(f"xconv.{name}")
        raise AttributeError(f"module 'xconv' has no attribute {name!r}")

"""JAX for the doctor: how it is set, and its own ops as its users write them."""

from __future__ import annotations

from typing import Any

from xconv.doctor.found import Setting
from xconv.parity.cases import Case

CHANNELS_LAST = True


def settings() -> dict[str, Setting]:
    """What changes results or speed. Nothing is set."""
    import jax

    precision = jax.config.jax_default_matmul_precision
    return {
        "tf32": precision in (None, "default", "tensorfloat32", "high", "fastest"),
        "matmul_precision": None if precision is None else str(precision),
        "float64": bool(jax.config.jax_enable_x64),
        "jit": not jax.config.jax_disable_jit,
        "default_device": str(jax.default_backend()),
    }


def own(case: Case, x: Any, weight: Any) -> Any:
    """``jax.lax.conv_general_dilated`` and ``conv_transpose``."""
    from jax import lax

    options = {"stride": 1, "dilation": 1, "groups": 1, "padding": "valid", **case.options}
    spatial = case.layout.strip("NC")
    step, spread = ((value,) * len(spatial) if isinstance(value, int) else value for value in _both(options))
    padding = options["padding"]
    padding = padding.upper() if isinstance(padding, str) else [padding]
    last = case.layout.endswith("C")
    names = (case.layout, f"{spatial}IO" if last else f"OI{spatial}", case.layout)
    if case.row.is_transposed:
        if options["groups"] > 1:
            raise TypeError("conv_transpose() has no groups")
        return lax.conv_transpose(x, weight, step, padding, spread, names, transpose_kernel=True)
    return lax.conv_general_dilated(
        x, weight, step, padding, rhs_dilation=spread, dimension_numbers=names, feature_group_count=options["groups"]
    )


def _both(options: dict[str, Any]) -> tuple[Any, Any]:
    return options["stride"], options["dilation"]

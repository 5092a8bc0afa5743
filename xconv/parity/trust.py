"""Agreement that proves nothing."""

from __future__ import annotations

import numpy as np

from xconv.core.reference import Floats

LEAST_TO_JUDGE = 16
"""Elements below which any values may be alike by chance."""

MOST_ZEROS = 0.9
"""Share of zeros above which most mistakes would agree too."""


def distrust(values: Floats) -> str:
    """Why agreement on these values would prove nothing, or an empty text.

    Args:
        values: of any shape.

    Returns:
        The reason, or "".

    >>> import numpy as np
    >>> distrust(np.r_[np.zeros(95), np.ones(5)]), distrust(np.arange(100.0))
    ('95% of the elements are zero', '')
    """
    if values.size < LEAST_TO_JUDGE:
        return ""
    zeros = float(np.mean(values == 0))
    if zeros > MOST_ZEROS:
        return f"{zeros:.0%} of the elements are zero"
    if np.isnan(values).all():
        return "all elements are NaN"
    if np.all(values == values.flat[0]):
        return f"all elements are {values.flat[0]:.6g}"
    return ""

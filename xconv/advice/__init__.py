"""Which convolution fits data, from the data's own structure: 1-D, rows, columns, separable, 2-D, or none.

>>> import numpy as np
>>> from xconv.advice import advise
>>> image = np.random.default_rng(0).standard_normal((40, 41))
>>> advise(image[:, 1:] + image[:, :-1], axes="HW").recommendation
'rows'
"""

from xconv.advice.recommend import advise
from xconv.advice.result import Advice, AxisEvidence, Option

__all__ = ["Advice", "AxisEvidence", "Option", "advise"]

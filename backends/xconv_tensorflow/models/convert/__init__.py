"""2-D Keras models to 1-D: each layer by a rule that says whether it is exact, and a numeric proof."""

from xconv_tensorflow.models.convert.converter import to_1d
from xconv_tensorflow.models.convert.proof import run

__all__ = ["run", "to_1d"]

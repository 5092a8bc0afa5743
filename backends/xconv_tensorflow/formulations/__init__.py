"""Ways to compute a 1-D convolution in TensorFlow, one subject in each file.

On the CPU TensorFlow has no gradient of a grouped or a dilated convolution, and depthwise with stride and dilation
gives wrong values. :class:`Taps` needs neither; the others turn a problem into one that a native op is right for.
"""

from xconv_tensorflow.formulations.adjoint import Adjoint
from xconv_tensorflow.formulations.depthwise import DepthwiseConv2d
from xconv_tensorflow.formulations.direct import DIRECT
from xconv_tensorflow.formulations.folded import Folded, Phases
from xconv_tensorflow.formulations.fourier import Fourier
from xconv_tensorflow.formulations.groups import Split
from xconv_tensorflow.formulations.native import Conv1d, Conv2d, conv2d
from xconv_tensorflow.formulations.shapes import native_pads
from xconv_tensorflow.formulations.taps import Taps

FORMULATIONS = (
    Conv2d(),
    Conv1d(),
    DepthwiseConv2d(),
    Folded(),
    Phases(),
    Split(),
    Adjoint(),
    Fourier(),
    Taps(),
    DIRECT,
)

__all__ = ["DIRECT", "FORMULATIONS", "conv2d", "native_pads"]

"""Ways to compute a 1-D convolution in PyTorch."""

from __future__ import annotations

from xconv.core.formulation import Formulation
from xconv_torch.formulations.direct import DIRECT
from xconv_torch.formulations.fourier import OverlapSave
from xconv_torch.formulations.im2col import Im2col
from xconv_torch.formulations.native import Conv1d, Conv2d
from xconv_torch.formulations.taps import Taps

FORMULATIONS: tuple[Formulation, ...] = (
    Conv2d(),
    Conv1d(),
    DIRECT,
    OverlapSave(),
    Im2col(),
    Taps(),
)
